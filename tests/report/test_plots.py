"""Drawings: well formed, themed by the page, the same every time, and showing the numbers."""

import re
from functools import cache
from xml.etree import ElementTree

import matplotlib
import pytest

from refimpl.report import plots
from refimpl.report.agreement_lines import Line, lines
from refimpl.report.drawing import DOT, SLOTS, style_of
from refimpl.report.plots import Strip

SVG = "{http://www.w3.org/2000/svg}"


def line(name: str, level: float, slot: int = 0) -> Line:
    ys = [level, level / 2]
    return Line(name, [0.1, 0.001], ys, [y - 0.01 for y in ys], [y + 0.01 for y in ys], slot)


KINDS = ("lines", "error", "scatter", "strips", "traces", "bars")


@cache
def drawings() -> dict[str, str]:
    return {
        "lines": lines([line("a", 0.9), line("b", 0.8, 1)], label="Pearson", chance=0.1),
        "error": lines([line("a", 9.0)], label="error", log=True),
        "scatter": plots.scatter([0.1, -0.2], [0.1, 0.3], limit=0.5, linear=0.01, name="a & b"),
        "strips": plots.strips(
            [Strip("row", [1e-9, 1e-10], [0.1])], label="norm", tolerance=1e-8, log=True
        ),
        "traces": plots.traces({"λ = 1": ([1, 2, 4], [1.0, 0.5, 0.1])}, name="residuals"),
        "bars": plots.bars({"g": [0.1] * 10}, label="tenth", level=0.1, name="tenths"),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_drawing_is_well_formed_and_stands_alone(kind: str) -> None:
    svg = drawings()[kind]
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert root.get("aria-label")
    references = re.findall(r'(?:href|src)="([^"]*)"', svg) + re.findall(r"url\(([^)]*)\)", svg)
    assert all(r.startswith(("#", "data:")) for r in references), references
    assert "font-family" not in svg, "the page's own font"


@pytest.mark.parametrize("kind", KINDS)
def test_a_drawing_takes_its_colours_from_the_page(kind: str) -> None:
    svg = drawings()[kind]
    # matplotlib's own black and white may stand in clip paths and invisible backgrounds only
    fixed = set(re.findall(r"#[0-9a-f]{6}", svg)) - {DOT}
    assert not fixed, fixed
    assert "var(--grid)" in svg


def test_the_same_numbers_give_the_same_bytes() -> None:
    assert drawings.__wrapped__() == drawings()
    assert tuple(drawings()) == KINDS


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    before = dict(matplotlib.rcParams)
    drawings.__wrapped__()
    assert dict(matplotlib.rcParams) == before


def test_names_at_the_ends_of_lines_do_not_collide() -> None:
    svg = lines([line(f"series {i}", 0.9 + 0.001 * i, i) for i in range(7)], label="Pearson")
    places = sorted(
        float(element.get("y", "nan"))
        for element in ElementTree.fromstring(svg).iter(f"{SVG}text")
        if (element.text or "").startswith("series")
    )
    assert len(places) == 7
    assert min(b - a for a, b in zip(places, places[1:], strict=False)) > 8.5, "a line of text"


def test_every_retraining_is_drawn_and_what_missed_as_a_cross() -> None:
    rows = [Strip("one", [1e-9] * 5, [1e-2] * 3), Strip("two", [1e-9] * 4)]
    svg = plots.strips(rows, label="norm", tolerance=1e-8, log=True)
    dots, crosses = (
        len(re.findall(f"<use [^>]*{variable}", svg))
        for variable in ("fill: var\\(--series-1\\)", "stroke: var\\(--series-2\\)")
    )
    assert (dots, crosses) == (9, 3)


def test_a_family_shares_a_colour_and_differs_in_dashes() -> None:
    assert style_of(["t", "e", "k", "k", "e"]) == [(0, 0), (1, 0), (2, 0), (2, 1), (1, 1)]
    last = len(SLOTS) - 1
    many = style_of([str(i) for i in range(last + 3)])
    assert many[last:] == [(last, 0), (last, 1), (last, 2)]  # and none has the first's colour


@pytest.mark.parametrize(
    "name", ["exact GNH", "EK-FAC, tokens squared apart", "K-FAC, " + 30 * "m"]
)
def test_a_name_fits_beside_its_line(name: str) -> None:
    svg = lines([line(name, 0.9)], label="Pearson")
    root = ElementTree.fromstring(svg)
    (element,) = [e for e in root.iter(f"{SVG}text") if e.text == name]
    start, width = float(element.get("x", "nan")), float(root.get("viewBox", "").split()[2])
    letter = 0.55 * 8.5  # of a wide sans-serif face (Verdana: 0.58 em, Arial: 0.5), in points
    assert start + letter * len(name) <= width
