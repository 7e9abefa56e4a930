"""How many trainings run at a time, on this machine and on pretended ones."""

import os
from types import SimpleNamespace
from typing import Any

import pytest

from stages.common.core.errors import UserError
from stages.train.params import Params
from tools.sweep.capacity import CONTEXT, LIBRARIES, USABLE, capacity, choose_jobs, training_bytes


@pytest.fixture
def train(toy_params: dict[str, Any]) -> Params:
    return Params.model_validate(toy_params["train"])


def changed(train: Params, **loop: int) -> Params:
    return train.model_copy(update={"loop": train.loop.model_copy(update=loop)})


def pretend(monkeypatch: pytest.MonkeyPatch, cores: int, memory: float, *gpus: float) -> None:
    """A machine by its cores and the free bytes of its memory and of each of its GPUs."""
    monkeypatch.setenv("TRAININGS_PER_GPU", "1")  # so that what `choose_jobs` sets goes with the test
    monkeypatch.delenv("TRAININGS_PER_GPU")
    monkeypatch.setattr("tools.sweep.capacity.cpu_cores", lambda: [f"cpu-{number}" for number in range(cores)])
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=memory))
    monkeypatch.setattr("tools.sweep.capacity.training_gpus", lambda loop: [f"gpu-{n}" for n in range(len(gpus))])
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda number: (gpus[number], 1e12))


def test_without_a_gpu_cores_or_memory_decide(train: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, 16, 1e12)
    found = capacity(changed(train, threads=4), 64)
    assert (found.jobs, found.per_gpu, found.reason) == (4, None, "16 cores, and each takes 4")
    assert capacity(changed(train, threads=4, devices=2), 64).jobs == 2
    pretend(monkeypatch, 16, 2.5 * (LIBRARIES + training_bytes(train, 64)))
    assert capacity(changed(train, threads=1), 64).jobs == 2
    pretend(monkeypatch, 1, 1e6)
    assert capacity(changed(train, threads=4), 64).jobs == 1


def test_on_gpus_the_fullest_decides_and_trainings_spread_over_all(
    train: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = CONTEXT + training_bytes(train, 64)
    pretend(monkeypatch, 64, 1e12, 9.5 * each / USABLE, 3.5 * each / USABLE)
    found = capacity(train, 64)
    assert (found.jobs, found.per_gpu) == (6, 3)
    assert found.reason.startswith("2 GPUs, and ")
    assert capacity(changed(train, devices=2), 64).jobs == 1
    pretend(monkeypatch, 3, 1e12, 9.5 * each / USABLE, 9.5 * each / USABLE)
    found = capacity(train, 64)
    assert (found.jobs, found.per_gpu, found.reason) == (3, 2, "3 cores, and each keeps 1 busy")


def test_a_number_that_the_environment_names_is_kept_and_an_impossible_one_refused(
    train: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, 64, 1e12, 1e12)
    monkeypatch.setenv("TRAININGS_PER_GPU", "2")
    assert capacity(train, 64).jobs == 2
    monkeypatch.setenv("TRAININGS_PER_GPU", "half")
    with pytest.raises(UserError, match="expected a whole number from 1 on, found 'half'"):
        capacity(train, 64)


def test_the_largest_of_several_kinds_decides_and_experiments_hear_of_it(
    toy_params: dict[str, Any], train: Params, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch, 64, 1e12, 4.5 * (CONTEXT + training_bytes(train, 256)) / USABLE)
    sizes = [toy_params | {"preprocess": toy_params["preprocess"] | {"size": size}} for size in (64, 256)]
    assert choose_jobs(sizes) == 4
    assert os.environ["TRAININGS_PER_GPU"] == "4"
    assert capsys.readouterr().out.startswith("4 at a time: 1 GPUs, and ")
