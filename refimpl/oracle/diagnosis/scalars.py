"""Names for unknown scalars from the sizes of a case: N, T, B, C, P and simple functions of them."""

from itertools import combinations

from refimpl.oracle.question.case import Case

__all__ = ["expression_for", "sizes"]


def sizes(case: Case) -> dict[str, float]:
    """Numbers of a case that a scale may wrongly contain.

    Args:
        case: Gives N, B, T, P and the other sizes.
    """
    mask = case.mask.reshape(case.num_examples, -1)
    counted = int(mask.sum())
    N, B = case.num_examples, min(case.batch_size, case.num_examples)
    numbers = {
        "N": N,
        "B": B,
        "last batch": N % B or B,
        "batches": -(-N // B),
        "T": mask.shape[1],
        "counted tokens": counted,
        "counted tokens / N": counted / N,
        "P": case.num_parameters,
        "layers": len(case.blocks),
        "samples": case.conventions.samples,
        "lambda": case.damping,
        "C": _outputs(case),
    }
    return {name: float(value) for name, value in numbers.items() if value not in (0, 1)}


def _outputs(case: Case) -> int:
    return case.blocks[-1].outputs


def expression_for(factor: float, case: Case, tolerance: float) -> str:
    """A number as people would write it: "2", "1/N (N = 10)", "(N-1)/N"; else in digits.

    Args:
        factor: The number to name.
        case: The case whose sizes may occur in the name.
        tolerance: Relative.
    """

    def fits(value: float) -> bool:
        return abs(factor - value) <= max(tolerance, 1e-14) * abs(value)

    sign, plain = ("-", -factor) if factor < 0 else ("", factor)
    for text, value in _expressions(case):
        if fits(value) or (sign and fits(-value)):
            return f"{sign}{text}"
    return f"{sign}{plain:.6g}"


def _expressions(case: Case) -> list[tuple[str, float]]:
    expressions = [(str(n), float(n)) for n in (1, 2, 3, 4)]
    expressions += [(f"1/{n}", 1 / n) for n in (2, 3, 4)]
    expressions += [("sqrt(2)", 2**0.5), ("1/sqrt(2)", 0.5**0.5)]
    known = sizes(case)
    for name, v in known.items():
        note = f" ({name} = {v:g})"
        expressions += [
            (f"{name}{note}", v),
            (f"1/{name}{note}", 1 / v),
            (f"sqrt({name}){note}", v**0.5),
            (f"1/sqrt({name}){note}", v**-0.5),
            (f"{name}^2{note}", v**2),
            (f"1/{name}^2{note}", v**-2),
            (f"2 {name}{note}", 2 * v),
            (f"{name}/2{note}", v / 2),
            (f"2/{name}{note}", 2 / v),
        ]
        if v > 1 and v == int(v):
            expressions += [
                (f"{name}/({name}-1){note}", v / (v - 1)),
                (f"({name}-1)/{name}{note}", 1 - 1 / v),
            ]
    for (a, v), (b, w) in combinations(known.items(), 2):
        note = f" ({a} = {v:g}, {b} = {w:g})"
        expressions += [
            (f"{a} * {b}{note}", v * w),
            (f"{a} / {b}{note}", v / w),
            (f"{b} / {a}{note}", w / v),
            (f"1/({a} * {b}){note}", 1 / (v * w)),
            (f"sqrt({a} / {b}){note}", (v / w) ** 0.5),
        ]
    return expressions
