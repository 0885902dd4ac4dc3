"""The libraries that are measured beside ours; `nox -s bench` installs them, nothing else needs them.

They are imported where they are used, so that a bench without them can say what to do.
"""

import copy
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from validation.bench.problems import TrainedModel

__all__ = [
    "Kronfluence",
    "NoPeer",
    "curvlinops_ekfac",
    "curvlinops_ggn",
    "curvlinops_inverse",
    "curvlinops_order",
    "kronfluence_fits",
]


class NoPeer(ImportError):
    """A library to be measured is not installed."""


def import_library(name: str) -> Any:
    """Import a library that is measured.

    Args:
        name: Of its package.

    Raises:
        NoPeer: It is not installed.
    """
    try:
        return __import__(name)
    except ImportError as error:
        raise NoPeer(
            f"{name} is not installed here: `nox -s bench` makes an environment that has it"
        ) from error


def _operator_arguments(trained: TrainedModel) -> tuple[Any, ...]:
    """Model, loss, parameters and the data in one batch, as curvlinops takes them."""
    loss = nn.CrossEntropyLoss()
    data = [(trained.split.inputs, trained.split.targets)]
    return trained.model, loss, [p for p in trained.model.parameters() if p.requires_grad], data


def curvlinops_ggn(trained: TrainedModel, columns: int) -> Float[Tensor, "P P"]:
    """The dense Gauss-Newton matrix by curvlinops, from some columns of the identity at a time.

    Args:
        trained: Model and data.
        columns: Columns multiplied at once.
    """
    curvlinops = import_library("curvlinops")
    operator = curvlinops.GGNLinearOperator(
        *_operator_arguments(trained), check_deterministic=False
    )
    like = next(trained.model.parameters())
    size = operator.shape[0]
    eye = torch.eye(size, dtype=like.dtype, device=like.device)
    return torch.cat([operator @ part for part in eye.split(columns, dim=1)], dim=1)


def curvlinops_order(trained: TrainedModel) -> Int[Tensor, " P"]:
    """Where each entry of curvlinops' flat vector, weight then bias, stands in ours, [W | b] by rows."""
    layout, places, start = trained.problem.layout, {}, 0
    for name, parameter in trained.model.named_parameters():
        places[name] = torch.arange(start, start + parameter.numel()).view_as(parameter)
        start += parameter.numel()
    ours = layout.from_named({name: p.to(torch.float64) for name, p in places.items()})
    return ours.long()


def curvlinops_ekfac(trained: TrainedModel, fisher: str) -> Any:
    """EK-FAC of curvlinops with weight and bias in one block, fitted.

    Args:
        trained: Model and data.
        fisher: "type-2" (exact) or "mc".
    """
    curvlinops = import_library("curvlinops")
    operator = curvlinops.EKFACLinearOperator(
        *_operator_arguments(trained),
        fisher_type=fisher,
        separate_weight_and_bias=False,
        check_deterministic=False,
    )
    # It fits on its first product.
    operator @ torch.ones(operator.shape[1], 1, dtype=operator.dtype, device=operator.device)
    return operator


def curvlinops_inverse(operator: Any, damping: float) -> Any:
    """(EK-FAC + lambda I)^-1 as an operator."""
    curvlinops = import_library("curvlinops")
    return curvlinops.KFACInverseLinearOperator(operator, damping=damping, use_exact_damping=True)


class Kronfluence:
    """EK-FAC factors and scores by kronfluence, in one precision throughout.

    Args:
        trained: Model and data.
        folder: Where it keeps its files.
        batch_size: Examples per batch.
        empirical: Whether its labels are the data's own rather than sampled.
    """

    def __init__(
        self, trained: TrainedModel, folder: str, batch_size: int, empirical: bool
    ) -> None:
        import_library("kronfluence")
        from kronfluence.analyzer import Analyzer, prepare_model
        from kronfluence.arguments import FactorArguments, ScoreArguments

        logging.getLogger("kronfluence").setLevel(logging.ERROR)
        task = _task()
        model = prepare_model(copy.deepcopy(trained.model), task)
        split, dtype = trained.split, next(trained.model.parameters()).dtype
        self.train = TensorDataset(split.inputs, split.targets)
        self.queries = TensorDataset(split.query_inputs, split.query_targets)
        self.batch_size = batch_size
        on_cpu = split.inputs.device.type == "cpu"
        quiet = {"disable_tqdm": True, "log_level": logging.ERROR}
        self.analyzer: Any = Analyzer("bench", model, task, cpu=on_cpu, output_dir=folder, **quiet)
        self.factors: Any = FactorArguments(
            use_empirical_fisher=empirical,
            activation_covariance_dtype=dtype,
            gradient_covariance_dtype=dtype,
            eigendecomposition_dtype=dtype,
            per_sample_gradient_dtype=dtype,
            lambda_dtype=dtype,
        )
        self.scoring = lambda damping: ScoreArguments(
            damping_factor=damping,
            per_sample_gradient_dtype=dtype,
            precondition_dtype=dtype,
            score_dtype=dtype,
        )

    def fit(self) -> None:
        """Fit covariances, eigenvectors and Lambda anew."""
        self.analyzer.fit_all_factors(
            "factors",
            self.train,
            per_device_batch_size=self.batch_size,
            factor_args=self.factors,
            overwrite_output_dir=True,
        )

    def scores(self, damping: float) -> Float[Tensor, "Q N"]:
        """Products grad f_q^T (EK-FAC + lambda I)^-1 grad l_m of all pairs, by the last fit."""
        self.analyzer.compute_pairwise_scores(
            "scores",
            "factors",
            self.queries,
            self.train,
            per_device_query_batch_size=len(self.queries),
            per_device_train_batch_size=self.batch_size,
            score_args=self.scoring(damping),
            overwrite_output_dir=True,
        )
        return self.analyzer.load_pairwise_scores("scores")["all_modules"]


@contextmanager
def kronfluence_fits(
    trained: TrainedModel, batch_sizes: Sequence[int], *, empirical: bool
) -> Iterator[list[Kronfluence]]:
    """The library at several batch sizes, each with a folder of its own, which goes with it."""
    with TemporaryDirectory() as folder:
        yield [
            Kronfluence(trained, str(Path(folder, str(size))), size, empirical)
            for size in batch_sizes
        ]


def _task() -> Any:
    from kronfluence.task import Task

    class Classification(Task):
        """Cross-entropy, summed over the batch as kronfluence's documentation asks."""

        def compute_train_loss(self, batch: Any, model: nn.Module, sample: bool = False) -> Tensor:
            inputs, labels = batch
            logits = model(inputs)
            if sample:
                with torch.no_grad():
                    probabilities = logits.softmax(dim=-1)
                    labels = torch.multinomial(probabilities, num_samples=1).flatten()
            return F.cross_entropy(logits, labels, reduction="sum")

        def compute_measurement(self, batch: Any, model: nn.Module) -> Tensor:
            return self.compute_train_loss(batch, model)

    return Classification()
