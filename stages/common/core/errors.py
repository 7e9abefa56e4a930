"""What a user reads of an error: the exception for mistakes, lists in its sentences, and the machine's own refusals."""

import errno
import resource
from collections.abc import Iterable, Sequence

# What the loader of libraries and libraries themselves say where they get no memory.
NO_MEMORY = (
    "failed to map segment from shared object",
    "cannot allocate memory",
    "Cannot allocate memory",
    "Insufficient memory",
)
NO_THREAD = "can't start new thread"
MEMORY = "the memory that it may use is full; free some, or raise the limit (`ulimit -v`, or that of the container)"
PROCESSES = (
    "the system starts no more processes or threads for it; raise the limit (`ulimit -u`, `ulimit -v`, or that of the "
    "container), or set WORKERS to fewer"
)

LOOP = "links lead in a circle; remove one of them"
CIRCLE = "Symlink loop from "


class UserError(Exception):
    """A mistake in the data, the parameters or the machine that its user can fix.

    The message is one clear sentence or list: which file, what was expected, what was found, how to fix it.
    `run_command` prints it without a traceback and exits with code 1.
    """


def first_few(names: Sequence[str], most: int = 6) -> str:
    """Many names in one line: the first of them, and how many there are beyond."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def error_list(heading: str, findings: Iterable[str], shown: int = 20) -> UserError:
    """One UserError for a whole batch of findings, so that a user fixes them in one go."""
    lines = list(findings)
    rest = [f"  ... and {len(lines) - shown} more"] if len(lines) > shown else []
    return UserError("\n".join([f"{heading} ({len(lines)}):", *(f"  - {line}" for line in lines[:shown]), *rest]))


def describe_encoding(name: object, error: UnicodeDecodeError) -> str:
    """A sentence for a file that is no UTF-8, as some editors write `ü`.

    Args:
        name: of the file, whose whole content was decoded.
        error: of its decoding.
    """
    line = error.object[: error.start].count(b"\n") + 1
    return f"{name}: expected text in UTF-8, found other bytes in line {line}; save it as UTF-8"


def describe_exhaustion(error: Exception) -> str:
    """A sentence for memory or threads that this process cannot have, or a circle of links; other errors are bugs and
    are raised again.

    Args:
        error: of any type: OpenCV and Python itself (SystemError) have their own for full memory.
    """
    if str(error).startswith(CIRCLE):  # what `Path.resolve` says before Python 3.13
        link = str(error).removeprefix(CIRCLE).strip("'")
        return f"{link}: {LOOP}"
    chain: list[BaseException] = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) and before not in chain:
        chain.append(before)
    if any(is_full_memory(link) for link in chain):
        return MEMORY
    if any(NO_THREAD in str(link) for link in chain):
        return PROCESSES
    raise error


def is_full_memory(error: BaseException) -> bool:
    """Whether an error says that memory is full, or comes under a limit of memory from C code that says nothing."""
    limited = resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, SystemError) and limited)
        or any(said in str(error) for said in NO_MEMORY)
    )


def describe_os_error(error: OSError) -> str:
    """A sentence for what the machine refuses; other errors are bugs and are raised again."""
    if error.errno == errno.ENOMEM:
        return MEMORY
    if error.errno == errno.EAGAIN and not error.filename:  # a process that could not start
        return PROCESSES
    where = error.filename or "the output folder"
    fixes = {
        errno.ENOSPC: "the disk is full; free some space and rerun the command",
        errno.EDQUOT: "the disk quota is used up; free some space and rerun the command",
        errno.EFBIG: "the file is larger than this user may write; raise the limit (`ulimit -f`)",
        errno.EIO: "the disk or share does not answer as it should; look at its messages and rerun the command",
        errno.ESTALE: "the share went away and came back; mount it again and rerun the command",
        errno.ENOTCONN: "the share went away; mount it again and rerun the command",
        errno.ENXIO: "expected a file, found a socket or a device that nobody serves; remove it",
        errno.EACCES: "permission denied; make it readable and its folder writable",
        errno.EROFS: "the file system is read-only; run on a writable one",
        errno.ENOENT: "no such file or folder; run from the project's root, or `dvc repro` to make it",
        errno.ENOTDIR: "expected a folder, found a file on the way to it; remove it",
        errno.EEXIST: "expected a folder, found a file of that name; remove it, or name another",
        errno.EISDIR: "expected a file, found a folder; remove it, or name another",
        errno.ENAMETOOLONG: "the name is longer than the file system takes; use a shorter one",
        errno.ELOOP: LOOP,
        errno.EPERM: "the system does not permit it, also to who may write here (`lsattr`, shares); name another place",
        errno.EBUSY: "the system uses it, as a mount point; name another, or a folder in it",
        errno.EMFILE: "too many files are open; raise the limit (`ulimit -n`)",
    }
    if error.errno not in fixes:
        raise error
    return f"{where}: {fixes[error.errno]}"
