"""The NumPy client of the docs answers every MLP vector, and imports neither torch nor refimpl."""

import subprocess
import sys
from pathlib import Path

from refimpl.oracle.results.outcome import Verdict
from refimpl.oracle.vectors import export, verify_answers

CLIENT = Path(__file__).parents[3] / "docs/examples/numpy_client.py"


def test_the_numpy_client_conforms(tmp_path: Path) -> None:
    export(tmp_path / "v")
    # -S -I would hide the libraries; what was imported is asked instead.
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:];"
        "runpy.run_path(sys.argv[0], run_name='__main__');"
        "assert not {'torch', 'refimpl'} & set(sys.modules), 'NumPy alone'"
    )
    command = [sys.executable, "-c", code, str(CLIENT), str(tmp_path / "v"), str(tmp_path / "a")]
    subprocess.run(command, check=True)
    verdicts = verify_answers(tmp_path / "v", tmp_path / "a")
    wrong = [v for v in verdicts if v.verdict in (Verdict.FAIL, Verdict.ERROR)]
    assert not wrong
    passed = {v.vector for v in verdicts if v.verdict is Verdict.PASS}
    assert len(passed) >= 30
    assert {v.partition("/")[0] for v in passed} >= {"mlp", "proved", "reject", "conditioning"}
