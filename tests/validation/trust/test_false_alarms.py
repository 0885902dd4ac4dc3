"""False alarms: cases of seeds, records that are resumed, and an alarm that is seen."""

import json
import subprocess
import sys
from pathlib import Path

import filelock
import numpy as np
import pytest
import torch
from oracle.judging import check_of, verdict
from typer.testing import CliRunner

from refimpl.oracle import Unsupported
from refimpl.oracle.cases import all_cases
from refimpl.oracle.pipeline import retraining
from refimpl.oracle.results.outcome import Verdict
from refimpl.oracle.selftest.honest import KINDS, implementation, variants
from refimpl.oracle.selftest.reference import Reference
from refimpl.oracle.truth import kronecker
from validation.__main__ import app
from validation.parts.runner import InProcess
from validation.trust import false_alarms
from validation.trust.false_alarms import (
    COMBINED,
    ask_seed,
    case_of,
    chosen_for,
    combination,
    name_of,
    read,
    run,
    summary,
)

CHOSEN = [{}, {"sign": "product"}]
KIND_ASKED_LESS = "inverting"
SEVERAL = {"sign": "product", "score_scale": "1/N"}


def _by_all(seed: int, others: int) -> list[str]:
    chosen = [(name_of(variant), kind) for variant, kind in chosen_for(seed, others)]
    return [name for name, kind in chosen if kind == KIND_ASKED_LESS]


def _count(records, said: str) -> int:
    return sum(record["verdicts"].get(said, 0) for record in records)


def test_what_counts_as_other_code_is_all_that_a_verdict_needs() -> None:
    asked = """
import sys
from validation.trust.false_alarms import NEVER_ASKED, ask_seed
for seed in (0, 1):
    ask_seed(seed, [({}, kind) for kind in ('reference', 'pipeline', 'inverting')])
parts = tuple("refimpl." + p.removesuffix("/").removesuffix(".py").replace("/", ".") for p in NEVER_ASKED)
assert "refimpl.oracle.truth.truth" in sys.modules
print([name for name in sys.modules if name.startswith(parts)])
"""
    answer = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True
    )
    assert answer.stdout.split("\n")[0] == "[]"


def test_a_seed_is_one_case_and_another_is_another() -> None:
    for seed in (0, 1):
        once, again, other = case_of(seed), case_of(seed), case_of(seed + 2)
        assert once.id == again.id
        assert all((a == again.parameters[n]).all() for n, a in once.parameters.items())
        assert [a.tobytes() for a in once.parameters.values()] != [
            a.tobytes() for a in other.parameters.values()
        ]


# Of the first run over conventions: a loss that a convention does not define on squared errors, and a
# multiple of a mean eigenvalue that is zero. Neither is the implementation's fault.
@pytest.mark.parametrize(
    ("seed", "conventions", "said"),
    [
        (2, {"loss_reduction": "token_mean"}, "unsupported"),
        (40, {"damping": "relative"}, "indeterminate"),
    ],
)
def test_what_conventions_leave_undefined_is_no_alarm(seed, conventions, said) -> None:
    answer = ask_seed(seed, [(conventions, kind) for kind in KINDS])
    assert [record["wrong"] for record in answer] == [[], [], []]
    plain = ask_seed(seed, [({}, kind) for kind in KINDS])
    assert _count(answer, said) > _count(plain, said)


# Of later runs: one example in batches of one has no other batches; where the factors are of mean rows,
# any basis of their null space will do, but not for Lambda; a minimum in the kink of a ReLU is no
# stationary point; and layers may be tracked in another order than they are called in.
@pytest.mark.parametrize(
    ("seed", "conventions"), [(31, {}), (49, {"weight_sharing": "reduce"}), (67, {})]
)
def test_a_case_that_raised_an_alarm_is_not_decided(seed, conventions) -> None:
    answer = ask_seed(seed, [(conventions, kind) for kind in KINDS])
    assert [record["wrong"] for record in answer] == [[], [], []]
    assert _count(answer, "indeterminate") > 0


# Of the run after those: eigenvectors that LAPACK finds orthonormal to 20 u only; a minimiser in a kink,
# which the pipeline said it had found; one that Newton's steps alone miss, stuck in another kink; and a
# response that switches a ReLU.
@pytest.mark.parametrize(
    ("seed", "slug"),
    [
        (328, "solve-forward-error"),
        (377, "response-odd"),
        (485, "response-stationary"),
        (881, "response-slope"),
    ],
)
def test_a_case_that_raised_an_alarm_raises_none(seed, slug) -> None:
    pipeline, case = implementation("pipeline", {}), case_of(seed)
    answer = {verdict(pipeline, case, slug, mode) for mode in check_of(slug).modes}
    assert not answer & {Verdict.FAIL, Verdict.ERROR}


