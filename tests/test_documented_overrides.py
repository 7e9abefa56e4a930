"""Every change of parameters that the documentation shows can be made."""

import re
import shlex
import subprocess
from itertools import pairwise

import pytest
from dvc.utils.hydra import get_hydra_sweeps

from tests.helpers.paths import ROOT
from tools.sweep.overrides import overridden

NAMES = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


def documented() -> list[tuple[str, ...]]:
    """The -S options of each command in a code block, without the placeholder KEY=VALUE."""
    found = []
    for name in NAMES:
        for block in re.findall(r"^```(?:bash)?\n(.*?)^```$", (ROOT / name).read_text(), re.DOTALL | re.MULTILINE):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True) if " -S " in line else []
                found.append(tuple(word for option, word in pairwise(words) if option == "-S"))
    return sorted({overrides for overrides in found if overrides})


@pytest.mark.parametrize("overrides", documented(), ids=" ".join)
def test_a_documented_override_can_be_made(overrides: tuple[str, ...]) -> None:
    for expanded in get_hydra_sweeps({"params.yaml": list(overrides)}):
        overridden(expanded["params.yaml"], ROOT / "params.yaml")
