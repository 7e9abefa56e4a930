"""What data/raw and data/dataset must be, by the rules of their stages, and what the stages noted of them.

great-expectations needs two seconds to start; its four rules that the stages use are lines of pandas, and a test
compares both.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.annotate.expectations import dataset_facts, dataset_suite
from stages.common.core.files import json_text
from stages.common.core.validation import Expectation
from stages.common.data.layout import CHECKS, DATASET, PARAMS, RAW, USED
from stages.common.data.tables import ANNOTATIONS, MANIFEST, SPLIT
from stages.ingest.quality.expectations import manifest_facts, manifest_suite
from tools.audit.findings import Check
from tools.audit.tables import read_table
from tools.audit.trace import Project
from tools.audit.yaml_files import settings_of


def check_noted(project: Project, check: Check) -> None:
    """What the stages noted of the rules, and of the number of rows."""
    manifest, split = read_table(project, check, RAW, MANIFEST), read_table(project, check, DATASET, SPLIT)
    if manifest is not None:
        check_note(project, check, RAW, manifest_suite(), len(manifest))
    if split is not None and check.whole(str(PARAMS)):
        suite = dataset_suite(settings_of(project.root, "annotate").split)
        check_note(project, check, DATASET, suite, int(split["split"].isin(USED).sum()))


def check_note(project: Project, check: Check, folder: Path, suite: list[Expectation], rows: int) -> None:
    """The record of the rules beside a table.

    Args:
        project: whose record is read.
        check: gets the finding.
        folder: of the record.
        suite: the rules.
        rows: of the table.
    """
    path = folder / CHECKS
    if not check.whole(str(path)):
        return
    expected = [{"expectation": meaning, "rule": rule, "rows": rows} for meaning, rule, _ in suite]
    file = project.root / path
    if not file.is_file() or file.read_bytes() != json_text(expected).encode():
        check.add(str(path), "mismatch", "it is not what its stage notes of the rules and of the number of rows")


def check_rules(project: Project, check: Check) -> None:
    """Name each film that breaks a rule of its stage, which would have ended; where no file of the films is named."""
    if not check.whole(str(RAW)):
        return
    manifest, annotations = read_table(project, check, RAW, MANIFEST), read_table(project, check, RAW, ANNOTATIONS)
    if manifest is not None and annotations is not None:
        facts = manifest_facts(manifest, annotations, project.root / RAW)
        check_suite(check, RAW / MANIFEST.name, facts, manifest_suite())
    split = read_table(project, check, DATASET, SPLIT)
    if split is not None and check.whole(str(DATASET), str(PARAMS)):
        settings = settings_of(project.root, "annotate").split
        facts = dataset_facts(split, project.root / DATASET, settings)
        check_suite(check, DATASET / SPLIT.name, facts, dataset_suite(settings))


def check_suite(check: Check, path: Path, facts: pd.DataFrame, suite: list[Expectation]) -> None:
    """Name each row that breaks a rule.

    Args:
        check: gets the findings.
        path: of the table.
        facts: its rows with what was found of them.
        suite: the rules.
    """
    for meaning, rule, arguments in suite:
        for image in facts["image_id"][broken(facts, rule, arguments)]:
            check.add(f"{path}: {image}: {meaning}", "mismatch", "it does not hold, and its stage would have ended")


def broken(table: pd.DataFrame, rule: str, arguments: dict[str, Any]) -> np.ndarray:
    """Which rows break a rule of great-expectations.

    Args:
        table: with the columns that the arguments name.
        rule: the name of its class.
        arguments: as for the class.
    Returns:
        bool (rows,).
    Raises:
        NotImplementedError: no stage used the rule so far.
    """
    if rule == "ExpectColumnPairValuesToBeEqual":
        return np.asarray(table[arguments["column_A"]] != table[arguments["column_B"]])
    column = table[arguments["column"]]
    if rule == "ExpectColumnValuesToBeUnique":
        return np.asarray(column.duplicated(keep=False))
    if rule == "ExpectColumnValuesToBeInSet":
        return np.asarray(~column.isin(arguments["value_set"]))
    if rule == "ExpectColumnValueLengthsToBeBetween":
        return np.asarray(column.str.len() < arguments["min_value"])
    raise NotImplementedError(rule)
