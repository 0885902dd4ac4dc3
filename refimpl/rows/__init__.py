"""Rows: the inputs a and the gradients g of every tracked layer, of which all curvatures are made.

A gradient in [W | b] is sum_r g_r a_r^T over the rows r (tokens, positions) of an example. `hooks.py`
records them in a pass of the model, `sweeps.py` turns passes into pseudo-gradients of the Fisher,
`contractions.py` multiplies gradients by vectors without forming them.
"""
