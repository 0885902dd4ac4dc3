"""refimpl: the reference that an influence-function implementation is judged by."""

from refimpl import agreement as agreement, exact as exact, fast as fast, losses as losses
from refimpl.curvature import (
    Certificate as Certificate,
    Curvature as Curvature,
    NotConverged as NotConverged,
    Solution as Solution,
)
from refimpl.dense import Dense as Dense
from refimpl.influence import (
    influence as influence,
    self_influence as self_influence,
    token_influence as token_influence,
)
from refimpl.ladder import ladder as ladder
from refimpl.layout import Block as Block, ParameterLayout as ParameterLayout
from refimpl.problem import Problem as Problem

__version__ = "0.1.0"
