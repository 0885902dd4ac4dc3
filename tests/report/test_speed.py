"""Drawings of times: well formed, every contender named once, every number shown."""

from xml.etree import ElementTree

from refimpl.report import speed


def test_bars_show_every_number_and_name_each_contender_once() -> None:
    svg = speed.bars(
        {"first": {"ours": 0.0021, "theirs": 1.5}, "second": {"ours": 2e-5}}, name="a & b"
    )
    assert ElementTree.fromstring(svg).get("aria-label") == "a & b"
    for text in ("2.1 ms", "1.5 s", "20 µs", "first", "second"):
        assert f">{text}<" in svg, text
    assert svg.count(">ours<") == svg.count(">theirs<") == 1


def test_curves_name_each_series() -> None:
    svg = speed.curves({"dual": ([1e3, 1e6], [0.1, 2000.0]), "primal": ([1e3], [1.0])}, name="t")
    ElementTree.fromstring(svg)
    assert svg.count(">dual<") == svg.count(">primal<") == 1
    assert ">parameters P<" in svg
