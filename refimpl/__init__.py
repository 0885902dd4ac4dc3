"""refimpl: the reference that an influence-function implementation is judged by."""

from refimpl import agreement as agreement, exact as exact, fast as fast, losses as losses
from refimpl.curvature import (
    Certificate as Certificate,
    Curvature as Curvature,
    Dense as Dense,
    NotConverged as NotConverged,
    Solution as Solution,
)
from refimpl.problem import (
    Block as Block,
    Layer as Layer,
    ParameterLayout as ParameterLayout,
    Problem as Problem,
    register_layer as register_layer,
)
from refimpl.rungs import ladder as ladder
from refimpl.scores import (
    influence as influence,
    self_influence as self_influence,
    token_influence as token_influence,
)

__version__ = "0.1.0"
