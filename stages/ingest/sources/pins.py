"""data/pins: what the files of a fetched data set were, so that a later change is noticed and named."""

from pathlib import Path

from stages.common.core.errors import UserError, error_list

SHA256 = "[0-9a-f]{64}"


def need_pins(file: Path, label: str, command: str) -> Path:
    """The file that pins a data set.

    Args:
        file: of data/pins.
        label: the data set and its version.
        command: fetches and pins it.
    Raises:
        UserError: the data set was never fetched and pinned.
    """
    if not file.exists():
        raise UserError(
            f"{file}: expected the hashes of {label}, found no such file; run `{command}`, look at what it says, and "
            "commit the file"
        )
    return file


def compare(file: Path, label: str, pinned: dict[str, str], hashes: dict[str, str]) -> None:
    """Refuse a data set that is not what was pinned.

    Args:
        file: of data/pins.
        label: the data set and its version.
        pinned: SHA-256 by name.
        hashes: what is there; '' is unknown.
    Raises:
        UserError: names what is new, gone or changed.
    """
    findings = [f"{name}: gone" for name in sorted(pinned.keys() - hashes.keys())]
    findings += [f"{name}: new" for name in sorted(hashes.keys() - pinned.keys())]
    both = sorted(pinned.keys() & hashes.keys())
    findings += [f"{name}: changed" for name in both if hashes[name] and hashes[name] != pinned[name]]
    if findings:
        raise error_list(
            f"{label} is not what {file.name} pins; find out why, and remove the pin file to accept it", findings
        )
