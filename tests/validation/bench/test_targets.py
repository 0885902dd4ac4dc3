"""What the numbers say, in targets, tables and drawings: met, missed or not measured, at the boundary."""

import pytest

from validation.bench.drawings import draw_benches
from validation.bench.measurements import duration, times
from validation.bench.tables import bench_tables
from validation.bench.targets import judged_targets

PROBE = [1.0, 2.0]


def route(parameters: int, seconds: list[float], **changed) -> dict:
    return {
        "parameters": parameters,
        "seconds": seconds,
        "backward_error": 1e-15,
        "peak": 8 * parameters,
        "output": 8 * parameters,
        "estimate": {"flops": 1e9, "bytes": 4 * parameters},
        "rate": 1e10,
        "probe": PROBE,
    } | changed


def solves(certified: float, bare: float) -> dict:
    """Seconds of ours with and without the certificate, curvlinops taking one."""
    ours = {"refimpl": [certified], "refimpl, no certificate": [bare]}
    return {**ours, "curvlinops": [1.0]}


def measurements(**changed) -> dict:
    """Numbers that just meet every target."""
    fit = {"refimpl": [1.0] * 5, "curvlinops": [2.0] * 5}
    solve = solves(1.0, 0.5)
    slow = {
        "refimpl": [1.0] * 5,
        "kronfluence, batch 256": [11.0] * 5,
        "kronfluence, batch 9": [10.0] * 5,
    }
    alike = {"difference": 0.9 * 2.0**-53 * 100, "condition": 100.0}
    everything = {
        "dense": {
            "alone/64-32-10": {
                "parameters": 2410,
                "flops": 1e9,
                "rate": 4e9,
                "error": 9e-13,
                "seconds": {"structured": [9.0] * 5, "product": [1.0] * 5},
            },
            "alone/big": {
                "parameters": 5000,
                "flops": 1e9,
                "rate": 2e9,
                "error": 1e-15,
                "seconds": {"structured": [1.0] * 5, "product": [1.0] * 5},
            },
            "memory/64-32-10": {"parameters": 10, "peak": 900, "output": 800},
            "memory/big": {"parameters": 20, "peak": 3300, "output": 3200},
            "beside/64-32-10": {
                "parameters": 2410,
                "columns": 241,
                "error": 1e-15,
                "seconds": {
                    "structured": [1.0] * 5,
                    "definition": [9.0] * 5,
                    "curvlinops": [20.0] * 3,
                },
            },
        },
        "influences": {
            "primal/784-2-2-10": route(1606, [1.0] * 5),
            "primal/784-25-13-10": route(20103, [299.0]),
            "dual/784-2-2-10": route(1606, [1.0] * 5),
            "dual/784-1024-1024-10": route(1863690, [119.0]),
        },
        "ekfac": {
            "exact/float64": {"fit": fit, "solve": solve, **alike},
            "sampled/float64": {"fit": slow},
            "scores/float64": {"seconds": slow, **alike},
            "low-rank/float64": {
                "seconds": {"refimpl": [1.0] * 5, "8": [0.25] * 5},
                "compression": {"8": [2.0] * 5},
                "error": {"8": 1e-3},
            },
            "memory/float64": {"peak": 4e9, "output": 2e6},
        },
        "responses": {
            "adam/0.001/3000": {
                "settings": {"rate": 1e-3, "steps": 3000},
                "seconds": 2.0,
                "taken": 900,
                "relative": 1e-9,
            },
            "beside": {
                "responses": 4,
                "seconds": {"refimpl": [0.08] * 5, "Adam": [2.0] * 3},
                "settings": {"rate": 1e-3, "steps": 3000},
                "relative": 1e-9,
                "relative_adam": 1e-9,
                "difference": 1e-8,
                "steps": 4.0,
            },
        },
    }
    for path, values in changed.items():
        bench, part = path.split("__")
        key = next(k for k in everything[bench] if k.startswith(part.replace("_", "/", 1)))
        everything[bench][key] = everything[bench][key] | values
    return everything


def missed(numbers: dict) -> list[str]:
    return [t["target"] for t in judged_targets(numbers) if t["verdict"] != "met"]


def test_numbers_that_just_do_meet_every_target():
    # The iterative route was not run.
    assert [t["verdict"] for t in judged_targets(measurements())].count("not measured") == 1
    assert len(missed(measurements())) == 1


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"dense__beside": {"seconds": {"structured": [1.0], "curvlinops": [19.9]}}}, "20 times"),
        ({"dense__alone_big": {"flops": 0.99e9}}, "Half of the rate"),
        ({"dense__alone_64": {"error": 1e-12}}, "Relative error"),
        ({"dense__beside": {"error": 1e-12}}, "Relative error"),
        ({"influences__dual_784-1024": {"seconds": [120.0]}}, "within 2 minutes"),
        ({"influences__dual_784-2": {"backward_error": 1e-12}}, "Backward error"),
        ({"influences__primal_784-25": {"seconds": [300.0]}}, "within 5 minutes"),
        ({"ekfac__exact": {"fit": {"refimpl": [1.0], "curvlinops": [1.9]}}}, "twice as fast"),
        (
            {"ekfac__sampled": {"fit": {"refimpl": [1.0], "kronfluence": [9.9]}}},
            "one sampled label",
        ),
        ({"ekfac__scores": {"seconds": {"refimpl": [1.0], "kronfluence": [9.9]}}}, "Pairwise"),
        ({"ekfac__exact": {"solve": solves(1.1, 0.5)}}, "with our certificate"),
        ({"ekfac__exact": {"solve": solves(1.0, 1.1)}}, "like for like"),
        ({"ekfac__scores": {"difference": 1e-13}}, "same answers"),
        ({"responses__beside": {"responses": 3}}, "100 times"),
        ({"dense__memory_big": {"peak": 9000}}, "(a) dense GNH: peak memory"),
        ({"influences__dual_784-1024": {"peak": 10**9}}, "(b) dual: peak memory"),
    ],
)
def test_each_target_can_be_missed(changed, words):
    missed_targets = [t for t in missed(measurements(**changed)) if "iterative" not in t]
    assert len(missed_targets) == 1
    assert words in missed_targets[0]


def test_nothing_measured_is_nothing_claimed():
    assert {t["verdict"] for t in judged_targets({})} == {"not measured"}
    assert bench_tables({}) == []
    assert draw_benches({}) == {}


def test_tables_and_drawings_show_the_numbers():
    shown = bench_tables(measurements())
    assert [t["name"] for t in shown] == ["dense", "influences", "ekfac", "responses"]
    assert all(len(row) == len(t["head"]) for t in shown for row in t["rows"])
    batched = next(row for row in shown[2]["rows"] if "loss" in row[0])
    assert batched[0] == "products with all examples, loss 1.0 × 10⁻³"
    assert batched[3:] == ["rank 8, made once in 2.0 s", "250 ms", "0.25×"]
    assert set(draw_benches(measurements())) == {"dense", "influences", "ekfac", "responses"}
    assert shown[0]["rows"][0][6] == "20.0 s (3 runs), 241 columns"
    apart = measurements(influences__primal_784={"probe": [1.0, 2.5]})
    assert bench_tables(apart)[1]["rows"][0][6] == "2.5 × 10⁻¹"


def test_durations_say_how_many_runs_where_they_are_few():
    assert duration([1.0, 2.0, 3.0]) == "2.0 s (3 runs)"
    assert duration([0.25]) == "250 ms (1 run)"
    assert duration([0.0021] * 5) == "2.1 ms"
    assert times(0.5) == "0.50×"
    assert times(1234.0) == "1,234×"
