"""The rules that hold the house up, checked on the code itself."""

import ast
import hashlib
import re
import subprocess
from pathlib import Path

import pytest

from scripts.stage_locks import NAME, canonical_pins, stage_locks
from stages import STAGES, section_model
from stages.common.data.run_id import Run
from tests.helpers.params import read_yaml
from tests.helpers.paths import ROOT
from tools.audit.check_pipeline import runs_nothing, stage_code, stage_params
from tools.audit.imports import imported_names, project_modules

PIPELINE = read_yaml(ROOT / "dvc.yaml")["stages"]


def imports(path: Path) -> set[Path]:
    """The modules of this project that a module imports, wherever in it the import stands."""
    modules = project_modules(ROOT, imported_names(path))
    return {p for p in modules if p.relative_to(ROOT).parts[0] in ("stages", "tools")}


@pytest.mark.parametrize("stage", PIPELINE)
def test_deps_hold_all_code_that_a_stage_imports_and_name_no_folder_in_vain(stage: str) -> None:
    named = [ROOT / dep for dep in PIPELINE[stage]["deps"] if dep.startswith("stages/")]
    files = {dep: [dep] if dep.is_file() else list(dep.rglob("*.py")) for dep in named}
    inside = {dep: {p for p in of if not runs_nothing(p)} for dep, of in files.items()}
    needed = stage_code(ROOT, stage)
    missing = needed - set().union(*inside.values())
    assert {str(p.relative_to(ROOT)) for p in missing} == set(), "imported, and no dependency: a stale cache"
    idle = {dep for dep, of in inside.items() if not of & needed}
    assert {str(p.relative_to(ROOT)) for p in idle} == set(), "nothing of it is imported: needless reruns"
    unused = inside[ROOT / "stages" / stage] - needed
    assert {str(p.relative_to(ROOT)) for p in unused} == set(), "not imported: needless reruns"


def test_the_lock_of_each_stage_has_the_libraries_that_its_code_imports_now() -> None:
    wanted = stage_locks(ROOT, canonical_pins(ROOT))
    written = {stage: (ROOT / "stages" / stage / NAME).read_text() for stage in PIPELINE}
    assert written == wanted, "run `make locks` and commit the change"


LAYERS = (
    "stages/common/core",
    "stages/common/data",
    "stages/common/model",
    "stages/common/analysis",
    "stages",
    "tools",
)


def layer(path: Path) -> int:
    """The layer in which a module lies: the most specific of LAYERS."""
    name = path.relative_to(ROOT).as_posix()
    return max((len(folder), number) for number, folder in enumerate(LAYERS) if name.startswith(f"{folder}/"))[1]


def test_imports_run_downwards_only() -> None:
    modules = sorted(p for folder in ("stages", "tools") for p in (ROOT / folder).rglob("*.py"))
    packages = {ROOT / "stages/__init__.py", ROOT / "stages/common/__init__.py"}  # run before every module in them
    wrong = [
        f"{module.relative_to(ROOT)} imports {used.relative_to(ROOT)}"
        for module in modules
        for used in imports(module) - packages
        if layer(used) > layer(module)
    ]
    assert wrong == []


@pytest.mark.parametrize("stage", PIPELINE)
def test_stages_import_no_other_stages(stage: str) -> None:
    for module in sorted((ROOT / "stages" / stage).rglob("*.py")):
        used = {p.relative_to(ROOT / "stages").parts[0] for p in imports(module)}
        assert used <= {stage, "common", "__init__.py", "recipes.py"}, module


@pytest.mark.parametrize("folder", sorted(p.name for p in (ROOT / "stages").iterdir() if (p / "__init__.py").is_file()))
def test_stages_holds_the_stages_and_what_they_share(folder: str) -> None:
    assert folder in {*PIPELINE, "common"}


@pytest.mark.parametrize("stage", PIPELINE)
def test_a_command_is_one_simple_command_behind_exec(stage: str) -> None:
    assert PIPELINE[stage]["cmd"].startswith("exec python -m stages.")
    assert not set("&|;<>`${") & set(PIPELINE[stage]["cmd"].replace("${item.", "").replace("}", ""))


def test_params_of_dvc_yaml_are_those_of_params_yaml() -> None:
    content = read_yaml(ROOT / "params.yaml")
    for room in STAGES:
        run = Run("${item.variant}") if room in ("train", "evaluate") else None
        assert sorted(PIPELINE[room]["params"]) == stage_params(room, run, content)
        assert set(content[room]) == set(section_model(room).model_fields)


def literals(path: Path) -> list[str]:
    """The string constants of a module without its docstrings and sentences."""
    tree = ast.parse(path.read_text())
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))]
    docstrings = {id(body[0].value) for body in bodies if isinstance(body[0], ast.Expr)}
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docstrings]
    return [node.value for node in constants if isinstance(node.value, str) and " " not in node.value]


def test_paths_and_tables_of_the_pipeline_stand_in_layout_and_tables_alone() -> None:
    contract = {ROOT / f"stages/common/data/{name}.py" for name in ("layout", "tables")}
    names = {
        value for path in contract for value in literals(path) if value.endswith((".csv", ".json", ".safetensors"))
    }
    assert "manifest.csv" in names
    for module in sorted(p for folder in ("stages", "tools", "scripts") for p in (ROOT / folder).rglob("*.py")):
        found = [
            value
            for value in literals(module)
            if value.startswith(("data/", "models/", "reports/")) or value.rpartition("/")[2] in {*names, "params.yaml"}
        ]
        assert found == [] or module in contract, module


def test_no_pickle_is_ever_read() -> None:
    for module in sorted([*(ROOT / "stages").rglob("*.py"), *(ROOT / "tools").rglob("*.py")]):
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


def test_tests_share_what_lies_in_helpers_only() -> None:
    for module in sorted((ROOT / "tests").rglob("*.py")):
        used = re.findall(r"\b(?:from|import) (tests\.[\w.]+)", module.read_text())
        assert all(name.startswith("tests.helpers.") for name in used), module
