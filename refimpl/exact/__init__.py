"""Truth: definitions, the exact Gauss-Newton Hessian, and the outcomes that influence predicts."""

from refimpl.exact.definition import (
    gauss_newton_matrix as gauss_newton_matrix,
    hessian as hessian,
    jacobian as jacobian,
    output_hessian as output_hessian,
)
from refimpl.exact.estimates import Cost as Cost, costs as costs
from refimpl.exact.gauss_newton import GaussNewton as GaussNewton
from refimpl.exact.iterative import Iterative as Iterative
from refimpl.exact.response import bregman_response as bregman_response
from refimpl.exact.reweighting import leave_one_out as leave_one_out, retrain as retrain
from refimpl.exact.stationary import Response as Response
