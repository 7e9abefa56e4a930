"""Every kind of tampering is caught and named, and nothing else is."""

import hashlib
import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from stages.common.core.errors import UserError
from stages.common.core.files import read_png, write_png
from stages.common.core.hashing import sha256
from stages.common.core.validation import validate
from stages.common.data.tables import SPLIT, write_table
from stages.common.model.metrics import metrics
from stages.ingest.dicom.pseudonyms import SAMPLE
from stages.ingest.quality.duplicates import pixel_hash
from stages.ingest.withdrawn import film_pseudonym
from tests.helpers.commands import wrist
from tests.helpers.files import flipped
from tests.helpers.forgeries import as_json, cover_up, replace
from tests.helpers.params import read_yaml, write_yaml
from tests.helpers.processes import environment, run
from tools.audit.check_account import check_account
from tools.audit.check_cache import check_cache
from tools.audit.check_data import check_films, check_prepared, check_raw, check_withdrawn, films_by_hash
from tools.audit.check_files import check_beside
from tools.audit.check_former import check_former
from tools.audit.check_libraries import check_libraries
from tools.audit.check_params import blank_letters, check_characters
from tools.audit.check_pins import check_pins
from tools.audit.check_record import check_lock_paths, check_record, command_words
from tools.audit.check_rules import broken, check_rules
from tools.audit.check_sources import check_keys
from tools.audit.clean_clone import verify_commit
from tools.audit.compare import compare
from tools.audit.dvc_cache import cache_folder, folder_md5, hash_folder, listing
from tools.audit.dvc_cache import size as size_of
from tools.audit.dvc_lock import Stage, read_lock
from tools.audit.findings import Check
from tools.audit.rerun import rerun
from tools.audit.trace import Project
from tools.audit.verify import stages_named, verify

pytestmark = pytest.mark.slow
PATIENT, OTHER = "4f4f64c971b7fe56", "0123456789abcdef"  # pseudonyms
RUN = "reports/evaluation/adaptive/seed-1-fold-1"
SCORES = f"{RUN}/per_image.csv"


def discrepancies(project: Path, deep: bool = True) -> list[tuple[str, str]]:
    return [(finding.kind, finding.name) for finding in verify(Project(project), deep).findings]


