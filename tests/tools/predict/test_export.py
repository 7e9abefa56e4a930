"""Which folders an export replaces."""

import hashlib
from pathlib import Path

import pytest

from stages.common.core.errors import UserError
from tools.predict.export import require_own_export

OWN = f'{{"recipe": {{}}, "weights": "ab", "onnx": "{hashlib.sha256(b"x").hexdigest()}"}}'


@pytest.mark.parametrize(
    "files",
    [
        {"model.onnx": "of another program"},
        {"recipe.json": '{"flour": "500 g"}'},
        {"recipe.json": "damaged", "model.onnx": "x"},
        {"recipe.json": OWN, "letter.txt": "dear"},
    ],
)
def test_a_folder_that_no_export_wrote_is_refused(files: dict[str, str], tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match="expected a new folder or one of this command's"):
        require_own_export(tmp_path)


@pytest.mark.parametrize("recipe", [OWN, '{"recipe": {}, "weights": "ab"}'])
def test_a_network_that_somebody_changed_since_it_was_exported_is_refused(recipe: str, tmp_path: Path) -> None:
    """Quantised in its place, for example; of one without a hash nobody knows."""
    (tmp_path / "recipe.json").write_text(recipe)
    for make in (lambda path: path.write_text("y"), lambda path: path.symlink_to("nowhere"), Path.mkdir):
        make(tmp_path / "model.onnx")
        with pytest.raises(UserError, match=r"model\.onnx: expected the one that recipe\.json has, found another"):
            require_own_export(tmp_path)
        path = tmp_path / "model.onnx"
        path.rmdir() if path.is_dir() else path.unlink()


def test_an_export_a_new_folder_and_an_empty_one_are_taken(tmp_path: Path) -> None:
    require_own_export(tmp_path / "new")
    require_own_export(tmp_path)
    (tmp_path / "recipe.json").write_text(OWN)
    require_own_export(tmp_path)
    (tmp_path / "model.onnx").write_text("x")
    require_own_export(tmp_path)


@pytest.mark.parametrize("target", ["exported", "nowhere"])
def test_a_link_is_refused_since_it_would_be_replaced_and_what_it_leads_to_would_not(
    target: str, tmp_path: Path
) -> None:
    """Over a link that leads nowhere no folder can be put, which was found out after minutes of work."""
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported/recipe.json").write_text(OWN)
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(UserError, match="link: expected a new folder or one of this command's, found a link"):
        require_own_export(tmp_path / "link")
