"""The quick-start notebook: its script and it are the same, and it runs from nothing to predictions."""

from pathlib import Path

import jupytext
import pytest
from nbclient import NotebookClient

from tests.helpers.paths import ROOT

SCRIPT = ROOT / "notebooks/quick_start.py"
TOY = "WORK = {work!r}\nFILMS, TRAIN, VALIDATION, TEST = 35, 16, 4, 8\nSIZE, EPOCHS = 64, 2\n"


def test_the_notebook_is_its_script_without_outputs() -> None:
    script, notebook = (jupytext.read(SCRIPT.with_suffix(suffix)) for suffix in (".py", ".ipynb"))
    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
        (cell.cell_type, cell.source) for cell in script.cells
    ]
    assert not any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.slow
def test_the_notebook_runs_from_a_folder_of_films_to_predictions(tmp_path: Path) -> None:
    notebook = jupytext.read(SCRIPT)
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source = TOY.format(work=str(tmp_path / "work"))
    NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pictures = [
        output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 4, "a film, the labels, the curves, the predictions"
    assert (tmp_path / "work/reports/index.html").is_file()
