"""Losses: what a curvature needs of them, and labels where they are likelihoods.

`loss.py` has the part that every loss has: value, gradient, output Hessian and its root, and the Bregman
divergence; `likelihood.py` the part of those from whose distribution labels can be drawn. An example's
loss is summed over its tokens. Outputs are [N, *tokens, C] with the class axis last; a single output per
example may drop that axis. The three losses here are likelihoods, so that the output Hessian depends on
the label through the weight omega of a token alone.
"""

from refimpl.losses.binary_cross_entropy import BinaryCrossEntropy as BinaryCrossEntropy
from refimpl.losses.cross_entropy import CrossEntropy as CrossEntropy
from refimpl.losses.likelihood import LikelihoodLoss as LikelihoodLoss
from refimpl.losses.loss import Loss as Loss
from refimpl.losses.squared_error import SquaredError as SquaredError
from refimpl.losses.tokens import as_tokens as as_tokens
