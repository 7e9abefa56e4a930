"""The command line as a user meets it: quick help, refused words, one sentence for an interruption."""

import inspect
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from importlib import import_module
from pathlib import Path

import click
import pytest
import typer

from stages.common.core.errors import UserError, describe_os_error
from tests.helpers.commands import wrist
from tests.helpers.paths import ROOT
from tests.helpers.processes import environment, run
from tools.command_line import app
from tools.wrist import work

HEAVY = {"torch", "mlflow", "pandas", "pydicom", "dvc", "cv2", "onnxruntime", "optuna", "numpy"}


def commands(command: click.Command, *names: str) -> Iterator[tuple[str, ...]]:
    """The words of every command, groups included."""
    yield names
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, *names, name)


COMMANDS = list(commands(typer.main.get_command(app)))


def test_all_commands_are_here() -> None:
    assert {words[0] for words in COMMANDS if words} == {
        *("predict", "export", "sweep", "audit", "doctor", "fetch", "fracatlas", "recipe", "report", "register"),
        *("send-run", "worker", "repro"),
    }


def test_help_lists_every_command_with_a_whole_sentence_on_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert wrist("--help") == 0
    lines = capsys.readouterr().out.partition("Commands:\n")[2].splitlines()
    groups = {words[:1] for words in COMMANDS if len(words) > 1}
    listed = [tuple(line.split("  ")[1].split()) for line in lines]
    assert set(listed) == {words for words in COMMANDS if words and words not in groups}
    assert len(listed) == len(set(listed)) > 20
    assert all(line.endswith(".") and not line.endswith("...") and len(line) <= 80 for line in lines)


def test_every_command_ends_the_word_of_its_loading() -> None:
    """Else the terminal hears of libraries while the command works, and a signal ends it without removing its half."""
    for words in COMMANDS:
        command = typer.main.get_command(app)
        for name in words:
            command = command.commands[name]  # type: ignore[attr-defined]
        if not hasattr(command, "commands"):
            assert "begin_working()" in inspect.getsource(inspect.unwrap(command.callback)), words


def test_help_of_every_command_imports_nothing_heavy() -> None:
    script = f"""
import sys
from tools.command_line import app
for words in {COMMANDS!r}:
    try:
        app([*words, "--help"], prog_name="wrist")
    except SystemExit as end:
        assert end.code == 0, words
print(sorted({HEAVY!r} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert "medical device" in done.stdout


@pytest.mark.parametrize("words", COMMANDS, ids="-".join)
def test_unknown_options_are_refused(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert wrist(*words, "--no-such-option") == 2
    assert "No such option: --no-such-option" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("predcit",), "No such command 'predcit'"),
        (
            ("predict", "film.png", "--format", "jpeg"),
            "expected some of png,json,dicom-seg,coco,cvat,label-studio, found jpeg",
        ),
        (("sweep", "report", "a/b"), "expected letters, digits, - and _, found 'a/b'"),
        (("sweep", "arms", "a", "--seeds", "1,x"), "expected whole numbers separated by commas, found '1,x'"),
        (
            ("sweep", "grid", "a", "-S", "train.loop.epochs=1,2", "--jobs", "0"),
            "'--jobs': expected a whole number from 1 on or auto, found '0'",
        ),
        (("audit", "verify", "--signed", "evidence.json"), "--signed and --key belong together"),
    ],
)
def test_wrong_words_are_refused(words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert wrist(*words) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_report_that_is_not_there_is_said(here: Path) -> None:
    with pytest.raises(UserError, match="there is no report yet"):
        wrist("report")


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_one_sentence(signum: signal.Signals, code: int, tmp_path: Path) -> None:
    process = subprocess.Popen(["wrist", "doctor"], cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
    time.sleep(0.5)
    assert process.poll() is None, "the command ended before the signal"
    process.send_signal(signum)
    _, message = process.communicate()
    assert process.returncode == code
    assert message.startswith("wrist: interrupted")
    assert len(message.splitlines()) == 1


def test_a_reader_that_leaves_causes_no_message(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / "index.html").touch()
    (reports / "comparison.md").write_text("row\n" * 200_000)
    process = subprocess.Popen(
        ["wrist", "report"], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    os.read(process.stdout.fileno(), 10)
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(60) == 1


@pytest.mark.parametrize("name", [".dvcignore", ".dvc/config.local", "dvc.lock"])
def test_a_pipe_is_not_waited_for(name: str, here: Path) -> None:
    (here / ".dvc").mkdir()
    os.mkfifo(here / name)
    with pytest.raises(UserError, match=f"^{name}: expected a file, found a pipe, "):
        work()


@pytest.mark.parametrize("name", ["params.yaml", "dvc.yaml", "dvc.lock"])
def test_a_file_that_is_no_utf_8_is_one_sentence(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an editor on Windows may write `ü`."""
    for other in ("params.yaml", "dvc.yaml", "dvc.lock"):
        (tmp_path / other).write_text("stages: {}\n")
    (tmp_path / name).write_bytes(b"a: 1\n# M\xfcller\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tools.command_line.app", lambda: Path(name).read_text())
    with pytest.raises(UserError, match=f"^{name}: expected text in UTF-8, found other bytes in line 2; save it"):
        work()
    monkeypatch.setattr("tools.command_line.app", lambda: b"\xff".decode())
    with pytest.raises(UnicodeDecodeError):
        work()


