"""Whether what is here is what was run: files against dvc.lock, tables against counts, everything against git.

Every discrepancy is one finding: extra, missing or mismatching, by the name of the thing itself. What only follows from
a thing that is already named is not looked at, so that one changed byte gives one finding.
"""

import random

from stages.common.core.errors import UserError
from tools.audit.check_account import check_account
from tools.audit.check_cache import check_cache
from tools.audit.check_code import check_bytecode, check_code, check_lock_committed
from tools.audit.check_copies import check_near_copies
from tools.audit.check_data import check_dataset, check_films, check_prepared, check_raw
from tools.audit.check_documents import check_exports, check_page
from tools.audit.check_files import check_beside, check_files, check_ignored, check_leftovers
from tools.audit.check_former import check_former
from tools.audit.check_history import check_objects
from tools.audit.check_inbox import check_inbox
from tools.audit.check_libraries import check_libraries
from tools.audit.check_links import check_links
from tools.audit.check_params import check_characters, check_params
from tools.audit.check_pins import check_encoders, check_pins
from tools.audit.check_pipeline import check_pipeline
from tools.audit.check_predictions import check_counts
from tools.audit.check_record import PIPELINE, check_record
from tools.audit.check_repeatable import check_repeatable
from tools.audit.check_rules import check_noted, check_rules
from tools.audit.check_scores import (
    check_metrics,
    check_models,
    check_numbers,
    check_report,
    check_scores,
)
from tools.audit.check_sources import check_keys, check_licences, check_sources
from tools.audit.dvc_lock import Stage
from tools.audit.findings import Check
from tools.audit.trace import Project

TABLES = (
    check_films,
    check_licences,
    check_pins,
    check_keys,
    check_inbox,
    check_scores,
    check_numbers,
    check_account,
    check_noted,
)  # against one another
PICTURES = (
    check_sources,
    check_encoders,
    check_raw,
    check_near_copies,
    check_prepared,
    check_dataset,
    check_rules,
    check_counts,
    check_models,
    check_metrics,
    check_report,
)  # all that follows


def verify(project: Project, deep: bool = False) -> Check:
    """All checks; `deep` also computes again, from pictures and tables, whatever follows from them."""
    check = Check()
    check_characters(project, check)
    check_params(project, check)
    check_code(project, check)
    check_repeatable(project, check)
    if check.whole(PIPELINE):
        check_pipeline(project, check)
    if check.whole(PIPELINE):
        for name in project.lock.lacking:
            check.add(name, "missing", "a stage of dvc.yaml that dvc.lock knows nothing of; run `dvc repro`")
    check_files(project, check)
    check_ignored(project, check)
    check_links(project, check)
    check_leftovers(project, check)
    check_beside(project, check)
    check_former(project, check)
    check_libraries(project, check)
    if check.whole(PIPELINE):
        check_record(project, check)
    check_lock_committed(project, check)
    for look in (*TABLES, *((check_objects, check_bytecode, check_cache, *PICTURES) if deep else ())):
        look(project, check)
    if not check.wrong:  # from which they would follow
        check_page(project, check)
        if deep:
            check_exports(project, check)
    check.findings.sort()
    return check


def stages_named(project: Project, names: str) -> list[Stage]:
    """The stages of a comma-separated list, each once, so many at random, or all.

    Raises:
        UserError: dvc.lock has no such stage.
    """
    stages = project.lock.stages
    if names == "all":
        return list(stages.values())
    if names.isdecimal():
        return random.sample(list(stages.values()), min(int(names), len(stages)))
    for name in dict.fromkeys(names.split(",")):
        if name not in stages:
            names_of_all = ", ".join(sorted(stages))
            raise UserError(
                f"--rerun {name}: expected stages of dvc.lock ({names_of_all}), a number, or `all`; found none of that "
                "name"
            )
    return [stages[name] for name in dict.fromkeys(names.split(","))]
