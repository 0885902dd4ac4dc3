"""The ladder of approximations: every curvature as a rung, from the full Hessian down.

`curvatures.py` lists the rungs and `fits.py` fits them; `solving.py` asks each for its scores,
`comparisons.py` compares them, `outcomes.py` retrains. `parts.py` joins these to steps whose results
can be saved: `climbing.py` takes them one after another for one problem, the studies of `validation`
save each. `page.py` makes of the results what a page is drawn from.
"""

from refimpl.rungs.climbing import ladder as ladder
