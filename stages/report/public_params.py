"""Params as they may leave the hospital: the path of an export, and folders in it, can name persons."""

from pathlib import Path
from typing import Any

OUTSIDE, WARD = "inbox-outside-of-the-project", "a-folder-of-the-inbox"


def public_path(path: str) -> str:
    """A path from the root as it is; OUTSIDE for one that leads out of the project."""
    return OUTSIDE if Path(path).is_absolute() or ".." in Path(path).parts else path


def public_params(params: dict[str, Any]) -> dict[str, Any]:
    """The content of params.yaml, or some sections of it, without paths of a hospital's export.

    The inbox is as `public_path` calls it; the folder that a hospital's source reads there is WARD.

    Args:
        params: by section.
    """
    ingest = dict(params.get("ingest", {}))
    if "inbox" in ingest:
        ingest["inbox"] = public_path(str(ingest["inbox"]))
    if "sources" in ingest:
        ingest["sources"] = [public_source(entry) for entry in ingest["sources"]]
    return params | {"ingest": ingest} if ingest else params


def public_source(entry: Any) -> Any:
    """An entry of `ingest.sources`, which may be a name alone."""
    of_hospital = isinstance(entry, dict) and entry.get("source") == "hospital"
    return entry | {"below": WARD} if of_hospital and entry.get("below") else entry
