"""Give `dvc plots show` and `dvc plots diff` a page that opens without a network: DVC's own loads Vega from one.

Run: python scripts/plots_page.py     (make setup)
"""

from pathlib import Path

from configobj import ConfigObj
from vl_convert import javascript_bundle

PAGE = "plots.html"  # below .dvc, where DVC looks for a relative name
VEGA_LITE = "5.21"  # the last of version 5, for which DVC writes its plots
# DVC puts its plots in place of the braces. Its own links to scripts are left out.
TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{refresh_tag}
<title>DVC plots</title>
<style>table { border-spacing: 15px; }</style>
<script>VEGA</script>
</head>
<body>
{plot_divs}
</body>
</html>
"""


def main(root: Path = Path()) -> None:
    """Write .dvc/plots.html and enter it in .dvc/config.local, whose other settings stay.

    Args:
        root: of the project.
    """
    vega = javascript_bundle("window.vegaEmbed = vegaEmbed;", VEGA_LITE).replace("</script", "<\\/script")
    (root / ".dvc" / PAGE).write_text(TEMPLATE.replace("VEGA", vega), encoding="utf-8")
    config = ConfigObj(str(root / ".dvc/config.local"), encoding="utf-8")
    config.setdefault("plots", {})["html_template"] = PAGE
    config.write()


if __name__ == "__main__":
    main()
