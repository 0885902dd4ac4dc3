"""Proved micro problems: float64 answers against enclosures by ball arithmetic.

`arb_mlp` and `arb_solves` enclose the true answers (python-flint's `arb`, 110 digits, no torch);
`bounds`, `solve_bounds` and `rotation_bounds` derive how far float64 may be from that; `answers` asks
refimpl; `comparison` puts the three together.
"""

from validation.proved.comparison import proved_records as proved_records
from validation.proved.problems import PROBLEMS as PROBLEMS, MicroProblem as MicroProblem
from validation.proved.records import ProvedRecord as ProvedRecord, worst as worst