def test_the_residual_of_an_inverse_that_is_formed_is_no_alarm() -> None:
    variant = {"fisher": "sampled", "vec_order": "in_major", "loss_reduction": "example_mean"}
    inverting = implementation("inverting", variant)
    assert verdict(inverting, case_of(177), "solve-backward-error", "chained") is Verdict.PASS


def test_who_forms_inverses_says_where_there_is_none() -> None:
    inverting, zero = implementation("inverting", {}), torch.zeros(1, 1)
    with pytest.raises(Unsupported, match="no inverse"):
        inverting.invert(np.zeros((2, 2)), np.ones((1, 2)))
    with pytest.raises(Unsupported, match="no inverse"):
        inverting.precondition(zero[None], zero, zero, zero)


def test_a_step_that_falls_nowhere_leaves_the_parameters_where_they_are() -> None:
    p = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    before = p.detach().clone()
    value = lambda: (p**2).sum().detach()  # noqa: E731
    assert not retraining._search(value, [p], before.clone(), float(value()), 1e-3)  # uphill
    assert torch.equal(p.detach(), before)
    assert retraining._search(value, [p], -3 * before, float(value()), 1e-3)  # halved once
    assert torch.equal(p.detach(), -before / 2)


@pytest.mark.parametrize("kind", KINDS)
def test_sampled_labels_are_judged_whatever_the_order_of_the_layers(kind) -> None:
    sampled, case = implementation(kind, {"fisher": "sampled"}), all_cases()["mlp/backward-order"]
    for slug in ("factors-sampled-mean", "eigenvalues-sampled-mean"):
        assert verdict(sampled, case, slug) is Verdict.PASS


# Found by combinations: what the whole matrix is damped by is absolute, and squares of gradients are c^2.
@pytest.mark.parametrize("other", [{"fisher": "empirical"}, {"damping": "relative"}])
def test_scaling_the_loss_is_no_alarm_of_the_whole_matrix(other) -> None:
    adapter = implementation("pipeline", {"curvature": "gauss_newton"} | other)
    case = all_cases()["losses/smoothing-and-weights"]
    assert verdict(adapter, case, "scores-loss-scaled") is Verdict.PASS


@pytest.mark.parametrize("kind", KINDS)
def test_scores_of_a_mean_over_tokens_are_decided_for_queries_of_another_length(kind) -> None:
    case = case_of(31)  # one training example of two tokens, and a query of three
    adapter = implementation(kind, {"loss_reduction": "token_mean"})
    for slug in ("scores-equal", "scores-repeat"):
        assert verdict(adapter, case, slug) is Verdict.PASS


def test_where_inputs_are_zero_the_product_of_factors_says_nothing_of_s() -> None:
    free = {"fisher": "sampled", "factor_scale": "free"}  # NaN beside a layer that no input reaches
    answer = verdict(implementation("pipeline", free), case_of(605), "factors-sampled-mean")
    assert answer is Verdict.INDETERMINATE


def test_a_model_that_is_sure_of_its_labels_may_draw_the_same_ones() -> None:
    sampled, case = implementation("reference", {"fisher": "sampled"}), case_of(672)
    assert verdict(sampled, case, "factors-sampled-seed") is Verdict.INDETERMINATE


@pytest.mark.parametrize("kind", KINDS)
def test_a_null_space_that_lambda_is_not_zero_in_decides_no_scores(kind) -> None:
    reduced, case = (
        implementation(kind, {"weight_sharing": "reduce"}),
        all_cases()["convolution/padding-zeros"],
    )
    assert verdict(reduced, case, "scores-equal") is Verdict.INDETERMINATE


def test_a_response_that_refimpl_does_not_find_is_not_claimed() -> None:
    with pytest.raises(Unsupported, match="no minimiser of this objective"):
        Reference().response(case_of(10), 0, 0.1)


