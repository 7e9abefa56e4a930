"""The rules that hold the house up, checked on the code itself."""

import ast
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from stages.common.params import ROOMS, section_model
from tests.conftest import ROOT, read_yaml

PIPELINE = read_yaml(ROOT / "dvc.yaml")["stages"]


def imports(path: Path) -> set[Path]:
    """The modules of this project that a module imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide dependencies"
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [str(node.module)]
        for name in names:
            base = ROOT / name.replace(".", "/")
            # A module's package runs before it.
            packages = (base / "__init__.py", base.parent / "__init__.py")
            found |= {p for p in (base.with_suffix(".py"), *packages) if p.is_file()}
    return {p for p in found if p.is_relative_to(ROOT / "stages")}


def closure(path: Path) -> set[Path]:
    found, todo = set(), [path]
    while todo:
        module = todo.pop()
        if module not in found:
            found.add(module)
            todo += imports(module)
    # A docstring alone runs nothing.
    return {p for p in found if not (p.name == "__init__.py" and len(ast.parse(p.read_text()).body) <= 1)}


@pytest.mark.parametrize("stage", PIPELINE)
def test_deps_are_exactly_what_a_stage_imports(stage: str) -> None:
    code = {ROOT / dep for dep in PIPELINE[stage]["deps"] if dep.startswith("stages/")}
    files = {f for dep in code for f in ([dep] if dep.is_file() else [*dep.rglob("*.py")])}
    files = {f for f in files if not (f.name == "__init__.py" and len(ast.parse(f.read_text()).body) <= 1)}
    needed = closure(ROOT / f"stages/{stage}/__main__.py")
    assert {str(p.relative_to(ROOT)) for p in needed - files} == set(), "imported, but no dependency: a stale cache"
    assert {str(p.relative_to(ROOT)) for p in files - needed} == set(), (
        "a dependency, but not imported: needless reruns"
    )


@pytest.mark.parametrize("stage", PIPELINE)
def test_rooms_import_no_other_rooms(stage: str) -> None:
    for module in sorted((ROOT / "stages" / stage).glob("*.py")):
        rooms = {p.relative_to(ROOT / "stages").parts[0] for p in imports(module)}
        assert rooms <= {stage, "common", "__init__.py"}, module


@pytest.mark.parametrize("stage", PIPELINE)
def test_a_command_is_one_simple_command_behind_exec(stage: str) -> None:
    assert PIPELINE[stage]["cmd"].startswith("exec python -m stages.")
    assert not set("&|;<>`${") & set(PIPELINE[stage]["cmd"].replace("${item.", "").replace("}", ""))


def test_params_of_dvc_yaml_are_those_of_params_yaml() -> None:
    content = read_yaml(ROOT / "params.yaml")
    for room in ROOMS:
        listed = set(PIPELINE[room].get("params", []))
        if room == "train":
            assert listed == {f"train.{k}" for k in content["train"] if k not in ("seeds", "baseline", "adaptive")} | {
                "train.${item.variant}"
            }
        elif room == "evaluate":
            assert listed == {f"evaluate.{k}" for k in content[room] if k != "folds"}
        elif room == "report":
            assert listed == {"report", "train.seeds", "evaluate.folds"}
        else:
            assert listed == {room}
        assert set(content[room]) == set(section_model(room).model_fields)


@pytest.mark.parametrize("room", ["ingest", "preprocess", "threshold", "annotate", "report"])
def test_data_stages_start_without_torch_and_mlflow(room: str) -> None:
    heavy = "{'torch', 'mlflow', 'great_expectations'}"
    script = f"import sys, stages.{room}.__main__; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_pickle_is_ever_read() -> None:
    for module in sorted((ROOT / "stages").rglob("*.py")):
        text = module.read_text()
        for danger in ("import pickle", "weights_only=False", "allow_pickle=True", "joblib", "eval(", "yaml.load("):
            assert danger not in text.replace(".eval()", ""), f"{module}: {danger}"


def test_data_weights_and_caches_stay_out_of_git() -> None:
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(None, names):
        assert Path(name).suffix not in (".dcm", ".safetensors", ".ckpt", ".pt", ".db", ".zip", ".jpg"), name
        assert not (ROOT / name).is_file() or (ROOT / name).stat().st_size < 1_000_000, name


def test_the_table_in_the_readme_is_the_one_that_the_lock_recorded() -> None:
    readme = (ROOT / "README.md").read_text()
    table = readme.split("<!-- comparison.md -->\n")[1].split("<!-- end -->")[0]
    (out,) = (
        o for o in read_yaml(ROOT / "dvc.lock")["stages"]["report"]["outs"] if o["path"].endswith("comparison.md")
    )
    assert hashlib.md5(table.encode(), usedforsecurity=False).hexdigest() == out["md5"], "run `make readme`"


def test_every_stage_has_a_readme_row_and_a_test_folder() -> None:
    readme = (ROOT / "README.md").read_text()
    for stage in PIPELINE:
        assert f"`{stage}`" in readme
        assert any((ROOT / "tests" / stage).glob("test_*.py")), stage
