"""Conventions: what implementations may rightly do differently, each spelled once, as a record.

The enumerations are closed: what is not listed here is not a convention but a deviation. From these
records are made: what may be declared, the table of docs/conventions.md, the vectors' schema, the variants
of the self-test and the sentences of the diagnosis. `refimpl.oracle.truth` computes what is right in each.
"""

from collections.abc import Mapping
from typing import Any

from refimpl.oracle.question.convention import Choice, Convention

__all__ = ["ROUNDOFF", "Conventions", "choices", "explanations", "records", "schema", "table"]

# Unit roundoff of each compute dtype.
ROUNDOFF = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "tf32": 2.0**-11,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
}
COMPUTED = "computes what is right from the definition"


class Conventions:
    """One choice of each convention; frozen.

    Args:
        chosen: Choices by the name of the convention; the defaults are refimpl's own.

    Raises:
        ValueError: There is no such convention, or no such choice; the text says which there are.
    """

    loss_reduction = Convention(
        "what gradients differentiate",
        f"{COMPUTED}; for ℓ/N divides gradients by N",
        (
            Choice("sum", "ℓ", "the loss of an example is summed over its tokens"),
            Choice(
                "token_mean",
                "its mean over the example's own counted tokens (an average over all tokens of a "
                "batch is another loss; for a squared error the oracle leaves it undecided)",
                "the loss of an example is a mean over its tokens",
            ),
            Choice("example_mean", "ℓ/N", "the loss is divided by the number of examples"),
        ),
    )
    fisher = Convention(
        "labels of the pseudo-gradients",
        f"{COMPUTED}; judges what is sampled by its law",
        (
            Choice(
                "exact",
                "their expectation in closed form",
                "the expectation over the model's labels is taken in closed form",
            ),
            Choice("sampled", "drawn from the model's outputs"),
            Choice(
                "empirical",
                "the data's",
                "labels come from the data, not from the model",
                new_eigenvectors=True,
            ),
        ),
    )
    samples = Convention(
        "labels drawn for each example, where sampled", "judges by this many draws"
    )
    weight_sharing = Convention(
        "how K-FAC's factors treat positions",
        COMPUTED,
        (
            Choice(
                "expand", "each by itself", "positions are expanded (K-FAC-expand), not reduced"
            ),
            Choice(
                "reduce",
                "inputs averaged and gradients summed over them",
                "positions are reduced (K-FAC-reduce), not expanded",
                new_eigenvectors=True,
            ),
        ),
    )
    bias = Convention(
        "where the bias stands",
        "splits or drops the last column",
        (
            Choice("last_column", "in its layer's matrix"),
            Choice(
                "separate",
                "in a layer `name.bias` of its own, [O, 1], whose A is [[1]]",
                new_eigenvectors=True,
            ),
            Choice("none", "nowhere: it is not tracked"),
        ),
    )
    factor_scale = Convention(
        "what is given of K-FAC's factors",
        "compares A and S up to a scale, and their product",
        (Choice("each", "A and S"), Choice("free", "only their product")),
    )
    damping = Convention(
        "what is added to the curvature",
        COMPUTED,
        (
            Choice("absolute", "λ", "the damping is absolute"),
            Choice(
                "relative",
                "λ times each layer's mean eigenvalue",
                "the damping is relative to each layer's mean eigenvalue",
            ),
            Choice(
                "factored",
                "λ split between K-FAC's factors (Martens & Grosse 2015, section 6.3)",
                "the damping is split between the factors",
                curvature="kfac",
                because="splits lambda between K-FAC's factors, and others add it to eigenvalues",
            ),
        ),
    )
    squared_error = Convention(
        "the squared error",
        "multiplies by 2 what is linear in the loss, and by 4 squares of gradients",
        (
            Choice("half", "½‖f − y‖²", "the squared error has a half"),
            Choice("full", "‖f − y‖²", "the squared error lacks its half"),
        ),
    )
    sign = Convention(
        "the score",
        "multiplies scores by −1",
        (
            Choice("influence", "−∇fᵀ (G + λI)⁻¹ ∇ℓ", "scores have the minus of an influence"),
            Choice(
                "product",
                "without the minus",
                "scores lack the minus of an influence",
                {"scores": lambda scores, case: -scores},
            ),
        ),
    )
    score_scale = Convention(
        "the scale of scores",
        "divides scores by N",
        (
            Choice("1", "as they are", "scores are not divided by N"),
            Choice(
                "1/N",
                "divided by N",
                "scores are divided by N",
                {"scores": lambda scores, case: scores / case.num_examples},
            ),
        ),
    )
    vec_order = Convention(
        "a layer's part of a flat vector",
        "transposes it",
        (
            Choice("out_major", "row by row", "matrices are flattened row by row"),
            Choice("in_major", "column by column", "matrices are flattened column by column"),
        ),
    )
    dtype = Convention(
        "what it computes in",
        "judges errors by its unit roundoff, so that a coarse one hides much",
        tuple(Choice(name, tried=name in ("float64", "float32")) for name in ROUNDOFF),
    )

    def __init__(self, **chosen: Any) -> None:
        known = records()
        if unknown := sorted(set(chosen) - set(known)):
            raise ValueError(
                f"there is no convention {unknown}: the conventions are {', '.join(known)}"
            )
        for name, value in chosen.items():
            known[name].check(value)
        self.changed: dict[str, Any] = {
            name: chosen[name]
            for name, record in known.items()
            if name in chosen and chosen[name] != record.default
        }

    @classmethod
    def of(cls, chosen: Mapping[str, Any]) -> "Conventions":
        """The defaults, with some choices replaced.

        Args:
            chosen: Values by the name of the convention.

        Raises:
            ValueError: As for the class.
        """
        return cls(**chosen)

    def but(self, **changed: Any) -> "Conventions":
        """These conventions with some changed."""
        return Conventions(**{**self.changed, **changed})

    @property
    def plain(self) -> dict[str, Any]:
        """Every choice by name, as JSON holds it; `changed` has only those that are no default."""
        return {name: self.changed.get(name, record.default) for name, record in records().items()}

    @property
    def unit(self) -> float:
        """Unit roundoff u of the compute dtype."""
        return ROUNDOFF[self.dtype]

    def require_curvature(self, curvature: str) -> None:
        """Refuse a curvature that a choice does not go with.

        Raises:
            ValueError: The text says which curvature, or which other choices.
        """
        for name, value in self.changed.items():
            record = records()[name]
            choice = record.choice(value) if record.choices else Choice("")
            if choice.curvature not in ("", curvature):
                others = " or ".join(repr(c.value) for c in record.choices if not c.curvature)
                raise ValueError(
                    f"{name} {value!r} {choice.because}: declare curvature {choice.curvature!r}, not "
                    f"{curvature!r}, or {name} {others}"
                )

    def transformed(self, stage: str, answer: Any, case: Any) -> Any:
        """Transform an answer from refimpl's own conventions into these, as far as they only transform it.

        Args:
            stage: Name of the stage.
            answer: The right answer in refimpl's own conventions.
            case: The `Case` that is answered.
        """
        for name, value in self.changed.items():
            record = records()[name]
            if record.choices and stage in record.choice(value).transforms:
                answer = record.choice(value).transforms[stage](answer, case)
        return answer

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Conventions) and self.changed == other.changed

    def __hash__(self) -> int:
        return hash(tuple(sorted(self.changed.items())))

    def __repr__(self) -> str:
        return f"Conventions({', '.join(f'{n}={v!r}' for n, v in self.changed.items())})"


