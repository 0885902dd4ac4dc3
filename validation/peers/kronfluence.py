"""kronfluence (Bae, Grosse et al.): influence functions with K-FAC and EK-FAC, through its Analyzer.

What its documentation says, and what the declaration makes of it (DOCUMENTATION.md of the repository):

- "the function should return the summed loss (over batches and tokens)": `loss_reduction="sum"`.
- "we sample labels from the model's prediction": the user's `Task.compute_train_loss(sample=True)`
  draws them, so that enumerated ones go the same way (labels.py); `fisher="exact"`.
- Covariances are "Equation 16 in the paper", Lambda "Equation 20" (Grosse et al. 2023): scales of A
  and S are each their own affair, so only the product counts: `factor_scale="free"`.
- `damping_factor` is absolute. Scores are products of gradients, without the minus: `sign="product"`.
- The bias is the last column of its layer's matrix. Everything is asked for in float64.
- `Task.get_attention_mask` leaves padding out of the covariances.
- `FactorArguments.has_shared_parameters` is for a module that the model calls several times.
- Influence is computed on *modules*: a parameter that two of them share is not mentioned anywhere.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.factor.config import FactorConfig
from kronfluence.factor.eigen import fit_lambda_matrices_with_loader, perform_eigendecomposition
from kronfluence.task import Task
from kronfluence.utils.common.factor_arguments import pytest_factor_arguments
from kronfluence.utils.common.score_arguments import pytest_score_arguments
from torch import Tensor, nn
from torch.utils.data import DataLoader

from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.question.layout import flatten, unflatten
from refimpl.oracle.stages.setting import State
from refimpl.oracle.subject.adapter import Adapter, Declaration, Unsupported
from refimpl.oracle.subject.torch_adapter import grouped
from validation.peers.labels import enumerated, loss_at, plain
from validation.peers.models import calls, tied

__all__ = ["ADAPTERS", "Ekfac", "Kfac"]

REQUIREMENT = "kronfluence"
NAMES = (
    "activation_eigenvalues",
    "activation_eigenvectors",
    "gradient_eigenvalues",
    "gradient_eigenvectors",
)


class _Task(Task):
    """What kronfluence asks its user for."""

    def __init__(self, case: Case) -> None:
        self.case, self.loss = case, case.loss.build()
        self.caught: dict[str, list[Tensor]] = {name: [] for name in case.tracked}

    def compute_train_loss(self, batch: Any, model: nn.Module, sample: bool = False) -> Tensor:
        inputs, labels, which = batch
        outputs = model(inputs)
        if sample:
            return loss_at(self.loss, outputs, labels, which)
        return self.loss.value(outputs, labels).sum()

    def compute_measurement(self, batch: Any, model: nn.Module) -> Tensor:
        return self.compute_train_loss(batch, model)

    def get_influence_tracked_modules(self) -> list[str]:
        return list(self.case.tracked)

    def get_attention_mask(self, batch: Any) -> Tensor | None:
        counted = self.loss.counted(batch[1])
        return None if counted is None or counted.ndim != 2 else counted.long()


class _Catching(_Task):
    """Keeps the gradients of single examples, through the hook that may post-process them."""

    enable_post_process_per_sample_gradient = True

    def post_process_per_sample_gradient(self, module_name: str, gradient: Tensor) -> Tensor:
        self.caught[module_name].append(gradient.clone())
        return gradient


class Ekfac(Adapter):
    """Strategy "ekfac"."""

    strategy = "ekfac"
    declaration = Declaration(
        name="kronfluence EK-FAC",
        version=version("kronfluence"),
        conventions={"factor_scale": "free", "sign": "product"},
        curvature="ekfac",
    )

    def gradients(self, case: Case) -> dict[str, Array]:
        """As `Task.post_process_per_sample_gradient` sees them."""
        _supported(case, groups=True)
        repeated = calls(case)
        task = _Catching(case)
        with _analyzer(case, task) as analyzer:
            arguments = self._arguments(case)
            arguments.strategy, arguments.use_empirical_fisher = "diagonal", True
            analyzer.fit_lambda_matrices(
                "f", plain(case.dataset()), case.batch_size, factor_args=arguments
            )
        matrices: dict[str, Array] = {}
        for name, caught in task.caught.items():
            k = repeated[name]
            sums = [torch.stack(caught[i : i + k]).sum(0) for i in range(0, len(caught), k)]
            whole = torch.cat(sums).numpy()
            groups = grouped(case, name)
            for group, part in zip(groups, np.split(whole, len(groups), axis=1), strict=True):
                matrices[group] = part
        return matrices

    def factors(self, case: Case, seed: int) -> dict[str, tuple[Array, Array]]:
        """`fit_covariance_matrices`, each sum over the number that it says it has processed."""
        _supported(case)
        with _analyzer(case, _Task(case)) as analyzer:
            analyzer.fit_covariance_matrices(
                "f", enumerated(case), case.batch_size, factor_args=self._arguments(case)
            )
            raw = analyzer.load_covariance_matrices("f")
        assert raw is not None

        def mean(kind: str, name: str) -> Array:
            total = raw[f"{kind}_covariance"][name]
            return (total / raw[f"num_{kind}_covariance_processed"][name]).numpy()

        return {name: (mean("activation", name), mean("gradient", name)) for name in case.tracked}

    def eigenbasis(
        self, factors: dict[str, tuple[Array, Array]]
    ) -> dict[str, tuple[Array, Array, Array, Array]]:
        """`perform_eigendecomposition`."""
        aliases = {f"layer{i}": name for i, name in enumerate(factors)}
        model = nn.ModuleDict({alias: nn.Linear(1, 1) for alias in aliases}).double()
        prepared = prepare_model(model, _Everything())
        raw: dict[str, dict[str, Tensor]] = {}
        for which, kind in enumerate(("activation", "gradient")):
            raw[f"{kind}_covariance"] = {
                alias: torch.from_numpy(np.array(factors[name][which]))
                for alias, name in aliases.items()
            }
            raw[f"num_{kind}_covariance_processed"] = dict.fromkeys(aliases, torch.ones(1))
        with tempfile.TemporaryDirectory() as folder:
            analyzer = Analyzer("a", prepared, _Everything(), cpu=True, output_dir=folder)
            eigen = perform_eigendecomposition(
                raw, prepared, analyzer.state, pytest_factor_arguments(self.strategy), True
            )
        return {
            name: tuple(eigen[part][alias].numpy() for part in NAMES)  # type: ignore[misc]
            for alias, name in aliases.items()
        }

    def eigenvalues(
        self, case: Case, basis: dict[str, tuple[Array, Array, Array, Array]], seed: int
    ) -> dict[str, Array]:
        """`fit_lambda_matrices` in the given basis."""
        _supported(case)
        with _analyzer(case, _Task(case)) as analyzer:
            processed, moments = fit_lambda_matrices_with_loader(
                analyzer.model,
                analyzer.state,
                analyzer.task,
                DataLoader(enumerated(case), batch_size=case.batch_size),
                self._arguments(case),
                _as_factors(basis),
                disable_tqdm=True,
            )
        del processed
        return {
            name: (moments["lambda_matrix"][name] / moments["num_lambda_processed"][name]).numpy()
            for name in case.tracked
        }

    def solve(self, state: State, vectors: Array, damping: float) -> Array:
        """What preconditions a gradient before scores are computed."""
        _supported(state.case)
        assert state.basis is not None
        config, parts = FactorConfig.CONFIGS[self.strategy], _as_factors(state.basis)
        score = pytest_score_arguments(damping_factor=damping)
        solutions: dict[str, Array] = {}
        for name, V in unflatten(vectors, state.case, state.case.conventions).items():
            storage: dict[str, Any] = {part: parts[part][name].clone() for part in NAMES}
            if state.eigenvalues is not None:
                storage["lambda_matrix"] = torch.from_numpy(np.array(state.eigenvalues[name]))
            storage["num_lambda_processed"] = torch.ones(1)
            config.prepare(storage, score, torch.device("cpu"))
            solutions[name] = config.precondition_gradient(
                torch.from_numpy(np.array(V)), storage
            ).numpy()
        return flatten(solutions, state.case.conventions)

    def scores(self, case: Case, seed: int) -> Array:
        """`fit_all_factors`, then `compute_pairwise_scores`."""
        _supported(case)
        with _analyzer(case, _Task(case)) as analyzer:
            analyzer.fit_all_factors(
                "f", enumerated(case), case.batch_size, factor_args=self._arguments(case)
            )
            analyzer.compute_pairwise_scores(
                "s",
                "f",
                plain(case.queries()),
                plain(case.dataset()),
                case.batch_size,
                per_device_train_batch_size=case.batch_size,
                score_args=pytest_score_arguments(damping_factor=case.damping),
            )
            scores = analyzer.load_pairwise_scores("s")
        assert scores is not None
        return scores["all_modules"].numpy()

    def _arguments(self, case: Case) -> Any:
        arguments = pytest_factor_arguments(self.strategy)  # everything in float64
        arguments.use_empirical_fisher = False
        arguments.has_shared_parameters = max(calls(case).values()) > 1
        return arguments


class Kfac(Ekfac):
    """Strategy "kfac": the product of the factors is what is inverted."""

    strategy = "kfac"
    declaration = Declaration(
        name="kronfluence K-FAC",
        version=version("kronfluence"),
        conventions={"factor_scale": "free", "sign": "product"},
        curvature="kfac",
    )
    # The same code as for EK-FAC, judged there.
    gradients = Adapter.gradients
    eigenvalues = Adapter.eigenvalues


class _Everything(_Task):
    """A task of which nothing but the name is used."""

    def __init__(self) -> None:
        pass

    def get_influence_tracked_modules(self) -> None:  # type: ignore[override]
        return None


def _supported(case: Case, *, groups: bool = False) -> None:
    if tied(case):
        raise Unsupported(
            "influence is computed on modules; a parameter that two modules share is not mentioned"
        )
    if not groups and any(len(grouped(case, name)) > 1 for name in case.tracked):
        raise Unsupported("patches of a grouped convolution are 'averaged over channel groups'")


def _as_factors(
    basis: dict[str, tuple[Array, Array, Array, Array]],
) -> dict[str, dict[str, Tensor]]:
    return {
        part: {name: torch.from_numpy(np.array(parts[i])) for name, parts in basis.items()}
        for i, part in enumerate(NAMES)
    }


@contextmanager
def _analyzer(case: Case, task: Task) -> Iterator[Analyzer]:
    model = prepare_model(case.torch_module(), task)
    with tempfile.TemporaryDirectory() as folder:  # it reuses silently what it finds in its own
        yield Analyzer("a", model, task, cpu=True, disable_tqdm=True, output_dir=folder)


ADAPTERS = (Ekfac, Kfac)
