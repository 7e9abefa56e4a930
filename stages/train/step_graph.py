"""The whole step as a CUDA graph: a GPU records what a step starts on it, and repeats that without the CPU's help.

https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from lightning_fabric import Fabric
from torch import Tensor

from stages.train.params import Loop

WARM_UP = 3  # steps of each batch size before it is recorded: libraries choose and reserve what they need in them
READ_EVERY = 16  # steps; their values are read together, since each reading waits for the GPU

Step = Callable[[dict[str, Tensor]], Tensor]


@dataclass(frozen=True)
class Recording:
    """A step that can be repeated: `repeat` reads `inputs` and writes `measured`, both at fixed addresses."""

    inputs: dict[str, Tensor]
    measured: Tensor
    repeat: Callable[[], None]


def record(step: Step, inputs: dict[str, Tensor]) -> Recording:
    """Record what `step` starts on the GPU; nothing is computed yet."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        measured = step(inputs)
    return Recording(inputs, measured, graph.replay)


def run_aside(step: Step, inputs: dict[str, Tensor]) -> Tensor:
    """A step on another stream than the default one, as it must run before it is recorded."""
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        measured = step(inputs)
    torch.cuda.current_stream().wait_stream(aside)
    return measured


@dataclass
class StepGraphs:
    """Steps of a training: the first of each batch size one by one, the others as recorded.

    warm: steps done so far, by films in the batch. recordings: by films in the batch.
    """

    warm: dict[int, int] = field(default_factory=dict)
    recordings: dict[int, Recording] = field(default_factory=dict)

    def run(self, step: Step, inputs: dict[str, Tensor], device: torch.device) -> Tensor:
        """Take one step and return what it measured, float32 (values,), which the GPU may still be computing.

        Args:
            step: takes inputs on the device; the same function of them in every call with as many films.
            inputs: on the CPU or the device; `films` has one entry per film.
            device: of the training.
        """
        films = len(inputs["films"])
        if self.warm.setdefault(films, 0) < WARM_UP:
            self.warm[films] += 1
            return run_aside(step, {name: values.to(device) for name, values in inputs.items()})
        if films not in self.recordings:
            self.recordings[films] = record(step, {name: values.to(device) for name, values in inputs.items()})
        recording = self.recordings[films]
        for name, values in inputs.items():
            recording.inputs[name].copy_(values, non_blocking=True)
        recording.repeat()
        return recording.measured.clone()


def make_graphs(fabric: Fabric, settings: Loop) -> StepGraphs | None:
    """Where params ask for recorded steps, their keeper, or a line that says why each step is started by itself."""
    if not settings.cuda_graph:
        return None
    if fabric.device.type == "cuda" and fabric.world_size == 1:
        return StepGraphs()
    why = "there is no GPU" if fabric.device.type != "cuda" else f"{fabric.world_size} processes exchange gradients"
    if fabric.is_global_zero:
        print(f"train: train.loop.cuda_graph has no effect: {why}", file=sys.stderr)
    return None
