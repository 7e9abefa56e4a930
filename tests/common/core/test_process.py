"""Names of processes, compared with what Linux does to them."""

import os
import shutil
import subprocess

import pytest

from stages.common.core.process import has_ended, process_name


def test_a_process_is_alive_until_it_ends_also_where_its_parent_does_not_look() -> None:
    sleeper = subprocess.Popen(["sleep", "60"])
    name = process_name(sleeper.pid)
    assert has_ended(name) is False
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
    assert has_ended(name) is True
    sleeper.wait()
    assert has_ended(name) is True


def test_a_number_that_is_given_again_is_another_process() -> None:
    number, start, *rest = process_name(os.getpid()).split()
    assert has_ended(" ".join([number, str(int(start) - 1), *rest])) is True


def test_after_a_restart_of_the_machine_all_have_ended() -> None:
    before = process_name(os.getpid()).split()[:3]
    assert has_ended(" ".join([*before, "another-boot"])) is True


def test_a_container_counts_its_own_processes() -> None:
    if shutil.which("unshare") is None:
        pytest.skip("no unshare on this machine")
    words = ["unshare", "--map-root-user", "--pid", "--fork", "--mount-proc", "cat", "/proc/self/stat"]
    inside = subprocess.run(words, capture_output=True, text=True, check=False)
    if inside.returncode:
        pytest.skip(f"no namespaces on this machine: {inside.stderr}")
    words = [*words[:-2], "readlink", "/proc/self/ns/pid"]
    namespace = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    number, start, own, boot = process_name(os.getpid()).split()
    assert namespace != own
    assert has_ended(f"{number} {start} {namespace} {boot}") is None
