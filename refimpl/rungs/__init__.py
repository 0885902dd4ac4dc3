"""The ladder of approximations: every curvature as a rung, from the full Hessian down.

`curvatures.py` lists the rungs and how each is fitted; `comparisons.py` compares their scores;
`outcomes.py` retrains; `climbing.py` does all of it for one problem.
"""

from refimpl.rungs.climbing import ladder as ladder
