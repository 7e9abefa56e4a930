"""The cards of networks that are not the default one."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from stages.common.core.files import read_json, write_json
from stages.common.data.layout import DESCRIPTION, MODEL_CARD, MODELS
from tests.helpers.projects import run_stages


@pytest.mark.parametrize("architecture", ["FPN", "Segformer"])
def test_a_network_without_channels_of_its_own_has_a_card(
    architecture: str, toy_params: dict[str, Any], finished: Path, here: Path
) -> None:
    for name in ("data", "models", "reports"):
        shutil.copytree(finished / name, here / name)
    for path in here.glob(f"{MODELS}/**/{DESCRIPTION}"):
        record = read_json(path)
        record["network"]["architecture"] = architecture
        del record["network"]["channels"]
        write_json(path, record)
    network = {key: value for key, value in toy_params["train"]["network"].items() if key != "channels"}
    train = toy_params["train"] | {"network": network | {"architecture": architecture}}
    run_stages(here, toy_params | {"train": train}, [("report",)])
    card = (here / MODEL_CARD).read_text()
    assert f"# Model card: {architecture} for wrist-fracture segmentation" in card
    assert "decoder channels" not in card
    assert f"{architecture}, trained with" in (here / "reports/index.html").read_text()
    assert "U-Net" not in card
