"""Whether what is here is what was run: files against dvc.lock, tables against counts, code and params against git.

Every discrepancy is one finding: extra, missing or mismatching, by the name of the thing itself. What only follows from
a thing that is already named is not looked at, so that one changed byte gives one finding.
"""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.common.core.errors import UserError
from stages.common.core.files import read_png
from stages.common.core.hashing import sha256
from stages.common.data.layout import (
    DATASET,
    EVALUATION,
    PARAMS,
    PREDICTED_MASK,
    RAW,
    USED,
    dataset_file,
    fold_columns,
    map_file,
)
from stages.common.data.run_id import VARIANTS
from stages.common.data.tables import MANIFEST, SPLIT
from stages.common.model.metrics import COUNTS, count_pixels, metrics
from tools.audit.dvc_cache import files_below, folder_md5, hash_files, listing, size
from tools.audit.dvc_lock import Stage, git, lookup
from tools.audit.trace import REPORT, Project, Row, scores_of

MANIFEST_CSV, SPLIT_CSV = str(RAW / MANIFEST.name), str(DATASET / SPLIT.name)
CLOSE = 1e-9  # relative; sums of a hundred floats in another order


@dataclass(frozen=True, order=True)
class Discrepancy:
    """kind: extra, missing, mismatch, or unchecked (what cannot be checked here, which is no discrepancy)."""

    name: str
    kind: str
    message: str


@dataclass
class Check:
    """What was looked at, and what was found."""

    files: int = 0
    bytes: int = 0
    findings: list[Discrepancy] = field(default_factory=list)

    def add(self, name: str, kind: str, message: str) -> None:
        if not any(finding.name == name for finding in self.findings):
            self.findings.append(Discrepancy(name, kind, message))

    def whole(self, *paths: str) -> bool:
        """Whether nothing was found in these files or folders."""
        named = [finding.name for finding in self.findings if finding.kind != "unchecked"]
        return not any(name == path or name.startswith(f"{path}/") for name in named for path in paths)


def verify(project: Project, deep: bool = False) -> Check:
    """All checks; `deep` also counts every mask's pixels again and hashes every raw file by SHA-256."""
    check = Check()
    for name in project.lock.lacking:
        check.add(name, "missing", "a stage of dvc.yaml that dvc.lock knows nothing of; run `dvc repro`")
    check_files(project, check)
    check_params(project, check)
    check_commit(project, check)
    if check.whole(MANIFEST_CSV, SPLIT_CSV):
        check_split(project, check)
    check_numbers(project, check)
    if deep:
        check_raw(project, check)
        check_counts(project, check)
    check.findings.sort()
    return check


def check_files(project: Project, check: Check) -> None:
    """Every input and output of dvc.lock by its md5, folders file by file."""
    hashes_by_path = defaultdict(set)
    for stage in project.lock.stages.values():
        for path, md5 in (stage.deps | stage.outs).items():
            hashes_by_path[path].add(md5)
    alone = {}
    for path, (md5, *others) in sorted((path, sorted(hashes)) for path, hashes in hashes_by_path.items()):
        inside = [out for out in project.lock.hashes if out.startswith(f"{path}/")]
        if others:
            message = f"stages ran on versions {', '.join([md5, *others])}; run `dvc repro`"
            check.add(path, "mismatch", message)
        elif inside:
            check_parent(project, check, path, md5, inside)
        else:
            alone[path] = md5
    check_alone(project, check, alone)


def check_alone(project: Project, check: Check, expected: dict[str, str]) -> None:
    """Files and folders that one stage made, or that were there before; hashed all at once."""
    here = {path: sorted(files_below(project.root, path)) for path, md5 in expected.items() if md5.endswith(".dir")}
    files = {path: {name: project.root / path / name for name in names} for path, names in here.items()}
    single = [project.root / path for path in expected if path not in here]
    files_to_hash = single + [file for inside in files.values() for file in inside.values()]
    hashes = hash_files(files_to_hash)
    check.files += sum(md5 != "" for md5 in hashes.values())
    check.bytes += sum(map(size, files_to_hash))
    for path, md5 in expected.items():
        if path in here:
            check_folder(project, check, path, md5, {name: hashes[file] for name, file in files[path].items()})
        elif not (actual := hashes[project.root / path]):
            check.add(path, "missing", f"expected md5 {md5}")
        elif actual != md5:
            check.add(path, "mismatch", f"expected md5 {md5}, found {actual}")


