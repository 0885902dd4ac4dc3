"""What the studies of image classifiers share: an MLP, trained, compared, and pictured."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import refimpl as ri
from refimpl.ladder.comparisons import Setting
from validation import comparisons, models, training
from validation.claims import image_claims
from validation.data import Split
from validation.pictures import pictures
from validation.runner import Config, Earlier, Part

__all__ = ["facts", "parts"]

Load = Callable[[Config], Split]
ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}


def parts(load: Load, config: Config) -> list[Part]:
    """Training, the comparisons at each damping, the pictures, and what was claimed of them.

    Args:
        load: Makes the data from the configuration, images as rows of pixels.
        config: With "sizes", "activation", "weight_decay", "iterations" and what comparisons need.
    """
    make = partial(setting, load)
    return [
        Part("train", partial(train, load)),
        *comparisons.parts(make, config),
        Part("pictures", partial(_pictures, load), ("train", "exact", "fits/Kronecker")),
        Part("claims", image_claims, ("pictures",)),
    ]


def _model(config: Config, generator: torch.Generator) -> nn.Sequential:
    return models.mlp(config["sizes"], generator, ACTIVATIONS[config["activation"]])


def train(load: Load, config: Config, earlier: Earlier) -> Any:
    """Train the model; its parameters, accuracies, and how stationary it is."""
    del earlier
    split = load(config)
    model = _model(config, torch.Generator().manual_seed(config["seed"]))
    loss = ri.losses.CrossEntropy()
    end = training.train(
        model,
        loss,
        split.inputs,
        split.targets,
        weight_decay=config["weight_decay"],
        iterations=config["iterations"],
    )
    problem = ri.Problem(model, loss, split.inputs, split.targets)

    def accuracy(inputs: Tensor, targets: Tensor) -> float:
        return float((problem.outputs(inputs).argmax(dim=1) == targets).double().mean())

    values = {
        "train_accuracy": accuracy(split.inputs, split.targets),
        "query_accuracy": accuracy(split.query_inputs, split.query_targets),
        "train_loss": float(problem.losses().mean()),
        "query_loss": float(problem.losses(split.query_inputs, split.query_targets).mean()),
        "parameters": problem.num_parameters,
        "objective": end.objective,
        "gradient_norm": end.gradient_norm,
        "initial_gradient_norm": end.initial_gradient_norm,
        "evaluations": end.evaluations,
    }
    return values, {name: value.numpy() for name, value in model.state_dict().items()}


def setting(load: Load, config: Config, earlier: Earlier) -> Setting:
    """The trained problem and its queries, from what `train` saved."""
    split = load(config)
    model = _model(config, torch.Generator())
    saved = earlier["train"].arrays
    model.load_state_dict({name: torch.from_numpy(value) for name, value in saved.items()})
    problem = ri.Problem(model, ri.losses.CrossEntropy(), split.inputs, split.targets)
    return Setting(problem, split.query_inputs, split.query_targets)


def _pictures(load: Load, config: Config, earlier: Earlier) -> Any:
    """Queries beside their most influential training images."""
    side = round(config["sizes"][0] ** 0.5)

    def image(pixels: Tensor) -> list[list[float]]:
        return [[round(p, 3) for p in row] for row in pixels.reshape(side, side).tolist()]

    return pictures(setting(load, config, earlier), image, config, earlier)


def facts(config: Config, first: Earlier, gradient: str) -> list[tuple[str, str]]:
    """The figures that a page begins with.

    Args:
        config: The study's configuration.
        first: Results of the first seed.
        gradient: The gradient norm at the end of training, as text.
    """
    trained = first["train"].values
    return [
        ("Training images", f"{config['train']:,}"),
        ("Query images", f"{config['queries']:,}"),
        ("Parameters", f"{trained['parameters']:,}"),
        ("Training accuracy", f"{100 * trained['train_accuracy']:.1f} %"),
        ("Query accuracy", f"{100 * trained['query_accuracy']:.1f} %"),
        ("Gradient norm at the end", gradient),
    ]
