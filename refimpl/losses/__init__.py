"""Losses: the value of an example, the Hessian in its outputs, the label distribution, the divergence.

An example's loss is summed over its tokens. Outputs are [N, *tokens, C] with the class axis last;
a single output per example may drop that axis. Every loss here is, up to a weight omega >= 0 per
token and a constant, the negative log-likelihood of an exponential family whose natural parameter
is the output. Its output Hessian is therefore omega times the Fisher information of the label
distribution, and does not depend on the label but through omega (Martens 2020, section 9.2).
"""

from refimpl.losses.binary_cross_entropy import BinaryCrossEntropy as BinaryCrossEntropy
from refimpl.losses.cross_entropy import CrossEntropy as CrossEntropy
from refimpl.losses.loss import Loss as Loss, as_tokens as as_tokens
from refimpl.losses.squared_error import SquaredError as SquaredError
