"""Every kind of tampering is caught and named, and nothing else is."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from stages.common.core.errors import UserError
from stages.common.core.files import write_table
from tests.helpers.commands import wrist
from tests.helpers.files import flipped
from tests.helpers.processes import run
from tools.audit.dvc_cache import folder_md5, hash_folder, listing
from tools.audit.dvc_lock import read_lock
from tools.audit.trace import Project
from tools.audit.verify import verify

pytestmark = pytest.mark.slow


def discrepancies(project: Path, deep: bool = True) -> list[tuple[str, str]]:
    return [(finding.kind, finding.name) for finding in verify(Project(project), deep).findings]


def test_what_was_run_has_no_discrepancy(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert wrist("audit", "verify", "--deep") == 0
    output = capsys.readouterr().out
    assert "no discrepancy" in output
    assert len(output.splitlines()) == 1


def test_folders_have_the_hash_that_dvc_gave_them(project: Path) -> None:
    lock = read_lock(project)
    for stage in lock.stages.values():
        for path, md5 in (stage.deps | stage.outs).items():
            if md5.endswith(".dir"):
                assert folder_md5(hash_folder(project, path)) == md5, path


KINDS: dict[str, Callable[[Path], str]] = {
    "source pins": lambda root: "data/pins/README.md",
    "raw image": lambda root: first(root, "data/raw/images/*.png"),
    "DICOM": lambda root: first(root, "data/raw/dicom/*.dcm"),
    "manifest": lambda root: "data/raw/manifest.csv",
    "prepared image": lambda root: first(root, "data/preprocessed/images/*.png"),
    "levels": lambda root: first(root, "data/levels/images/*.png"),
    "mask": lambda root: first(root, "data/dataset/test_mask/*.png"),
    "split row": lambda root: "data/dataset/split.csv",
    "weights": lambda root: "models/adaptive/seed-1-fold-1/weights.safetensors",
    "history": lambda root: "models/baseline/seed-1-fold-1/history.csv",
    "validation": lambda root: "reports/validation/adaptive-1-1.json",
    "predicted mask": lambda root: first(root, "reports/evaluation/adaptive/*/mask/*.png"),
    "metric": lambda root: "reports/evaluation/adaptive/seed-1-fold-1/metrics.json",
    "counts": lambda root: "reports/evaluation/baseline/seed-1-fold-1/per_image.csv",
    "table cell": lambda root: "reports/comparison.csv",
    "page": lambda root: "reports/index.html",
    "code of a stage": lambda root: "stages/train/loop.py",
    "code of all": lambda root: "stages/common/model/metrics.py",
    "libraries": lambda root: "stages/preprocess/libraries.lock",
}


def first(root: Path, pattern: str) -> str:
    return str(sorted(root.glob(pattern))[0].relative_to(root))


@pytest.mark.parametrize("kind", KINDS)
def test_one_flipped_bit_is_named_and_nothing_else_is(kind: str, project: Path) -> None:
    path = KINDS[kind](project)
    with flipped(project / path):
        assert discrepancies(project) == [("mismatch", path)]
    assert discrepancies(project) == []


def test_a_changed_param_is_named(project: Path) -> None:
    text = (project / "params.yaml").read_text()
    changed = json.loads(json.dumps(read_params(text)))
    changed["train"]["optimiser"]["learning_rate"] = 0.003
    (project / "params.yaml").write_text(json.dumps(changed))
    try:
        assert discrepancies(project) == [("mismatch", "params.yaml: train.optimiser.learning_rate")]
    finally:
        (project / "params.yaml").write_text(text)


def test_a_param_that_two_stages_ran_with_is_named_once(project: Path) -> None:
    """The last commit lacks all of `train`: train ran with its parts, report with the whole."""
    text = (project / "params.yaml").read_text()
    changed = json.loads(json.dumps(read_params(text)))
    del changed["train"]
    try:
        (project / "params.yaml").write_text(json.dumps(changed))
        run(project, "git", "commit", "-qm", "without train", "params.yaml")
        (project / "params.yaml").write_text(text)
        assert discrepancies(project, deep=False) == [("mismatch", "params.yaml: train")]
    finally:
        run(project, "git", "reset", "-q", "--hard", "HEAD~1")


def test_a_param_that_the_stages_of_dvc_yaml_follow_from_is_asked_for(project: Path) -> None:
    text = (project / "params.yaml").read_text()
    changed = json.loads(json.dumps(read_params(text)))
    del changed["train"]["seeds"]
    (project / "params.yaml").write_text(json.dumps(changed))
    try:
        with pytest.raises(UserError, match=r"params\.yaml: expected train\.seeds"):
            read_lock(project)
    finally:
        (project / "params.yaml").write_text(text)


def read_params(text: str) -> dict[str, dict[str, dict[str, object]]]:
    from ruamel.yaml import YAML

    params: dict[str, dict[str, dict[str, object]]] = YAML(typ="safe").load(text)
    return params


def test_what_is_missing_and_what_nobody_wrote_are_named(project: Path) -> None:
    path = project / first(project, "data/levels/images/*.png")
    content = path.read_bytes()
    path.unlink()
    (project / "models/adaptive/seed-1-fold-1/notes.txt").write_text("x")
    try:
        name = str(path.relative_to(project))
        assert discrepancies(project) == [("missing", name), ("extra", "models/adaptive/seed-1-fold-1/notes.txt")]
    finally:
        path.write_bytes(content)
        (project / "models/adaptive/seed-1-fold-1/notes.txt").unlink()


def forge(project: Path, path: str, change: Callable[[pd.DataFrame], None], stage: str) -> None:
    """Change a table and have DVC take it for the stage's own."""
    table = pd.read_csv(project / path, dtype={"group": str})
    change(table)
    (project / path).unlink()  # it may be a link into the cache
    write_table(project / path, table)
    run(project, "dvc", "commit", "--force", stage)
    run(project, "git", "commit", "-qam", "nothing to see here")