def test_conventions_take_turns_over_the_seeds_and_each_draws_a_combination() -> None:
    every = [name_of(v) for v in variants()]
    asked = [_by_all(s, 1) for s in range(len(every) - 1)]
    assert {answer[0] for answer in asked} == {"defaults"}
    assert sorted(answer[1] for answer in asked) == sorted(every[1:])
    drawn = [combination(s) for s in range(300)]
    assert all(_by_all(s, 1)[-1] == name_of(drawn[s]) for s in range(300) if len(drawn[s]) > 2)
    for variant in variants()[1:]:  # in a fifth of them at least, by 4 standard deviations less
        assert sum(variant.items() <= several.items() for several in drawn) > 30
    assert sorted(_by_all(7, len(every))) == sorted([*every, name_of(drawn[7])])
    for others in (0, 1, 5):  # the reference is asked in all of them, and nobody twice
        pairs = [(name_of(v), kind) for v, kind in chosen_for(7, others)]
        assert len(pairs) == len(set(pairs))
        first = sorted(name for name, kind in pairs if kind == "reference")
        assert first == sorted([*every, name_of(drawn[7])])
        assert len(_by_all(7, others)) == others + 2
    for several in drawn:
        assert ("damping", "factored") not in several.items() or several["curvature"] == "kfac"


def test_a_run_goes_on_where_it_ended_and_its_counts_add_up(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(false_alarms, "variants", lambda: CHOSEN)
    monkeypatch.setattr(false_alarms, "combination", lambda seed: SEVERAL)
    monkeypatch.setattr(false_alarms, "_verdicts", _counted)
    path = tmp_path / "alarms.jsonl"
    assert list(run(range(2), path, InProcess(), 0)) == [0, 1, 2]
    cut = path.read_text().splitlines(keepends=True)
    path.write_text("".join(cut[:8]) + cut[8][:20])  # killed while it wrote the second seed's
    assert list(run(range(3), path, InProcess(), 0)) == [1, 2, 3]
    asked_of_all = [{}, SEVERAL]
    alone = [(s, "sign=product", "reference") for s in range(3)]
    assert sorted((r["seed"], r["variant"], r["kind"]) for r in read(path)) == sorted(
        [(s, name_of(v), kind) for s in range(3) for v in asked_of_all for kind in KINDS] + alone
    )
    rows = summary(read(path), range(2))["rows"]
    assert [row["variant"] for row in rows] == ["defaults", "sign=product", COMBINED]
    assert [row["seeds"] for row in rows] == [2, 2, 2]
    assert [row["by_all"] for row in rows] == [2, 0, 2]
    assert [row["combined"] for row in rows] == [0, 2, 0]  # sign=product is part of SEVERAL
    assert [row["passed"] for row in rows] == [2 * 3 * 5, 2 * 5, 2 * 3 * 5]
    assert rows[0]["wrong"] == []
    said = [f"case 1, {kind}: solve-linear (chained) fail" for kind in KINDS]
    assert (rows[1]["wrong"], rows[2]["wrong"]) == (said[:1], said)
    assert list(run(range(3), path, InProcess(), 1)) == [0, 1, 2, 3]  # more is wanted of each
    assert [row["by_all"] for row in summary(read(path), range(3))["rows"]] == [3, 3, 3]
    assert len(read(path)) == 3 * 3 * len(KINDS)
    monkeypatch.setattr(false_alarms, "code", lambda: "mended")
    assert list(run(range(2), path, InProcess())) == [0, 1, 2]  # what other code did says nothing
    with filelock.FileLock(f"{path}.lock"), pytest.raises(filelock.Timeout):
        next(iter(run(range(2), path, InProcess())))


def _counted(seed, case, conventions, kind):
    del case
    wrong = seed == 1 and bool(conventions)
    alarm = {"check": "solve-linear", "mode": "chained", "verdict": "fail", "detail": ""}
    return {
        "seed": seed,
        "variant": name_of(conventions),
        "kind": kind,
        "case": f"case {seed}",
        "code": false_alarms.code(),
        "verdicts": {"pass": 5, "fail": int(wrong)},
        "wrong": [alarm] if wrong else [],
    }


def test_the_command_tells_an_alarm_and_fails(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(false_alarms, "variants", lambda: CHOSEN)
    monkeypatch.setattr(false_alarms, "combination", lambda seed: SEVERAL)
    where = ["--out", str(tmp_path / "a.jsonl"), "--summary", str(tmp_path / "sum" / "a.json")]
    right = CliRunner().invoke(app, ["alarms", "--seeds", "1", *where])
    assert right.exit_code == 0, right.output
    # A judge that inverts wrongly alarms an honest implementation.
    inverse = kronecker.damped_inverse
    monkeypatch.setattr(
        "refimpl.oracle.truth.truth.damped_inverse",
        lambda d, m: {n: 1.01 * x for n, x in inverse(d, m).items()},
    )
    answer = CliRunner().invoke(app, ["alarms", "--seeds", "3", *where])
    assert answer.exit_code == 1
    assert "seed 1, reference: scores-own-parts (chained) fail" in answer.output
    rows = json.loads((tmp_path / "sum" / "a.json").read_text())["rows"]
    assert [row["seeds"] for row in rows] == [3, 3, 3]
