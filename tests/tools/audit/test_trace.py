"""The chain, both ways, against the tables that the pipeline wrote."""

import csv
import hashlib
import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from stages.common.core.errors import UserError
from stages.common.data.layout import DATASET, RAW
from stages.common.data.run_id import Run
from stages.common.data.tables import FILES, MANIFEST, SPLIT
from tests.helpers.commands import wrist
from tests.helpers.forgeries import forged_tables, replace
from tests.helpers.params import change_params
from tests.helpers.processes import run
from tests.helpers.projects import stages_run
from tools.audit.dvc_cache import joined_md5, listing, object_path
from tools.audit.dvc_lock import history, read_lock
from tools.audit.export import export
from tools.audit.graph import Graph
from tools.audit.page import render
from tools.audit.render import dot, text
from tools.audit.trace import Project, sides_of, trace

pytestmark = pytest.mark.slow
RUN = "seed-1-fold-1"


def names(graph: Graph, start: str, down: bool = False) -> set[str]:
    return {name for _, name, _ in graph.walk(start, down)}


def test_a_number_leads_to_every_stage_and_source(project: Path) -> None:
    graph, start = trace(Project(project), "adaptive/f1")
    above = names(graph, start)
    assert above >= {f"reports/evaluation/adaptive/{RUN}", f"models/adaptive/{RUN}", "data/dataset", "data/levels"}
    assert above >= {"data/preprocessed", "data/raw", "data/incoming", "source sample-kaggle", "source sample-hospital"}
    assert f"models/baseline/{RUN}" not in above
    value = pd.read_csv("reports/comparison.csv").set_index("row").loc["adaptive", "f1"]
    assert float(graph.nodes[start].facts["value"]) == value
    counts = graph.nodes[f"reports/evaluation/adaptive/{RUN}/per_image.csv"].facts
    assert 2 * counts["TP"] / (2 * counts["TP"] + counts["FP"] + counts["FN"]) == pytest.approx(value)
    lock = read_lock(project)
    commit = run(project, "git", "rev-parse", "HEAD").strip()
    for name in above & set(lock.hashes):
        facts = graph.nodes[name].facts
        assert facts["md5"] == lock.hashes[name]
        assert facts["commit"] == commit
        assert facts["command"] == lock.makers[name].command.removeprefix("exec ")
        assert f"code of {facts['stage']}" in graph.origins[name]
    recipe = graph.nodes[f"models/adaptive/{RUN}"].facts["recipe"]
    assert recipe.startswith("paper, changed: preprocess.size 64 (256), train.network.channels [16, 8, 8] (")
    assert graph.nodes["data/pins/weights.csv"].kind == "pins"
    assert not graph.origins["data/pins/weights.csv"]
    assert graph.nodes["params of train@adaptive-1-1"].facts["train.adaptive"]["method"] == "linear"


def test_the_difference_leads_to_both_models(project: Path) -> None:
    graph, start = trace(Project(project), "adaptive - baseline/f1")
    assert names(graph, start) >= {f"models/adaptive/{RUN}", f"models/baseline/{RUN}"}


def test_numbers_without_a_network_lead_to_none(project: Path) -> None:
    """Predictors that cost nothing follow from the films; published numbers stand in the code of the report."""
    trivial, published = (
        trace(Project(project), f"{row}/f1") for row in ("Otsu's threshold", "paper, adaptive weights")
    )
    assert names(*trivial) >= {"data/dataset", "data/incoming", "code of report"}
    assert names(*published) == {
        "paper, adaptive weights/f1",
        "reports/comparison.csv",
        "params of report",
        "code of report",
    }
    assert not [name for name in names(*trivial) if name.startswith(("models/", "reports/evaluation/"))]


def test_a_test_film_leads_from_its_file_to_the_cells(project: Path) -> None:
    split = pd.read_csv("data/dataset/split.csv").set_index("image_id")
    image = split.index[split["split"] == "test"][0]
    found = Project(project)
    graph, start = trace(found, image)
    files = [row for row in found.files if row["image_id"] == image]
    assert {f"{row['source']}: {row['file']}" for row in files} <= names(graph, start)
    below = names(graph, start, down=True)
    assert below >= {f"reports/evaluation/adaptive/{RUN}/mask/{image}.png", "adaptive/*", "baseline/*"}
    scores = pd.read_csv(f"reports/evaluation/adaptive/{RUN}/per_image.csv").set_index("image_id").loc[image]
    line = graph.nodes[f"reports/evaluation/adaptive/{RUN}/per_image.csv: {image}"].facts
    assert (line["TP"], line["FN"]) == (scores["tp"], scores["fn"])
    mask = project / f"data/dataset/test_mask/{image}.png"
    assert graph.nodes[f"data/dataset/test_mask/{image}.png"].facts["md5"] == hashlib.md5(mask.read_bytes()).hexdigest()