def check_parent(project: Project, check: Check, path: str, md5: str, inside: list[str]) -> None:
    """A folder that a stage read and whose parts others made: those are checked by themselves.

    Args:
        project: whose files are hashed.
        check: gets the discrepancies.
        path: of the folder, from the root.
        md5: of the folder, in dvc.lock.
        inside: outputs of stages that lie in it.
    """
    for name in files_below(project.root, path):
        if not any(f"{path}/{name}".startswith(f"{out}/") for out in inside):
            check.add(f"{path}/{name}", "extra", "no stage wrote it")
    parts = {out: listing(project.root, project.lock.hashes[out]) for out in inside}
    files = {
        f"{out}/{name}".removeprefix(f"{path}/"): of
        for out, listed in parts.items()
        for name, of in (listed or {}).items()
    }
    if None not in parts.values() and folder_md5(files) != md5:
        check.add(
            path, "mismatch", f"a stage read it with md5 {md5}, its parts make {folder_md5(files)}; run `dvc repro`"
        )


def check_folder(project: Project, check: Check, path: str, md5: str, actual: dict[str, str]) -> None:
    """A folder against its list in the cache; without that list the folder's own hash says whether, not what.

    Args:
        path, md5: of the folder, as dvc.lock has them.
        actual: md5 of the files that are there, by relative path.
    """
    if not (project.root / path).is_dir():
        check.add(path, "missing", f"expected a folder with md5 {md5}")
        return
    listed = listing(project.root, md5)
    if listed is not None and folder_md5(listed) != md5:
        check.add(f"cache: {md5}", "mismatch", f"the list of {path} in the cache was changed; remove it, `dvc fetch`")
        listed = None
    if listed is None:
        if folder_md5(actual) != md5:  # code is in no cache, but in git
            for name in changed_since_commit(project.root, path) or [path]:
                check.add(name, "mismatch", f"expected {path} with md5 {md5}, found {folder_md5(actual)}")
        return
    for name in sorted(actual.keys() | listed.keys()):
        if name not in listed:
            check.add(f"{path}/{name}", "extra", "no stage wrote it")
        elif name not in actual:
            check.add(f"{path}/{name}", "missing", f"expected md5 {listed[name]}")
        elif actual[name] != listed[name]:
            check.add(f"{path}/{name}", "mismatch", f"expected md5 {listed[name]}, found {actual[name]}")


def changed_since_commit(root: Path, *paths: str) -> list[str]:
    """Files below the paths that are not as the last commit has them."""
    return git(root, "diff", "--name-only", "HEAD", "--", *paths).split()


def check_params(project: Project, check: Check) -> None:
    """Params that stages ran with against params.yaml here and in git.

    Stages read one param by keys of several depths (train.optimiser, train): it is named once, by the shortest.
    """
    text = (project.root / PARAMS).read_text()
    here = YAML(typ="safe").load(text)
    try:
        last = git(project.root, "show", f"HEAD:{PARAMS}")
        committed = here if last == text else YAML(typ="safe").load(last)
    except UserError:
        committed = None
    messages: dict[str, str] = {}
    for stage in project.lock.stages.values():
        for key, value in stage.params.items():
            for where, params in ((str(PARAMS), here), (f"{PARAMS} of the last commit", committed)):
                for leaf, expected, actual in differences(key, value, lookup(params, key) if params else value):
                    messages.setdefault(leaf, f"{stage.name} ran with {expected}, {where} has {actual}")
    for leaf, message in messages.items():
        if not any(leaf.startswith(f"{other}.") for other in messages):
            check.add(f"{PARAMS}: {leaf}", "mismatch", message)


