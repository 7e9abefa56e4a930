import signal
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.common.core.errors import UserError
from stages.train.checkpoint import checkpoint_path, fingerprint, load_checkpoint, remove_checkpoint, save_checkpoint
from tests.helpers.paths import ROOT
from tests.helpers.processes import on_small_disk, run

STATE: dict[str, Any] = {
    "network": {"a.weight": torch.arange(6.0).reshape(2, 3), "a.count": torch.tensor(3), "empty": torch.zeros(0)},
    "optimiser": {0: {"step": torch.tensor(2.0), "exp_avg": torch.randn(2, 3).bfloat16()}},
    "history": [{"epoch": 0, "loss": 0.1 + 0.2}],
    "since_tick": None,
    "pair": (0.1, 1e-300),
}


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b) and a.dtype == b.dtype
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", "name", STATE)
    assert equal(load_checkpoint(tmp_path / "c", "name"), STATE)


def test_where_there_is_none_there_is_nothing(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "c", "name") is None


def test_one_of_another_training_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", "other", STATE)
    with pytest.raises(UserError, match=r"c: expected a checkpoint of name, found one of other; delete the file"):
        load_checkpoint(tmp_path / "c", "name")


@pytest.mark.slow
def test_a_full_disk_is_said_and_leaves_the_earlier_one(tmp_path: Path) -> None:
    script = f"""
    PYTHONPATH={ROOT} {sys.executable} - <<'END'
    import torch
    from pathlib import Path
    from stages.common.core.errors import UserError
    from stages.train.checkpoint import load_checkpoint, save_checkpoint
    save_checkpoint(Path("c"), "name", {{"x": torch.ones(100_000)}})
    try:
        save_checkpoint(Path("c"), "name", {{"x": torch.zeros(1_000_000)}})
    except UserError as fault:
        print(fault)
    print(load_checkpoint(Path("c"), "name")["x"].sum().item(), [path.name for path in Path().iterdir()])
    END
    """
    said = on_small_disk(tmp_path, "1m", textwrap.dedent(script))
    assert "c: expected room for a checkpoint of 4 MB, found: " in said
    assert "100000.0 ['c']" in said


@pytest.mark.slow
def test_a_training_killed_while_it_writes_leaves_nothing_behind(tmp_path: Path) -> None:
    script = """
    import signal, sys
    from pathlib import Path
    from resource import RLIM_INFINITY, RLIMIT_FSIZE, setrlimit
    import torch
    from stages.train.checkpoint import save_checkpoint
    path = Path(sys.argv[1])
    save_checkpoint(path, "name", {"x": torch.ones(10)})
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # the kernel ends a process that writes more than it may
    setrlimit(RLIMIT_FSIZE, (100_000, RLIM_INFINITY))
    save_checkpoint(path, "name", {"x": torch.zeros(1_000_000)})
    """
    path = tmp_path / "c"
    run(ROOT, sys.executable, "-c", textwrap.dedent(script), str(path), code=-signal.SIGXFSZ)
    assert len([file for file in tmp_path.rglob("*") if file.is_file()]) == 2, "expected to be killed while it writes"
    assert equal(load_checkpoint(path, "name"), {"x": torch.ones(10)})
    save_checkpoint(path, "name", STATE)
    assert list(tmp_path.iterdir()) == [path]
    remove_checkpoint(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_cut_one_is_said(share: float, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", "name", STATE)
    content = (tmp_path / "c").read_bytes()
    (tmp_path / "c").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match=r"expected a checkpoint of this training, found an unreadable file; delete it"):
        load_checkpoint(tmp_path / "c", "name")


def test_a_flipped_bit_is_said(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", "name", STATE)
    content = bytearray((tmp_path / "c").read_bytes())
    content[-1] ^= 1
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(UserError, match="expected the bytes that were written"):
        load_checkpoint(tmp_path / "c", "name")


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    torch.save({"network": {}}, tmp_path / "c")
    with pytest.raises(UserError, match="expected a checkpoint of this training"):
        load_checkpoint(tmp_path / "c", "name")


def test_the_name_follows_from_params_machine_and_data() -> None:
    names = {fingerprint({"a": 1}, "d"), fingerprint({"a": 2}, "d"), fingerprint({"a": 1}, "e")}
    assert len(names) == 3
    assert fingerprint({"a": 1, "b": 2}, "d") == fingerprint({"b": 2, "a": 1}, "d")


def test_runners_that_come_and_go_may_keep_them_elsewhere(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checkpoint_path("x") == here / ".checkpoints/x.safetensors"
    monkeypatch.setenv("DVC_ROOT", str(here / "root"))  # a queued experiment runs in a copy
    assert checkpoint_path("x") == here / "root/.checkpoints/x.safetensors"
    monkeypatch.setenv("CHECKPOINT_DIR", "/mnt/share")
    assert checkpoint_path("x") == Path("/mnt/share/x.safetensors")