def test_a_number_that_does_not_follow_from_the_counts_is_named_though_dvc_vouches_for_it(own: Path) -> None:
    def change(table: pd.DataFrame) -> None:
        table.loc[table["row"] == "adaptive", "f1"] = 0.99

    forge(own, "reports/comparison.csv", change, "report")
    assert "up to date" in run(own, "dvc", "status")
    assert discrepancies(own, deep=False) == [("mismatch", "reports/comparison.csv: adaptive/f1")]


def test_counts_that_do_not_follow_from_the_masks_are_named(own: Path) -> None:
    path = "reports/evaluation/adaptive/seed-1-fold-1/per_image.csv"
    image = pd.read_csv(own / path)["image_id"][0]

    def change(table: pd.DataFrame) -> None:
        table.loc[0, "tp"] += 5
        table.loc[0, "tn"] -= 5

    forge(own, path, change, "evaluate@adaptive-1-1")
    named = discrepancies(own)
    assert ("mismatch", f"{path}: {image}") in named
    assert discrepancies(own, deep=False) != []  # the table of the report no longer follows


def test_a_patient_on_both_sides_is_named(own: Path) -> None:
    split = pd.read_csv(own / "data/dataset/split.csv", dtype=str)
    row = split[split["split"] == "test"].iloc[0]
    other = split[split["split"] == "train"].iloc[0]

    def change(table: pd.DataFrame) -> None:
        table.loc[table["image_id"] == other["image_id"], "group"] = row["group"]

    forge(own, "data/dataset/split.csv", change, "annotate")
    assert ("mismatch", f"data/dataset/split.csv: {row['group']}") in discrepancies(own, deep=False)


def test_only_a_rerun_catches_an_output_that_was_forged_with_all_that_follows(own: Path) -> None:
    path = own / "data/levels/legend.csv"
    path.unlink()
    path.write_text("level,grey\n0,0\n1,85\n2,170\n3,254\n")
    run(own, "dvc", "commit", "--force")
    run(own, "git", "commit", "-qam", "nothing to see here")
    assert "up to date" in run(own, "dvc", "status")
    assert "Running" not in run(own, "dvc", "repro")
    assert wrist("audit", "verify", "--deep") == 0
    words = ["wrist", "audit", "verify", "--rerun", "threshold"]
    done = subprocess.run(words, cwd=own, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "mismatch  rerun threshold: data/levels/legend.csv" in done.stdout
    assert "1 discrepancies" in done.stdout


def test_stages_that_run_again_give_the_same_bytes(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (project / "dvc.lock").read_bytes()
    assert wrist("audit", "verify", "--rerun", "annotate,train@adaptive-1-1,report") == 0, capsys.readouterr().out
    assert (project / "dvc.lock").read_bytes() == before


def test_a_random_sample_runs_again(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("random.sample", lambda stages, count: [s for s in stages if s.name == "preprocess"])
    assert wrist("audit", "verify", "--rerun", "1") == 0
    assert "runs again: preprocess" in capsys.readouterr().err


def test_an_unknown_stage_is_one_sentence(project: Path) -> None:
    output = run(project, "wrist", "audit", "verify", "--rerun", "trian", code=1)
    assert "--rerun trian: expected stages of dvc.lock (annotate, " in output


def test_the_cache_list_of_a_folder_is_checked_itself(project: Path) -> None:
    md5 = read_lock(project).hashes["data/levels"]
    list_file = project / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    content = list_file.read_bytes()
    list_file.unlink()  # it is read-only
    list_file.write_bytes(content.replace(b"legend.csv", b"legend.txt"))
    listing.cache_clear()
    try:
        assert discrepancies(project) == [("mismatch", f"cache: {md5}")]
    finally:
        list_file.write_bytes(content)
        listing.cache_clear()
