"""Curvatures: matrices H that are applied, solved with damping, and certified.

`curvature.py` has the interface: a class with `apply`, `solve` and `dense`. `structured.py` has what the
curvatures of refimpl share, `certificates.py` what a solve certifies, `dense.py` a matrix given entry by
entry, and `spectra.py` largest eigenvalues.
"""

from refimpl.curvature.certificates import (
    Certificate as Certificate,
    NotConverged as NotConverged,
    Solution as Solution,
)
from refimpl.curvature.curvature import Curvature as Curvature
from refimpl.curvature.dense import Dense as Dense
