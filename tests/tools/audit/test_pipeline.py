"""A dvc.yaml or .dvcignore that is loosened, committed and recorded in dvc.lock as well, so that all hashes agree."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ruamel.yaml import YAML

from stages.common.core.errors import UserError
from tests.helpers.paths import ROOT
from tests.helpers.processes import run
from tests.helpers.projects import make_project
from tools.audit.check_code import check_code
from tools.audit.check_files import check_ignored, check_leftovers
from tools.audit.check_pipeline import check_pipeline, pipeline_paths
from tools.audit.check_record import pipeline
from tools.audit.dvc_cache import ignores
from tools.audit.findings import Check
from tools.audit.imports import import_closure
from tools.audit.trace import Project


@pytest.fixture(scope="module")
def root(toy_params: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("pipeline"), toy_params)


@pytest.fixture(autouse=True)
def at_the_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From where DVC calls a stage by its name alone."""
    monkeypatch.chdir(root)


@pytest.mark.parametrize(("file", "text"), [("dvc.lock", "schema: '3.0'\nstages: {}\n"), ("dvc.yaml", "stages: []\n")])
def test_a_file_that_dvc_cannot_read_is_called_by_its_name(file: str, text: str, tmp_path: Path) -> None:
    run(tmp_path, "git", "init", "-q")
    run(tmp_path, "dvc", "init", "-q")
    for name in ("dvc.yaml", file):
        (tmp_path / name).write_text("stages:\n  a:\n    cmd: echo\n" if name != file else text)
    with pytest.raises(UserError, match=f"^{file}: DVC cannot read the pipeline: "):
        pipeline(tmp_path)


def findings(root: Path, look: Callable[..., None] = check_pipeline, **more: Any) -> list[str]:
    check = Check()
    look(cast("Project", SimpleNamespace(root=root, **more)), check)
    return [finding.name for finding in check.findings]


@pytest.fixture
def changed(root: Path) -> Iterator[Callable[[Callable[[Any], None]], None]]:
    """Changes dvc.yaml for a test."""
    path, yaml = root / "dvc.yaml", YAML()
    before = path.read_text()

    def change(edit: Callable[[Any], None]) -> None:
        content = yaml.load(before)
        edit(content)
        with path.open("w") as file:
            yaml.dump(content, file)

    yield change
    path.write_text(before)


def test_the_pipeline_is_as_its_code_needs_it(root: Path) -> None:
    assert findings(root) == []


def test_what_is_taken_from_stages_is_named_and_nothing_else(
    root: Path, changed: Callable[[Callable[[Any], None]], None]
) -> None:
    """All attacks at once."""

    def loosen(content: Any) -> None:
        stages = content["stages"]
        for stage, key, value in (
            ("report", "deps", "stages/recipes.py"),
            ("ingest", "deps", "stages/__init__.py"),
            ("ingest", "deps", "${ingest.inbox}"),
            ("annotate", "deps", "data/levels"),
            ("report", "deps", "models/baseline"),
            ("report", "outs", "reports/MODEL_CARD.md"),
            ("train", "params", "train.loop"),
            ("report", "deps", "stages/report"),
            ("train", "deps", "data/pins/weights.csv"),
        ):
            stages[stage][key].remove(value)
        stages["report"]["deps"] += [f"stages/report/{path.name}" for path in (root / "stages/report").glob("*.py")]
        stages["train"]["deps"].append("data/pins/README.md")
        stages["preprocess"]["cmd"] += " ;x"
        stages["evaluate"]["cmd"] = "exec python -m stages.evaluate baseline 1 1"
        stages["train"]["matrix"]["fold"] = [1, 2]
        del stages["threshold"]

    beside_the_code_of_the_report = {
        str(path.relative_to(root))
        for path in (root / "stages/report").iterdir()
        if path.suffix != ".py" and path.is_file()
    }
    assert "stages/report/model_card.md" in beside_the_code_of_the_report
    module = root / "stages/annotate/masks.py"
    before = module.read_text()
    changed(loosen)
    try:
        (root / "helper.py").write_text("A = 1\n")
        module.write_text(f"{before}\nimport helper\n")
        found = findings(root)
    finally:
        module.write_text(before)
        (root / "helper.py").unlink()
    assert set(found) == {
        "dvc.yaml: report: stages/recipes.py",
        *(f"dvc.yaml: report: {name}" for name in beside_the_code_of_the_report),
        "dvc.yaml: report: stages/report/__init__.py",  # a docstring, which runs nothing
        "dvc.yaml: train: data/pins/weights.csv",
        "dvc.yaml: train: data/pins/README.md",
        "dvc.yaml: ingest: stages/__init__.py",
        "dvc.yaml: ingest: data/incoming",
        "dvc.yaml: annotate: data/levels",
        "dvc.yaml: annotate: helper.py",
        "dvc.yaml: report: models/baseline",
        "dvc.yaml: report: reports/MODEL_CARD.md",
        "dvc.yaml: train: params: train.loop",
        "dvc.yaml: preprocess: cmd",
        "dvc.yaml: evaluate: cmd",
        "dvc.yaml: train@adaptive-1-2",
        "dvc.yaml: train@baseline-1-2",
        "dvc.yaml: threshold",
    }


