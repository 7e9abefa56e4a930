"""Only what this command wrote, and nobody changed since, is replaced."""

import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from PIL import Image

from stages.common.core.errors import UserError
from tests.helpers.stub_model import stub_model
from tools.predict import FORMATS, TOOLS, batch, index, own_files
from tools.predict.annotations import tool_files
from tools.predict.outputs import own_hash

ABOVE = ("summary.csv", "index.html", *tool_files(TOOLS))


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> None:
    made = stub_model()
    monkeypatch.setattr(batch, "open_model", lambda *_, **__: made)


def predict(folder: Path, formats: tuple[str, ...] = FORMATS, *, average: bool = False) -> int:
    return batch.predict_films([str(folder / "in")], "stub", folder / "out", list(formats), average)


@pytest.fixture
def predicted(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("L", (100, 80)).save(tmp_path / "in" / name)
    assert predict(tmp_path) == 0
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ABOVE)
@pytest.mark.parametrize("recorded", [True, False])
def test_a_file_that_somebody_changed_or_put_there_is_refused_and_stays(
    name: str, recorded: bool, predicted: Path
) -> None:
    path = predicted / "out" / name
    path.write_bytes(path.read_bytes() + b" ")
    if not recorded:  # by an earlier version, or by others
        (predicted / "out/written.json").unlink()
    before = files(predicted / "out")
    with pytest.raises(UserError, match="expected a new file or one of this command's that nobody changed, found"):
        predict(predicted, average=True)
    assert files(predicted / "out") == before


def test_a_changed_file_that_a_call_does_not_write_bars_no_call_and_is_not_forgotten(predicted: Path) -> None:
    path = predicted / "out/predicted_annotations/coco.json"
    path.write_text("{}")
    assert predict(predicted, ("json",)) == 0
    assert path.read_text() == "{}"
    with pytest.raises(UserError, match="coco"):
        predict(predicted)


def test_a_link_to_a_file_of_others_is_refused_and_both_stay(predicted: Path) -> None:
    foreign, path = predicted / "foreign.csv", predicted / "out/summary.csv"
    foreign.write_text("mine")
    path.unlink()
    for target in (foreign, predicted / "nowhere"):
        path.symlink_to(target)
        with pytest.raises(UserError, match=r"summary\.csv: expected a new file or one of this command's"):
            predict(predicted)
        assert path.is_symlink()
        path.unlink()
    assert foreign.read_text() == "mine"


