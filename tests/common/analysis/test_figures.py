"""Charts as inline SVG: several in one page do not get into each other's way."""

import re
from xml.etree import ElementTree

import pandas as pd

from stages.common.analysis.figures import lines


def chart(title: str) -> str:
    x = pd.Series([1, 2, 3])
    return lines(title, "y", {"baseline": [(x, x)], "adaptive": [(x, 2 * x), (x, 3 * x)]})["svg"]


def test_charts_of_one_page_share_no_id_and_each_reference_is_met() -> None:
    ids = {title: set(re.findall(r' id="([^"]+)"', chart(title))) for title in ("one", "other")}
    assert ids["one"]
    assert ids["one"] & ids["other"] == set()
    for title, known in ids.items():
        assert set(re.findall(r'(?:url\(|href=")#([\w-]+)', chart(title))) == known


def test_a_chart_is_the_same_bytes_each_time_and_says_nothing_of_its_making() -> None:
    assert chart("one") == chart("one")
    names = {element.tag.split("}")[-1] for element in ElementTree.fromstring(chart("one")).iter()}
    assert "path" in names
    assert not names & {"metadata", "RDF"}
