"""Numbers and lists written for readers."""

import math
import re

from refimpl.report.lookup import Cell

__all__ = [
    "at_damping",
    "damping",
    "figure",
    "interval",
    "joined",
    "plus",
    "power",
    "seconds",
    "sentence",
    "signed",
    "unbroken",
]

SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MINUS = "\u2212"


def figure(value: float, digits: int = 3) -> str:
    """A number with so many decimals, more when it is tiny, a power of ten when it is huge."""
    if value == 0 or 10**-digits <= abs(value) < 1e4:
        return f"{value:.{digits}f}".replace("-", MINUS)
    return power(value)


def power(value: float) -> str:
    """A number in scientific notation, 2.5 × 10⁻⁹; from 1 to 10 the number as it is."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}".replace("-", MINUS)
    exponent = math.floor(math.log10(abs(value)))
    mantissa = f"{value / 10**exponent:.1f}"
    if mantissa in ("10.0", "-10.0"):
        mantissa, exponent = mantissa.replace("10.0", "1.0"), exponent + 1
    scale = f" × 10{str(exponent).translate(SUPERSCRIPT)}" if exponent else ""
    return f"{mantissa}{scale}".replace("-", MINUS)


def damping(value: float) -> str:
    """λ, written as a power of ten where it is one."""
    exponent = round(math.log10(value)) if value > 0 else 0
    if value > 0 and math.isclose(value, 10.0**exponent, rel_tol=1e-9):
        return f"10{str(exponent).translate(SUPERSCRIPT)}"
    return f"{value:g}"


def at_damping(value: float | None) -> str:
    """The damping as it follows a name, ", λ = 10⁻³"; empty where there is none."""
    return "" if value is None else f", λ = {damping(value)}"


def interval(cell: Cell, digits: int = 3) -> str:
    """A figure with its interval, "0.912 [0.905, 0.918]"."""
    return f"{figure(cell.value, digits)} [{figure(cell.low, digits)}, {figure(cell.high, digits)}]"


def plus(value: float, digits: int = 3) -> str:
    """A number with its sign, a plus included."""
    return ("+" if value > 0 else "") + figure(value, digits)


def signed(cell: Cell, digits: int = 3) -> str:
    """A difference with its interval, "+0.012 [+0.005, +0.018]"."""
    return f"{plus(cell.value, digits)} [{plus(cell.low, digits)}, {plus(cell.high, digits)}]"


def unbroken(text: str) -> str:
    """Forbid line breaks inside λ = 10⁻³, 2.5 × 10⁻⁹ and [0.1, 0.2]."""
    text = text.replace("λ = ", "λ\u00a0=\u00a0").replace(" × ", "\u00a0×\u00a0")
    return re.sub(r"\[[^\]]*\]", lambda match: match.group().replace(" ", "\u00a0"), text)


def sentence(text: str) -> str:
    """Capitalise the first letter and change nothing else."""
    return text[:1].upper() + text[1:]


def joined(parts: list[str], last: str = "and") -> str:
    """Join parts as in "a, b and c"."""
    if len(parts) <= 1:
        return "".join(parts)
    return ", ".join(parts[:-1]) + f" {last} " + parts[-1]


def seconds(value: float) -> str:
    """A duration in seconds, or in minutes from 120 s."""
    return f"{value:.1f} s" if value < 120 else f"{int(value // 60)} min {value % 60:.0f} s"
