"""The report: verdicts, what is confirmed, and what is not."""

import json

import pytest

from validation.peers import report
from validation.peers.findings import Finding
from validation.peers.report import results, write

ROWS = Finding("dattri", "rows", "Rows <for> columns", ("D::mlp/*::solve",), "Both stages.")


def session(deviates=True):
    outcome = {
        "case": "mlp/a",
        "stage": "solve",
        "check": "equal",
        "mode": "isolated",
        "verdict": "fail",
        "detail": "off by much",
        "diagnosis": ["Q is transposed"],
    }
    return {
        "library": "dattri",
        "requirement": "dattri",
        "documented": "What it says.",
        "selection": "all",
        "adapters": [
            {
                "name": "D",
                "version": "9.9",
                "curvature": "ekfac",
                "conventions": {},
                "stages": ["solve"],
                "outcomes": [outcome],
                "provenance": {},
                "distances": {"mlp/a": {"solve": 0.75}},
            }
        ],
        "reproductions": [
            {
                "slug": "rows",
                "statement": "Rows.",
                "argument": "By hand it is 1.",
                "source": "print(2)",
                "output": "found 2, by hand 1",
                "deviates": deviates,
            }
        ],
    }


def test_a_confirmed_deviation_is_printed_with_its_reproduction(tmp_path):
    page_data = results([session()], [ROWS])
    page = write(page_data, tmp_path).read_text()
    assert "Rows &lt;for&gt; columns" in page
    assert "found 2, by hand 1" in page
    assert "Q is transposed" in page
    assert 'class="deviates">deviates' in page
    assert (tmp_path / "reproductions/dattri/rows.py").read_text() == "print(2)"
    assert "| D | solve | deviates | – | 8e-01 | rows |" in (tmp_path / "peers.md").read_text()
    saved = json.loads((tmp_path / "peers.json").read_text())
    assert saved["libraries"][0]["findings"][0]["explains"] == {"outcomes": 1, "worst": 0.75}
    assert saved["libraries"][0]["version"] == "9.9"


@pytest.mark.parametrize("deviates", [False, None])
def test_what_is_not_confirmed_is_not_claimed(tmp_path, deviates):
    page_data = results([session(deviates)], [ROWS])
    page = write(page_data, tmp_path).read_text()
    assert "Not confirmed" in page
    assert "1 unexplained" in page
    assert "NOT CONFIRMED" in (tmp_path / "peers.md").read_text()


def test_a_report_needs_sessions(tmp_path):
    with pytest.raises(SystemExit, match="run `nox -s peers`"):
        report.main(tmp_path)


def test_sessions_are_read_from_their_folder(tmp_path):
    folder = tmp_path / "sessions"
    folder.mkdir()
    (folder / "dattri.json").write_text(json.dumps(session()))
    report.main(tmp_path)
    assert "dattri 9.9" in (tmp_path / "peers.html").read_text()
