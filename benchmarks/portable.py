"""What portable arithmetic costs, as ratios: training steps with portable, fp32 and auto precision.

Run: PYTHONPATH=. python benchmarks/portable.py        (5 minutes; nothing else on the machine)

Instructions are chosen when torch is imported, so that each measurement is a process of its own.
"""

import statistics
import subprocess
import sys
import time

ROUNDS, FILMS, SIDE = 3, 32, 256
PRECISIONS = ("portable", "fp32", "auto")


def images_per_second(precision: str) -> float:
    """Of one epoch of the default network after a first one, on films of noise; in this process."""
    from stages.common.core.arithmetic import pin_instructions

    pin_instructions(torch=precision == "portable")
    import numpy as np
    from ruamel.yaml import YAML

    from stages.common.data.dataset import Films
    from stages.common.data.layout import PARAMS
    from stages.train.devices import make_fabric
    from stages.train.loop import fit_epoch
    from stages.train.params import Params
    from stages.train.state import init_state, to_device

    content = YAML(typ="safe").load(PARAMS.read_text())["train"]
    params = Params.model_validate(content | {"loop": content["loop"] | {"precision": precision, "accelerator": "cpu"}})
    random = np.random.default_rng(0)
    inputs = random.integers(0, 256, (FILMS, 1, SIDE, SIDE), np.uint8)
    films = Films([str(i) for i in range(FILMS)], inputs, inputs[:, 0] > 250)
    fabric = make_fabric(params.loop)
    state, side = init_state(fabric, params, params.adaptive, inputs.shape, seed=1), to_device(fabric, films)
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        fit_epoch(fabric, state, side, params)
        state.measured.clear()
        seconds.append(time.perf_counter() - start)
    return FILMS / seconds[1]


def measure(precision: str) -> float:
    command = [sys.executable, __file__, precision]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    if len(sys.argv) > 1:
        print(images_per_second(sys.argv[1]))
        return
    rounds = [{precision: measure(precision) for precision in PRECISIONS} for _ in range(ROUNDS)]
    for precision in PRECISIONS:
        speed = statistics.median(one[precision] for one in rounds)
        ratio = statistics.median(one["portable"] / one[precision] for one in rounds)
        print(f"{precision}: {speed:.1f} images/s; portable has {ratio:.2f} of its speed")


if __name__ == "__main__":
    main()
