"""curvlinops-for-pytorch (Dangel et al.): linear operators of the GGN, K-FAC and EK-FAC.

What its docstrings say, and what the declarations make of it:

- `reduction="sum"` is the risk summed over examples ("c = 1"): everything is divided by N here.
- `MSELoss` sums (f - y)^2: `squared_error="full"`. Classes stand on axis 1, as in torch's losses.
- `FisherType.TYPE2` is the exact Fisher, `MC` draws `mc_samples` labels from `seed`.
- `separate_weight_and_bias=True`, the default, makes the bias a block of its own.
- K-FAC is "A_KFAC (x) B_KFAC" as a product: `factor_scale="free"`.
- `use_exact_damping` inverts A (x) B + damping I, `use_heuristic_damping` splits it (Martens & Grosse
  2015, section 6.3); by default the damping is added to *each factor*, which is documented, no fault,
  and not among our conventions.
- "`num_per_example_loss_terms` is expected to be the same for all examples": no ignored tokens.
- "Only models with 2d output are supported" by EK-FAC; patches of grouped convolutions are "averaged
  over channel groups".
- CG takes gpytorch's arguments, and its tolerance where none is given.
"""

from importlib.metadata import version
from typing import Any, Literal

import numpy as np
import torch
from curvlinops import (
    CGInverseLinearOperator,
    EKFACLinearOperator,
    FisherType,
    GGNLinearOperator,
    KFACInverseLinearOperator,
    KFACLinearOperator,
)
from curvlinops.examples import IdentityLinearOperator
from torch import Tensor, nn

from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.stages.setting import State
from refimpl.oracle.subject.adapter import Adapter, Declaration, Unsupported
from refimpl.oracle.subject.torch_adapter import grouped, parameter_names
from refimpl.oracle.torch import TorchAdapter
from validation.peers.models import gradients

__all__ = ["ADAPTERS", "Cg", "Ekfac", "Ggn", "Kfac"]

REQUIREMENT = "curvlinops-for-pytorch"
VERSION = version("curvlinops-for-pytorch")
FREE = {"factor_scale": "free", "squared_error": "full"}  # of all K-FACs


class _ClassesFirst(nn.Module):
    """The model with its classes on axis 1, where torch's cross-entropy looks for them."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.inner = case.torch_module()
        self.moves = case.loss.kind == "cross_entropy"

    def forward(self, x: Tensor) -> Tensor:
        outputs = self.inner(x)
        return outputs.movedim(-1, 1) if self.moves else outputs


def _loss(case: Case) -> nn.Module:
    spec = case.loss
    if spec.kind == "squared_error":
        return nn.MSELoss(reduction="sum")
    if spec.kind == "binary_cross_entropy":
        return nn.BCEWithLogitsLoss(pos_weight=_tensor(spec.pos_weight), reduction="sum")
    return nn.CrossEntropyLoss(
        _tensor(spec.class_weight),
        ignore_index=spec.ignore_index,
        label_smoothing=spec.label_smoothing,
        reduction="sum",
    )


def _tensor(values: tuple[float, ...] | None) -> Tensor | None:
    return None if values is None else torch.tensor(values, dtype=torch.float64)


class _Operators(TorchAdapter):
    """What all of them share: the operator's arguments, and vectors in and out."""

    def _arguments(self, case: Case) -> tuple[Any, ...]:
        model = _ClassesFirst(case)
        params = [model.inner.get_parameter(name) for name in parameter_names(case)]
        return model, _loss(case), params, list(self.training(case))

    def _apply(self, operator: Any, case: Case, vectors: Array) -> Array:
        names, tensors = parameter_names(case), self.from_vectors(case, vectors)
        columns = [tensors[name].movedim(0, -1).contiguous() for name in names]
        products = operator @ columns
        return self.vectors(
            case, {n: t.movedim(-1, 0) for n, t in zip(names, products, strict=True)}
        )

    def _scores(self, inverse: Any, case: Case) -> Array:
        """What a user of an inverse does: gradients by torch, and its product with them."""
        c = 2.0 if case.loss.kind == "squared_error" else 1.0
        flat = [
            c * self.vectors(case, gradients(case, loader))
            for loader in (self.queries(case), self.training(case))
        ]
        return -self._apply(inverse, case, flat[0]) @ flat[1].T


