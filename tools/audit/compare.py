"""Whether a repetition gave the bytes of a commit; if not, which stage is the first to differ, and why."""

from pathlib import Path

from stages import read_params
from stages.common.analysis.formatting import device_in_words
from stages.common.core.errors import first_few
from stages.common.data.layout import PARAMS
from tools.audit.check_code import foreign_code
from tools.audit.check_files import check_files, check_ignored
from tools.audit.check_links import check_links
from tools.audit.check_pipeline import check_pipeline, stage_runs
from tools.audit.check_record import PIPELINE
from tools.audit.check_repeatable import brought_along, cache_elsewhere
from tools.audit.clean_clone import refuse_links
from tools.audit.commit_files import commit_files, committed_texts
from tools.audit.dvc_lock import LOCK, Lock, Stage, declared_outs
from tools.audit.findings import Check
from tools.audit.repository import commit_of, git
from tools.audit.rerun import device
from tools.audit.trace import Project
from tools.audit.yaml_files import read_yaml
from tools.doctor.packages import differences


def compare(project: Project, revision: str) -> tuple[bool, str]:
    """Whether all outputs have the bytes whose hashes dvc.lock has at a commit, and a sentence for the user.

    Raises:
        UserError: there is no such commit, no dvc.lock in it, or links, behind which there may be results.
    """
    root, here, full = project.root, project.lock, commit_of(project.root, revision)
    for commit in {"HEAD", full}:
        refuse_links(root, commit)
    then, commit = lock_at(project, revision), git(root, "rev-parse", "--short", full).strip()
    if lacking := sorted({*here.unrecorded, *then.unrecorded}):
        return False, f"not all outputs can be compared with those of {commit}: {LOCK} lacks {first_few(lacking)}"
    if lacking := sorted(stage_runs(read_params(root / PARAMS)).keys() - here.stages.keys()):
        return False, f"not all stages were repeated: {PIPELINE} lacks {first_few(lacking)}, which {PARAMS} asks for"
    if lacking := sorted(then.stages.keys() - here.stages.keys()):
        return False, f"other stages than those of {commit}: {PIPELINE} lacks {first_few(lacking)}"
    different = [stage for name, stage in here.stages.items() if not same_outputs(stage, then.stages.get(name))]
    if not different:
        return compare_files(project, commit, {"HEAD", full})
    # The first: nothing that it read was made by another of them.
    made = [Path(path) for stage in different for path in stage.outs]
    first = next(
        stage for stage in different if not any(overlap(Path(path), out) for path in stage.deps for out in made)
    )
    others = f" ({len(different) - 1} stages after it, too)" if len(different) > 1 else ""
    reasons = "; ".join(reasons_of(root, first, then.stages.get(first.name)))
    return False, f"other bytes than those of {commit}: {first.name} is the first to differ{others}. {reasons}"


def other_code(project: Project) -> list[str]:
    """What dvc.yaml asks for beside the pipeline's own stages, and what programs would run beside the pipeline's code:
    either could bring results along, into the cache of DVC or in a stage's place.
    """
    check = Check()
    check_pipeline(project, check)
    foreign = [path for path, _ in foreign_code(project.root, files_at(project.root, {"HEAD"}))]
    elsewhere = [] if (project.root / ".dvc/config").is_file() else [".dvc of another folder"]
    return [*elsewhere, *(finding.name for finding in check.wrong), *foreign]


def compare_files(project: Project, commit: str, revisions: set[str]) -> tuple[bool, str]:
    """Whether the outputs are as dvc.lock, which is that of the commit, says, and were made here; and a sentence.

    Args:
        project: whose files are hashed.
        commit: as the sentence calls it.
        revisions: the commits that may bring results along.
    """
    if found := other_code(project):
        return False, f"nothing need have been repeated: more runs than the pipeline's own stages, {first_few(found)}"
    if changed := changed_since(project):
        return False, f"other bytes than those of {commit}: changed since they were made are {first_few(changed)}"
    if brought := [*brought_along(project, files_at(project.root, revisions)), *cache_elsewhere(project.root)]:
        return False, f"nothing need have been repeated: {commit} brings results along, {first_few(brought)}"
    return True, f"the same bytes as committed: {len(project.lock.hashes)} outputs are those of {commit}"


def files_at(root: Path, revisions: set[str]) -> set[str]:
    """The paths of all files of some commits."""
    return {path for revision in revisions for path in commit_files(root, revision)}


def lock_at(project: Project, revision: str) -> Lock:
    """dvc.lock at a commit, with the stages that its dvc.yaml has; that of the workspace, where both say the same.

    To read YAML takes more than a tenth of a second, to compare texts does not.
    """
    root, names = project.root, (LOCK, PIPELINE, str(PARAMS))
    lock, pipeline, params = committed_texts(root, revision, names)
    if (lock, pipeline, params) == (project.lock.text, *((root / name).read_text() for name in names[1:])):
        return project.lock
    return Lock(lock, declared_outs(read_yaml(PIPELINE, pipeline), read_yaml(str(PARAMS), params)))


def changed_since(project: Project) -> list[str]:
    """Files of outputs that are not as dvc.lock has them, and those that a .dvcignore hides."""
    check = Check()
    check_files(project, check)
    check_ignored(project, check)
    check_links(project, check)
    return [finding.name for finding in sorted(check.findings) if project.lock.output_of(finding.name)]


def overlap(one: Path, other: Path) -> bool:
    """Whether two paths are one, or one lies in the other: report reads models/baseline, train writes a part of it."""
    return one == other or one in other.parents or other in one.parents


def same_outputs(stage: Stage, then: Stage | None) -> bool:
    """Whether a stage has the outputs that it had."""
    return then is not None and stage.outs == then.outs


def reasons_of(root: Path, stage: Stage, then: Stage | None) -> list[str]:
    """Why a stage writes other bytes than it did; the stages before it wrote the same."""
    if then is None:
        return ["The commit has no such stage"]
    reasons = []
    if changed := sorted(key for key in stage.params | then.params if stage.params.get(key) != then.params.get(key)):
        reasons.append(f"Its parameters differ: {', '.join(changed)}")
    if changed := sorted(path for path in stage.deps | then.deps if stage.deps.get(path) != then.deps.get(path)):
        reasons.append(f"What it reads differs: {', '.join(changed)}")
    if changed := differences(root / "stages" / stage.name.partition("@")[0] / "libraries.lock"):
        reasons.append(f"Its libraries differ: {', '.join(changed)}")
    if (computed := device(root, stage)) not in ("", "AVX2"):
        only = device_in_words("AVX2")
        reasons.append(f"It was computed on {device_in_words(computed)}; portable bytes come only from {only}")
    return reasons or [
        "Parameters, code, data and libraries are the same: please report what `python -m pytest "
        "tests/test_portable.py` says"
    ]
