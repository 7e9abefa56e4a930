"""A pytest plugin: a test that takes long is marked `slow`, so that `make quick` stays quick."""

import os
from collections.abc import Iterator

import pytest

LIMIT = 5.0
"""Seconds that a test without the mark may use of processors, with the processes that it waits for.

Not seconds on the clock: how long those are depends on what else the machine does. They are counted where only fast
tests are asked for (`-m "not slow"`), as `make quick` does: a processor may be four times slower than a developer's.
"""


def cpu_seconds() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """What fixtures take does not count."""
    before = cpu_seconds()
    yield
    used = cpu_seconds() - before
    asked = item.config.option.markexpr == "not slow"
    if asked and used > LIMIT and item.get_closest_marker("slow") is None:
        pytest.fail(f"used {used:.1f} s of CPU time, above {LIMIT} s: mark it `slow` or make it faster", pytrace=False)