def records() -> dict[str, Convention]:
    """Every convention by name, in order."""
    return {n: v for n, v in vars(Conventions).items() if isinstance(v, Convention)}


def choices(name: str) -> tuple[str, ...]:
    """The choices of a convention; empty for a number."""
    return records()[name].values


def explanations() -> dict[tuple[str, str], str]:
    """The diagnosis's sentence on each choice, by name and value; refimpl's own choice comes last."""
    return {
        (name, choice.value): choice.explains
        for name, record in records().items()
        for choice in (*record.choices[1:], *record.choices[:1])
        if choice.explains
    }


def schema() -> dict[str, Any]:
    """The conventions of a vector as JSON Schema: those that differ from the defaults, or all."""
    properties = {name: record.schema for name, record in records().items()}
    return {
        "type": "object",
        "description": "Those that differ from the defaults, the first of each enum; or all.",
        "additionalProperties": False,
        "properties": properties,
    }


def table() -> str:
    """The conventions as a table in Markdown."""
    head = "| name | choices | meaning | the oracle |\n| --- | --- | --- | --- |\n"
    return head + "".join(_row(record) for record in records().values())


def _row(record: Convention) -> str:
    values = ", ".join(f'`"{value}"`' for value in record.values) or f"a number, {record.default}"
    meanings = "; ".join(choice.meaning for choice in record.choices if choice.meaning)
    meaning = f"{record.about}: {meanings}" if meanings else record.about
    return f"| `{record.name}` | {values} | {meaning} | {record.judged} |\n"
