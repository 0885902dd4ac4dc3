"""(a) on tiny sizes: the errors it reports are those of the matrices it was given."""

import json
import subprocess
import sys

import pytest
import torch

from refimpl import exact
from validation.bench import dense, libraries

CONFIG = {**dense.CONFIG, **dense.QUICK, "sizes": [16, 4, 10]}
# P = 118, sums of N = 40 examples and 9 directions: u sqrt(terms) with room for the network's depth
ROUNDING = 100 * 2.0**-53 * (40 * 9) ** 0.5


def test_alone_measures_time_operations_and_error():
    values = dense.alone(CONFIG, {})
    assert values["parameters"] == 118
    # blocks of 4 x 17 and 10 x 5 numbers, a quarter of each with itself, all of one with the other
    assert values["flops"] == 2 * 40 * (0.25 * 68**2 + 68 * 50 + 0.25 * 50**2)
    assert values["error"] < ROUNDING
    assert {name: len(s) for name, s in values["seconds"].items()} == {
        "structured": 5,
        "product": 5,
    }


def test_a_wrong_matrix_shows_as_an_error(monkeypatch):
    right = dense.assemble
    monkeypatch.setattr(dense, "assemble", lambda problem: 1.01 * right(problem))
    assert dense.alone(CONFIG, {})["error"] == pytest.approx(0.01, rel=1e-9)


def test_beside_takes_curvlinops_best_chunk_and_compares_its_matrix(monkeypatch):
    asked = []

    def ggn(bench, columns):
        asked.append(columns)
        order = libraries.curvlinops_order(bench)
        back = torch.argsort(order)
        return exact.gauss_newton_matrix(bench.problem)[back][:, back]

    monkeypatch.setattr(libraries, "curvlinops_ggn", ggn)
    monkeypatch.setattr(dense, "timed", lambda call, _: (call() is None or float(len(asked)), None))
    values = dense.beside(CONFIG, {})
    assert values["tried"] == {"20": 2.0, "118": 3.0}  # after one call for nothing
    assert values["columns"] == 20
    assert asked[3:] == [20] * 7  # 1 + 5 times, and once for the comparison
    assert values["error"] < ROUNDING
    assert values["error_curvlinops"] < ROUNDING


MEMORY = """
import json
from validation.bench import dense

config = {**dense.CONFIG, **dense.QUICK, "sizes": [64, 40, 10]}
print(json.dumps(dense.memory(config, {})))
"""


def test_memory_is_at_least_the_matrix():
    # In a process of its own, as a bench runs it.
    run = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    values = json.loads(run.stdout)
    assert values["output"] == 8 * values["parameters"] ** 2
    assert values["peak"] >= 0.9 * values["output"]  # mapped anew, page by page


def test_every_size_has_its_parts():
    names = [part.name for part in dense.parts({**dense.CONFIG, **dense.QUICK})]
    assert names == [
        "alone/16-4-10",
        "memory/16-4-10",
        "alone/16-8-10",
        "memory/16-8-10",
        "beside/16-4-10",
    ]
