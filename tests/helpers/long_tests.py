"""Tests that take minutes of processor time, more than what `make test` may use for one."""

import os

import pytest

long_test = pytest.mark.skipif("LONG_TESTS" not in os.environ, reason="minutes of processor time: set LONG_TESTS=1")
