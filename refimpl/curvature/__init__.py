"""Curvatures: matrices H that are applied, solved with damping, and certified."""

from refimpl.curvature.curvature import (
    Certificate as Certificate,
    Curvature as Curvature,
    NotConverged as NotConverged,
    Solution as Solution,
)
from refimpl.curvature.dense import Dense as Dense
