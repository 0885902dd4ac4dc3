"""The layers whose weights can be tracked, each seen as matrices [W | b] that multiply rows.

`layer.py` has what a layer says of itself, `table.py` the table from a type of module to its layer, and
each type of module a file of its own, which registers it and is found by its place. `selection.py` finds
the tracked layers of a model.
"""

import pkgutil
from importlib import import_module

from refimpl.problem.layers.conv2d import Conv2d as Conv2d
from refimpl.problem.layers.layer import Layer as Layer
from refimpl.problem.layers.linear import Linear as Linear
from refimpl.problem.layers.table import register_layer as register_layer


def import_layers() -> None:
    """Import every module of this folder: each registers its layer."""
    for module in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")


import_layers()
