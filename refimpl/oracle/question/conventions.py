"""Conventions: what implementations may rightly do differently, each spelled once.

docs/conventions.md says what the defaults mean: they are refimpl's own. The enumerations are closed:
what is not listed here is not a convention but a deviation. `truth.py` computes what is right in them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

__all__ = ["ROUNDOFF", "Conventions"]

# Unit roundoff of each compute dtype.
ROUNDOFF = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "tf32": 2.0**-11,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
}


@dataclass(frozen=True)
class Conventions:
    """One choice of each convention; the defaults are refimpl's.

    Args:
        loss_reduction: What gradients differentiate: an example's loss summed over its tokens; the
            mean over its own tokens, for a cross-entropy those that count; or the sum over its tokens
            divided by the number of examples. The mean of a squared error is left undecided.
        fisher: Labels of the pseudo-gradients: expectation in closed form, sampled, or the data's.
        samples: Labels drawn per example, where sampled.
        weight_sharing: How factors treat positions.
        bias: The bias is the last column of its layer's matrix, a layer "name.bias" of its own with
            matrices [O, 1] (its A is [[1]]), or not tracked.
        factor_scale: Whether only the product of A and S is given ("free"), or each of them.
        damping: lambda absolute; a multiple of the mean eigenvalue of each layer's matrix; or split
            between the factors (Martens & Grosse 2015, section 6.3).
        squared_error: Whether the loss is half the squared distance or all of it.
        sign: "influence": -grad f^T (G + lambda I)^-1 grad l; "product": without the minus.
        score_scale: Scores as they are, or divided by N.
        vec_order: Flat vectors of a layer's matrix row by row (out-major) or column by column.
        dtype: What the implementation computes in.
    """

    loss_reduction: Literal["sum", "token_mean", "example_mean"] = "sum"
    fisher: Literal["exact", "sampled", "empirical"] = "exact"
    samples: int = 1
    weight_sharing: Literal["expand", "reduce"] = "expand"
    bias: Literal["last_column", "separate", "none"] = "last_column"
    factor_scale: Literal["each", "free"] = "each"
    damping: Literal["absolute", "relative", "factored"] = "absolute"
    squared_error: Literal["half", "full"] = "half"
    sign: Literal["influence", "product"] = "influence"
    score_scale: Literal["1", "1/N"] = "1"
    vec_order: Literal["out_major", "in_major"] = "out_major"
    dtype: Literal["float64", "float32", "tf32", "float16", "bfloat16"] = "float64"

    @classmethod
    def of(cls, chosen: Mapping[str, Any]) -> "Conventions":
        """The defaults but for what is chosen.

        Args:
            chosen: Values by the name of the convention.

        Raises:
            ValueError: There is no such convention, or no such choice; it says which there are.
        """
        unknown = set(chosen) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(
                f"there is no convention {sorted(unknown)}: the conventions are "
                f"{', '.join(f.name for f in fields(cls))}"
            )
        for name, value in chosen.items():
            allowed = choices(name)
            if allowed and value not in allowed:
                raise ValueError(f"convention {name!r} must be one of {allowed}, got {value!r}")
        if not isinstance(chosen.get("samples", 1), int) or chosen.get("samples", 1) < 1:
            raise ValueError(f"convention 'samples' must be >= 1, got {chosen['samples']!r}")
        return cls(**chosen)

    def but(self, **changed: Any) -> "Conventions":
        """These conventions with some changed."""
        return replace(self, **changed)

    @property
    def unit(self) -> float:
        """Unit roundoff u of the compute dtype."""
        return ROUNDOFF[self.dtype]

    @property
    def changed(self) -> dict[str, Any]:
        """What differs from the defaults."""
        plain = Conventions()
        return {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if getattr(self, f.name) != getattr(plain, f.name)
        }


def choices(name: str) -> tuple[str, ...]:
    """The choices of a convention; empty for a number.

    Args:
        name: Its name.
    """
    return get_args(Conventions.__dataclass_fields__[name].type)