def test_an_output_is_of_the_commit_since_which_it_has_its_hash_and_no_other_one_had_it(own: Path) -> None:
    """Two trainings that changed places have the hashes that each other's had."""
    before, lock = run(own, "git", "rev-parse", "HEAD").strip(), read_lock(own)
    assert set(Project(own).commits.values()) == {before}
    text = (own / "dvc.lock").read_text()
    for path in (f"models/{{}}/{RUN}", "reports/validation/{}-1-1.json"):
        one, other = (lock.hashes[path.format(variant)] for variant in ("baseline", "adaptive"))
        text = text.replace(one, "?").replace(other, one).replace("?", other)
    (own / "dvc.lock").write_text(text)
    run(own, "git", "commit", "-qam", "other places")
    later = {name for name, commit in Project(own).commits.items() if commit != before}
    assert later == {"train@baseline-1-1", "train@adaptive-1-1"}


def test_a_commit_in_which_another_stage_only_read_the_result_did_not_bring_it(own: Path) -> None:
    """As where a stage ran alone: the stages after it still name in dvc.lock what they read before."""
    lock, first = own / "dvc.lock", run(own, "git", "rev-parse", "HEAD").strip()
    before, md5 = lock.read_text(), read_lock(own).hashes["data/raw"]
    made = f"    outs:\n    - path: data/raw\n      hash: md5\n      md5: {md5}\n"
    assert before.count(made) == 1
    lock.write_text(before.replace(made, made.replace(md5, "0" * 32 + ".dir")))
    run(own, "git", "commit", "-qam", "ingest alone, on other films")
    lock.write_text(before)
    run(own, "git", "commit", "-qam", "the films as they were")
    last = run(own, "git", "rev-parse", "HEAD").strip()
    found = Project(own)
    assert found.commits == dict.fromkeys(found.lock.stages, first) | {"ingest": last}


def test_a_result_of_one_side_of_a_merge_is_of_the_commit_there(own: Path) -> None:
    """Newer commits of the other side, which lack the result, say nothing of it."""
    lock, branch = own / "dvc.lock", run(own, "git", "branch", "--show-current").strip()
    text, hashes = lock.read_text(), read_lock(own).hashes
    old, first = dict.fromkeys(("reports/comparison.csv", "reports/comparison.md"), "0" * 32), hashes

    def commit(*paths: str) -> str:
        """Commit results that are the present ones in these paths alone."""
        changed = text
        for path in old.keys() - set(paths):
            changed = changed.replace(first[path], old[path])
        lock.write_text(changed)
        run(own, "git", "commit", "-qam", " ".join(paths) or "none")
        return run(own, "git", "rev-parse", "HEAD").strip()

    commit()
    run(own, "git", "checkout", "-qb", "side")
    brought = commit("reports/comparison.csv", "reports/comparison.md")
    run(own, "git", "checkout", "-q", branch)
    (own / "notes.md").write_text("newer")
    lock.write_text(lock.read_text().replace(first["data/levels"], "1" * 32 + ".dir"))
    run(own, "git", "commit", "-qam", "newer, on the other side")
    run(own, "git", "merge", "-q", "--no-commit", "-s", "ours", "side")
    lock.write_text(text)
    run(own, "git", "commit", "-qam", "merge")
    assert Project(own).commits["report"] == brought


@pytest.mark.parametrize(
    ("pattern", "change"),
    [
        (r"stages\.train adaptive", "stages.better adaptive"),
        (r"epochs: \d+", "epochs: 200"),
        (r"(path: stages/train\n      hash: md5\n      md5: )\w+", r"\g<1>" + "0" * 32 + ".dir"),
    ],
    ids=["command", "params", "code"],
)
def test_what_no_commit_says_of_a_stage_is_not_committed(pattern: str, change: str, own: Path) -> None:
    """Its outputs are those of a commit; whoever repeats that commit repeats another stage."""
    lock, stage, first = own / "dvc.lock", "train@adaptive-1-1", run(own, "git", "rev-parse", "HEAD").strip()
    text = lock.read_text()
    head, entry, outs = text.partition(f"  {stage}:\n")
    changed, count = re.subn(pattern, change, outs, count=1)
    assert count == 1
    lock.write_text(head + entry + changed)
    found = Project(own)
    assert found.commits == dict.fromkeys(found.lock.stages, first) | {stage: ""}
    run(own, "git", "commit", "-qam", "it ran again, and gave the same")
    assert set(Project(own).commits.values()) == {first}