class Ggn(_Operators):
    """`GGNLinearOperator`, inverted by conjugate gradients that are asked to converge."""

    declaration = Declaration(
        "curvlinops GGN", VERSION, {"squared_error": "full"}, curvature="gauss_newton"
    )
    converged = True

    def gauss_newton(self, case: Case, vectors: Array) -> Array:
        """The operator times vectors."""
        return self._apply(GGNLinearOperator(*self._arguments(case)), case, vectors) / len(
            case.inputs
        )

    def solve(self, state: State, vectors: Array, damping: float) -> Array:
        """`CGInverseLinearOperator` of the operator and damping times the identity."""
        inverse = self._inverse(state.case, damping)
        return self._apply(inverse, state.case, vectors) * len(state.case.inputs)

    def scores(self, case: Case, seed: int) -> Array:
        """Gradients by torch, solves as above."""
        return self._scores(self._inverse(case, case.damping), case) * len(case.inputs)

    def _inverse(self, case: Case, damping: float) -> Any:
        model, loss, params, data = self._arguments(case)
        shapes = [tuple(p.shape) for p in params]
        identity = IdentityLinearOperator(shapes, torch.device("cpu"), torch.float64)
        G = GGNLinearOperator(model, loss, params, data)
        damped = G + (len(case.inputs) * damping) * identity
        if not self.converged:
            return CGInverseLinearOperator(damped)
        # In exact arithmetic P steps suffice; with rounding, badly conditioned problems take more.
        steps = 10 * sum(p.numel() for p in params)
        return CGInverseLinearOperator(
            damped, tolerance=1e-15, stop_updating_after=1e-15, max_iter=steps, eps=1e-300
        )


class Cg(Ggn):
    """`CGInverseLinearOperator` as it comes."""

    declaration = Declaration(
        "curvlinops GGN, CG by default", VERSION, {"squared_error": "full"}, "gauss_newton"
    )
    converged = False
    gauss_newton = Adapter.gauss_newton


class Kfac(_Operators):
    """`KFACLinearOperator` with bias and weight as one block and exact damping."""

    declaration = Declaration("curvlinops K-FAC", VERSION, FREE, "kfac")
    operator: Any = KFACLinearOperator
    damping: Literal["use_exact_damping", "use_heuristic_damping"] = "use_exact_damping"

    def _operator(self, case: Case, seed: int = 0) -> Any:
        chosen = self.declaration.chosen
        _supported(case)
        kinds = {"exact": FisherType.TYPE2, "sampled": FisherType.MC}
        return self.operator(
            *self._arguments(case),
            fisher_type=kinds.get(chosen.fisher, FisherType.EMPIRICAL),
            mc_samples=chosen.samples if chosen.fisher == "sampled" else 1,
            seed=seed + 1,
            kfac_approx=chosen.weight_sharing,
            separate_weight_and_bias=chosen.bias == "separate",
            check_deterministic=False,
        )

    def factors(self, case: Case, seed: int) -> dict[str, tuple[Array, Array]]:
        """As `state_dict` has them."""
        K = self._operator(case, seed)
        K.compute_kronecker_factors()
        raw = K.state_dict()
        factors: dict[str, tuple[Array, Array]] = {}
        for name in case.tracked:
            A = raw["input_covariances"][f"inner.{name}"].numpy()
            S = raw["gradient_covariances"][f"inner.{name}"].numpy() / len(case.inputs)
            factors[name] = A, S
            if self.declaration.chosen.bias == "separate" and f"{name}.bias" in case.parameters:
                factors[f"{name}.bias"] = np.ones((1, 1)), S
        return factors

    def solve(self, state: State, vectors: Array, damping: float) -> Array:
        """`KFACInverseLinearOperator` of an operator whose state is the given one."""
        K = self._operator(state.case)
        K.load_state_dict({**K.state_dict(), **self._state(state, K)})
        inverse = KFACInverseLinearOperator(K, damping=damping, **{self.damping: True})
        return self._apply(inverse, state.case, vectors)

    def scores(self, case: Case, seed: int) -> Array:
        """Gradients by torch, the inverse of the operator's own factors."""
        K = self._operator(case, seed)
        n = len(case.inputs)
        inverse = KFACInverseLinearOperator(K, damping=n * case.damping, **{self.damping: True})
        return self._scores(inverse, case) * n

    def _state(self, state: State, K: Any) -> dict[str, Any]:
        assert state.factors is not None
        factors = {name: state.factors[name] for name in state.case.tracked}
        return {
            "input_covariances": {f"inner.{n}": _copy(A) for n, (A, _) in factors.items()},
            "gradient_covariances": {f"inner.{n}": _copy(S) for n, (_, S) in factors.items()},
        }


class KfacReduce(Kfac):
    """K-FAC-reduce."""

    declaration = Declaration(
        "curvlinops K-FAC-reduce", VERSION, {**FREE, "weight_sharing": "reduce"}, "kfac"
    )


