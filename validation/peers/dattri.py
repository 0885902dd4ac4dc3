"""dattri (Deng, Hu et al.): data attribution; its EK-FAC and its solves with the Hessian.

What its docstrings say, and what the declarations make of it:

- `IFAttributorEKFAC` wants "a single tensor of loss. Should be the mean loss by the batch size" and
  estimates "the FIM on this function"; at "the ground truth label" that is "the empirical FIM"
  (`dattri.func.fisher`): `fisher="empirical"`.
- `module_name`: "all linear modules". `mask`: "a tensor of shape (batch_size, t)".
- `damping` and `regularization` are absolute, scores products of gradients, [train, test].
- `IFAttributorExplicit` and `IFAttributorCG` invert the Hessian: compared where it is the
  Gauss-Newton Hessian, outputs linear in the tracked parameters. "Ideally, the batch size of the
  dataloader should be the same as the number of training samples" (`cache`): it is.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from dattri.algorithm.influence_function import (
    IFAttributorCG,
    IFAttributorEKFAC,
    IFAttributorExplicit,
)
from dattri.func import fisher
from dattri.task import AttributionTask
from torch import Tensor, nn
from torch.utils.data import DataLoader

from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.stages.setting import State
from refimpl.oracle.subject.adapter import Adapter, Declaration, Unsupported
from refimpl.oracle.subject.torch_adapter import parameter_names
from refimpl.oracle.torch import TorchAdapter
from validation.peers.models import linear_in_parameters, tied

__all__ = ["ADAPTERS", "Cg", "Ekfac", "Explicit"]

REQUIREMENT = "dattri"
VERSION = version("dattri")


def _task(case: Case) -> AttributionTask:
    model, loss = case.torch_module(), case.loss.build()

    def mean(params: Any, data: Any) -> Tensor:
        inputs, labels = data
        outputs = torch.func.functional_call(model, params, (inputs,))
        return loss.value(outputs, labels).mean()

    return AttributionTask(loss_func=mean, model=model, checkpoints=model.state_dict())


class Ekfac(TorchAdapter):
    """`IFAttributorEKFAC`."""

    declaration = Declaration(
        "dattri EK-FAC",
        VERSION,
        {"factor_scale": "free", "sign": "product", "fisher": "empirical"},
        curvature="ekfac",
    )

    def _attributor(self, case: Case, damping: float = 0.0) -> Any:
        if tied(case):
            raise Unsupported("a parameter that two modules share is not mentioned")
        model = case.torch_module()
        if not all(isinstance(model.get_submodule(n), nn.Linear) for n in case.tracked):
            raise Unsupported("'all linear modules', no convolutions")
        return IFAttributorEKFAC(_task(case), module_name=list(case.tracked), damping=damping)

    def factors(self, case: Case, seed: int) -> dict[str, tuple[Array, Array]]:
        """`estimate_covariance`, as `cache` calls it."""
        with _caught("estimate_eigenvector") as kept:
            self._attributor(case).cache(case.loader())
        return {n: (A.numpy(), S.numpy()) for n, (A, S) in kept[0].items()}

    def eigenvalues(
        self, case: Case, basis: dict[str, tuple[Array, Array, Array, Array]], seed: int
    ) -> dict[str, Array]:
        """`estimate_lambda` at given eigenvectors, in the form that `estimate_eigenvector` has."""
        given = {n: (_copy(b[1]), _copy(b[3])) for n, b in basis.items()}
        attributor = self._attributor(case)
        with _caught("estimate_eigenvector", given):
            attributor.cache(case.loader())
        return {n: attributor.cached_lambdas[n].numpy() for n in case.tracked}

    def solve(self, state: State, vectors: Array, damping: float) -> Array:
        """`transform_test_rep` with the given parts for its own."""
        assert state.basis is not None
        assert state.eigenvalues is not None
        case, names = state.case, parameter_names(state.case)
        attributor = self._attributor(case, damping)
        attributor.cached_q = {n: (_copy(b[1]), _copy(b[3])) for n, b in state.basis.items()}
        attributor.cached_lambdas = {n: _copy(e) for n, e in state.eigenvalues.items()}
        named = self.from_vectors(case, vectors)
        flat = torch.cat([named[n].reshape(len(vectors), -1) for n in names], dim=1)
        solutions = attributor.transform_test_rep(0, flat)
        sizes = [case.parameters[n].size for n in names]
        parts = {
            n: t.reshape(-1, *case.parameters[n].shape)
            for n, t in zip(names, solutions.split(sizes, dim=1), strict=True)
        }
        return self.vectors(case, parts)

    def scores(self, case: Case, seed: int) -> Array:
        """`cache`, then `attribute`."""
        attributor = self._attributor(case, case.damping)
        return _attribute(attributor, case, case.batch_size)


class Explicit(Adapter):
    """`IFAttributorExplicit`."""

    declaration = Declaration(
        "dattri explicit", VERSION, {"sign": "product"}, curvature="gauss_newton"
    )
    method: Any = IFAttributorExplicit

    def scores(self, case: Case, seed: int) -> Array:
        """`cache` with all data in one batch, then `attribute`."""
        if not linear_in_parameters(case):
            raise Unsupported("it inverts the Hessian, which is another matrix here")
        attributor = self.method(
            _task(case), layer_name=parameter_names(case), regularization=case.damping
        )
        return _attribute(attributor, case, len(case.inputs))


class Cg(Explicit):
    """`IFAttributorCG` as it comes."""

    declaration = Declaration("dattri CG", VERSION, {"sign": "product"}, curvature="gauss_newton")
    method = IFAttributorCG


def _attribute(attributor: Any, case: Case, batch_size: int) -> Array:
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):  # progress bars
        warnings.simplefilter("ignore")
        attributor.cache(case.loader(batch_size))
        scores = attributor.attribute(
            case.loader(), DataLoader(case.queries(), batch_size=case.batch_size)
        )
    return scores.detach().numpy().T


@contextmanager
def _caught(name: str, answer: Any = None) -> Iterator[list[Any]]:
    """What `cache` hands to one of the functions of dattri.func.fisher, which it imports when called."""
    arguments: list[Any] = []
    original = getattr(fisher, name)

    def replacement(argument: Any) -> Any:
        arguments.append(argument)
        return original(argument) if answer is None else answer

    setattr(fisher, name, replacement)
    try:
        yield arguments
    finally:
        setattr(fisher, name, original)


def _copy(array: Array) -> Tensor:
    return torch.from_numpy(np.array(array))


ADAPTERS = (Ekfac, Explicit, Cg)
