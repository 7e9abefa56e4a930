from importlib import import_module

import pytest


@pytest.fixture(scope="session", autouse=True)
def _great_expectations() -> None:
    """Five seconds of imports, which no test is charged with."""
    import_module("great_expectations")