def test_what_was_run_has_no_discrepancy(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert wrist("audit", "verify", "--deep") == 0
    output = capsys.readouterr().out
    assert "no discrepancy" in output
    assert "; not covered: MLflow's runs, DVC's page of plots, data_docs, sweep.html, " in output
    assert len(output.splitlines()) == 1


@pytest.mark.parametrize("stage", ["annotate", "evaluate@baseline-1-1"])
def test_a_lock_that_was_cut_off_between_two_stages_is_named(stage: str, project: Path) -> None:
    """What is left of it is sound YAML."""
    file = project / "dvc.lock"
    whole = file.read_text()
    cut = whole[: whole.index(f"  {stage}:\n")]
    file.write_text(cut)
    try:
        found = discrepancies(project, deep=False)
        same, sentence = compare(Project(project), "HEAD")
    finally:
        file.write_text(whole)
    assert ("missing", stage) in found
    assert not same
    assert ": dvc.lock lacks " in sentence


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


@pytest.mark.parametrize("kind", ["raw image", "manifest", "mask", "weights", "counts", "code of all"])
def test_one_flipped_bit_is_named_and_nothing_that_follows_from_it(kind: str, project: Path) -> None:
    path = KINDS[kind](project)
    with flipped(project / path):
        assert discrepancies(project) == [("mismatch", path)]


def test_flipped_bits_anywhere_are_named_and_nothing_else_is(project: Path) -> None:
    paths = sorted(change(project) for change in KINDS.values())
    with ExitStack() as stack:
        for path in paths:
            stack.enter_context(flipped(project / path))
        assert discrepancies(project, deep=False) == [("mismatch", path) for path in paths]
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


def test_results_that_no_stage_wrote_are_named(project: Path) -> None:
    """What commands write there is known, and a folder without files is no result."""
    forged = ["reports/results.csv", "reports/evaluation/summary.csv", "reports/validation/adaptive-2-1.json"]
    more = ["models/best/model.json", "reports/sweep.html", "reports/former/evaluation"]
    for path in (*forged, *more):
        (project / path).parent.mkdir(exist_ok=True)
        (project / path).touch()
    (project / "reports/former/evaluation").unlink()
    (project / ".evidence.json-partial-1a2b").touch()  # of a killed `sign`
    links = ["reports/shown", "reports/latest/films"]  # the second to a folder, and nothing beside it
    (project / "reports/latest").mkdir()
    (project / links[0]).symlink_to("/proc/self/cwd/predictions")
    (project / links[1]).symlink_to("/tmp")
    try:
        found = discrepancies(project, deep=False)
    finally:
        for path in (*forged, *more[:2], *links, ".evidence.json-partial-1a2b"):
            (project / path).unlink()
        for path in ("models/best", "reports/latest"):
            (project / path).rmdir()
        (project / "reports/former").rmdir()
    assert found == [
        ("extra", path)
        for path in sorted([".evidence.json-partial-1a2b", *forged, "models/best", "reports/latest", links[0]])
    ]


def test_an_output_whose_account_does_not_add_up_is_never_accepted(own: Path) -> None:
    """As a killed stage or a forger leaves it, recorded by DVC and committed, so that every hash agrees."""
    pictures = [first(own, f"{folder}/*.png") for folder in (
        "data/raw/images", "data/preprocessed/images", "data/levels/images", "data/dataset/train_mask", f"{RUN}/mask"
    )]  # fmt: skip
    others = ["data/levels/legend.csv", "models/adaptive/seed-1-fold-1/weights.safetensors", f"{RUN}/froc.csv"]
    lacking = sorted([*pictures, *others, first(own, "data/raw/dicom/*.dcm"), "reports/curves/adaptive_history.csv"])
    for path in lacking:
        (own / path).unlink()
    beside = sorted(f"{Path(path).parent}/beside.png" for path in pictures)
    for path in beside:
        (own / path).write_bytes(b"x")
    noted, twice = "data/raw/validation.json", "data/dataset/validation.json"
    replace(own / noted, re.sub(r'"rows": \d+', '"rows": 0', (own / noted).read_text(), count=1).encode())
    replace(own / twice, (own / twice).read_text().replace('"rows": ', '"rows": 99, "rows": ', 1).encode())
    cover_up(own, *lacking, *beside, noted, twice)
    expected = [*(("missing", name) for name in lacking), *(("extra", name) for name in beside)]
    expected += [("mismatch", noted), ("mismatch", twice)]
    assert sorted(discrepancies(own, deep=False)) == sorted(expected)


def test_scores_that_do_not_follow_from_the_pictures_are_named_though_all_tables_agree(own: Path) -> None:
    """Regions, outlines and errors of a film, and what metrics.json makes of them, are all better than they were."""
    table = pd.read_csv(own / SCORES)
    better = {"nsd": 1.0, "brier": 0.0, "found_iou": 9, "found_centre": 9, "false_regions": 7, "pointing": 0.5}
    image = table["image_id"][0]

    def change(table: pd.DataFrame) -> None:
        for name, value in better.items():
            table[name] = table[name].astype(float if isinstance(value, float) else int)
            table.loc[0, name] = value

    metrics_json = f"{RUN}/metrics.json"
    forge(own, SCORES, change)
    table, said = pd.read_csv(own / SCORES), json.loads((own / metrics_json).read_text())
    said["boundary"]["nsd"], said["calibration"]["brier"] = table["nsd"].mean(), table["brier"].mean()
    said["detection"] |= {name: int(table[name].sum()) for name in ("found_iou", "found_centre")}
    said["detection"] |= {
        "false_regions_per_image": table["false_regions"].mean(),
        "pointing": table["pointing"][table["fractures"] > 0].mean(),
    }
    replace(own / metrics_json, as_json(said).encode())
    cover_up(own, metrics_json)
    found = [name for _, name in discrepancies(own) if name.startswith(RUN)]
    assert found == sorted(f"{SCORES}: {image}/{name}" for name in better)


@pytest.mark.parametrize("path", ["data/raw/manifest.csv", "data/raw/annotations.csv", "data/dataset/split.csv"])
def test_a_rule_that_does_not_hold_is_named_though_its_stage_noted_that_it_does(path: str, own: Path) -> None:
    """A modality that no film has; a box that ends beyond its film; a patient on both sides."""
    table = SPLIT.read(own / "data/dataset") if path.endswith("split.csv") else pd.read_csv(own / path, dtype=str)
    image = table["image_id"][0]
    if path.endswith("manifest.csv"):
        table.loc[0, "modality"], rule = "PET", "modalities are known"
    elif path.endswith("annotations.csv"):
        table.loc[0, "points"], rule = "1 1 9000 9000", "every shape lies on its film"
    else:
        image = table["image_id"][table["split"] == "test"].iloc[0]
        table.loc[table["image_id"] == image, "group"] = table["group"][table["split"] == "train"].iloc[0]
        rule = "no patient and no copy of a film stands on both sides"
    replace(own / path, table.to_csv(index=False, lineterminator="\n").encode())
    check_rules(Project(own), check := Check())
    assert f"{path.replace('annotations', 'manifest')}: {image}: {rule}" in {finding.name for finding in check.findings}


def test_films_that_are_given_each_others_files_are_named(own: Path) -> None:
    """Else who asks for a file finds another patient's film."""
    manifest = pd.read_csv(own / "data/raw/manifest.csv", dtype=str, keep_default_na=False)
    one, two = manifest.index[manifest["source_file"] != ""][:2]
    ids, columns = manifest["image_id"], ["source_file", "sha256"]
    manifest.loc[[one, two], columns] = manifest.loc[[two, one], columns].to_numpy()
    files = pd.read_csv(own / "data/raw/files.csv", dtype=str, keep_default_na=False)
    films = files.index[(files["role"] == "film") & files["image_id"].isin([ids[one], ids[two]])]
    files.loc[films, ["file", "sha256"]] = files.loc[films[::-1], ["file", "sha256"]].to_numpy()
    for name, table in (("manifest", manifest), ("files", files)):
        replace(own / f"data/raw/{name}.csv", table.to_csv(index=False, lineterminator="\n").encode())
    check_films(Project(own), check := Check())
    expected = {f"data/raw/manifest.csv: {ids[film]}/source_file" for film in (one, two)}
    assert {finding.name for finding in check.findings} == expected
    manifest.loc[[one, two], "source_file"], manifest.loc[[one, two], "key_id"] = "", SAMPLE.id  # as if of a hospital
    replace(own / "data/raw/manifest.csv", manifest.to_csv(index=False, lineterminator="\n").encode())
    check_keys(Project(own), check := Check())
    expected = {f"data/raw/manifest.csv: {ids[film]}/key_id" for film in (one, two)}
    assert {finding.name for finding in check.findings} == expected


def test_a_version_of_a_library_that_requirements_lock_does_not_have_is_named(own: Path) -> None:
    """Who repeats the results would install it."""
    check_libraries(Project(own), check := Check())
    assert not check.findings
    path = own / "stages/report/libraries.lock"
    replace(path, re.sub(rb"(?m)^numpy==.*$", b"numpy==1.0", path.read_bytes()) + b"left-pad==1.3\n")
    check_libraries(Project(own), check := Check())
    name = "stages/report/libraries.lock"
    assert [finding.name for finding in check.findings] == [f"{name}: numpy", f"{name}: left-pad"]


@pytest.mark.parametrize("file", ["requirements.lock", "stages/report/libraries.lock"])
@pytest.mark.parametrize(
    "false",
    [
        rb" numpy==1.26.4", rb"numpy == 1.26.4", rb"numpy==1.26.4", rb"numpy==1.26.4 ; x", rb"# numpy==1.26.4",
        b"numpy==1.26.4\r",
    ],
)  # fmt: skip
@pytest.mark.parametrize("instead", [True, False])
def test_versions_that_a_reader_sees_and_no_program_are_named(
    file: str, false: bytes, instead: bool, own: Path
) -> None:
    """In the place of the true one, or before it."""
    path = own / file
    true = re.search(rb"(?m)^numpy==.*$", path.read_bytes())
    assert true
    replace(path, path.read_bytes().replace(true[0], false if instead else false + b"\n" + true[0]))
    check_libraries(Project(own), check := Check())
    assert any(finding.name.startswith(f"{file}: ") for finding in check.findings)


def test_a_project_without_its_locked_requirements_is_named(own: Path) -> None:
    (own / "requirements.lock").unlink()
    check_libraries(Project(own), check := Check())
    assert [(finding.kind, finding.name) for finding in check.findings] == [("missing", "requirements.lock")]


def test_one_key_made_the_pseudonyms_of_all_films_of_a_source(own: Path) -> None:
    """A film with another one would leave a rerun of ingest to a key that nobody has."""
    manifest = pd.read_csv(own / "data/raw/manifest.csv", dtype=str, keep_default_na=False)
    film = manifest.index[manifest["key_id"] != ""][0]
    manifest.loc[film, "key_id"] = "0" * 8
    replace(own / "data/raw/manifest.csv", manifest.to_csv(index=False, lineterminator="\n").encode())
    check_keys(Project(own), check := Check())
    assert [finding.name for finding in check.findings] == [
        f"data/raw/manifest.csv: {manifest['image_id'][film]}/key_id"
    ]


@pytest.mark.parametrize("change", ["gone", "a row"])
def test_the_table_of_numbers_has_each_patient_of_a_hospital(change: str, own: Path) -> None:
    """By it a withdrawn patient is known under another spelling of the number."""
    path = own / "data/raw/numbers.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    path.unlink()
    if change == "a row":
        path.write_bytes(b"".join(lines[:-1]))
    look = check_account if change == "gone" else check_films
    look(Project(own), check := Check())
    patient = lines[-1].split(b",")[0].decode()
    name = "data/raw/numbers.csv"
    expected = ("missing", name) if change == "gone" else ("mismatch", f"{name}: {patient}")
    assert expected in [(finding.kind, finding.name) for finding in check.findings]


@pytest.mark.slow
def test_rules_are_broken_by_the_rows_that_great_expectations_names(tmp_path: Path) -> None:
    table = pd.DataFrame({"id": [*"abcdef"], "twice": [*"aabcdd"], "pair": [*"aabcxx"]})
    table["word"] = ["", "x", "xx", "", "x", ""]
    table["truth"], table["number"] = [True, False, True, False, True, True], [8, 16, 12, 8, 8, 0]
    suites: list[tuple[str, dict[str, Any]]] = [
        ("ExpectColumnValuesToBeUnique", {"column": "twice"}),
        ("ExpectColumnPairValuesToBeEqual", {"column_A": "twice", "column_B": "pair"}),
        ("ExpectColumnValuesToBeInSet", {"column": "truth", "value_set": [True]}),
        ("ExpectColumnValuesToBeInSet", {"column": "number", "value_set": [8, 16]}),
        ("ExpectColumnValueLengthsToBeBetween", {"column": "word", "min_value": 1}),
    ]
    with pytest.raises(UserError) as failed:
        validate("rules", table, [(f"rule {number}", *suite) for number, suite in enumerate(suites)], "id", tmp_path)
    said = re.findall(r"rule \d; failed rows: (.+)", str(failed.value))
    assert said == [", ".join(table["id"][broken(table, *suite)]) for suite in suites]


@pytest.mark.parametrize(
    "text",
    [
        f"{'0' * 64}  x.png\r\n",
        "a  x.png\nb  x.png\n",
        "a  x.png",
        "b  y.png\na  x.png\n",
        "a  x\u2028b  y\n\n",
        "a x.png\n",
        "",
    ],
)
def test_pins_of_another_form_are_named(text: str, own: Path) -> None:
    """A name that stands there twice shows one hash to a reader and the other one to programs."""
    pins = own / "data/pins"
    params = read_yaml(own / "params.yaml")
    params["ingest"]["sources"].append({"source": "kaggle", "handle": "jasonroggy/grazpedwri-dx", "version": 2})
    write_yaml(own / "params.yaml", params)
    (pins / "jasonroggy--grazpedwri-dx--v2.sha256").write_bytes(text.encode())
    (pins / "Withdrawn.csv").write_text("")
    (pins / "weights.csv").write_text((pins / "weights.csv").read_text() + '"x",y,z,w\n')
    check_pins(Project(own), check := Check())
    found = [finding.name for finding in check.findings]
    named = ["data/pins/jasonroggy--grazpedwri-dx--v2.sha256"] if text else []
    assert found == ["data/pins/Withdrawn.csv", "data/pins/weights.csv: line 2", *named]


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        (["a,{0},hub,MIT", "a,{1},user,MIT"], ["a"]),
        (["b,{0},hub,MIT", "a,{1},user,MIT"], ["order"]),
        (["a,{0}0,hub,MIT"], ["a/sha256"]),
        (["a,{0},hub,MIT", "b,{1},user,MIT"], []),
    ],
)
def test_pins_of_weights_that_nobody_wrote_so_are_named(rows: list[str], named: list[str], own: Path) -> None:
    """A file with two rows shows a reader one source, licence and hash, and training uses the other."""
    lines = "".join(f"{row.format('0' * 64, '1' * 64)}\n" for row in rows)
    table = own / "data/pins/weights.csv"
    table.write_text(table.read_text() + lines)
    check_pins(Project(own), check := Check())
    assert [finding.name.removeprefix("data/pins/weights.csv: ") for finding in check.findings] == named


