"""Names of processes that stay right: a number alone is given again, and each container counts for itself."""

import os
from pathlib import Path


def process_name(number: int) -> str:
    """What no other process of this machine is ever called; blank where no process has the number, or a dead one.

    Its number, its start in clock ticks after the machine's, the namespace of its number, and the id of the machine's
    start (proc_pid_stat(5), pid_namespaces(7), random(4)).
    """
    try:
        after_command = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    state, start = after_command[0], after_command[19]
    if state in "ZX":  # it waits for its parent only
        return ""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{number} {start} {Path('/proc/self/ns/pid').readlink()} {boot}"


def has_ended(name: str) -> bool | None:
    """Whether a process of this machine has ended, or None where its number means nothing here.

    Args:
        name: as `process_name` gave it, in this container or in another one.
    """
    *_, namespace, boot = name.split()
    *_, own_namespace, own_boot = process_name(os.getpid()).split()
    if boot == own_boot and namespace != own_namespace:
        return None
    return process_name(int(name.split()[0])) != name