def differences(key: str, expected: Any, actual: Any) -> Iterator[tuple[str, Any, Any]]:
    """Leaves that differ, by their dotted name."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for name in sorted(expected.keys() | actual.keys()):
            yield from differences(f"{key}.{name}", expected.get(name), actual.get(name))
    elif expected != actual:
        yield key, expected, actual


def check_commit(project: Project, check: Check) -> None:
    """Code that ran against the last commit; what differs here, too, is named by check_files."""
    recorded = {path: md5 for stage in project.lock.stages.values() for path, md5 in stage.code.items()}
    try:
        changed = changed_since_commit(project.root, *recorded)
    except UserError:
        check.add("git", "unchecked", "no commit to compare code and params with")
        return
    for path in changed:
        inside = any(path == code or path.startswith(f"{code}/") for code in recorded)
        if inside and check.whole(path):
            check.add(path, "mismatch", "what ran is not what is committed; commit it")


def check_split(project: Project, check: Check) -> None:
    """No patient, and no film whose pixels another has, on two sides of a fold; no film that the manifest lacks."""
    rows = list(project.split.values())
    for column in fold_columns(rows[0]).values():
        for key, source in (("group", project.split), ("pixel_sha256", project.films)):
            sides = defaultdict(set)
            for row in rows:
                if row[column] in USED and row["image_id"] in project.films:
                    sides[source[row["image_id"]][key]].add(row[column])
            for value, sides_of_value in sorted(sides.items()):
                if len(sides_of_value) > 1:
                    message = f"{column}: {key} {value} stands in {' and '.join(sorted(sides_of_value))}"
                    check.add(f"{SPLIT_CSV}: {value}", "mismatch", message)
    for image in sorted(project.split.keys() - project.films.keys()):
        check.add(f"{SPLIT_CSV}: {image}", "extra", "the manifest has no such film")
    for image, count in Counter(row["image_id"] for row in project.rows(SPLIT_CSV)).items():
        if count > 1:
            check.add(f"{SPLIT_CSV}: {image}", "extra", f"it stands there {count} times")


def check_numbers(project: Project, check: Check) -> None:
    """The report's rows of both variants, and each run's metrics, from the stored pixel counts."""
    by_variant: dict[str, dict[int, list[dict[str, int]]]] = {variant: defaultdict(list) for variant in VARIANTS}
    for run in project.runs:
        path = scores_of(run)
        if not check.whole(path):
            return
        by_variant[run.variant][run.seed].append(pooled(project.rows(path)))
    if not check.whole(REPORT):
        return
    cells = {row["row"]: row for row in project.rows(REPORT)}
    for variant, seeds in by_variant.items():
        scores = [metrics(**add(runs)) for runs in seeds.values()]
        for name in scores[0] if scores else ():
            if name in cells[variant]:
                expected = sum(score[name] for score in scores) / len(scores)
                if not same(cells[variant][name], expected):
                    message = f"{cells[variant][name]} is printed, {expected!r} follows from the pixel counts"
                    check.add(f"{REPORT}: {variant}/{name}", "mismatch", message)


def pooled(rows: list[Row]) -> dict[str, int]:
    return {key: sum(int(row[key]) for row in rows) for key in COUNTS}


def add(runs: list[dict[str, int]]) -> dict[str, int]:
    return {key: sum(run[key] for run in runs) for key in COUNTS}


def same(printed: str, expected: float) -> bool:
    if printed == "":
        return math.isnan(expected)
    return math.isclose(float(printed), expected, rel_tol=CLOSE, abs_tol=1e-12)


def check_raw(project: Project, check: Check) -> None:
    """Every raw picture by the SHA-256 of the manifest."""
    if not check.whole(MANIFEST_CSV):
        return
    for image, row in project.films.items():
        path = str(RAW / row["file"])
        if check.whole(path) and sha256(project.root / path) != row["file_sha256"]:
            check.add(path, "mismatch", f"expected sha256 {row['file_sha256']}, as the manifest says of {image}")


def check_counts(project: Project, check: Check) -> None:
    """The pixel counts of every test film from its mask and its label."""
    for run in project.runs:
        path = scores_of(run)
        if not check.whole(path, SPLIT_CSV):
            continue
        for row in project.rows(path):
            image = row["image_id"]
            label = str(dataset_file(DATASET, project.split[image]["split"], image, "mask"))
            mask = str(map_file(EVALUATION / run.folder, PREDICTED_MASK, image))
            if not check.whole(label, mask):
                continue
            pred, ref = (read_png(project.root / picture) > 0 for picture in (mask, label))
            counts = count_pixels(mask_pred=pred, mask_ref=ref)
            if any(int(row[key]) != counts[key] for key in COUNTS):
                check.add(f"{path}: {image}", "mismatch", f"{counts} follow from {mask} and {label}")


def stages_named(project: Project, names: str) -> list[Stage]:
    """The stages of a comma-separated list, or so many at random.

    Raises:
        UserError: dvc.lock has no such stage.
    """
    stages = project.lock.stages
    if names.isdecimal():
        return random.sample(list(stages.values()), min(int(names), len(stages)))
    for name in names.split(","):
        if name not in stages:
            names_of_all = ", ".join(sorted(stages))
            raise UserError(
                f"--rerun {name}: expected stages of dvc.lock ({names_of_all}), or a number; found none of that name"
            )
    return [stages[name] for name in names.split(",")]
