"""The page: targets and tables in three forms, text escaped, drawings inline."""

import json
from pathlib import Path

from validation.bench import page

MEASURED = {
    "influences": {
        f"{route}/<{p}>": {
            "parameters": p,
            "seconds": [p / 1000] * 5,
            "backward_error": 1e-15,
            "peak": 8 * p,
            "output": 8 * p,
            "estimate": {"flops": 1e9, "bytes": 8 * p},
            "rate": 1e10,
            "probe": [1.0],
        }
        for route in ("primal", "dual")
        for p in (1000, 10000)
    }
}


def test_a_page_has_targets_tables_and_drawings(tmp_path):
    written = page.results(MEASURED, {"machine": "a <quick> one"})
    html = page.write(written, tmp_path).read_text()
    assert "&lt;1000&gt;" in html
    assert "<1000>" not in html
    assert "a &lt;quick&gt; one" in html
    assert "primal, t ~ P^1.00" in html  # the drawing's legend
    assert html.count("<svg") == 1
    markdown = (tmp_path / "bench.md").read_text()
    assert "| primal | <1000> | 1,000 | 1.0 s |" in markdown
    assert "- machine: a <quick> one" in markdown
    saved = json.loads((tmp_path / "bench.json").read_text())
    assert saved["measured"] == MEASURED
    assert {t["verdict"] for t in saved["targets"]} == {"met", "not measured"}


def test_the_committed_page_is_what_its_numbers_give():
    folder = Path(__file__).parents[3] / "reports" / "baseline" / "bench"
    saved = json.loads((folder / "bench.json").read_text(encoding="utf-8"))
    again = page.results(saved["measured"], saved["provenance"])
    assert json.loads(json.dumps(again)) == saved
    assert page.markdown(again) == (folder / "bench.md").read_text(encoding="utf-8")
