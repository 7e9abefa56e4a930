"""What a person reads of a withdrawal: what went, what is not known whose, what knows nothing of it, what is next."""

from collections.abc import Iterable
from pathlib import Path

from stages.common.core.printed import one_line
from stages.common.data.layout import WITHDRAWN_PINS
from tools.audit.patient_files import PatientFiles, below, version_names
from tools.audit.trace import Project
from tools.audit.unaware import branches, former_remotes, queued, saved_experiments, unfinished


def print_found(files: PatientFiles, project: Project, verb: str) -> None:
    """The patient, the films, and what went, or would go."""
    print(one_line(f"patient {', '.join(sorted(files.patients))}"))
    print(one_line(f"{len(files.images)} films: {', '.join(sorted(files.images))}"))
    print_cached(files, verb)
    print(f"{verb} outside of the cache: {len(files.here)} files")
    for path in sorted(below(project.root, path) for path in files.here):
        print(f"  {one_line(path)}")
    if files.shared:
        same = sorted(path for paths in files.shared.values() for path in paths)
        print(one_line(f"stay in the cache, since others have the same bytes: {', '.join(same)}"))
    if files.kin:
        print(
            one_line(
                "of other patients, and in one group with these films, as copies, of one study, or since they are one "
                f"person: films of {', '.join(sorted(files.kin))}; withdraw these patients, too, if so"
            )
        )
    print_common(files)
    print_models(files, project)


def print_everywhere(files: PatientFiles, project: Project) -> None:
    """What a patient or film left in all versions."""
    print_cached(files, "found")
    if files.shared:
        print("the same bytes as files of others, as an empty mask or a copy has:")
        print_versions((", ".join(sorted(paths)), md5) for md5, paths in files.shared.items())
    print_common(files)
    print_models(files, project)
    if files.unlisted_outs:
        print(
            "not searched, since this cache lacks the lists of their files; `dvc fetch --all-commits` brings those "
            "that no withdrawal removed:"
        )
        print_versions((out, md5) for md5, out in files.unlisted_outs.items())


def print_cached(files: PatientFiles, verb: str) -> None:
    """What DVC keeps in caches and remotes, a line for all versions of a file."""
    cached = files.cached
    print(
        f"{verb}, in all versions: {len(files.objects)} files of these films only, {len(cached) - len(files.objects)} "
        f"tables and pages that name them, or show films of the same data; {len(files.in_cache)} of them in this cache"
    )
    print_versions((", ".join(sorted(paths)), md5) for md5, paths in cached.items())


def print_common(files: PatientFiles) -> None:
    """The names that say little: files are left that name the film by nothing else."""
    if common := sorted(files.words.common):
        print(
            one_line(
                "looked for in tables of films, and with the suffix of a film, not in running text, where they can "
                f"mean anything: {', '.join(common)}"
            )
        )


def print_models(files: PatientFiles, project: Project) -> None:
    """The models that have seen the films, and the versions in which all this was looked for."""
    print(
        f"of data with them, which they were trained on, tested on, or left out of, to be judged by you: "
        f"{len(files.models)} models"
    )
    print_versions((path, md5) for md5, path in files.models.items())
    if files.commits:
        print("in these versions: " + ", ".join(version_names(project, files.commits)))
    if files.unknown:
        print(
            "searched by the ids of other versions, since their manifests are not in this cache: "
            + ", ".join(version_names(project, files.unknown))
        )


def print_versions(found: Iterable[tuple[str, str]]) -> None:
    """Each path once, with the md5 of all its versions."""
    versions = dict[str, list[str]]()
    for path, md5 in sorted(found):
        versions.setdefault(path, []).append(md5)
    for path, hashes in versions.items():
        count = f"{len(hashes)} versions, " if len(hashes) > 1 else ""
        print(one_line(f"  {path} ({count}md5 {', '.join(hashes)})"))


def print_of_nobody(files: PatientFiles, counts: dict[str, int]) -> None:
    """What went from remotes, and what nobody knows whose it is.

    Args:
        files: what was found.
        counts: of files removed from each remote.
    """
    for name, count in counts.items():
        print(f"remote {name}: {count} files removed")
    if files.unlisted:
        print(
            f"not known whose, since no list of the cache names them: {len(files.unlisted)} files, such as "
            f"{one_line(str(files.unlisted[0]))}; after `dvc repro`, `dvc gc --workspace` removes them, and "
            "all that only other commits need"
        )
    if files.of_no_version:
        print(
            f"in remotes, of no version that is known here, and not known whose: {len(files.of_no_version)} files, "
            f"such as {one_line(files.of_no_version[0])}; where no other project has the remote, after `dvc repro`, "
            "`dvc gc --workspace --cloud` removes them, and all that only other commits need, but nothing whose name "
            "ends in .tmp"
        )


def print_unaware(root: Path, patients: set[str]) -> None:
    """From where the films could come back."""
    if late := queued(root, patients):
        print(
            f"queued experiments that would read these films again: {one_line(', '.join(late))}; `dvc queue remove` "
            f"them, and queue them anew when {WITHDRAWN_PINS} is committed"
        )
    if lost := unfinished(root, patients):
        print(
            "experiments of DVC's queue that failed or did not end, and would read these films again where they are "
            f"queued anew: {one_line(', '.join(lost))}; `wrist sweep requeue`, then `dvc queue remove` them"
        )
    if others := branches(root, patients):
        print(
            f"branches that know nothing of it, and would read these films again: {one_line(', '.join(others))}; merge "
            f"the commit of {WITHDRAWN_PINS} into them"
        )
    if saved := saved_experiments(root, patients):
        print(
            f"experiments that know nothing of it, and take {WITHDRAWN_PINS} away where they are applied: "
            f"{one_line(', '.join(saved))}; `dvc exp remove` them"
        )
    if former := former_remotes(root):
        print(
            f"remotes of earlier commits, into which nobody looked: {one_line(', '.join(former))}; what is in them is "
            "yours to remove"
        )


def print_next(project: Project, dry_run: bool, not_added: str, fewer: str) -> None:
    """What is the user's to do, in the order in which it is to be done.

    Args:
        project: of the patient.
        dry_run: whether nothing was removed.
        not_added: why the record is not in git's index; blank where it is.
        fewer: what must be changed before the pipeline can run; blank where nothing must.
    """
    print(
        "Source files, predictions, exports, signed evidence, pictures in notebooks, what git or an MLflow server "
        "keeps, clones and backups are yours to remove."
    )
    if not dry_run:
        if not_added:
            why = one_line(not_added)
            print(f"{WITHDRAWN_PINS} is not in git's index, from which temporary experiments take it: {why}")
        print(
            "Before `dvc repro`, no `dvc checkout`, `dvc pull` or `dvc gc`: each takes away what no list has any more."
        )
    if fewer:
        print(fewer)
    if not dry_run:
        stages = ", ".join(project.lock.stages)
        print(f"noted in {WITHDRAWN_PINS}; commit it before any experiment, and run `dvc repro`: {stages} run again")
