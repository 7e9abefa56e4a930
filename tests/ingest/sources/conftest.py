from pathlib import Path

import pytest

from tests.helpers.hospital import KEY


@pytest.fixture
def inbox(here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    (here / "in").mkdir()
    key = tmp_path_factory.mktemp("secret") / "key"
    key.write_bytes(KEY.secret)
    monkeypatch.setenv("PSEUDONYM_KEY_FILE", str(key))
    monkeypatch.delenv("PSEUDONYM_KEY", raising=False)
    return here / "in"
