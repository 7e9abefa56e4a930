"""Params as they may leave the hospital: the path of an export outside of the project can name persons."""

from pathlib import Path
from typing import Any

OUTSIDE = "inbox-outside-of-the-project"


def public_path(path: str) -> str:
    """A path from the root as it is; OUTSIDE for an absolute one."""
    return OUTSIDE if Path(path).is_absolute() else path


def public_params(params: dict[str, Any]) -> dict[str, Any]:
    """The content of params.yaml, or some sections of it, with the inbox as `public_path` calls it.

    Args:
        params: by section.
    """
    ingest = params.get("ingest", {})
    return params | {"ingest": ingest | {"inbox": public_path(str(ingest["inbox"]))}} if "inbox" in ingest else params
