"""A model trained on a data set: what the studies without sequences share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

import refimpl as ri
from refimpl.losses import Loss
from refimpl.report.text import power
from refimpl.rungs.setting import Setting
from validation.data import Split
from validation.models import networks
from validation.parts.study import Config, Earlier
from validation.training import optimisers

__all__ = [
    "Recipe",
    "facts",
    "fitted",
    "how",
    "mlp",
    "predictions",
    "seeds",
    "train",
    "trained_setting",
]

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}


@dataclass(frozen=True)
class Recipe:
    """How a study's model comes about; all of it module-level, so that it can be sent to workers.

    Args:
        load: Makes the data from the configuration.
        loss: The training loss.
        model: Makes the untrained model from the configuration and the source of its weights.
    """

    load: Callable[[Config], Split]
    loss: Loss
    model: Callable[[Config, torch.Generator], nn.Module]


def mlp(config: Config, generator: torch.Generator) -> nn.Module:
    """The perceptron of a configuration with "sizes" and "activation"."""
    return networks.mlp(config["sizes"], generator, ACTIVATIONS[config["activation"]])


def fitted(recipe: Recipe, config: Config, split: Split) -> tuple[ri.Problem, optimisers.Trained]:
    """The model of the configuration's seed, trained on some data.

    Args:
        recipe: How.
        config: With "seed", "weight_decay", "iterations" and "newton".
        split: The data.

    Returns:
        The trained problem, and how stationary it is.
    """
    model = recipe.model(config, torch.Generator().manual_seed(config["seed"]))
    end = optimisers.train(
        model,
        recipe.loss,
        split.inputs,
        split.targets,
        weight_decay=config["weight_decay"],
        iterations=config["iterations"],
        newton=config["newton"],
    )
    return ri.Problem(model, recipe.loss, split.inputs, split.targets), end


def train(recipe: Recipe, config: Config, earlier: Earlier) -> Any:
    """Train the model; its parameters, how well it predicts, and how stationary it is."""
    del earlier
    split = recipe.load(config)
    problem, end = fitted(recipe, config, split)
    queries = split.query_inputs, split.query_targets
    values = {
        "train_quality": _quality(recipe.loss, problem.outputs(), split.targets),
        "query_quality": _quality(recipe.loss, problem.outputs(queries[0]), queries[1]),
        "train_loss": float(problem.losses().mean()),
        "query_loss": float(problem.losses(*queries).mean()),
        "parameters": problem.num_parameters,
        "objective": end.objective,
        "gradient_norm": end.gradient_norm,
        "initial_gradient_norm": end.initial_gradient_norm,
        "evaluations": end.evaluations,
    }
    state = problem.model.state_dict()
    return values, {name: value.numpy() for name, value in state.items()}


def trained_setting(recipe: Recipe, config: Config, earlier: Earlier) -> Setting:
    """The trained problem and its queries, from what `train` saved."""
    split = recipe.load(config)
    model = recipe.model(config, torch.Generator())
    saved = earlier["train"].arrays
    model.load_state_dict({name: torch.from_numpy(value) for name, value in saved.items()})
    problem = ri.Problem(model, recipe.loss, split.inputs, split.targets)
    return Setting(problem, split.query_inputs, split.query_targets)


def predictions(loss: Loss, outputs: Float[Tensor, "N C"]) -> Shaped[Tensor, "N *C"]:
    """The predicted class of every output, as targets have it.

    Args:
        loss: The training loss, which says what the outputs mean.
        outputs: Logits.
    """
    if isinstance(loss, ri.losses.BinaryCrossEntropy):
        return (outputs > 0).to(outputs.dtype)
    return outputs.argmax(dim=1)


def _quality(loss: Loss, outputs: Float[Tensor, "N C"], targets: Shaped[Tensor, "N *C"]) -> float:
    """Accuracy; of a regression, the share of the variance that is explained."""
    if isinstance(loss, ri.losses.SquaredError):
        spread = (targets - targets.mean(dim=0)) ** 2
        return float(1 - ((outputs - targets) ** 2).sum() / spread.sum())
    return float((predictions(loss, outputs) == targets).double().mean())


def seeds(by_seed: Mapping[int, Earlier]) -> str:
    """Which seeds a page is of, as its setting says it.

    Args:
        by_seed: Results by seed.
    """
    return f"seed{'s' if len(by_seed) > 1 else ''} {', '.join(map(str, by_seed))}"


def how(config: Config, by_seed: Mapping[int, Earlier], examples: str) -> str:
    """How the model was trained, as a page's setting says it.

    Args:
        config: The study's configuration.
        by_seed: Results by seed.
        examples: What it was trained on.
    """
    return (
        f"trained on {config['train']:,} {examples} by full-batch L-BFGS with weight decay "
        f"{config['weight_decay']:g}, {seeds(by_seed)}"
    )


def facts(
    config: Config, by_seed: Mapping[int, Earlier], *, what: str = "accuracy"
) -> list[tuple[str, str]]:
    """The figures that a page begins with, of its first seed.

    Args:
        config: The study's configuration.
        by_seed: Results by seed.
        what: The quality: "accuracy", or "R²".
    """
    trained = next(iter(by_seed.values()))["train"].values

    def said(value: float) -> str:
        return f"{value:.2f}" if what == "R²" else f"{100 * value:.1f} %"

    return [
        ("Training examples", f"{config['train']:,}"),
        ("Queries", f"{config['queries']:,}"),
        ("Parameters", f"{trained['parameters']:,}"),
        (f"Training {what}", said(trained["train_quality"])),
        (f"Query {what}", said(trained["query_quality"])),
        ("Gradient norm at the end", power(trained["gradient_norm"])),
    ]