def forge(project: Path, path: str, change: Callable[[pd.DataFrame], pd.DataFrame | None]) -> None:
    """Change a table and have every record agree with it."""
    table = pd.read_csv(project / path, dtype={"group": str})
    changed = change(table)
    (project / path).unlink()  # it may be a link into the cache
    write_table(project / path, table if changed is None else changed)
    cover_up(project, path)


def test_pictures_that_look_otherwise_than_their_values_are_named_though_all_values_agree(own: Path) -> None:
    """In 16 bits the white of 8 bits is black; a picture with another gamma is darker."""

    def deeper(path: str) -> None:
        pixels = read_png(own / path)
        (own / path).unlink()
        write_png(own / path, pixels.astype(np.uint16))

    def darker(path: str) -> None:
        facts = PngInfo()
        facts.add(b"gAMA", (1000).to_bytes(4, "big"))
        with Image.open(own / path) as picture:
            picture.load()
        (own / path).unlink()
        picture.save(own / path, pnginfo=facts)

    masks = [first(own, f"{RUN}/{kind}/*.png") for kind in ("mask", "probability")]
    masks[1] = masks[1].replace(Path(masks[1]).stem, Path(sorted((own / RUN / "mask").glob("*.png"))[1]).stem)
    of_dataset = [first(own, f"data/dataset/train{kind}/*.png") for kind in ("", "_levels", "_mask")]
    made = [first(own, f"data/{folder}/images/*.png") for folder in ("preprocessed", "levels")]
    for path in (*masks, *of_dataset):
        deeper(path)
    for path in made:
        darker(path)
    cover_up(own, *masks, *of_dataset, *made)
    assert discrepancies(own) == [("mismatch", path) for path in sorted((*masks, *of_dataset, *made))]

    raw, check = first(own, "data/raw/images/*.png"), Check()
    darker(raw)
    forge(own, "data/raw/manifest.csv", lambda table: set_hash(table, own / raw))
    check_raw(Project(own), check)
    assert [finding.name for finding in check.findings] == [raw]


