"""pyDVL: influence functions; its EK-FAC, its direct solves and its conjugate gradients.

What its docstrings say, and what the declarations make of it:

- `EkfacInfluence` "can only be used for classification tasks with a cross entropy loss function";
  K-FAC is its default, EK-FAC `update_diagonal=True`. Its labels are neither the data's nor drawn:
  the Hessian is meant, `fisher="exact"`. It makes its buffers in float32: `dtype="float32"`.
- `SecondOrderMode.GAUSS_NEWTON` is defined there as the mean of the loss gradients' outer products,
  which is the empirical Fisher, no fault once it is said: `fisher="empirical"`.
- `SecondOrderMode.HESSIAN` is the Hessian: compared where the two are equal, outputs linear in the
  tracked parameters.
- `hessian_regularization` and `regularization` are absolute, scores products of gradients.
- Losses are called on one example at a time and averaged over the data, as here.
"""

import copy
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from pydvl.influence.torch import CgInfluence, DirectInfluence, EkfacInfluence
from pydvl.influence.torch.base import TorchBatch, TorchGradientProvider
from pydvl.influence.torch.util import EkfacRepresentation, SecondOrderMode
from torch import Tensor, nn
from torch.utils.data import DataLoader

from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.stages.setting import State
from refimpl.oracle.subject.adapter import Adapter, Declaration, Unsupported
from refimpl.oracle.torch import TorchAdapter
from validation.peers.models import linear_in_parameters, tied

__all__ = ["ADAPTERS", "Cg", "CgHessian", "Direct", "DirectGaussNewton", "Ekfac", "Kfac"]

REQUIREMENT = "pyDVL[influence]"
VERSION = version("pyDVL")


class Kfac(TorchAdapter):
    """`EkfacInfluence` as it comes."""

    declaration = Declaration(
        "pyDVL K-FAC",
        VERSION,
        {"factor_scale": "free", "sign": "product", "dtype": "float32"},
        curvature="kfac",
    )
    update_diagonal = False

    def _influence(self, case: Case, damping: float = 0.0) -> Any:
        loss = case.loss
        outputs = case.torch_module()(case.dataset().tensors[0])
        if loss.kind != "cross_entropy" or outputs.ndim != 2:
            raise Unsupported("only 'classification tasks with a cross entropy loss function'")
        if loss.class_weight is not None or loss.label_smoothing:
            raise Unsupported("the loss is torch's cross_entropy without options")
        if tied(case):
            raise Unsupported("a parameter that two modules share is not mentioned")
        if not all(
            isinstance(case.torch_module().get_submodule(n), nn.Linear) for n in case.tracked
        ):
            raise Unsupported("NotImplementedLayerRepresentationException: nn.Linear alone")
        return EkfacInfluence(
            self.model(case), self.update_diagonal, hessian_regularization=damping
        )

    def _loader(self, case: Case) -> DataLoader[Any]:
        return self.training(case)

    def factors(self, case: Case, seed: int) -> dict[str, tuple[Array, Array]]:
        """What `fit` decomposes."""
        A, S = self._influence(case)._get_kfac_blocks(self._loader(case))
        return {name: (A[name].detach().numpy(), S[name].detach().numpy()) for name in case.tracked}

    def solve(self, state: State, vectors: Array, damping: float) -> Array:
        """What preconditions gradients, with the given parts for its own."""
        assert state.basis is not None
        influence = self._influence(state.case, damping)
        given = state.eigenvalues or {n: np.outer(b[2], b[0]) for n, b in state.basis.items()}
        self._use(influence, state.basis, given)
        named = self.from_vectors(state.case, vectors)
        flat = torch.cat(
            [named[n].reshape(len(vectors), -1) for n in influence.model_params], dim=1
        )
        solutions = influence._solve_hvp(flat.float())
        sizes = [p.numel() for p in influence.model_params.values()]
        parts = {
            n: t.reshape(-1, *p.shape)
            for (n, p), t in zip(
                influence.model_params.items(), solutions.split(sizes, dim=1), strict=True
            )
        }
        return self.vectors(state.case, parts)

    def scores(self, case: Case, seed: int) -> Array:
        """`fit`, then `influences`."""
        influence = self._influence(case, case.damping).fit(self._loader(case))
        q, d = case.queries(torch.float32).tensors, case.dataset(torch.float32).tensors
        return influence.influences(q[0], q[1], d[0], d[1]).numpy()

    @staticmethod
    def _use(influence: Any, basis: Any, eigenvalues: Any) -> None:
        layers = influence.active_layers
        influence.ekfac_representation = EkfacRepresentation(
            list(layers.keys()),
            list(layers.values()),
            [_single(basis[n][1]) for n in layers],
            [_single(basis[n][3]) for n in layers],
            [_single(eigenvalues[n]).reshape(-1) for n in layers],
        )


