from importlib import import_module

import pytest


@pytest.fixture(scope="module", autouse=True)
def _shared_workers(shared_workers: None) -> None:
    """For all tests of ingest."""
    import_module("great_expectations")  # five seconds, which no test is charged with
