"""Approximations: K-FAC, EK-FAC and the baselines that they are compared with."""

from refimpl.fast.baselines import (
    BlockDiagonal as BlockDiagonal,
    Diagonal as Diagonal,
    EmpiricalFisher as EmpiricalFisher,
    Identity as Identity,
)
from refimpl.fast.ekfac import EKFAC as EKFAC
from refimpl.fast.kfac import KFAC as KFAC
from refimpl.fast.lissa import LiSSA as LiSSA, Trace as Trace
