"""Is a repetition the committed one, and if not, since when and why."""

import json
import re
import shutil
from pathlib import Path

import pytest
from dvc.utils.serialize import dumps_yaml, loads_yaml
from ruamel.yaml import YAML

from stages.common.core.errors import UserError
from stages.common.core.files import write_json
from stages.common.data.layout import AUDIT_PAGE
from tests.helpers.commands import wrist
from tests.helpers.files import flipped
from tests.helpers.processes import run
from tools.audit.check_repeatable import check_repeatable
from tools.audit.compare import compare, other_code
from tools.audit.dvc_cache import ignores
from tools.audit.dvc_lock import Stage
from tools.audit.findings import Check
from tools.audit.rerun import device, differs
from tools.audit.trace import Project


def test_outputs_of_the_commit_are_recognised(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert wrist("audit", "compare") == 0
    assert capsys.readouterr().out.startswith("the same bytes as committed: ")


def test_an_output_that_was_changed_since_is_named_though_dvc_lock_is_the_committed_one(project: Path) -> None:
    with flipped(project / "reports/comparison.csv"):
        same, sentence = compare(Project(project), "HEAD")
    assert not same
    assert sentence.endswith("changed since they were made are reports/comparison.csv")


def test_a_file_in_an_output_that_dvc_was_told_to_overlook_is_named(project: Path) -> None:
    rules, extra = project / ".dvcignore", project / "data/raw/images/extra.png"
    before = rules.read_text()
    rules.write_text(f"{before}extra.png\n")
    extra.touch()
    ignores.cache_clear()
    try:
        same, sentence = compare(Project(project), "HEAD")
    finally:
        rules.write_text(before)
        extra.unlink()
        ignores.cache_clear()
    assert not same
    assert sentence.endswith("changed since they were made are data/raw/images/extra.png")


def test_a_pipeline_that_lacks_a_stage_of_the_commit_is_not_the_same(project: Path) -> None:
    """What the stage wrote would not be looked at."""
    pipeline, yaml = project / "dvc.yaml", YAML()
    before = pipeline.read_text()
    content = yaml.load(before)
    del content["stages"]["report"]
    try:
        with pipeline.open("w") as file:
            yaml.dump(content, file)
        same, sentence = compare(Project(project), "HEAD")
    finally:
        pipeline.write_text(before)
    assert not same
    assert sentence == "not all stages were repeated: dvc.yaml lacks report, which params.yaml asks for"


@pytest.mark.parametrize("lacks", ["an output", "all outputs of a stage", "a stage"])
def test_a_lock_that_lacks_an_output_is_not_the_same_though_it_is_committed(lacks: str, own: Path) -> None:
    """What it lacks could be anything."""
    lock = loads_yaml((own / "dvc.lock").read_text())
    outs = lock["stages"]["report"]["outs"]
    if lacks == "a stage":
        del lock["stages"]["report"]
    else:
        outs[:] = [item for item in outs if lacks == "an output" and item["path"] != "reports/comparison.csv"]
    (own / "dvc.lock").write_text(dumps_yaml(lock))
    run(own, "git", "commit", "-qam", "nothing to see here")
    (own / "reports/comparison.csv").unlink()
    (own / "reports/comparison.csv").write_text("row,f1\nadaptive,1\n")
    same, sentence = compare(Project(own), "HEAD")
    assert not same
    assert re.search(r": dvc\.lock lacks (.*, )?reports/(comparison.csv|DATASHEET.md)", sentence)
    run(own, "git", "checkout", "-q", "HEAD~1", "--", "dvc.lock")
    same, sentence = compare(Project(own), "HEAD")  # that of the commit lacks it
    assert not same


def test_a_commit_whose_settings_name_a_cache_outside_of_each_clone_is_not_repeated(own: Path, tmp_path: Path) -> None:
    """DVC takes from there what others ran; settings of a machine or user are their own."""
    run(own, "dvc", "config", "--local", "cache.dir", str(tmp_path / "cache"))
    shutil.move(own / ".dvc/cache", tmp_path / "cache")
    assert compare(Project(own), "HEAD")[0]
    run(own, "dvc", "config", "cache.dir", "../cache")
    run(own, "git", "commit", "-qam", "nothing to see here")
    same, sentence = compare(Project(own), "HEAD")
    assert not same
    assert sentence.endswith(f" brings results along, by .dvc/config the cache {tmp_path / 'cache'}")


def test_a_cache_that_a_commit_names_by_a_path_that_is_another_one_for_each_reader_is_named(own: Path) -> None:
    """It lies in the clone, and no comparison of paths says so."""
    shutil.move(own / ".dvc/cache", own / "docs/assets/store")
    run(own, "dvc", "config", "cache.dir", "/proc/self/cwd/docs/assets/store")
    run(own, "git", "add", "-A", "docs")
    run(own, "git", "commit", "-qam", "nothing to see here")
    same, sentence = compare(Project(own), "HEAD")
    assert not same
    assert sentence.endswith("docs/assets/store, by .dvc/config the cache /proc/self/cwd/docs/assets/store")
    check = Check()
    check_repeatable(Project(own), check)
    assert [finding.name for finding in check.findings] == ["docs/assets/store"]


def test_a_project_without_a_folder_of_dvc_of_its_own_is_not_repeated(own: Path) -> None:
    """DVC looks for one above, whose cache a commit may bring along."""
    shutil.copytree(own / ".dvc", own.parent / ".dvc")
    assert other_code(Project(own)) == []
    shutil.move(own / ".dvc", own.parent / "away")
    (own.parent / ".git").write_text(f"gitdir: {own / '.git'}")
    assert ".dvc of another folder" in other_code(Project(own))


@pytest.mark.parametrize(
    "path",
    [
        ".dvc/cache/runs/ab/x",
        ".dvc/config.local",
        ".dvc/tmp/rwlock",
        ".checkpoints/x.safetensors",
        ".venv/lib/python3.11/site-packages/x.pth",
        "models/adaptive/seed-1-fold-1/x",
    ],
)
def test_a_commit_that_brings_results_along_is_not_repeated(path: str, own: Path) -> None:
    """A stage that DVC finds in its cache it does not run, and a training goes on from its checkpoint."""
    (own / path).parent.mkdir(parents=True, exist_ok=True)
    if path != ".dvc/config.local":  # by which a clone would use any cache
        (own / path).write_text("forged")
    run(own, "git", "add", "-f", path)
    run(own, "git", "commit", "-qm", "nothing to see here")
    if path != ".dvc/config.local":
        (own / path).unlink()  # as a training removes its checkpoint when it is done
    same, sentence = compare(Project(own), "HEAD")
    places = (".dvc/cache", ".checkpoints", ".venv", "models/adaptive/seed-1-fold-1")
    place = next((place for place in places if place in path), path)
    assert not same
    assert sentence.endswith(f" brings results along, {place}")
    check = Check()
    check_repeatable(Project(own), check)
    assert [finding.name for finding in check.findings] == [place]


OTHER_STAGES = "nothing need have been repeated: more runs than the pipeline's own stages, "


@pytest.mark.parametrize(
    ("path", "old", "new", "named"),
    [
        (
            "dvc.yaml", "stages:\n", "stages:\n  seed:\n    cmd: exec python -m stages.seed\n    outs: []\n",
            "dvc.yaml: seed",
        ),
        ("tests/seed/dvc.yaml", "", "stages:\n  seed:\n    cmd: tar -xf a.tar\n", "tests/seed/dvc.yaml"),
        ("numexpr.py", "", "", "numexpr.py"),
        (
            "dvc.yaml", "    cmd: exec python -m stages.report\n",
            "    cmd: exec python -m stages.report\n    wdir: docs\n", "dvc.yaml: stages.report.wdir",
        ),
    ],
    ids=["a further stage", "a further pipeline", "a library that is asked for", "another folder"],
)  # fmt: skip
def test_a_commit_with_stages_that_are_not_the_pipelines_is_not_repeated(
    path: str, old: str, new: str, named: str, own: Path
) -> None:
    """They could unpack results into DVC's cache, or run in a folder with code of its own."""
    file = own / path
    file.parent.mkdir(exist_ok=True)
    before = file.read_text() if old else ""
    assert before.count(old) == 1
    file.write_text(before.replace(old, new, 1))
    assert compare(Project(own), "HEAD") == (False, f"{OTHER_STAGES}{named}")


def test_a_commit_with_links_or_other_programs_is_not_repeated(own: Path) -> None:
    """Behind a link there may be a cache; and another program than the stage can copy results from anywhere."""
    text = (own / "dvc.yaml").read_text()
    assert "exec python -m stages.report" in text
    (own / "dvc.yaml").write_text(text.replace("exec python -m stages.report", "cp -r docs/results/. reports"))
    (own / "dvc.lock").write_text(
        (own / "dvc.lock").read_text().replace("exec python -m stages.report", "cp -r docs/results/. reports")
    )
    run(own, "git", "commit", "-qam", "nothing to see here")
    assert compare(Project(own), "HEAD") == (False, f"{OTHER_STAGES}dvc.yaml: report: cmd")
    (own / "docs/files").symlink_to("assets")
    run(own, "git", "add", "-A")
    run(own, "git", "commit", "-qm", "nor here")
    with pytest.raises(UserError, match=r"found links or repositories \(docs/files\)"):
        compare(Project(own), "HEAD")


def change_lock(own: Path, old: str, new: str) -> None:
    text = (own / "dvc.lock").read_text()
    assert old in text
    (own / "dvc.lock").write_text(text.replace(old, new))


def outputs(own: Path, path: str) -> str:
    """The md5 of an output, as dvc.lock has it."""
    lines = (own / "dvc.lock").read_text().splitlines()
    return next(lines[i + 2] for i, line in enumerate(lines) if line.strip() == f"- path: {path}").split()[-1]


def test_the_first_stage_that_differs_is_named_with_its_params(own: Path) -> None:
    change_lock(own, "classes: 4", "classes: 3")
    change_lock(own, outputs(own, "data/levels"), "0" * 32 + ".dir")
    same, sentence = compare(Project(own), "HEAD")
    assert not same
    assert ": threshold is the first to differ" in sentence
    assert "Its parameters differ: threshold" in sentence


@pytest.mark.parametrize(
    ("device", "said"), [("NVIDIA H100", "NVIDIA H100"), ("AVX512", "a CPU with instructions up to AVX-512")]
)
def test_what_trained_is_named_in_plain_words(device: str, said: str, own: Path) -> None:
    model = own / "models/baseline/seed-1-fold-1/model.json"
    record = json.loads(model.read_text())
    record["machine"]["device"] = device
    model.unlink()
    model.write_text(json.dumps(record))
    change_lock(own, outputs(own, "models/baseline/seed-1-fold-1"), "0" * 32 + ".dir")
    change_lock(own, outputs(own, "reports/index.html"), "0" * 32)  # of report, which reads models/baseline
    _, sentence = compare(Project(own), "HEAD")
    assert ": train@baseline-1-1 is the first to differ (1 stages after it, too)" in sentence
    assert f"It was computed on {said}; portable bytes come only from a CPU with instructions up to AVX2" in sentence


def test_a_graphics_card_that_evaluated_is_named_and_a_rerun_elsewhere_decides_nothing(own: Path) -> None:
    folder = "reports/evaluation/baseline/seed-1-fold-1"
    metrics, before = own / folder / "metrics.json", Project(own).lock.stages["evaluate@baseline-1-1"]
    record = json.loads(metrics.read_text())
    metrics.unlink()
    metrics.write_text(json.dumps(record | {"device": "NVIDIA H100"}))
    change_lock(own, outputs(own, folder), "0" * 32 + ".dir")
    _, sentence = compare(Project(own), "HEAD")
    assert ": evaluate@baseline-1-1 is the first to differ" in sentence
    assert "It was computed on NVIDIA H100; portable bytes come only from a CPU" in sentence
    clone, check = own.parent / "clone", Check()
    write_json(clone / folder / "metrics.json", record)
    (clone / "stages/evaluate").mkdir(parents=True)
    (clone / "stages/evaluate/libraries.lock").write_bytes((own / "stages/evaluate/libraries.lock").read_bytes())
    differs(Project(own), clone, before, folder, check)
    assert not check.wrong
    (finding,) = check.unchecked
    assert finding.message.startswith("by its record NVIDIA H100 computed it, this is a CPU with instructions up to")


@pytest.mark.parametrize(
    ("stage", "said"), [("report", ""), ("ingest", ""), ("evaluate@baseline-1-1", "H100"), ("train@baseline-1-1", "")]
)
def test_only_a_stage_with_a_network_was_computed_on_what_its_record_says(
    stage: str, said: str, tmp_path: Path
) -> None:
    """Else a forger could have any rerun decide nothing, by one file more in an output."""
    write_json(tmp_path / "out/metrics.json", {"device": "H100"})
    assert device(tmp_path, Stage(stage, "", {}, {}, {"out": ""})) == said


def test_a_difference_without_a_reason_asks_for_a_report(own: Path) -> None:
    change_lock(own, outputs(own, "reports/claims.csv"), "0" * 32)
    _, sentence = compare(Project(own), "HEAD")
    assert ": report is the first to differ. Parameters, code, data and libraries are the same" in sentence


def test_a_report_with_its_lineage_is_that_of_three_commands(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [wrist("audit", "page"), wrist("report"), wrist("audit", "compare")] == [0, 0, 0]
    page = (own / AUDIT_PAGE).read_text()
    head, _, rest = capsys.readouterr().out.partition("\n")
    (own / AUDIT_PAGE).unlink()
    assert wrist("report", "--lineage") == 0
    assert capsys.readouterr().out == f"{head}\n\n{rest}"
    assert (own / AUDIT_PAGE).read_text() == page


def test_a_report_of_other_bytes_is_no_failure(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change_lock(own, outputs(own, "reports/claims.csv"), "0" * 32)
    assert wrist("report", "--lineage") == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("other bytes than those of ")
    run(own, "git", "rm", "-q", "--cached", "dvc.lock")
    run(own, "git", "commit", "-qm", "no outputs")
    assert wrist("report", "--lineage") == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[-1].startswith("The page: ")
    assert said.err.startswith("wrist: HEAD: expected a commit with dvc.lock, ")


def test_a_commit_that_is_none_is_one_sentence(project: Path) -> None:
    assert "nonsense" in run(project, "wrist", "audit", "compare", "nonsense", code=1)
    run(project, "git", "branch", "abcd")
    for revision in ("HEAD..HEAD", "HEAD:dvc.lock", "abcd"):
        with pytest.raises(UserError, match=f"{re.escape(revision)}"):
            compare(Project(project), revision)
    run(project, "git", "branch", "-D", "abcd")