def test_a_database_on_a_full_disk_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC keeps notes in one: each command that asks DVC opens it."""

    def fill() -> None:
        with closing(sqlite3.connect(":memory:")) as database:
            database.execute("PRAGMA max_page_count = 1")
            database.execute("CREATE TABLE notes (note)")

    with pytest.raises(sqlite3.OperationalError):
        fill()
    monkeypatch.setattr("tools.command_line.app", fill)
    with pytest.raises(UserError, match=r"^expected to write to a database .*, found: database or disk is full; free "):
        work()


def test_the_module_is_the_command() -> None:
    """Else a job that calls it so would end well and check nothing."""
    assert "audit" in run(ROOT, sys.executable, "-m", "tools.wrist", "--help")


@pytest.mark.parametrize("start", ["tools.wrist; tools.wrist.main()", "stages; stages.run('threshold')"])
def test_a_command_is_about_the_repository_of_its_folder_whatever_the_environment_names(start: str) -> None:
    """In a hook of another one, predictions and runs had that one's commit, and experiments would go there."""
    module = start.partition(";")[0]
    script = f"import os, {module}; {module}.run_command = lambda *_: print(*os.environ); import {start}"
    own, names = environment(), run(ROOT, "git", "rev-parse", "--local-env-vars").split()
    said = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=own | dict.fromkeys(names, "/away"),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    left = {name for name in said.split() if name in names}
    assert left <= {"GIT_CONFIG", "GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS", "GIT_NO_REPLACE_OBJECTS"}  # settings
    assert "GIT_DIR" in names
    assert "PATH" in said.split()


def test_what_libraries_cannot_read_of_git_and_a_file_where_they_keep_notes_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC reads a repository by dulwich, which looks at the file of grafted parents."""
    (tmp_path / "notes").touch()
    parse_graftpoints = import_module("dulwich.repo").parse_graftpoints
    monkeypatch.setattr("tools.command_line.app", lambda: parse_graftpoints([b"no hash"]))
    with pytest.raises(UserError, match=r"^git's files cannot be read: Invalid graftpoint b'no'; "):
        work()
    with pytest.raises(NotADirectoryError) as caught:
        (tmp_path / "notes/repo").mkdir()
    said = describe_os_error(caught.value)
    assert said == f"{tmp_path}/notes/repo: expected a folder, found a file on the way to it; remove it"


@pytest.mark.parametrize("words", [("predict", "x"), ("export",), ("audit", "page"), ("audit", "sign", "--key", "k")])
def test_a_blank_output_is_refused(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """As of an unset variable of a shell: the project's root would be written into."""
    with pytest.raises(SystemExit) as end:
        app([*words, "--output", ""])
    assert end.value.code == 2
    assert "expected a path, found a blank one" in capsys.readouterr().err