def test_an_entry_that_only_looks_like_that_of_a_commit_is_not_committed(own: Path) -> None:
    """YAML has more forms than the one that DVC writes; what counts is what a program reads."""
    lock, stage = own / "dvc.lock", "train@adaptive-1-1"
    head, entry, rest = lock.read_text().partition(f"  {stage}:\n")
    end = re.search(r"(?m)^  \S", rest).start()  # type: ignore[union-attr]
    decoy = f"note: |\n\n{entry}{rest[:end]}"
    forged = rest[:end].replace("stages.train adaptive", "stages.better adaptive")
    lock.write_text(decoy + head + f'  "{stage}":\n{forged}{rest[end:]}')
    found = Project(own)
    assert "better" in found.lock.stages[stage].command
    assert [name for name, commit in found.commits.items() if not commit] == [stage]


def test_a_stage_that_ran_on_other_data_is_said_and_not_exported(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The chain of a model would lead to data that it never saw."""
    lock, before = own / "dvc.lock", read_lock(own).hashes
    text, stage = lock.read_text(), "  train@adaptive-1-1:\n"
    head, entry = text.split(stage)
    lock.write_text(head + stage + entry.replace(before["data/dataset"], "1" * 32 + ".dir", 1))
    sentence = f"train@adaptive-1-1 ran on data/dataset {'1' * 32}.dir, which is {before['data/dataset']} since"
    assert [said.partition(";")[0] for said in Project(own).outdated] == [sentence]
    assert wrist("audit", "trace", "adaptive/f1") == 0
    assert f"trace: {sentence}" in capsys.readouterr().err
    assert f"<strong>{sentence}" in render(Project(own), own / "reports/lineage.html")
    with pytest.raises(UserError, match="export: expected what the stages wrote"):
        export(Project(own))
    whole = joined_md5(
        own, "models/adaptive", {path: md5 for path, md5 in before.items() if "models/adaptive/" in path}
    )
    lock.write_text(text.replace(whole, "2" * 32 + ".dir"))  # of a folder that several stages write
    assert any(f"report ran on models/adaptive {'2' * 32}.dir" in said for said in Project(own).outdated)
    lock.write_text(text)
    assert Project(own).outdated == []


def test_a_number_that_was_changed_is_not_shown_beside_the_genuine_hash_without_a_word(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = own / "reports/comparison.csv"
    replace(table, re.sub(rb"(?m)^(adaptive(?:,[^,]*){3}),[^,]*", rb"\1,0.9876", table.read_bytes()))
    said = "reports/comparison.csv is not as its stage wrote it: `wrist audit verify`"
    assert wrist("audit", "trace", "adaptive/f1") == 0
    assert f"trace: {said}" in capsys.readouterr().err
    assert f"<strong>{said}" in render(Project(own), own / "reports/lineage.html").replace("&#34;", '"')
    with pytest.raises(UserError, match=r"export: expected what the stages wrote.*\n.*comparison.csv is not as its"):
        export(Project(own))
    assert not (own / "prov.json").exists()


def test_a_file_that_is_asked_for_and_was_changed_is_not_shown_without_a_word(own: Path) -> None:
    def doubts(what: str) -> list[str]:
        trace(project := Project(own), what)
        return [said.removesuffix(" is not as its stage wrote it: `wrist audit verify`") for said in project.doubts]

    image = next(iter(Project(own).films))
    weights, picture = f"models/adaptive/{RUN}/weights.safetensors", f"data/raw/images/{image}.png"
    for path, asked in {
        "reports/statistics.csv": ["reports/statistics.csv"],
        weights: [weights, "adaptive-1-1", f"models/adaptive/{RUN}"],
        picture: [picture, image, "data/raw/images"],
    }.items():
        before = (own / path).read_bytes()
        assert [doubts(what) for what in asked] == [[]] * len(asked)
        replace(own / path, before + b"x")
        assert [doubts(what) for what in asked] == [[path]] * len(asked)
        replace(own / path, before)


def test_a_name_of_several_things_leads_to_all_of_them(own: Path) -> None:
    """A film that is called as a patient, as a file of another film, or as a model."""
    project = Project(own)
    first, second = [row["image_id"] for row in project.files if row["role"] == "film" and row["source"] != "x"][:2]
    patient, file = project.films[second]["patient_id"], project.files_by_film[second][0]["file"]
    project.films[first] |= {"patient_id": "another"}
    for name, kinds in {
        patient: "patient",
        file: "source file",
        "adaptive-1-1": f"model (models/adaptive/{RUN})",
    }.items():
        project.films[name] = project.films[first] | {"image_id": name}
        graph, start = trace(project, name)
        assert start == name
        assert graph.kinds == ["film", kinds]
        assert {name, second} - {second if "model" in kinds else ""} <= set(graph.films[name])
        assert text(graph, name).startswith(f"{name}: film and {kinds} of that name, films ")


def test_what_a_network_saw_is_what_its_params_say(own: Path) -> None:
    found = Project(own)
    image = next(image for image, row in found.split.items() if row["split"] == "train")
    picture, levels, mask = (f"data/dataset/train{kind}/{image}.png" for kind in ("", "_levels", "_mask"))
    for what, seen in (("image", {picture}), ("levels", {levels}), ("both", {picture, levels})):
        network = found.lock.stages["train@adaptive-1-1"].params["train.network"]
        found.lock.stages["train@adaptive-1-1"].params["train.network"] = network | {"input": what}
        graph, _ = trace(found, image)
        assert {picture, levels} & set(graph.origins[f"models/adaptive/{RUN}"]) == seen
        assert f"-> models/adaptive/{RUN}" in text(graph, image)
    assert f"data/levels/images/{image}.png" not in graph.origins[mask]
    found.lock.stages["annotate"].params["annotate"] |= {"mask": "box_levels"}
    graph, _ = trace(found, image)
    assert f"data/levels/images/{image}.png" in graph.origins[mask]


def test_a_film_leads_to_the_files_that_many_share(own: Path) -> None:
    """Annotations, lists of classes and tables: the mask follows from two, the patient from a table."""
    path = own / RAW / FILES.name
    rows = FILES.rows(FILES.read(own / RAW))
    films = [row for row in rows if row["role"] == "film"]
    shared = (("labels", "set/boxes.json"), ("classes", "set/classes.txt"), ("table", "set/boxes.json"))
    more = [row | {"role": role, "file": file, "sha256": "f" * 64} for row in films for role, file in shared]
    FILES.write(path.parent, FILES.frame(films + more))  # type: ignore[arg-type]
    found = Project(own)
    image = next(image for image, row in found.films.items() if found.side(image, found.runs[0]) == "test")
    graph, start = trace(found, image)
    source, licence = found.films[image]["source"], found.films[image]["licence"]
    boxes, classes = f"{source}: set/boxes.json", f"{source}: set/classes.txt"
    assert {boxes, classes} <= names(graph, start)
    assert {boxes, classes} <= set(graph.origins[f"data/dataset/test_mask/{image}.png"])
    facts = {"source": source, "licence": licence, "sha256": "f" * 64}
    assert graph.nodes[boxes].facts == facts | {"role": "labels, table"}
    assert graph.nodes[classes].facts == facts | {"role": "classes"}
    for what in ("boxes.json", "f" * 64):
        assert {row["image_id"] for row in films} <= trace(found, what)[0].nodes.keys()
    assert f'<li>table: set/boxes.json <span class="hash">sha256 {"f" * 64}' in render(
        found, own / "reports/lineage.html"
    )
    of_source = [row for row in films if row["source"] == source]
    assert (source, [licence], len(of_source) + 2) in found.sources


def test_a_train_film_leads_to_the_models_that_learnt_from_it(project: Path) -> None:
    split = pd.read_csv("data/dataset/split.csv").set_index("image_id")
    image = split.index[split["split"] == "train"][0]
    graph, start = trace(Project(project), image)
    assert names(graph, start, down=True) >= {f"models/adaptive/{RUN}", f"models/baseline/{RUN}", "adaptive/*"}


def test_a_film_says_its_side_in_every_fold_that_is_evaluated(project: Path) -> None:
    """With evaluate.folds [2] its side of the split alone was said, which no network follows."""
    known = Project(project)
    known.runs = [Run("baseline", 1, 2), Run("adaptive", 1, 2)]
    image = next(name for name, row in known.split.items() if row["split"] != row["fold_2"] != "unused")
    row = known.split[image]
    assert sides_of(known, image) == {"in the split": row["split"], "in fold 2": row["fold_2"]}


def test_a_source_file_a_hash_and_a_patient_lead_to_the_same_films(project: Path) -> None:
    found = Project(project)
    row = next(row for row in found.files if row["role"] == "film" and row["source"] == "sample-kaggle")
    by_name, _ = trace(found, Path(row["file"]).name)
    by_hash, _ = trace(found, row["sha256"])
    assert row["image_id"] in by_name.nodes
    assert set(by_name.nodes) - {Path(row["file"]).name} == set(by_hash.nodes) - {row["sha256"]}
    patient = found.films[row["image_id"]]["patient_id"]
    all_films = {image for image, film in found.films.items() if film["patient_id"] == patient}
    by_patient, start = trace(found, patient)
    assert all_films <= set(by_patient.nodes)
    printed = text(by_patient, start)
    assert printed.startswith(f"{patient}: patient, films ")
    for film in all_films:
        assert f"\n\n{text(by_patient, film)}" in printed
    for name in (row["sha256"], Path(row["file"]).name):
        assert text(*trace(found, name)).splitlines()[0] == f"{name}: source file, films {row['image_id']}"


@pytest.mark.parametrize(
    "what", ["adaptive-1-1", f"models/adaptive/{RUN}", f"models/adaptive/{RUN}/weights.safetensors"]
)
def test_a_model_and_a_file_in_it_have_their_chain(what: str, project: Path) -> None:
    graph, start = trace(Project(project), what)
    assert names(graph, start) >= {"data/dataset", "params of train@adaptive-1-1", "code of train@adaptive-1-1"}


def test_only_what_a_stage_wrote_has_a_chain(own: Path) -> None:
    """Without DVC's list of a folder, what lies there counts."""
    known, unknown = ("data/raw/images", "data/raw/../raw/manifest.csv", "./data/raw/"), "data/raw/planted.csv"
    (own / unknown).touch()
    for what in known:
        assert "code of ingest" in names(*trace(Project(own), what))
    for what in (unknown, "data/raw/images/nobody.png", "data/raw/image", f"models/adaptive/{RUN}/none"):
        with pytest.raises(UserError, match=f"{what}: expected a cell of the report"):
            trace(Project(own), what)
    object_path(own, read_lock(own).hashes["data/raw"]).unlink()
    listing.cache_clear()
    assert "code of ingest" in names(*trace(Project(own), "data/raw/manifest.csv"))
    with pytest.raises(UserError, match="expected a cell"):
        trace(Project(own), "data/raw/images/nobody.png")


def test_what_there_is_not_is_one_sentence(project: Path) -> None:
    with pytest.raises(UserError, match="adaptive/f7: expected a cell of the report"):
        trace(Project(project), "adaptive/f7")
    assert "Traceback" not in run(project, "wrist", "audit", "trace", "nobody", code=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        "data/raw/manifest.csv",
        "data/raw/files.csv",
        "data/dataset/split.csv",
        "reports/comparison.csv",
        f"reports/evaluation/adaptive/{RUN}/per_image.csv",
    ],
)
def test_a_table_that_lacks_what_is_asked_for_is_one_sentence(path: str, project: Path) -> None:
    text, found = (project / path).read_text(), Project(project)
    films = [image for image in found.films if found.side(image, found.runs[0]) == "test"]
    head, first, *rest = text.splitlines()
    other = ["", "\0", head, "\n".join([head, f"{first},1", *rest]), "\n".join([head, first.replace(",", ",x", 20)])]
    said = []
    for forged in (*(forged for name, forged in forged_tables(text) if name.endswith("struck")), *other):
        replace(project / path, forged.encode())
        found.__dict__ = {key: found.__dict__[key] for key in ("root", "lock", "commits")}
        for look in (lambda: trace(found, "adaptive/f1"), lambda: trace(found, films[-1]), lambda: render(found, RAW)):
            try:
                look()
            except UserError as error:
                said.append(str(error))
    replace(project / path, text.encode())
    assert len(said) >= len(head.split(","))
    for sentence in said:
        assert "found " in sentence
        assert str(project) not in sentence


