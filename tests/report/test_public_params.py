"""The path of a hospital's export outside of the project stands in no page."""

import pytest

from stages.report.public_params import OUTSIDE, WARD, public_params, public_path


@pytest.mark.parametrize(
    ("inbox", "shown"), [("/exports/DOE", OUTSIDE), ("data/incoming", "data/incoming"), ("../DOE_JANE", OUTSIDE)]
)
def test_an_inbox_outside_of_the_project_is_called_by_what_it_is(inbox: str, shown: str) -> None:
    params = {"ingest": {"inbox": inbox, "on_error": "stop"}, "train": {"seeds": [1]}}
    assert public_path(inbox) == shown
    assert public_params(params) == {"ingest": {"inbox": shown, "on_error": "stop"}, "train": {"seeds": [1]}}
    assert params["ingest"]["inbox"] == inbox


def test_params_without_an_inbox_are_shown_as_they_are() -> None:
    assert public_params({"threshold": {"classes": 4}}) == {"threshold": {"classes": 4}}


def test_a_folder_of_a_hospitals_export_is_not_called_by_its_name() -> None:
    """It can be a patient's; a folder of public films cannot."""
    films = {"source": "folder", "below": "films"}
    entries = ["sample", films, {"source": "hospital", "below": "DOE_JANE", "licence": "none"}, {"source": "hospital"}]
    shown = ["sample", films, {"source": "hospital", "below": WARD, "licence": "none"}, {"source": "hospital"}]
    assert public_params({"ingest": {"sources": entries}}) == {"ingest": {"sources": shown}}