class KfacSeparate(Kfac):
    """Weight and bias as two blocks, the default."""

    declaration = Declaration(
        "curvlinops K-FAC, separate bias", VERSION, {**FREE, "bias": "separate"}, "kfac"
    )


class KfacFactored(Kfac):
    """Damping split between the factors."""

    declaration = Declaration(
        "curvlinops K-FAC, heuristic damping", VERSION, {**FREE, "damping": "factored"}, "kfac"
    )
    damping = "use_heuristic_damping"
    factors = Adapter.factors  # those of K-FAC

    def solve(self, state: State, vectors: Array, damping: float) -> Array:
        """As for K-FAC, where pi is defined."""
        assert state.factors is not None
        if not all(A.trace() > 0 and S.trace() > 0 for A, S in state.factors.values()):
            raise Unsupported("pi is not defined where a factor vanishes")
        return super().solve(state, vectors, damping)


class KfacSampled(Kfac):
    """One drawn label per example, the default."""

    declaration = Declaration(
        "curvlinops K-FAC, sampled", VERSION, {**FREE, "fisher": "sampled"}, "kfac"
    )
    solve = Adapter.solve
    scores = Adapter.scores


class KfacEmpirical(Kfac):
    """The data's labels."""

    declaration = Declaration(
        "curvlinops K-FAC, empirical", VERSION, {**FREE, "fisher": "empirical"}, "kfac"
    )


class Ekfac(Kfac):
    """`EKFACLinearOperator`."""

    declaration = Declaration("curvlinops EK-FAC", VERSION, FREE, "ekfac")
    operator = EKFACLinearOperator
    factors = Adapter.factors  # those of K-FAC

    def _operator(self, case: Case, seed: int = 0) -> Any:
        if len(case.torch_module()(case.dataset().tensors[0]).shape) != 2:
            raise Unsupported("only models with 2d output are supported")
        return super()._operator(case, seed)

    def eigenvalues(
        self, case: Case, basis: dict[str, tuple[Array, Array, Array, Array]], seed: int
    ) -> dict[str, Array]:
        """`compute_eigenvalue_correction` in the given basis."""
        K = self._operator(case, seed)
        K.load_state_dict({**K.state_dict(), **_basis(case, basis)})
        K.compute_eigenvalue_correction()
        eigenvalues = K.state_dict()["corrected_eigenvalues"]
        return {
            name: self._joint(eigenvalues[f"inner.{name}"]).numpy() / len(case.inputs)
            for name in case.tracked
        }

    @staticmethod
    def _joint(eigenvalues: Any) -> Tensor:
        # Where there is no bias they stand in a dict by the parameter's place.
        return next(iter(eigenvalues.values())) if isinstance(eigenvalues, dict) else eigenvalues

    def _state(self, state: State, K: Any) -> dict[str, Any]:
        assert state.basis is not None
        assert state.eigenvalues is not None
        corrected: dict[str, Any] = {}
        for name in state.case.tracked:
            eigenvalues = _copy(state.eigenvalues[name])
            places = K._mapping[f"inner.{name}"]
            alone = {places["weight"]: eigenvalues}
            corrected[f"inner.{name}"] = eigenvalues if len(places) == 2 else alone
        return {**_basis(state.case, state.basis), "corrected_eigenvalues": corrected}


def _basis(
    case: Case, basis: dict[str, tuple[Array, Array, Array, Array]]
) -> dict[str, dict[str, Tensor]]:
    return {
        "input_covariances_eigenvectors": {f"inner.{n}": _copy(basis[n][1]) for n in case.tracked},
        "gradient_covariances_eigenvectors": {
            f"inner.{n}": _copy(basis[n][3]) for n in case.tracked
        },
    }


def _supported(case: Case) -> None:
    if not case.mask.all():
        raise Unsupported(
            "the number of per-example loss terms 'is expected to be the same for all examples'"
        )
    if any(len(grouped(case, name)) > 1 for name in case.tracked):
        raise Unsupported("patches of a grouped convolution are 'averaged over channel groups'")
    soft = case.loss.kind == "binary_cross_entropy" and not np.isin(case.labels, (0, 1)).all()
    if soft and case.conventions.fisher != "empirical":
        raise Unsupported("'Only binary targets (0, 1) are currently supported'")


def _copy(array: Array) -> Tensor:
    return torch.from_numpy(np.array(array))


ADAPTERS = (
    Ggn,
    Cg,
    Kfac,
    KfacReduce,
    KfacSeparate,
    KfacFactored,
    KfacSampled,
    KfacEmpirical,
    Ekfac,
)