def set_hash(manifest: pd.DataFrame, picture: Path) -> None:
    """Write a picture's SHA-256 into its row of the manifest."""
    manifest.loc[manifest["image_id"] == picture.stem, "file_sha256"] = sha256(picture)


def test_a_number_that_does_not_follow_from_the_counts_is_named_though_dvc_vouches_for_it(own: Path) -> None:
    def change(table: pd.DataFrame) -> None:
        table.loc[table["row"] == "adaptive", "f1"] = 0.99

    forge(own, "reports/comparison.csv", change)
    assert "up to date" in run(own, "dvc", "status")
    assert discrepancies(own, deep=False) == [("mismatch", "reports/comparison.csv: adaptive/f1")]


def test_counts_that_do_not_follow_from_the_masks_are_named(own: Path) -> None:
    image = pd.read_csv(own / SCORES)["image_id"][0]

    def change(table: pd.DataFrame) -> None:
        table.loc[0, "tp"] += 5
        table.loc[0, "tn"] -= 5
        counts = table.loc[0, ["tp", "fp", "fn", "tn"]].to_dict()
        table.loc[0, list(metrics(**counts))] = list(metrics(**counts).values())

    forge(own, SCORES, change)
    assert ("mismatch", f"{SCORES}: {image}") in discrepancies(own)


@pytest.mark.parametrize("path", ["models/adaptive/seed-1-fold-1/validation.csv", SCORES])
def test_counts_below_0_are_named(path: str, own: Path) -> None:
    """No metric can be computed of them."""

    def change(table: pd.DataFrame) -> None:
        table.loc[0, "tn"] = -1674

    forge(own, path, change)
    assert ("mismatch", f"{path}: tn") in discrepancies(own)


def test_scored_films_are_the_test_films_each_once(own: Path) -> None:
    """The worst film dropped, the best counted four times, and a film of the training added."""
    split = pd.read_csv(own / "data/dataset/split.csv")
    trained = split["image_id"][split["split"] == "train"].iloc[0]
    table = pd.read_csv(own / SCORES).sort_values("f1")
    worst, best = table.iloc[0], table.iloc[-1]

    def change(table: pd.DataFrame) -> pd.DataFrame:
        rest = table[table["image_id"] != worst["image_id"]]
        return pd.concat([rest, *[rest[rest["image_id"] == best["image_id"]]] * 3, rest[-1:].assign(image_id=trained)])

    forge(own, SCORES, change)
    expected = {f"{SCORES}: {name}" for name in (worst["image_id"], best["image_id"], trained)}
    assert {name for _, name in discrepancies(own, deep=False)} >= expected


def test_a_patient_on_both_sides_is_named_also_under_two_groups(own: Path) -> None:
    """A training film gets the patient of a test film; the groups stay apart."""
    split = pd.read_csv(own / "data/dataset/split.csv", dtype=str).set_index("image_id")
    test, train = (split.index[split["split"] == side][0] for side in ("test", "train"))
    patient = split.loc[test, "patient_id"]

    def change(table: pd.DataFrame) -> None:
        table.loc[table["image_id"] == train, "patient_id"] = patient

    for path in ("data/raw/manifest.csv", "data/dataset/split.csv"):
        forge(own, path, change)
    assert ("mismatch", f"data/dataset/split.csv: {patient}") in discrepancies(own, deep=False)


def test_a_film_of_the_test_among_those_of_the_training_is_named(own: Path) -> None:
    """Its picture replaces that of a training film, here and in the manifest's hash of the file."""
    split = pd.read_csv(own / "data/dataset/split.csv", dtype=str).set_index("image_id")
    test, train = (split.index[split["split"] == side][0] for side in ("test", "train"))
    stolen, hidden = (f"data/dataset/test/{test}.png", f"data/dataset/train/{train}.png")
    replace(own / hidden, (own / stolen).read_bytes())
    raw = [f"data/raw/images/{image}.png" for image in (test, train)]
    replace(own / raw[1], (own / raw[0]).read_bytes())
    digest = hashlib.sha256((own / raw[0]).read_bytes()).hexdigest()

    def change(table: pd.DataFrame) -> None:
        table.loc[table["image_id"] == train, "file_sha256"] = digest

    cover_up(own, hidden, raw[1])
    forge(own, "data/raw/manifest.csv", change)
    assert ("mismatch", f"data/raw/manifest.csv: {train}/pixel_sha256") in discrepancies(own)


