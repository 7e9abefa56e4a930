"""The quick-start notebook: its script and it are the same, and it runs from nothing to predictions."""

from pathlib import Path
from shutil import which

import jupytext
import pytest
from nbclient import NotebookClient

import stages
from stages.ingest.sources import sample
from tests.helpers.params import merge, read_yaml, write_yaml
from tests.helpers.paths import ROOT
from tests.helpers.processes import forked_environment

SCRIPT = ROOT / "notebooks/quick_start.py"
TOY = """import sys
sys.executable = {python!r}  # by which the notebook starts the stages
WORK = {work!r}
FILMS, TRAIN, VALIDATION, TEST = 24, 16, 4, 8
SIZE, EPOCHS = 64, 2
"""


def test_the_notebook_is_its_script_without_outputs() -> None:
    script, notebook = (jupytext.read(SCRIPT.with_suffix(suffix)) for suffix in (".py", ".ipynb"))
    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
        (cell.cell_type, cell.source) for cell in script.cells
    ]
    assert not any(cell.get("outputs") for cell in notebook.cells)


FILMS = 16


def run_up_to(heading: str, work: Path) -> None:
    """Run the notebook's cells before a heading in this process.

    Args:
        heading: of the first section that does not run.
        work: the folder to work in.
    """
    names: dict[str, object] = {}
    for cell in jupytext.read(SCRIPT).cells:
        if cell.source.startswith(f"## {heading}"):
            return
        if cell.cell_type == "code":
            exec(cell.source, names)
        if "parameters" in cell.metadata.get("tags", []):
            names |= {"WORK": str(work), "FILMS": FILMS}


def test_as_many_films_are_drawn_as_asked_for_and_own_films_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sample, "encode", lambda plan, _: {f"images/{plan.film}.png": b"PNG"})  # drawing takes seconds
    run_up_to("Parameters", tmp_path / "new")
    assert len(list((tmp_path / "new/films/images").iterdir())) == FILMS
    own = tmp_path / "own/films/patients.csv"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    run_up_to("Parameters", tmp_path / "own")
    assert [path.read_text() for path in own.parent.iterdir()] == ["mine"]
    assert "exists; its films are used as they are" in capsys.readouterr().out


def test_the_notebook_trains_all_that_its_params_ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = merge(read_yaml(ROOT / "params.yaml"), {"train": {"seeds": [1, 2]}, "evaluate": {"folds": [1, 2]}})
    write_yaml(tmp_path / "params.yaml", params)
    monkeypatch.setattr(stages, "__file__", str(tmp_path / "stages/__init__.py"))
    (tmp_path / "work/films").mkdir(parents=True)
    run_up_to("Read and look", tmp_path / "work")
    written = read_yaml(tmp_path / "work/params.yaml")
    assert (written["train"]["seeds"], written["evaluate"]["folds"]) == ([1], [1])


@pytest.mark.slow
def test_the_notebook_runs_from_a_folder_of_films_to_predictions(tmp_path: Path) -> None:
    notebook = jupytext.read(SCRIPT)
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source = TOY.format(
        work=str(tmp_path / "work"), python=which("python", path=forked_environment()["PATH"])
    )
    NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pictures = [
        output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 4, "a film, the labels, the curves, the predictions"
    assert (tmp_path / "work/reports/index.html").is_file()
