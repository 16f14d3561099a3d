"""Plots: well-formed SVG that a page's policy allows, and figures in their places."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter import plots

SVG = "{http://www.w3.org/2000/svg}"
counts = st.integers(0, 10**9)
labels = st.text(max_size=40)


def read(svg: str) -> ET.Element:
    return ET.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def check(svg: str, sentence: str) -> ET.Element:
    """What every plot must be: an image with a sentence, of classes alone, nothing below or beside its box."""
    root = read(svg)
    assert (root.get("role"), root.get("aria-label"), root.get("class")) == ("img", sentence, "plot")
    _, _, width, height = map(float, root.get("viewBox", "").split())
    for each in root.iter():
        assert not {"style", "fill", "stroke", "onload", "href"} & set(each.attrib)
        for x, y in (("x", "y"), ("x1", "y1"), ("x2", "y2"), ("cx", "cy")):
            if x in each.attrib:
                assert -0.1 <= float(each.attrib[x]) <= width + 0.1
                assert -0.1 <= float(each.attrib[y]) <= height + 0.1
        if each.tag == f"{SVG}rect":
            assert float(each.attrib["width"]) >= 0
            assert float(each.attrib["x"]) + float(each.attrib["width"]) <= width + 0.2
            assert float(each.attrib["y"]) + float(each.attrib["height"]) <= height + 0.2
    return root


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]), max_size=40)


@given(st.lists(st.tuples(words, counts), min_size=2, max_size=40))
def test_any_line_stays_in_its_box(points: list[tuple[str, int]]) -> None:
    root = check(plots.line(points, "A <sentence> & more"), "A <sentence> & more")
    drawn = root.find(f"{SVG}polyline").get("points").split()
    assert len(drawn) == len(points)


@given(st.lists(st.tuples(words, counts, counts), min_size=1, max_size=40))
def test_any_bars_of_coming_and_leaving_stay_in_their_box(bars: list[tuple[str, int, int]]) -> None:
    made = plots.came_and_left(bars, "Said.", ("joined", "left"))
    if any(came or left for _, came, left in bars):
        check(made, "Said.")
    else:
        assert made == ""


@given(st.lists(st.tuples(words, st.tuples(counts, counts)), min_size=1, max_size=12))
def test_any_rows_stay_in_their_box(bars: list[tuple[str, tuple[int, int]]]) -> None:
    made = plots.rows(bars, "Said.", ["hard", "soft"], ["f-hard", "f-soft"])
    if any(sum(values) for _, values in bars):
        check(made, "Said.")
    else:
        assert made == ""


def test_a_line_says_its_first_and_its_last_value_and_higher_is_up() -> None:
    root = read(plots.line([("No 1", 10572), ("No 2", 11000), ("No 3", 12486)], "Said."))
    strong = [each.text for each in root.iter(f"{SVG}text") if each.get("class") == "strong"]
    assert strong == ["10,572", "12,486"]
    heights = [float(point.split(",")[1]) for point in root.find(f"{SVG}polyline").get("points").split()]
    assert heights == sorted(heights, reverse=True)


def test_bars_begin_at_zero_and_are_in_proportion() -> None:
    root = read(plots.rows([("a", [100]), ("b", [50])], "Said.", ["returns"], ["f-sent"]))
    first, second = (float(each.get("width")) for each in root.iter(f"{SVG}rect"))
    assert second == pytest.approx(first / 2, abs=0.1)
    root = read(plots.came_and_left([("a", 80, 40)], "Said.", ("joined", "left")))
    came, left = (each for each in root.iter(f"{SVG}rect") if float(each.get("height")) != 10)
    assert float(left.get("height")) == pytest.approx(float(came.get("height")) / 2, abs=0.1)
    assert float(came.get("y")) + float(came.get("height")) == pytest.approx(float(left.get("y")), abs=0.11)


@pytest.mark.parametrize(
    ("least", "most", "told"),
    [
        (0, 4, (0, 4, 1)),
        (10572, 12486, (10500, 12500, 500)),
        (6844, 11570, (0, 15000, 5000)),
        (7, 7, (6, 8, 1)),
        (0, 0, (0, 1, 1)),
    ],
)
def test_scales_are_of_round_figures(least: int, most: int, told: tuple[int, int, int]) -> None:
    assert plots._scale(least, most) == told


def test_what_stands_in_a_plot_is_text_whatever_it_holds() -> None:
    made = plots.rows([('<script>"&', [1])], '"><script>', ["x"], ["f-sent"])
    assert "<script" not in made
    assert re.search(r'aria-label="&quot;&gt;&lt;script&gt;"', made)