@pytest.mark.parametrize(
    "line",
    [
        "from stages.common.model.metrics import COUNTS",
        "from ..common.model.metrics import COUNTS",
        "from ..common.model import metrics",
    ],
)
def test_code_is_asked_for_however_it_is_imported(line: str, tmp_path: Path) -> None:
    for name in ("common/model/metrics.py", "threshold/main.py", "threshold/params.py", "threshold/__main__.py"):
        (tmp_path / "stages" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "stages" / name).write_text("")
    (tmp_path / "stages/threshold/main.py").write_text(line)
    found = import_closure(tmp_path, tmp_path / "stages/threshold")
    assert tmp_path / "stages/common/model/metrics.py" in found


@pytest.mark.parametrize(
    "line",
    [
        "from stages.common.data.layout import RAW",
        "from ..common.data.layout import RAW",
        "from stages.common.data import layout\nX = layout.RAW",
        "from ..common.data import layout as there\nX = there.RAW",
        "import stages.common.data.layout as there\nX = there.RAW",
        "import stages.common.data.layout\nX = stages.common.data.layout.RAW",
    ],
)
def test_a_folder_is_asked_for_however_it_is_imported(line: str, tmp_path: Path) -> None:
    (tmp_path / "stages/threshold").mkdir(parents=True)
    (tmp_path / "stages/threshold/main.py").write_text(line)
    assert pipeline_paths(tmp_path, "threshold") == {"RAW": Path("data/raw")}


def test_an_output_that_its_stage_does_not_write_is_named(
    root: Path, changed: Callable[[Callable[[Any], None]], None]
) -> None:
    """`dvc metrics show` would show it, and dvc.lock has a hash of it."""

    def add(content: Any) -> None:
        content["stages"]["report"]["outs"] += ["reports/forged.csv"]
        content["stages"]["evaluate"]["metrics"] = ["reports/forged/${item.variant}-${item.seed}-${item.fold}.json"]
        content["stages"]["report"]["outs"].remove("reports/claims.csv")
        content["metrics"] += ["reports/forged.csv"]

    changed(add)
    assert set(findings(root)) == {
        "dvc.yaml: report: reports/forged.csv",
        "dvc.yaml: report: reports/claims.csv",
        "dvc.yaml: evaluate: reports/forged/baseline-1-1.json",
        "dvc.yaml: evaluate: reports/forged/adaptive-1-1.json",
    }


def test_what_tells_dvc_to_look_away_is_named(root: Path, changed: Callable[[Callable[[Any], None]], None]) -> None:
    def loosen(content: Any) -> None:
        stages = content["stages"]
        stages["ingest"] |= {"frozen": True, "always_changed": True, "wdir": ".", "vars": [{"a": 1}], "meta": {"a": 1}}
        stages["preprocess"]["outs"] = [{"data/preprocessed": {"cache": False}}]
        stages["threshold"]["outs"] = [{"data/levels": {"persist": True}}]
        stages["annotate"]["params"] = [{"other.yaml": ["annotate"]}]
        stages["train"]["cmd"] = ["exec python -m stages.train baseline 1 1"]
        stages["report"] = {"foreach": ["a"], "do": {"cmd": "x"}}
        content["vars"] = [{"seeds": [1]}]

    changed(loosen)
    names = ["ingest.frozen", "ingest.always_changed", "ingest.wdir", "ingest.vars", "ingest.meta"]
    names += ["preprocess.outs.0", "threshold.outs.0", "annotate.params.0", "train.cmd"]
    names += ["report.foreach", "report.do", "report.cmd", "report.outs"]
    assert set(findings(root)) == {"dvc.yaml: vars", *(f"dvc.yaml: stages.{name}" for name in names)}


def test_metrics_and_plots_that_no_stage_makes_are_named(
    root: Path, changed: Callable[[Callable[[Any], None]], None]
) -> None:
    """`dvc metrics show` and `dvc plots show` would show them beside those of the report."""

    def add(content: Any) -> None:
        content["metrics"] += ["evil.json", "reports/curves/../../dotted.json", "reports/validation"]
        content["plots"] += ["evil.csv", {"evil.png": None}, {"named.csv": {"x": "epoch"}}]
        content["plots"] += [{"plot": {"x": {"x.csv": "a"}, "y": {"y.csv": "a", "reports/comparison.csv": "f1"}}}]

    changed(add)
    live = root / "reports/live/adaptive-1-1.csv"
    live.parent.mkdir(parents=True, exist_ok=True)
    live.write_text("epoch,train_loss\n")
    (live.parent / "link").symlink_to(root)
    try:
        found = findings(root)
    finally:
        live.unlink()
        (live.parent / "link").unlink()
    added = ["evil.json", "dotted.json", "reports/validation", "evil.csv", "evil.png", "named.csv", "x.csv", "y.csv"]
    histories = {"reports/live/adaptive-1-1.csv", "reports/live/link"}
    assert set(found) == {*(f"dvc.yaml: {name}" for name in added), *histories}