def test_a_cell_of_any_length_is_read(project: Path) -> None:
    """Python's own limit is 131,072 characters, beyond which it fails."""
    path = project / "data/raw/files.csv"
    before = path.read_text()
    cells = before.splitlines()[1].split(",")
    name = "x" * 200_000
    path.unlink()
    path.write_text(before.replace(cells[3], name, 1))
    try:
        graph, _ = trace(Project(project), cells[0])
    finally:
        path.unlink()
        path.write_text(before)
    assert any(name in node for node in graph.nodes)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_model_whose_record_is_damaged_is_one_sentence(content: str, project: Path) -> None:
    path = project / f"models/adaptive/{RUN}/model.json"
    before = path.read_bytes()
    replace(path, content.encode())
    with pytest.raises(UserError, match=r"model\.json: "):
        trace(Project(project), "adaptive/f1")
    replace(path, before)


def test_json_and_dot_say_the_same(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrist("audit", "trace", "baseline/iou", "--format", "json")
    said = json.loads(capsys.readouterr().out)
    graph, start = trace(Project(project), "baseline/iou")
    assert said["start"] == start
    assert {node["name"] for node in said["nodes"]} == set(graph.nodes)
    drawn = dot(graph, start)
    assert drawn.count(" -> ") == len(said["edges"])


def test_a_patient_leads_to_the_films_in_each_form(project: Path) -> None:
    known = Project(project)
    patient = known.films["wrist_0001"]["patient_id"]
    graph, start = trace(known, patient)
    films = {edge["of"] for edge in graph.as_dict()["edges"] if edge["from"] == start}
    assert films == {name for name, row in known.films.items() if row["patient_id"] == patient} != set()
    assert f'"wrist_0001" -> "{patient}"' in dot(graph, start)


def test_a_clone_without_earlier_commits_says_so(own: Path, tmp_path: Path) -> None:
    run(own, "git", "commit", "-q", "--allow-empty", "-m", "later")
    run(tmp_path, "git", "clone", "-q", "--depth", "1", f"file://{own}", "shallow")
    assert Project(own).lacking_history == []
    (said,) = (clone := Project(tmp_path / "shallow")).lacking_history
    for folder in ("data", "models", "reports"):
        shutil.copytree(own / folder, clone.root / folder, dirs_exist_ok=True)
    assert said in render(clone, clone.root / "page.html")
    assert said not in render(Project(own), own / "page.html")


@pytest.mark.parametrize("name", ["adaptive-05-1", "adaptive-1-\u0661"])
def test_a_number_in_another_spelling_is_no_model(name: str, project: Path) -> None:
    with pytest.raises(UserError, match="found nothing so"):
        trace(Project(project), name)


def test_the_page_of_another_folder_links_to_pictures_whatever_the_folders_are_called(
    own: Path, tmp_path: Path
) -> None:
    assert 'src="../data/raw/images/' in render(Project(own), own / "reports/page.html")
    other = own.rename(tmp_path / "ä #1")
    assert 'src="%C3%A4%20%231/data/raw/images/' in render(Project(other), tmp_path / "page.html")


def test_a_stage_keeps_the_commit_that_brought_its_result(own: Path) -> None:
    first = run(own, "git", "rev-parse", "HEAD").strip()
    change_params(own, {"report": {"tolerance": {"score": 0.1}}})
    assert stages_run(run(own, "dvc", "repro")) == {"report"}
    assert Project(own).commits["report"] == ""
    run(own, "git", "commit", "-qam", "another tolerance")
    second = run(own, "git", "rev-parse", "HEAD").strip()
    commits = Project(own).commits
    assert commits["train@adaptive-1-1"] == commits["evaluate@adaptive-1-1"] == first
    assert commits["report"] == second
    assert [commit for commit, _ in history(own)] == [second, first]


def test_sixteen_thousand_films_are_traced(own: Path) -> None:
    """Seconds are measured in benchmarks/audit.py; here, that such tables are read at all, and not film by film."""
    found = Project(own)
    copies = 16_000 // len(found.films) + 1
    for folder, columns in ((RAW, MANIFEST), (DATASET, SPLIT), (RAW, FILES)):
        rows = found.rows(folder, columns)
        with (own / folder / columns.name).open("w", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            table.writeheader()
            for number in range(copies):
                more = f"-{number}" if number else ""
                table.writerows(row | {"image_id": row["image_id"] + more} for row in rows)
    image = next(iter(found.films))
    said = run(own, "wrist", "audit", "trace", image)
    assert re.search(rf"^{image}: film", said)
