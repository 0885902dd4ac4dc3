"""A trained model with its loss, its data and the layers that are tracked.

`problem.py` has the class `Problem`; `layout.py` is the one place that knows the order of the flat
vector; `layers/` sees each tracked layer as a matrix [W | b]; `checks.py` refuses what could not be
treated correctly.
"""

from refimpl.problem.layout import Block as Block, ParameterLayout as ParameterLayout
from refimpl.problem.problem import (
    Data as Data,
    Measurement as Measurement,
    Problem as Problem,
    index as index,
    length as length,
)
