"""The files of each output against its own tables: none too few, none too many.

Every hash can agree with an output that a killed stage left half-written, or that somebody struck a film from, and DVC
has recorded it as good.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from stages.common.data.layout import (
    CHECKS,
    CURVES,
    DATASET,
    DESCRIPTION,
    EVALUATION,
    LEVELS,
    METRICS,
    MODELS,
    PARAMS,
    PICTURES,
    PREDICTED_MASK,
    PREPROCESSED,
    PROBABILITY,
    RAW,
    USED,
    WEIGHTS,
    WITHDRAWN_PINS,
    dataset_file,
    dicom_file,
    image_file,
    map_file,
)
from stages.common.data.run_id import VARIANTS
from stages.common.data.tables import (
    ANNOTATIONS,
    FILES,
    FROC,
    HISTORY,
    LEGEND,
    MANIFEST,
    PER_IMAGE,
    PRECISION_RECALL,
    PREPARED,
    QUARANTINE,
    RELIABILITY,
    SPLIT,
    THRESHOLDS,
    VALIDATION_SCORES,
    WITHDRAWN,
    Table,
)
from stages.ingest.withdrawn import NUMBERS
from tools.audit.dvc_cache import files_below
from tools.audit.findings import Check
from tools.audit.tables import compare_tables, read_table
from tools.audit.trace import Project
from tools.audit.yaml_files import settings_of

NOWHERE = Path()


def check_account(project: Project, check: Check) -> None:
    """Name each file that an output lacks or has beside those of its account."""
    manifest, split = read_table(project, check, RAW, MANIFEST), read_table(project, check, DATASET, SPLIT)
    for folder, expected in accounts(project, check, manifest, split):
        if not check.whole(str(folder)):
            continue
        found = set(files_below(project.root, str(folder)))
        for name in sorted(found ^ expected):
            kind = "extra" if name in found else "missing"
            check.add(f"{folder}/{name}", kind, f"the tables of {folder} say otherwise; run `dvc repro`")
    further: list[tuple[Path, Table[Any]]] = [(RAW, QUARANTINE)]
    further += [(EVALUATION / run.folder, curve) for run in project.runs for curve in (PRECISION_RECALL, FROC)]
    for folder, table in further:  # that no other check reads
        read_table(project, check, folder, table)
    check_legend(project, check)


def check_legend(project: Project, check: Check) -> None:
    """The greys of the levels, which follow from their number."""
    from stages.threshold.process_film import level_greys

    legend = read_table(project, check, LEVELS, LEGEND)
    if legend is not None and check.whole(str(PARAMS)):
        settings = settings_of(project.root, "threshold")
        expected = pd.DataFrame({"grey": level_greys(settings.classes)}).rename_axis("level").reset_index()
        compare_tables(check, str(LEVELS / LEGEND.name), legend, expected)


def accounts(
    project: Project, check: Check, manifest: pd.DataFrame | None, split: pd.DataFrame | None
) -> Iterator[tuple[Path, set[str]]]:
    """Each folder that a stage writes, with the names of the files in it that follow from its tables.

    Args:
        project: whose tables are read.
        check: gets the findings about tables that cannot be read, whose folders are left out.
        manifest, split: of data/raw and data/dataset, where they can be read.
    """
    if manifest is not None:
        yield RAW, files_of_raw(project.root, manifest)
    for folder, table, others in ((PREPROCESSED, PREPARED, ()), (LEVELS, THRESHOLDS, (LEGEND.name,))):
        rows = read_table(project, check, folder, table)
        if rows is not None:
            yield folder, {table.name, *others, *(image_file(NOWHERE, image).as_posix() for image in rows["image_id"])}
    if split is not None:
        used = split[split["split"].isin(USED)]
        films = list(zip(used["split"], used["image_id"], strict=True))
        pictures = {dataset_file(NOWHERE, *film, kind).as_posix() for film in films for kind in PICTURES}
        yield DATASET, {SPLIT.name, CHECKS, *pictures}
    for run in project.runs:
        yield MODELS / run.folder, {WEIGHTS, DESCRIPTION, HISTORY.name, VALIDATION_SCORES.name}
        scores = read_table(project, check, EVALUATION / run.folder, PER_IMAGE)
        if scores is None:
            continue
        kinds = (PROBABILITY, PREDICTED_MASK)
        maps = {map_file(NOWHERE, kind, image).as_posix() for kind in kinds for image in scores["image_id"]}
        tables: tuple[Table[Any], ...] = (PER_IMAGE, PRECISION_RECALL, RELIABILITY, FROC)
        yield EVALUATION / run.folder, {METRICS, *(table.name for table in tables), *maps}
    yield CURVES, {f"{variant}_{table.name}" for variant in VARIANTS for table in (HISTORY, PRECISION_RECALL)}


def files_of_raw(root: Path, manifest: pd.DataFrame) -> set[str]:
    """The files of data/raw; the list of withdrawn patients is there where data/pins has it.

    Args:
        root: of the project.
        manifest: a film of a hospital, which has no name of a source file, has its de-identified DICOM as well.
    """
    files = {table.name for table in (MANIFEST, ANNOTATIONS, FILES, QUARANTINE)} | {CHECKS}
    files |= {WITHDRAWN.name} if (root / WITHDRAWN_PINS).is_file() else set()
    files |= {NUMBERS.name} if any(manifest["key_id"]) else set()
    images, of_hospitals = manifest["image_id"], manifest["image_id"][manifest["source_file"] == ""]
    files |= {image_file(NOWHERE, image).as_posix() for image in images}
    return files | {dicom_file(NOWHERE, image).as_posix() for image in of_hospitals}
