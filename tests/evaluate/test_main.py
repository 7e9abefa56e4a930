from pathlib import Path

import pytest

from stages.common.errors import Fault
from stages.evaluate.__main__ import main
from stages.evaluate.params import Params


@pytest.mark.parametrize("variant", ["", "adaptiv"])
def test_a_model_that_is_not_there_is_said(variant: str, here: Path) -> None:
    with pytest.raises(Fault, match="expected the name of a folder in models"):
        main(Params(threshold=0.5), variant)