def test_near_copies_in_two_groups_are_named(own: Path) -> None:
    """A film of the training is one of the test, resized and brightened; all records and later pictures agree."""
    split = pd.read_csv(own / "data/dataset/split.csv", dtype=str).set_index("image_id")
    test, train = (split.index[split["split"] == side][0] for side in ("test", "train"))
    hidden = own / f"data/raw/images/{train}.png"
    shape = read_png(hidden).shape
    film = read_png(own / f"data/raw/images/{test}.png").astype(np.float64)
    film = cv2.resize(film * 0.9, (shape[1] - 6, shape[0] - 4), interpolation=cv2.INTER_AREA).round()
    hidden.unlink()
    write_png(hidden, film.astype(read_png(own / f"data/raw/images/{test}.png").dtype))
    pixels, digest = read_png(hidden), hashlib.sha256(hidden.read_bytes()).hexdigest()

    def change(table: pd.DataFrame) -> None:
        facts = {"file_sha256": digest, "pixel_sha256": pixel_hash(pixels), "bits": 8 * pixels.itemsize}
        facts |= dict(zip(("height", "width"), pixels.shape, strict=True))
        for name, value in facts.items():
            table.loc[table["image_id"] == train, name] = value

    cover_up(own, f"data/raw/images/{train}.png")
    forge(own, "data/raw/manifest.csv", change)
    names = [name for _, name in discrepancies(own) if name.startswith("data/raw")]
    assert names == [f"data/raw/manifest.csv: {image}/group" for image in (max(test, train),)]


@pytest.mark.parametrize(
    "copied", [f"patient_id,withdrawn,key_id\n{PATIENT},2026-11-25,\n", "patient_id,withdrawn,key_id\n", "x\n", None]
)
def test_films_of_a_patient_who_withdrew_are_named(copied: str | None, tmp_path: Path) -> None:
    (tmp_path / "data/pins").mkdir(parents=True)
    (tmp_path / "data/raw").mkdir()
    (tmp_path / "data/pins/withdrawn.csv").write_text(f"patient_id,withdrawn,key_id\n{PATIENT},2026-11-25,\n")
    if copied is not None:
        (tmp_path / "data/raw/withdrawn.csv").write_text(copied)
    check = Check()
    check_withdrawn(tmp_path, check, {PATIENT: PATIENT, "p2": "p2"}, set())
    names = [finding.name for finding in check.findings]
    assert f"data/raw/manifest.csv: {PATIENT}" in names
    assert ("data/raw/withdrawn.csv" in names) is (copied is None or "2026" not in copied)


@pytest.mark.parametrize("column", ["sha256", "pixel_sha256"])
def test_a_film_of_a_patient_who_withdrew_is_known_under_another_name(column: str, tmp_path: Path) -> None:
    """Its file was renamed, or a table gives it another patient: its bytes or its pixels are the same."""
    hashes = {"sha256": "1" * 64, "pixel_sha256": "2" * 64}
    for folder in ("data/pins", "data/raw"):
        (tmp_path / folder).mkdir(parents=True)
        rows = f"patient_id,withdrawn,key_id\n{film_pseudonym(hashes[column])},2026-11-25,\n"
        (tmp_path / folder / "withdrawn.csv").write_text(rows)
    films = pd.DataFrame([{"image_id": "renamed", **hashes}, {"image_id": "b", "sha256": "", "pixel_sha256": ""}])
    check_withdrawn(tmp_path, check := Check(), films_by_hash(films), set())
    assert [finding.name for finding in check.findings] == ["data/raw/manifest.csv: renamed"]


def test_films_under_another_key_may_be_of_a_patient_who_withdrew(tmp_path: Path) -> None:
    for folder in ("data/pins", "data/raw"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "withdrawn.csv").write_text(
            f"patient_id,withdrawn,key_id\n{PATIENT},2026-11-25,11111111\n"
        )
    films_may_be_theirs = [f"data/pins/withdrawn.csv: {PATIENT}"]
    for keys, names in (({"11111111"}, []), ({SAMPLE.id}, []), ({"22222222"}, films_may_be_theirs), (set(), [])):
        check_withdrawn(tmp_path, check := Check(), {"p2": "p2"}, keys)
        assert [finding.name for finding in check.findings] == names


@pytest.mark.parametrize(
    "pseudonym", [PATIENT.upper(), f" {PATIENT}", "1.23457E+15", f'{OTHER},"2026-11-25\n{PATIENT}']
)
def test_a_withdrawal_that_takes_no_film_out_is_named(pseudonym: str, tmp_path: Path) -> None:
    """As a hand or a spreadsheet writes a pseudonym: the patient's films would stay, and seem to be gone.

    The last one makes two lines one row, whose day is the second line.
    """
    end = '"' if '"' in pseudonym else ""
    for folder in ("data/pins", "data/raw"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "withdrawn.csv").write_text(f"patient_id,withdrawn,key_id\n{pseudonym},2026-11-25{end},\n")
    check = Check()
    check_withdrawn(tmp_path, check, {PATIENT: PATIENT}, set())
    (finding,) = check.findings
    assert finding.name == "data/pins/withdrawn.csv"
    assert finding.message.startswith("expected rows such as 4f4f64c971b7fe56,2026-01-31,8a1c0b2d")


def test_code_that_git_does_not_have_or_was_told_to_overlook_is_named(own: Path) -> None:
    """All attacks at once: each is named, and nothing else."""
    edits = (
        "tools/audit/verify.py",
        "stages/common/__init__.py",
        "stages/train/loop.py",
        "LICENSE",
        "dvc.yaml",
        "dvc.lock",
    )
    for path in edits:
        (own / path).write_text((own / path).read_text() + "# x\n")
    run(own, "git", "update-index", "--assume-unchanged", "stages/train/loop.py")
    run(own, "git", "config", "filter.hide.clean", "git show HEAD:LICENSE")
    (own / ".git/info/attributes").write_text("LICENSE filter=hide\n")
    extra = (
        "stages/common/evil.py",
        "tools/audit/evil.pyc",
        "numpy.py",
        "sitecustomize.py",
        "helper.py",
        "data/incoming/.dvcignore",
    )
    (own / ".git/info/exclude").write_text("\n".join(extra))
    for path in extra:
        (own / path).write_text("")
    (own / "scripts/helper.py").write_text("")  # nobody imports it
    assert "loop.py" not in run(own, "git", "status", "--short")
    expected = [("extra", path) for path in extra] + [("mismatch", path) for path in edits]
    assert sorted(discrepancies(own, deep=False)) == sorted(expected)


