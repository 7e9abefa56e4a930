"""Changes of params.yaml as `dvc exp run --set-param` takes them, in Hydra's grammar."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dvc.exceptions import InvalidArgumentError
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps, to_hydra_overrides
from hydra.errors import OverrideParseException

from stages import read_params
from stages.common.core.errors import UserError
from stages.common.data.layout import PARAMS
from stages.train.params import Method

ADAPTIVE = "train.adaptive"


def overridden(overrides: Sequence[str], path: Path = PARAMS) -> dict[str, Any]:
    """The params of an experiment with these overrides, as DVC will write them.

    Raises:
        UserError: an override is not Hydra's grammar, names no param, or gives one a value that it cannot have.
    """
    params = read_params(path)
    if not overrides:
        return params
    words = " ".join(f"-S {word}" for word in overrides)
    with TemporaryDirectory() as folder:
        changed = Path(shutil.copy(path, folder))
        try:
            if any(item.is_sweep_override() for item in to_hydra_overrides(overrides)):
                raise UserError(f"{words}: expected one value each, found several; `dvc exp run --queue` takes those")
            apply_overrides(changed, list(overrides))
        except (InvalidArgumentError, OverrideParseException, TypeError) as error:  # TypeError: deletes an element
            reason = " ".join(str(error.__cause__ or error).split())
            raise UserError(f"{words}: DVC cannot change {path} so: {reason}") from None
        return read_params(changed, words)


def replace_adaptive(section: Method) -> list[str]:
    """The overrides that put a section in the place of `train.adaptive`, whatever method stands there.

    One alone would merge the two.
    """
    return [f"~{ADAPTIVE}", f"+{ADAPTIVE}={json.dumps(section.model_dump()).replace(chr(34), '')}"]


def expand(overrides: Sequence[str]) -> tuple[list[list[str]], list[str]]:
    """Every combination of the values of overrides, as DVC's queue makes them, and the keys that have several.

    Raises:
        UserError: an override is not Hydra's grammar.
    """
    try:
        several = [item.key_or_group for item in to_hydra_overrides(overrides) if item.is_sweep_override()]
        combinations = [list(words[str(PARAMS)]) for words in get_hydra_sweeps({str(PARAMS): list(overrides)})]
    except (InvalidArgumentError, OverrideParseException) as error:
        raise UserError(f"-S: {' '.join(str(error.__cause__ or error).split())}") from None
    return combinations, several
