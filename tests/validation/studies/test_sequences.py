"""The studies of sequences, at their quick sizes, from the command line to the page."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from refimpl import report
from refimpl.rungs.curvatures import APART
from validation.__main__ import app
from validation.studies import text, text_wide


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["report", *arguments])


def finished(name: str, out: Path):
    """A finished quick run."""
    found = invoke(name, "--quick", "--seeds", "0", "--out", str(out))
    assert found.exit_code == 0, found.output
    return report.read(out / name)


@pytest.fixture(scope="module", params=["characters", "text"])
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    return finished(request.param, tmp_path_factory.mktemp("reports"))


def test_tokens_squared_apart_are_compared(results) -> None:
    names = {c["name"] for c in results["curvatures"]}
    assert {APART, "EK-FAC", "K-FAC", "exact GNH"} <= names
    assert any(c["first"] == APART for c in results["contrasts"])


def test_only_the_mlp_layers_are_tracked(results) -> None:
    # 4 wide, 4 in the middle, two layers: 2 (4 x 5 + 4 x 5) parameters
    facts = dict(results["facts"])
    assert facts["Tracked parameters"].startswith("80 of ")


def test_passages_are_text_whose_influences_sum_to_their_change(results) -> None:
    passages = results["passages"]
    assert passages["queries"]
    for query in passages["queries"]:
        assert query["prompt"]
        assert query["completion"]
        for passage in (*query["helpful"], *query["harmful"]):
            assert len(passage["tokens"]) == len(passage["influence"])
            scale = sum(map(abs, passage["influence"])) + abs(passage["change"])
            assert abs(sum(passage["influence"]) - passage["change"]) <= 5e-4 * scale
        assert all(p["change"] > 0 for p in query["helpful"])
        assert all(p["change"] < 0 for p in query["harmful"])


def test_the_claims_are_there(results) -> None:
    verdicts = {claim["verdict"] for claim in results["claims"]}
    assert len(results["claims"]) == 2
    assert verdicts <= {"confirmed", "not confirmed", "undecided"}


def test_a_users_texts_are_read(tmp_path: Path) -> None:
    line = "the quick brown fox jumps over the lazy dog and then it sleeps in the warm sun {}. "
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta"]
    words += ["theta", "iota", "kappa", "lambda", "mu", "nu", "xi"]
    folder = tmp_path / "texts"
    folder.mkdir()
    for k in range(10):
        lines = "".join(line.format(words[(k + i) % 14] + words[i]) for i in range(14))
        (folder / f"{k}.txt").write_text(lines)
    found = invoke(
        "text", "--quick", "--seeds", "0", "--texts", str(folder), "--out", str(tmp_path / "out")
    )
    assert found.exit_code == 0, found.output
    results = report.read(tmp_path / "out" / "text")
    assert "the user's texts" in results["setting"]
    assert results["passages"]["queries"][0]["source"].split(",")[0].endswith(".txt")


def test_a_folder_without_texts_fails_with_its_name(tmp_path: Path) -> None:
    found = invoke("text", "--quick", "--texts", str(tmp_path), "--out", str(tmp_path / "out"))
    assert found.exit_code == 1
    assert str(tmp_path) in found.output


def test_the_wider_model_is_compared_without_its_matrix(tmp_path: Path) -> None:
    results = finished("text_wide", tmp_path)
    against = [f for f in results["agreement"] if f["reference"] == "exact GNH"]
    assert {f["curvature"] for f in against} >= {"EK-FAC", "K-FAC", APART, "identity"}
    assert {f["statistic"] for f in against} >= {"pearson", "ihvp_error"}
    assert not any(f["statistic"].startswith("operator") for f in results["agreement"])
    exact = [s for s in results["solves"] if s["curvature"] == "exact GNH"]
    assert len(exact) == 2
    assert all(s["missed"] == 0 and s["backward_error"] <= s["tolerance"] for s in exact)
    assert [c["claim"].split(":")[0] for c in results["claims"]] == [
        "Correlations between tokens matter"
    ]
    assert "passages" not in results


def test_the_full_study_has_the_sizes_that_it_promises() -> None:
    assert text_wide.CONFIG["length"] >= 64
    assert text_wide.CONFIG["model"]["width"] > text.CONFIG["model"]["width"]
    assert text.CONFIG["length"] >= 64
    assert text.CONFIG["examples"] >= 50