@pytest.mark.usefixtures("forked_stages")
def test_only_a_rerun_catches_an_output_that_was_forged_with_all_that_follows(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = own / "data/levels/index.csv"
    lines = path.read_text().splitlines()
    image_id, thresholds, objective = lines[1].split(",")
    first, *others = thresholds.split()
    lines[1] = f"{image_id},{' '.join([str(int(first) + 1), *others])},{objective}"
    replace(path, "\n".join([*lines, ""]).encode())
    cover_up(own, "data/levels/index.csv")
    assert "up to date" in run(own, "dvc", "status")
    assert "Running" not in run(own, "dvc", "repro")
    assert wrist("audit", "verify", "--deep") == 0
    capsys.readouterr()
    assert wrist("audit", "verify", "--rerun", "threshold") == 1
    said = capsys.readouterr().out
    assert "mismatch  rerun threshold: data/levels/index.csv" in said
    assert "1 of 9 stages run again, 1 discrepancy" in said


@pytest.mark.usefixtures("forked_stages")
def test_what_cannot_be_decided_is_counted_and_is_no_success(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The stage writes other bytes, with other libraries than its lock pins."""
    monkeypatch.setattr("tools.audit.rerun.differences", lambda lock: ["numpy 1.0 (2.0)"])
    monkeypatch.setattr("tools.audit.rerun.file_md5", lambda path: "0" * 32)
    monkeypatch.setattr("tools.audit.rerun.folder_md5", lambda files: "0" * 32)
    assert wrist("audit", "verify", "--rerun", "threshold") == 3
    end = "no discrepancy, 1 unchecked; only --rerun shows whether the other 8 wrote what is here; "
    assert end in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    "command", ["exec touch {}", "python -m stages.threshold", "exec python -m stages.threshold ;x"]
)
def test_a_rerun_runs_nothing_but_the_stage_itself(command: str) -> None:
    with pytest.raises(UserError, match="expected the command"):
        command_words(Stage("threshold", command, {}, {}, {}))


def test_a_commit_is_checked_by_its_own_code_in_a_clean_clone(own: Path) -> None:
    """The audit here is forged and says that all is well; an output is forged as well."""
    for path in ("tools/audit/actions.py", "tools/wrist.py"):
        (own / path).write_text("print('no discrepancy')\n")
    path = first(own, "data/levels/images/*.png")
    replace(own / path, b"x")
    (own / "dvc.lock").write_text("stages: {}\n")
    done = subprocess.run(
        ["wrist", "audit", "verify", "--commit", "HEAD"],
        cwd=own,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [f"mismatch  {path}", "verify"]
    assert f"verify: commit {run(own, 'git', 'rev-parse', 'HEAD')[:12]}, " in done.stdout


def test_a_commit_that_lacks_code_is_one_sentence(own: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Somebody forgot to `git add` a module that others import."""
    with (own / "stages/train/params.py").open("a") as file:
        file.write("\nimport stages.train.forgotten\n")
    run(own, "git", "commit", "-qam", "half of a change")
    assert verify_commit(own, "HEAD", []) == 1
    expected = "wrist: expected a commit with all code that it imports: No module named 'stages.train.forgotten'"
    assert capfd.readouterr().err.splitlines()[-1] == expected


@pytest.mark.usefixtures("forked_stages")
def test_stages_that_run_again_give_the_same_bytes(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (project / "dvc.lock").read_bytes()
    assert wrist("audit", "verify", "--rerun", "annotate,train@adaptive-1-1,report") == 0, capsys.readouterr().out
    assert (project / "dvc.lock").read_bytes() == before


@pytest.mark.usefixtures("forked_stages")
def test_a_random_sample_runs_again(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("random.sample", lambda stages, count: [s for s in stages if s.name == "preprocess"])
    assert wrist("audit", "verify", "--rerun", "1") == 0
    assert "runs again: preprocess" in capsys.readouterr().err


@pytest.mark.parametrize("where", [(), ("--commit", "HEAD")])
def test_an_unknown_stage_is_one_sentence(where: tuple[str, ...], project: Path) -> None:
    output = run(project, "wrist", "audit", "verify", *where, "--rerun", "trian", code=1)
    assert output.startswith("wrist: --rerun trian: expected stages of dvc.lock (annotate, ")


@pytest.mark.parametrize("option", ["--commit", "--rerun"])
def test_a_variable_that_is_not_set_asks_for_no_weaker_check(option: str, project: Path) -> None:
    """A script writes `--commit "$TAG"`."""
    assert f"Invalid value for {option}" in run(project, "wrist", "audit", "verify", option, "", code=2)


def test_a_stage_that_is_asked_for_twice_runs_once(project: Path) -> None:
    """The last line counts how many of all ran."""
    assert [stage.name for stage in stages_named(Project(project), "report,annotate,report")] == ["report", "annotate"]


MD5 = "a" * 32


def entry_of_a_run(
    name: str, deps: Sequence[str] = (), more: Sequence[str] = (), params: dict[str, Any] | None = None
) -> str:
    """An entry of dvc.lock as DVC keeps it of a run of another seed or fold; more: outputs that it should not have."""
    room, _, run_id = name.partition("@")
    variant, seed, fold = run_id.split("-")
    folder = f"{variant}/seed-{seed}-fold-{fold}"
    outs = [f"models/{folder}", f"reports/validation/{run_id}.json"]
    outs = outs if room == "train" else [f"reports/evaluation/{folder}"]
    text = f"  {name}:\n    cmd: exec python -m stages.{room} {variant} {seed} {fold}\n"
    for kind, paths in (("deps", deps), ("outs", [*outs, *more])):
        text += f"    {kind}:\n" if paths else ""
        text += "".join(f"    - path: {path}\n      hash: md5\n      md5: {MD5}\n      size: 1\n" for path in paths)
        if params and kind == "deps":
            text += f"    params: {json.dumps(params)}\n"
    return text


def test_what_stands_in_dvc_lock_beside_the_stages_is_named(project: Path) -> None:
    """DVC shows data sets, and keeps stages that dvc.yaml no longer has: the first one below was never run."""
    lock = project / "dvc.lock"
    before = lock.read_text()
    entry = re.search(r"(?s)^  report:\n.*?(?=^  \w|\Z)", before, re.MULTILINE)
    assert entry
    forged = re.sub(r"[0-9a-f]{32}", "a" * 32, entry[0]).replace("report:", "report2:", 1)
    former = entry_of_a_run("train@adaptive-9-1", ["data/dataset", "stages/old.py"])
    former += entry_of_a_run("train@adaptive-8-1", ["reports/comparison.csv"], more=["reports/comparison.csv2"])
    former += entry_of_a_run("train@adaptive-01-1") + entry_of_a_run("train@adaptive-\uff12-1")
    former += entry_of_a_run("train@adaptive-4294967296-1") + entry_of_a_run("evaluate@adaptive-7-0")
    former += entry_of_a_run("train@adaptive-7-1").replace("adaptive 7 1", "adaptive 1 1")
    by_name = {"train.loop": {"epochs": 2}, "train.network": "Unet", "train.adaptive": "relobralo"}
    former += entry_of_a_run("train@adaptive-6-1", ["data/dataset"], params={"params.yaml": by_name})
    wrong = {"evaluate.boundary_px": -5.0, "evaluate.mirror": "yes", "evaluate.threshold": "0.3"}
    former += entry_of_a_run("evaluate@adaptive-6-1", ["data/dataset"], params={"params.yaml": wrong})
    former += entry_of_a_run("train@adaptive-5-1", params={"reports.yaml": {"adaptive/f1": 0.99}})
    claims = {"train.baseline": {}, "train.loop": {"epochs": 2, "reports/comparison.csv": MD5}, "comparison": 1}
    former += entry_of_a_run("train@adaptive-4-1", params={"params.yaml": claims})
    lock.write_text(before + forged + former + "datasets:\n- name: films\n  type: url\n  url: https://example.org\n")
    try:
        check = Check()
        check_former(Project(project), check)
        check_record(Project(project), check)
        found = [(finding.kind, finding.name) for finding in check.findings]
    finally:
        lock.write_text(before)
    claimed = ["report2", "train@adaptive-8-1: reports/comparison.csv", "train@adaptive-8-1: reports/comparison.csv2"]
    claimed += [f"train@adaptive-{run_id}" for run_id in ("01-1", "\uff12-1", "4294967296-1", "7-1: cmd")]
    claimed += ["evaluate@adaptive-7-0", "train@adaptive-5-1: adaptive/f1"]
    claimed += [f"train@adaptive-4-1: {key}" for key in claims]
    claimed += [f"evaluate@adaptive-6-1: {key}" for key in wrong]
    assert sorted(found) == [("extra", f"dvc.lock: {name}") for name in sorted(["datasets", *claimed])]


@pytest.mark.parametrize("line", ["'path: {}': 1", "file_path: {}", "\u3164path: {}"])
def test_a_parameter_that_reads_like_an_output_is_named(line: str, project: Path) -> None:
    """Who looks up the MD5 of a file by `grep` would find it."""
    lock = project / "dvc.lock"
    before = lock.read_text()
    entry = (
        "  train@adaptive-9-1:\n    cmd: exec python -m stages.train adaptive 9 1\n    params:\n      params.yaml:\n"
    )
    line = line.format("reports/comparison.csv")
    entry += f"        {line}\n        hash: md5\n        md5: {'0' * 32}\n"
    entry += f"    outs:\n    - path: models/adaptive/seed-9-fold-1\n      hash: md5\n      md5: {'a' * 32}.dir\n"
    lock.write_text(before + entry)
    try:
        check_lock_paths(Project(project), check := Check())
        found = [finding.name for finding in check.findings]
    finally:
        lock.write_text(before)
    check_lock_paths(Project(project), check := Check())
    assert (found, check.findings) == ([f"dvc.lock: path: {line}"], [])


@pytest.mark.parametrize("letter", ["\u3164", "\u00a0", "\u2003", "\u2800", "\ufe0f"])
def test_letters_of_params_that_look_like_nothing_are_named(letter: str) -> None:
    """`fracture` with such a letter behind it is another label: a reader would think that it is left out."""
    content = {"ingest": {"sources": [{"other_classes": [f"fracture{letter}"]}], f"a{letter}": 1}}
    keys = [key for key, _ in blank_letters(content)]
    assert keys == ["ingest.sources.0.other_classes.0", f"ingest.a{letter}"]
    assert not list(blank_letters({"größe": ["大きさ", "می\u200cخواهم", "two words", 3, None]}))


def test_letters_of_dvc_yaml_that_look_like_nothing_are_named(project: Path) -> None:
    file = project / "dvc.yaml"
    before = file.read_bytes()
    file.write_bytes(before + "artifacts:\n  m:\n    path: models\n    desc: all\u3164test\u00a0films\n".encode())
    try:
        check_characters(Project(project), check := Check())
    finally:
        file.write_bytes(before)
    assert [finding.name for finding in check.findings] == ["dvc.yaml: artifacts.m.desc"]


@pytest.mark.parametrize("name", ["params.yaml", "dvc.yaml"])
@pytest.mark.parametrize("character", ["\u2028", "\x85", "\r", "\u202e", "\u200b"])
def test_characters_that_readers_do_not_see_are_named(character: str, name: str, project: Path) -> None:
    """Some of them end a comment, and with it the line, for parsers of YAML alone."""
    file = project / name
    before = file.read_bytes()
    file.write_bytes(before + f"# weight of Dice {character}# alpha\n".encode())
    try:
        check_characters(Project(project), check := Check())
    finally:
        file.write_bytes(before)
    line = before.count(b"\n") + 1
    said = f"U+{ord(character):04X}, which readers do not see; remove it"
    assert [(finding.name, finding.message) for finding in check.findings] == [(f"{name}: line {line}", said)]


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


def test_the_share_of_a_film_that_lies_on_the_square_follows_from_its_place(own: Path) -> None:
    check_prepared(Project(own), check := Check())
    assert not check.findings
    path = own / "data/preprocessed/index.csv"
    index = pd.read_csv(path, dtype=str)
    index.loc[0, "kept_share"] = "0.999"
    index.loc[1, "scale_x"] = "0.0"
    replace(path, index.to_csv(index=False, lineterminator="\n").encode())
    check_prepared(Project(own), check := Check())
    names = [f"data/preprocessed/index.csv: {index['image_id'][film]}/kept_share" for film in (0, 1)]
    assert [finding.name for finding in check.findings] == names


def test_a_place_that_is_not_on_the_square_is_named(own: Path) -> None:
    path = own / "data/preprocessed/index.csv"
    index = pd.read_csv(path, dtype=str)
    index.loc[0, ["left", "right"]] = ["1", "65"]
    index.loc[1, ["top", "bottom"]] = ["-1", "63"]
    for film in (0, 1):
        index.loc[film, "kept_share"] = "0.5"
    replace(path, index.to_csv(index=False, lineterminator="\n").encode())
    check_prepared(Project(own), check := Check())
    found = [finding.name.removeprefix("data/preprocessed/index.csv: ") for finding in check.findings]
    one, other = index["image_id"][:2]
    assert found == [f"{one}/right", f"{one}/kept_share", f"{other}/bottom", f"{other}/kept_share"]


@pytest.mark.parametrize("name", ["reports/c\u043emparison.csv", "models/final/weights.safetensors"])
def test_a_result_that_no_stage_made_is_named_also_where_a_commit_has_it(name: str, own: Path) -> None:
    (own / name).parent.mkdir(exist_ok=True)
    (own / name).write_text("f1\n0.98\n")
    run(own, "git", "add", "--force", name)
    run(own, "git", "commit", "-qm", "better")
    check_beside(Project(own), check := Check())
    assert [finding.name for finding in check.findings] == [name if name.startswith("reports") else "models/final"]


def test_a_folder_that_is_called_as_a_text_is_named(own: Path) -> None:
    (own / "reports/README.md").unlink()
    (own / "reports/README.md").mkdir()
    (own / "reports/README.md/comparison.csv").write_text("f1\n0.98\n")
    check_beside(Project(own), check := Check())
    assert [finding.name for finding in check.findings] == ["reports/README.md"]


def test_objects_of_the_cache_that_are_not_what_their_names_say_are_named(own: Path, tmp_path: Path) -> None:
    """`dvc metrics diff` shows them, and `dvc checkout` restores them. The workspace is as it was."""
    md5 = Project(own).lock.hashes["reports/metrics.json"]
    replace(own / ".dvc/cache/files/md5" / md5[:2] / md5[2:], b"{}")
    (own / ".dvc/cache/files/md5" / md5[:2] / "half.tmp").write_bytes(b"of a download")
    assert discrepancies(own) == [("mismatch", f"cache: {md5}")]
    # In a cache that projects share nobody asks for objects of others.
    moved = tmp_path / "shared"
    (own / ".dvc/cache").rename(moved)
    (moved / "files/md5/ab").mkdir(exist_ok=True)
    (moved / "files/md5/ab" / ("c" * 30)).write_bytes(b"another project's, and damaged")
    with (own / ".dvc/config.local").open("a") as config:
        config.write(f"[cache]\n    dir = {moved}\n")
    cache_folder.cache_clear()
    check_cache(Project(own), check := Check())
    assert [finding.name for finding in check.findings] == [f"cache: {md5}"]


@pytest.mark.slow
def test_an_honest_project_of_other_choices_is_called_good(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Weights that change within an epoch, levels in place of films, masks that follow them, another network."""
    params = read_yaml(own / "params.yaml")
    network = {key: value for key, value in params["train"]["network"].items() if key != "channels"}
    params["train"]["network"] = network | {"architecture": "FPN", "input": "levels"}
    params["train"] |= {"baseline": {"method": "uncertainty"}, "adaptive": {"method": "linear", "clock": "iteration"}}
    params["train"]["loop"] |= {"select": "last"}
    params["annotate"]["mask"] = "box_levels"
    write_yaml(own / "params.yaml", params)
    run(own, "dvc", "repro")
    run(own, "git", "commit", "-qam", "other choices")
    assert wrist("audit", "verify", "--deep") == 0, capsys.readouterr().out
    assert "no discrepancy" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a, b", "jürgen 深"])
def test_a_commit_is_checked_in_a_folder_whatever_its_name(
    name: str, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC's own writer of settings fails on letters beyond ASCII."""
    own.rename(tmp_path / name)
    (tmp_path / f"of {name}").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / f"of {name}"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert verify_commit(tmp_path / name, "HEAD", []) == 0


def test_source_files_that_a_clone_has_not_are_left_unchecked(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No remote of DVC has them. Some of them, or others, are a discrepancy."""
    lock, film = own / "dvc.lock", own / "data/incoming/film.png"

    def entry() -> str:
        files = hash_folder(own, "data/incoming")
        size = sum(size_of(own / "data/incoming" / name) for name in files)
        return f"      md5: {folder_md5(files)}\n      size: {size}\n      nfiles: {len(files)}\n"

    empty = entry()
    film.write_bytes(b"a film")
    assert lock.read_text().count(empty) == 1
    lock.write_text(lock.read_text().replace(empty, entry()))
    run(own, "git", "commit", "-qam", "with a film in the inbox")
    assert wrist("audit", "verify", "--deep") == 0, capsys.readouterr().out
    film.unlink()
    assert wrist("audit", "verify", "--deep") == 3
    assert "unchecked data/incoming: the source files are not here" in capsys.readouterr().out
    check = verify(Project(own), deep=True)
    rerun(Project(own), stages_named(Project(own), "ingest"), check, print)
    assert [finding.name for finding in check.unchecked] == ["data/incoming", "rerun ingest"]
    film.with_name("other.png").write_bytes(b"another")
    assert wrist("audit", "verify") == 1