@pytest.mark.parametrize("name", ["mask.png", "overlay.jpg", "layers.js", "film.jpg", "prediction.json"])
def test_a_film_whose_files_somebody_changed_is_refused_and_the_others_go_on(
    name: str, predicted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, other = predicted / "out/a.png" / name, predicted / "out/b.png/prediction.json"
    if name == "prediction.json":
        path.write_text(json.dumps(json.loads(path.read_text()) | {"regions": []}))
        path.write_text(path.read_text().replace('"height": 80', '"height": 81'))
    else:
        path.write_bytes(path.read_bytes() + b" ")
    before, done = path.read_bytes(), other.read_bytes()
    assert predict(predicted, average=True) == 1
    assert path.read_bytes() == before
    assert other.read_bytes() != done
    assert f"{path} was changed since it was written; move {path.parent} elsewhere" in capsys.readouterr().err


@pytest.mark.parametrize("record", ['{"regions": [', "[]", "{}", '{"files": {"mask.png": "another"}, "height": 1}'])
def test_a_folder_whose_record_is_damaged_is_refused_since_nobody_knows_what_of_it_was_changed(
    record: str, predicted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = predicted / "out/a.png"
    (folder / "mask.png").write_bytes(b"corrected by hand")
    (folder / "prediction.json").write_text(record)
    before = files(folder)
    assert predict(predicted) == 1
    assert files(folder) == before
    assert f"was changed since it was written; move {folder} elsewhere" in capsys.readouterr().err


def test_a_prediction_of_another_version_that_nobody_changed_is_replaced(predicted: Path) -> None:
    path = predicted / "out/a.png/prediction.json"
    record = json.loads(path.read_text()) | {"of": "another version"}
    del record["uncertainty"]
    record["files"]["prediction.json"] = own_hash(record)
    path.write_text(json.dumps(record))
    assert predict(predicted) == 0
    assert "uncertainty" in json.loads(path.read_text())


def test_a_picture_for_annotation_tools_that_somebody_changed_is_refused_and_stays(
    predicted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = predicted / "out/predicted_annotations/films/a.png"
    path.write_bytes(b"brightened by hand")
    assert predict(predicted) == 0, "done before"
    before = files(predicted / "out/a.png")
    assert predict(predicted, average=True) == 1
    assert path.read_bytes() == b"brightened by hand"
    assert files(predicted / "out/a.png") == before
    assert f"{path} was changed since it was written; move it elsewhere" in capsys.readouterr().err


def test_the_picture_of_an_earlier_film_of_that_name_is_replaced(predicted: Path) -> None:
    path = predicted / "out/predicted_annotations/films/a.png"
    Image.new("L", (60, 50)).save(predicted / "in/a.png")
    assert predict(predicted) == 0
    with Image.open(path) as picture:
        assert picture.size == (60, 50)


def test_a_call_that_is_killed_between_picture_and_folder_bars_no_other(
    predicted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (60, 50)).save(predicted / "in/a.png")

    def killed(path: Path, content: bytes) -> None:
        path.write_bytes(content)
        raise OSError("killed")

    for _ in ("replaces an earlier film", "is the first one"):
        with monkeypatch.context() as patch, pytest.raises(OSError, match="killed"):
            patch.setattr(batch, "write_bytes", killed)
            predict(predicted)
        assert predict(predicted) == 0
        with Image.open(predicted / "out/predicted_annotations/films/a.png") as picture:
            assert picture.size == (60, 50)
        shutil.rmtree(predicted / "out")


def test_what_nobody_changed_is_replaced(predicted: Path) -> None:
    before = files(predicted / "out")
    assert predict(predicted, average=True) == 0
    assert predict(predicted) == 0
    after = files(predicted / "out")
    assert after.keys() == before.keys()
    assert {name for name in before if after[name] != before[name]} <= {"written.json"}


def test_a_picture_that_somebody_put_there_is_refused_and_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out/predicted_annotations/films/a.png"
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    (tmp_path / "in").mkdir()
    Image.new("L", (100, 80)).save(tmp_path / "in/a.png")
    assert predict(tmp_path) == 1
    assert f"{path} is none of this film's and would be replaced; move it elsewhere" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert not (tmp_path / "out/a.png").exists()


@pytest.mark.parametrize("name", ["predicted_annotations", "predicted_annotations/films", "b.png"])
def test_what_is_no_folder_in_the_place_of_one_is_refused_before_any_work(name: str, tmp_path: Path) -> None:
    """A file of others, or a pipe."""
    (tmp_path / "in").mkdir()
    for film in ("a.png", "b.png"):
        Image.new("L", (100, 80)).save(tmp_path / "in" / film)
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    for make in (Path.touch, os.mkfifo):
        make(path)
        with pytest.raises(UserError, match=f"would replace the file .*{name}; choose another"):
            predict(tmp_path)
        assert [file for file in (tmp_path / "out").rglob("*") if not file.is_dir()] == [path]
        path.unlink()


def test_a_pipe_in_the_place_of_a_record_is_not_waited_for(predicted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = predicted / "out/a.png/prediction.json"
    record.unlink()
    os.mkfifo(record)
    assert predict(predicted) == 1
    assert f"{record} was changed since it was written" in capsys.readouterr().err
    assert record.is_fifo()


@pytest.mark.parametrize("name", ["mask.png", "prediction.json"])
@pytest.mark.parametrize("alone", [False, True])
def test_a_folder_that_is_called_as_a_file_of_a_prediction_stays(name: str, alone: bool, predicted: Path) -> None:
    folder = predicted / "out/a.png"
    for path in [*folder.iterdir()] if alone else [folder / name]:
        path.unlink()
    (folder / name).mkdir()
    (folder / name / "notes.txt").write_text("mine")
    if alone and name != "prediction.json":
        with pytest.raises(UserError, match=r"a\.png: expected a new folder or one of this command's"):
            predict(predicted, average=True)
    else:
        assert predict(predicted, average=True) == 1
    assert (folder / name / "notes.txt").read_text() == "mine"


def test_a_film_whose_folder_was_deleted_is_predicted_again(predicted: Path) -> None:
    shutil.rmtree(predicted / "out/a.png")
    assert predict(predicted) == 0
    assert (predicted / "out/a.png/prediction.json").exists()


@pytest.mark.parametrize("content", ["[]", "{", '{"summary.csv": 1}'])
def test_a_record_of_others_is_refused(content: str, predicted: Path) -> None:
    (predicted / "out/written.json").write_text(content)
    with pytest.raises(UserError, match=r"written\.json: expected a new file or one of this command's"):
        predict(predicted)
    assert (predicted / "out/written.json").read_text() == content


def test_a_call_that_is_killed_between_record_and_files_bars_no_other(
    predicted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (90, 80)).save(predicted / "in/c.png")
    written = own_files.write_bytes

    def killed(path: Path, content: bytes) -> None:
        if path.name == "index.html":
            raise KeyboardInterrupt
        written(path, content)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(own_files, "write_bytes", killed)
        predict(predicted)
    assert predict(predicted) == 0
    assert b"c.png" in (predicted / "out/index.html").read_bytes()


def test_a_film_with_a_hidden_name_stands_in_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.b.png-partial-1").mkdir()  # which a killed call left
    Image.new("L", (100, 80)).save(tmp_path / ".a.png")
    assert batch.predict_films([str(tmp_path / ".a.png")], "stub", tmp_path / "out", ["json"]) == 0
    assert "1 of 1 films" in capsys.readouterr().out
    assert (tmp_path / "out/summary.csv").read_text().split("\n")[1].startswith(".a.png,")


def test_a_link_on_the_way_to_a_films_folder_is_refused(predicted: Path) -> None:
    """Tables and pages look into no link: they would lack the film."""
    (predicted / "in/ward").mkdir()
    (predicted / "in/a.png").rename(predicted / "in/ward/a.png")
    (predicted / "elsewhere").mkdir()
    (predicted / "out/ward").symlink_to("../elsewhere")
    with pytest.raises(UserError, match=r"expected folders in it, found the link .*out/ward; choose another"):
        predict(predicted)
    assert not list((predicted / "elsewhere").iterdir())


def test_a_film_that_is_named_twice_is_predicted_once(predicted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (predicted / "in/ward").mkdir()
    (predicted / "in/a.png").rename(predicted / "in/ward/a.png")
    shutil.rmtree(predicted / "out")
    assert batch.predict_films([str(predicted / "in/**")], "stub", predicted / "out", ["json"]) == 0
    said = capsys.readouterr()
    assert "2 of 2 films" in said.out
    assert "1 files named twice are passed over" in said.err
    assert sorted(path.parent.name for path in (predicted / "out").rglob("prediction.json")) == ["a.png", "b.png"]


def test_two_calls_on_one_output_keep_the_films_of_both(predicted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slower one would write a table that lacks what the other predicted meanwhile."""
    read, begun = index.read_predictions, Event()

    def slowly(*arguments: Any) -> Any:
        records = read(*arguments)
        begun.set()
        time.sleep(1)
        return records

    (predicted / "late").mkdir()
    Image.new("L", (100, 80)).save(predicted / "late/c.png")
    monkeypatch.setattr(index, "read_predictions", slowly)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(predict, predicted)
        begun.wait()
        second = pool.submit(batch.predict_films, [str(predicted / "late")], "stub", predicted / "out", list(FORMATS))
        assert (first.result(), second.result()) == (0, 0)
    table = (predicted / "out/summary.csv").read_text()
    assert all(f"{name}.png," in table for name in "abc")
    assert predict(predicted) == 0, "nothing looks as if somebody had changed it"


def test_a_prediction_that_goes_before_the_table_is_written_is_named(
    predicted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "predicted_below", lambda output: ["a.png"])
    with pytest.raises(UserError, match=r"expected the predictions of b\.png, found none any more"):
        predict(predicted)