class Ekfac(Kfac):
    """`EkfacInfluence(update_diagonal=True)`."""

    declaration = Declaration(
        "pyDVL EK-FAC",
        VERSION,
        {"factor_scale": "free", "sign": "product", "dtype": "float32"},
        curvature="ekfac",
    )
    update_diagonal = True
    factors = Adapter.factors  # those of K-FAC

    def eigenvalues(
        self, case: Case, basis: dict[str, tuple[Array, Array, Array, Array]], seed: int
    ) -> dict[str, Array]:
        """What `fit` refits from the data."""
        influence = self._influence(case)
        self._use(influence, basis, {n: np.zeros((len(b[2]), len(b[0]))) for n, b in basis.items()})
        influence._update_diag(self._loader(case))
        return {
            name: diagonal.detach().reshape(len(basis[name][2]), -1).numpy()
            for name, (_, _, _, diagonal) in influence.ekfac_representation
        }


class _Composed(TorchAdapter):
    """The influence models that solve with a whole matrix."""

    mode = SecondOrderMode.HESSIAN
    method: Any = DirectInfluence
    options: dict[str, Any] = {}  # noqa: RUF012

    def _fitted(self, case: Case, damping: float) -> Any:
        if self.mode is SecondOrderMode.HESSIAN and not linear_in_parameters(case):
            raise Unsupported("it inverts the Hessian, which is another matrix here")
        options = {"second_order_mode": self.mode, **self.options}
        model = self.model(case)
        return self.method(model, self.loss(case, "mean"), regularization=damping, **options).fit(
            case.loader()
        )

    def solve(self, state: State, vectors: Array, damping: float) -> Array:
        """The operator of the one block."""
        influence = self._fitted(state.case, damping)
        (block,) = influence.block_mapper.composable_block_dict.values()
        params = block.gp.params_to_restrict_to
        named = self.from_vectors(state.case, vectors)
        flat = torch.cat([named[n].reshape(len(vectors), -1) for n in params], dim=1)
        solutions = block.op.apply(flat).split([p.numel() for p in params.values()], dim=1)
        parts = {
            n: t.reshape(-1, *p.shape) for (n, p), t in zip(params.items(), solutions, strict=True)
        }
        return self.vectors(state.case, parts)

    def gradients(self, case: Case) -> dict[str, Array]:
        """Those of the block's gradient provider."""
        model = self.model(case)
        influence = self.method(model, self.loss(case, "mean"), regularization=1.0)
        params = {n: p for n, p in influence.model.named_parameters() if p.requires_grad}
        provider = TorchGradientProvider(model, influence.loss, params)
        tensors = provider.grads(TorchBatch(*case.dataset().tensors))
        return self.blocks(case, tensors)

    def scores(self, case: Case, seed: int) -> Array:
        """`fit`, then `influences`."""
        influence = self._fitted(case, case.damping)
        q, d = case.queries().tensors, case.dataset().tensors
        return influence.influences(q[0], q[1], d[0], d[1]).detach().numpy()


class Direct(_Composed):
    """`DirectInfluence` with the Hessian, its default."""

    declaration = Declaration(
        "pyDVL direct, Hessian", VERSION, {"sign": "product"}, curvature="gauss_newton"
    )


class DirectGaussNewton(_Composed):
    """`DirectInfluence(second_order_mode=GAUSS_NEWTON)`."""

    declaration = Declaration(
        "pyDVL direct, Gauss-Newton",
        VERSION,
        {"sign": "product", "fisher": "empirical"},
        curvature="gauss_newton",
    )
    mode = SecondOrderMode.GAUSS_NEWTON
    gradients = Adapter.gradients


class CgHessian(_Composed):
    """`CgInfluence` as it comes."""

    declaration = Declaration(
        "pyDVL CG, Hessian", VERSION, {"sign": "product"}, curvature="gauss_newton"
    )
    method = CgInfluence
    gradients = Adapter.gradients


class Cg(_Composed):
    """`CgInfluence(second_order_mode=GAUSS_NEWTON)`."""

    declaration = Declaration(
        "pyDVL CG, Gauss-Newton",
        VERSION,
        {"sign": "product", "fisher": "empirical"},
        curvature="gauss_newton",
    )
    mode = SecondOrderMode.GAUSS_NEWTON
    method = CgInfluence
    gradients = Adapter.gradients


def _single(array: Array) -> Tensor:
    return copy.deepcopy(torch.from_numpy(np.array(array))).float()


ADAPTERS = (Kfac, Ekfac, Direct, DirectGaussNewton, CgHessian, Cg)
