"""Rows: the inputs a and the gradients g of every tracked layer, of which all curvatures are made.

A gradient in [W | b] is sum_r g_r a_r^T over the rows r (tokens, positions) of an example. `hooks.py`
records them in a pass of the model. `verification.py` makes sure, once for each problem, that they give
its gradients, and `sizes.py` says how many there are: `rows.of(problem)`. `roots.py` and `draws.py` make
the directions of the Fisher, `sweeps.py` turns passes into pseudo-gradients in these directions,
`matrices.py` forms gradients, and `contractions.py` multiplies them by vectors without forming them.
"""

from refimpl.rows.verification import of as of