@pytest.mark.parametrize("committed", [True, False])
def test_pipelines_beside_the_one_at_the_root_are_named(committed: bool, tmp_path: Path) -> None:
    """DVC takes metrics and plots from each of them, also where they have no stage."""
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "docs/.venv").mkdir(parents=True)
    for name in ("docs/dvc.yaml", "docs/.venv/dvc.yaml", "data.dvc"):
        (tmp_path / name).write_text("metrics: [evil.json]\n")
    run(tmp_path, "git", "init", "-q")
    run(tmp_path, "git", "add", "-A" if committed else "dvc.yaml")
    run(tmp_path, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "x")
    assert findings(tmp_path, check_code) == ["data.dvc", "docs/dvc.yaml", "docs/.venv/dvc.yaml"]


def test_files_that_a_dvcignore_hides_are_named(tmp_path: Path) -> None:
    """What a killed stage left is another check's; byte code is of no stage's. DVC follows no link to a folder."""
    for name in ("levels/b.png", "levels/.a-partial-1/b", "levels/a.png", "levels/__pycache__/c.pyc", "evil.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "levels/link").symlink_to(tmp_path)
    (tmp_path / "params.yaml").write_text("{}")
    (tmp_path / ".dvcignore").write_text((ROOT / ".dvcignore").read_text() + "/levels/a.png\n")
    ignores.cache_clear()
    stage = SimpleNamespace(deps={"levels": ""}, outs={"evil.pyc": "", "levels": ""})
    lock = SimpleNamespace(stages={"a": stage})
    hidden = ["levels/__pycache__/c.pyc", "levels/a.png", "levels/link"]
    assert findings(tmp_path, check_ignored, lock=lock) == hidden


def test_source_films_in_folders_that_dvc_does_not_see_are_named(tmp_path: Path) -> None:
    """ingest takes films from any folder of the inbox; what changes there would run no stage again."""
    hidden = ["inbox/.a-partial-1/a.png", "inbox/__pycache__/b.png", "inbox/__pycache__/c.pyc"]
    code = ["stages/a/__pycache__/d.json", "stages/a/__pycache__/e.cpython-311.pyc"]
    for name in (*hidden, *code, "levels/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "params.yaml").write_text("ingest: {inbox: inbox, sources: [folder]}")
    (tmp_path / ".dvcignore").write_text((ROOT / ".dvcignore").read_text())
    ignores.cache_clear()
    stage = SimpleNamespace(deps={"inbox": "", "stages/a": ""}, outs={"levels": ""})
    lock = SimpleNamespace(stages={"a": stage})
    assert findings(tmp_path, check_ignored, lock=lock) == [*hidden, code[0]]


def test_what_killed_programs_left_is_named_once(tmp_path: Path) -> None:
    """A scratch folder with a film in it, a page, and a model that was replaced; the inbox is a user's."""
    left = ["data/.raw-partial-1", "reports/.index.html-partial-0a1b2c3d", "models/a/.b-partial-1-old"]
    files = [f"{left[0]}/images/.a.png-partial-1", left[1], f"{left[2]}/model.json", "data/incoming/.x-partial-1/a.png"]
    for name in (*files, "data/raw/.a"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    lock = SimpleNamespace(stages={"a": SimpleNamespace(deps={"data/incoming": ""}, outs={"data/raw": ""})})
    assert sorted(findings(tmp_path, check_leftovers, lock=lock)) == sorted(left)


def test_committed_code_that_nobody_can_read_is_named(root: Path) -> None:
    (root / "stages/common/evil.pyc").write_bytes(b"x")
    run(root, "git", "add", "-f", "stages/common/evil.pyc")
    run(root, "git", "commit", "-qm", "x")
    assert findings(root, check_code) == ["stages/common/evil.pyc"]


@pytest.mark.parametrize(
    "broken", [b"import\n", b"x = 1\0\n", b"x = '\xff'\n"], ids=["syntax", "null byte", "encoding"]
)
def test_code_that_no_stage_can_have_run_is_named_and_nothing_else(root: Path, broken: bytes) -> None:
    path = root / "stages/common/model/metrics.py"
    before = path.read_bytes()
    path.write_bytes(broken)
    try:
        assert findings(root) == ["stages/common/model/metrics.py"]
    finally:
        path.write_bytes(before)
