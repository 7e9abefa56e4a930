"""A grammar of forgeries: each field of a record changed, struck, doubled or swapped, and hashes that agree with it."""

import copy
import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dvc.utils.serialize import dumps_yaml, loads_yaml

from tests.helpers.processes import run
from tools.audit.dvc_cache import file_md5, folder_md5, hash_folder, listing, object_path

Key = tuple[Any, ...]


def fields(document: Any, key: Key = ()) -> Iterator[Key]:
    """The keys that lead to every field of a JSON document, those of whole mappings and lists before their own."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for name, value in items:
        yield (*key, name)
        yield from fields(value, (*key, name))


def get(document: Any, key: Key) -> Any:
    for name in key:
        document = document[name]
    return document


def forgeries(document: Any) -> Iterator[tuple[str, Any]]:
    """Every copy of a JSON document with one field changed, struck, doubled or swapped with another, and its name."""
    for key in fields(document):
        name, value = "/".join(map(str, key)), get(document, key)
        for kind in ("changed", "struck", "doubled", "swapped"):
            forged = copy.deepcopy(document)
            parent = get(forged, key[:-1])
            if kind == "changed":
                parent[key[-1]] = changed(value)
            elif kind == "struck":
                del parent[key[-1]]
            elif kind == "doubled" and isinstance(parent, list):
                parent.insert(key[-1], value)
            elif kind == "doubled":
                parent[f"{key[-1]}2"] = value
            else:
                others = [
                    other for other in (parent if isinstance(parent, dict) else range(len(parent))) if other != key[-1]
                ]
                if not others or parent[others[0]] == value:
                    continue
                parent[key[-1]], parent[others[0]] = parent[others[0]], value
            yield f"{name} {kind}", forged


def changed(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return ("0" if value[:1] != "0" else "1") + value[1:]
    return {} if isinstance(value, list) else [] if isinstance(value, dict) else 1


def forged_tables(text: str) -> Iterator[tuple[str, str]]:
    """Every copy of a CSV file with its first or last row or a column struck, doubled or swapped with its neighbour."""
    head, *rows = csv.reader(io.StringIO(text))
    grid = [head, *rows]
    columns = [list(column) for column in zip(*grid, strict=True)]
    for kind in ("struck", "doubled", "swapped"):
        for number in sorted({1, len(rows)}) if rows else ():
            if forged := moved(grid, number, kind, first=1):
                yield f"row {number} {kind}", as_csv(forged)
        for number in range(len(head)):
            if forged := moved(columns, number, kind):
                yield f"column {head[number]} {kind}", as_csv(list(zip(*forged, strict=True)))


def moved(lines: list[list[str]], number: int, kind: str, first: int = 0) -> list[list[str]] | None:
    """Lines of which one is struck, doubled or swapped; None where that changes nothing."""
    other = number + 1 if number + 1 < len(lines) else first
    if kind == "struck":
        return lines[:number] + lines[number + 1 :]
    if kind == "doubled":
        return lines[: number + 1] + lines[number:]
    if lines[number] == lines[other]:
        return None
    swapped = list(lines)
    swapped[number], swapped[other] = lines[other], lines[number]
    return swapped


def with_cells(text: str, row: int, skip: set[str] = frozenset()) -> Iterator[tuple[str, str]]:
    """Every copy of a CSV file with one cell of a row changed, and the name of its column; none of one without rows."""
    head, *rows = csv.reader(io.StringIO(text))
    for number, name in enumerate(head):
        if rows and name not in skip:
            lines = [list(line) for line in rows]
            lines[row][number] = changed_cell(lines[row][number])
            yield name, as_csv([head, *lines])


def changed_cell(cell: str) -> str:
    """Another cell of the same type."""
    if cell in ("True", "False"):
        return str(cell == "False")
    try:
        return str(changed(json.loads(cell)))
    except ValueError:
        return "1.0" if cell in ("", "nan") else str(changed(cell))


def as_csv(lines: list[Any]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(lines)
    return stream.getvalue()


def as_json(document: Any) -> str:
    """As the pipeline writes a record."""
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def replace(path: Path, content: bytes) -> None:
    """Write a file that may be a link into the cache."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def cover_up(project: Path, *names: str) -> None:
    """Make every record agree with outputs that were changed: lists and objects in the cache, dvc.lock, and git.

    What `dvc commit --force` does for all stages, in a fraction of its time.
    """
    lock = loads_yaml((project / "dvc.lock").read_text())
    entries = [item for stage in lock["stages"].values() for kind in ("deps", "outs") for item in stage.get(kind, [])]
    for item in entries:
        if not any(name == item["path"] or name.startswith(f"{item['path']}/") for name in names):
            continue
        if not item["md5"].endswith(".dir"):
            item["md5"], item["size"] = file_md5(project / item["path"]), (project / item["path"]).stat().st_size
            keep(project, project / item["path"], item["md5"])
            continue
        files = hash_folder(project, item["path"])
        item["md5"], item["nfiles"] = folder_md5(files), len(files)
        item["size"] = sum((project / item["path"] / name).stat().st_size for name in files)
        for name, md5 in files.items():
            keep(project, project / item["path"] / name, md5)
        target = object_path(project, item["md5"])
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(json.dumps([{"md5": files[name], "relpath": name} for name in sorted(files)]))
    (project / "dvc.lock").write_text(dumps_yaml(lock))
    run(project, "git", "commit", "-qam", "nothing to see here", "--allow-empty")
    listing.cache_clear()


def keep(project: Path, file: Path, md5: str) -> None:
    """Put a file into the cache, unless it is there."""
    target = object_path(project, md5)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
