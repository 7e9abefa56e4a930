"""Which folders an export replaces."""

from pathlib import Path

import pytest

from stages.common.core.errors import UserError
from tools.predict.export import is_export
from tools.predict.own_files import require_own_folder
from tools.predict.recipe import MODEL, RECIPE


def require(folder: Path) -> None:
    require_own_folder(folder, (MODEL, RECIPE), is_export(folder))


@pytest.mark.parametrize(
    "files",
    [
        {"model.onnx": "of another program"},
        {"recipe.json": '{"flour": "500 g"}'},
        {"recipe.json": "damaged", "model.onnx": "x"},
        {"recipe.json": '{"recipe": {}, "weights": "ab"}', "letter.txt": "dear"},
    ],
)
def test_a_folder_that_no_export_wrote_is_refused(files: dict[str, str], tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match="expected a new folder or one of this command's"):
        require(tmp_path)


def test_an_export_a_new_folder_and_an_empty_one_are_taken(tmp_path: Path) -> None:
    require(tmp_path / "new")
    require(tmp_path)
    (tmp_path / "recipe.json").write_text('{"recipe": {}, "weights": "ab", "seed": 1}')
    (tmp_path / "model.onnx").write_text("x")
    require(tmp_path)


@pytest.mark.parametrize("target", ["exported", "nowhere"])
def test_a_link_is_refused_since_it_would_be_replaced_and_what_it_leads_to_would_not(
    target: str, tmp_path: Path
) -> None:
    """Over a link that leads nowhere no folder can be put, which was found out after minutes of work."""
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported/recipe.json").write_text('{"recipe": {}, "weights": "ab", "seed": 1}')
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(UserError, match="link: expected a new folder or one of this command's, found a link"):
        require(tmp_path / "link")
