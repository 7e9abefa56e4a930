"""The path of a hospital's export outside of the project stands in no page."""

import pytest

from stages.report.public_params import OUTSIDE, public_params, public_path


@pytest.mark.parametrize(
    ("inbox", "shown"), [("/exports/DOE", OUTSIDE), ("data/incoming", "data/incoming"), ("../films", "../films")]
)
def test_an_absolute_inbox_is_called_by_what_it_is(inbox: str, shown: str) -> None:
    params = {"ingest": {"inbox": inbox, "on_error": "stop"}, "train": {"seeds": [1]}}
    assert public_path(inbox) == shown
    assert public_params(params) == {"ingest": {"inbox": shown, "on_error": "stop"}, "train": {"seeds": [1]}}
    assert params["ingest"]["inbox"] == inbox


def test_params_without_an_inbox_are_shown_as_they_are() -> None:
    assert public_params({"threshold": {"classes": 4}}) == {"threshold": {"classes": 4}}
