"""The git remote `origin` and DVC's default remote, from which other machines get a project."""

from pathlib import Path

from tests.helpers.processes import run


def publish(project: Path, store: str, endpoint: str = "") -> None:
    """Commit what a project has, and push commit and data to new remotes, as docs ask of who uses several machines.

    Args:
        project: a repository with an author. The git remote is the folder `git` beside it.
        store: address of the DVC remote.
        endpoint: of the S3 server that has it, if any.
    """
    run(project, "dvc", "remote", "add", "--default", "store", store)
    if endpoint:
        run(project, "dvc", "remote", "modify", "store", "endpointurl", endpoint)
    run(project, "git", "add", "-A")
    run(project, "git", "commit", "-qm", "published")
    push_to_origin(project)
    run(project, "dvc", "push", "-q")


def push_to_origin(project: Path) -> None:
    """Make the folder `git` beside a project its git remote `origin`, whose branch `main` is the present commit."""
    origin = str(project.parent / "git")
    run(project, "git", "init", "-q", "--bare", "-b", "main", origin)
    run(project, "git", "remote", "add", "origin", origin)
    run(project, "git", "push", "-q", "origin", "HEAD:main")
