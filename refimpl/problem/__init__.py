"""A trained model with its loss, its data and the layers that are tracked.

`problem.py` has the class `Problem`; `data.py` what a model is called with; `measurements.py` the
scalars of an example that can be asked for; `layout.py` is the one place that knows the order of the
flat vector; `layers/` sees each tracked layer as a matrix [W | b]. What could not be treated correctly
is refused: arguments in `checks.py`, the running model in `probe.py`.
"""

from refimpl.problem.data import Data as Data, index as index, length as length
from refimpl.problem.layers import Layer as Layer, register_layer as register_layer
from refimpl.problem.layout import Block as Block, ParameterLayout as ParameterLayout
from refimpl.problem.measurements import Measurement as Measurement
from refimpl.problem.problem import Problem as Problem
