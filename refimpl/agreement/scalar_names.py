"""Names for a factor: products of small powers of 2 and of the sizes that are known."""

import math
from itertools import product

__all__ = ["names_for"]

POWERS = range(-2, 3)
MOST = 5  # the sum of the powers' sizes
CHANCE = 0.05


def names_for(interval: tuple[float, float], sizes: dict[str, int]) -> tuple[str, ...]:
    """Every product of powers that lies in an interval, the simplest first, as `N B^2 / 2`.

    None where it could be chance: products are taken as far as fewer than 0.05 of them would lie in
    an interval of this width somewhere within a factor e of it.

    Args:
        interval: The smallest and largest factor that the scores allow, of one sign.
        sizes: Known sizes by their letters, such as N and B.

    Example:
        >>> names_for((0.0099999999, 0.0100000001), {"N": 100, "B": 10})
        ('1/N', '1/B^2', 'B^2/N^2')
    """
    if interval[0] * interval[1] <= 0 or not all(map(math.isfinite, interval)):
        return ()
    sign = "-" if interval[0] < 0 else ""
    low, high = sorted(math.log(abs(end)) for end in interval)
    letters = {"2": 2} | {letter: size for letter, size in sizes.items() if size > 1}
    fits: list[str] = []
    near = 0
    for level in range(1, MOST + 1):
        products = [
            (text, value) for text, value, complexity in _products(letters) if complexity == level
        ]
        near += sum(abs(value - low) <= 1 for _, value in products)
        if near / 2 * (high - low) >= CHANCE:
            break
        # the logarithms' own rounding: a few terms of size up to |value|
        slack = 8 * 2**-53
        fits += [
            sign + text
            for text, value in products
            if low - slack * (1 + abs(value)) <= value <= high + slack * (1 + abs(value))
        ]
    return tuple(fits)


def _products(letters: dict[str, int]) -> list[tuple[str, float, int]]:
    """Text, logarithm and sum of powers of each product, but 1."""
    found: list[tuple[str, float, int]] = []
    for powers in product(POWERS, repeat=len(letters)):
        complexity = sum(map(abs, powers))
        if 0 < complexity <= MOST:
            value = sum(p * math.log(s) for p, s in zip(powers, letters.values(), strict=True))
            found.append((_text(dict(zip(letters, powers, strict=True))), value, complexity))
    return found


def _text(powers: dict[str, int]) -> str:
    def side(sign: int) -> list[str]:
        squares = {x: "4" if x == "2" else f"{x}^2" for x in powers}
        return [squares[x] if abs(p) == 2 else x for x, p in powers.items() if p * sign > 0]

    above, below = " ".join(side(1)) or "1", side(-1)
    if not below:
        return above
    return f"{above}/{below[0]}" if len(below) == 1 else f"{above}/({' '.join(below)})"
