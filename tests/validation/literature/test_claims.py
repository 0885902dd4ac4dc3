"""Claims: confirmed only where the whole interval lies on the side claimed."""

import pytest

from refimpl.rungs.curvatures import APART
from validation.literature.claims import claim, image_claims, sequence_claims
from validation.parts.saved import Result


@pytest.mark.parametrize(
    ("triple", "side", "verdict"),
    [
        ([60.0, 55.0, 65.0], {"above": 50.0}, "confirmed"),
        ([60.0, 45.0, 75.0], {"above": 50.0}, "undecided"),
        ([40.0, 35.0, 45.0], {"above": 50.0}, "not confirmed"),
        ([0.5, 0.4, 0.6], {"below": 1.0}, "confirmed"),
        ([1.0, 0.9, 1.1], {"below": 1.0}, "undecided"),
        ([1.2, 1.1, 1.3], {"below": 1.0}, "not confirmed"),
        ([0.0, 0.0, 0.1], {"enough": False}, "not confirmed"),
        ([0.1, 0.0, 0.2], {"enough": True}, "confirmed"),
    ],
)
def test_the_interval_decides(triple, side, verdict) -> None:
    row = claim("c", "s", triple, "u", "d", **side)
    assert row["verdict"] == verdict
    assert (row["value"], row["low"], row["high"]) == tuple(triple)
    assert row["measured"].startswith("u: ")


def test_a_claim_without_a_side_is_refused() -> None:
    with pytest.raises(ValueError, match="side"):
        claim("c", "s", [0.0, 0.0, 0.0], "u", "d")


def test_queries_without_influence_are_counted_with_wilsons_interval() -> None:
    gallery = {"queries_total": 40, "notable": 30, "threshold": 0.01, "curvature": "exact GNH"}
    earlier = {"pictures": Result({"gallery": gallery, "top_examples": []}, {})}
    (row,) = image_claims({}, earlier)["claims"]
    assert row["value"] == 0.25
    # (p + z^2 / 2n +- z sqrt(p (1 - p) / n + z^2 / 4 n^2)) / (1 + z^2 / n), z = 1.96
    assert (row["low"], row["high"]) == pytest.approx((0.1419, 0.4019), abs=1e-4)
    assert row["measured"].startswith("10 of 40 queries")


def test_the_gain_of_summing_first_is_the_contrast_turned_round() -> None:
    contrast = {
        "reference": "exact GNH",
        "first": APART,
        "second": "EK-FAC",
        "value": -0.02,
        "low": -0.03,
        "high": -0.01,
    }
    passages = {"queries_total": 5, "notable": 5, "threshold": 0.01}
    earlier = {
        "influences/0.1": Result({"contrasts": [contrast]}, {}),
        "passages": Result({"passages": passages}, {}),
    }
    gain, none = sequence_claims({"headline": 0.1}, earlier)["claims"]
    assert (gain["value"], gain["low"], gain["high"]) == (0.02, 0.01, 0.03)
    assert gain["verdict"] == "confirmed"
    assert none["verdict"] == "not confirmed"
