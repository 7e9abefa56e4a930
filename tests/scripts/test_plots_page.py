"""DVC's plots without a network."""

from pathlib import Path

from dvc.config import Config
from dvc_render.html import render_html
from dvc_render.vega import VegaRenderer
from playwright.sync_api import Browser

from scripts.plots_page import main
from tests.helpers.pages import asked_for


def test_dvcs_plots_are_drawn_without_a_network_and_other_settings_stay(tmp_path: Path, browser: Browser) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config.local").write_text("[cache]\n    type = hardlink,copy\n")
    main(tmp_path)
    config = Config(str(tmp_path / ".dvc"))
    assert config["cache"]["type"] == ["hardlink", "copy"]
    template = tmp_path / ".dvc" / config["plots"]["html_template"]
    points = [{"epoch": epoch, "loss": 1 / (1 + epoch), "rev": "workspace"} for epoch in range(5)]
    plot = VegaRenderer(points, "loss", template="linear", x="epoch", y="loss")
    assert asked_for(browser, Path(render_html([plot], tmp_path / "plots/index.html", template))) == []
