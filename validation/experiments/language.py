"""What the studies of small language models share: a Transformer, trained, compared, and read."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

import refimpl as ri
from refimpl.report.text import power
from refimpl.rungs.saved import matrix_of
from refimpl.rungs.setting import Setting
from validation.data import Split, Vocabulary, complete
from validation.experiments import ladder
from validation.experiments.passages import passages_of
from validation.literature.claims import sequence_claims
from validation.models import networks
from validation.parts.study import Config, Earlier, Part
from validation.training import optimisers

__all__ = ["Corpus", "facts", "parts_of"]

MLP = ["blocks.*.mlp.*"]  # as in Grosse et al. 2023, section 3: attention and embeddings are frozen


@dataclass(frozen=True)
class Corpus:
    """Windows to train on and to query, the first `train` of them those whose influence is asked for.

    Args:
        split: Windows; queries with the targets of whole windows.
        vocabulary: What the token numbers stand for.
        sources: Where each training window comes from.
        query_sources: Where each query comes from.
        fingerprint: Start of a hash of the text, where it may differ between machines.
    """

    split: Split
    vocabulary: Vocabulary
    sources: list[str]
    query_sources: list[str]
    fingerprint: str = ""


Load = Callable[[Config], Corpus]


def parts_of(load: Load, config: Config) -> list[Part]:
    """Training, the comparisons at each damping, the passages, and what was claimed of them.

    Args:
        load: Makes the corpus from the configuration.
        config: With "model", "training" and what the ladder and passages need; without passages where
            "passages" is false.
    """
    make = partial(trained_setting, load)
    read = ("train", "exact", "fits/Kronecker")
    headline = f"influences/{config['headline']:g}"
    listed = [Part("train", partial(train, load)), *ladder.parts_of(make, config)]
    if not config.get("passages", True):
        return [*listed, Part("claims", sequence_claims, (headline,))]
    listed.append(Part("passages", partial(_passages, load), read))
    return [*listed, Part("claims", sequence_claims, (headline, "passages"))]


def _model(
    config: Config, corpus: Corpus, generator: torch.Generator, dtype: torch.dtype
) -> networks.Transformer:
    length = corpus.split.inputs.shape[1]
    return networks.transformer(
        len(corpus.vocabulary), **config["model"], length=length, generator=generator, dtype=dtype
    )


def train(load: Load, config: Config, earlier: Earlier) -> Any:
    """Train on all windows; the parameters, losses per token, and how stationary they are."""
    del earlier
    corpus = load(config)
    split, loss = corpus.split, ri.losses.CrossEntropy()
    generator = torch.Generator().manual_seed(config["seed"])
    options = dict(config["training"])
    model = _model(config, corpus, generator, getattr(torch, config["trained_in"]))
    data = model, loss, split.inputs, split.targets
    if "epochs" in options:
        end = optimisers.train_minibatch(*data, **options, generator=generator)
    else:
        end = optimisers.train(*data, **options)
    model.double()

    def bits(inputs: Int[Tensor, "N T"], targets: Int[Tensor, "N T"]) -> float:
        with torch.no_grad():
            total = loss.value(model(inputs), targets).sum()
        return float(total / targets.numel() / torch.log(torch.tensor(2.0)))

    tracked = setting_of(model, corpus, config).problem
    values = {
        "train_bits": bits(split.inputs, split.targets),
        "query_bits": bits(split.query_inputs, split.query_targets),
        "windows": len(split.inputs),
        "parameters": tracked.num_parameters,
        "all_parameters": sum(p.numel() for p in model.parameters()),
        "frozen": list(tracked.frozen),
        "fingerprint": corpus.fingerprint,
        "objective": end.objective,
        "gradient_norm": end.gradient_norm,
        "initial_gradient_norm": end.initial_gradient_norm,
        "evaluations": end.evaluations,
    }
    return values, {name: value.numpy() for name, value in model.state_dict().items()}


def trained_setting(load: Load, config: Config, earlier: Earlier) -> Setting:
    """The trained problem and its queries, from what `train` saved."""
    corpus = load(config)
    model = _model(config, corpus, torch.Generator(), torch.float64)
    saved = earlier["train"].arrays
    model.load_state_dict({name: torch.from_numpy(value) for name, value in saved.items()})
    return setting_of(model, corpus, config)


def setting_of(model: networks.Transformer, corpus: Corpus, config: Config) -> Setting:
    """The first windows as training examples; queries measured by their completions."""
    split, count = corpus.split, config["train"]
    inputs, targets = split.inputs[:count], split.targets[:count]
    problem = ri.Problem(model, ri.losses.CrossEntropy(), inputs, targets, layers=MLP)
    completions = complete(split.query_targets, _prompts(corpus, config["prompt"]))
    return Setting(problem, split.query_inputs, completions, "log_likelihood")


def _prompts(corpus: Corpus, longest: int) -> list[int]:
    """Tokens of each query's prompt: up to its last space among the first `longest`, or all of these."""
    split, decode = corpus.split, corpus.vocabulary.decode
    starts = [
        decode(torch.cat([x[:1], y]))[:longest]
        for x, y in zip(split.query_inputs, split.query_targets, strict=True)
    ]
    return [start.rfind(" ") if start.rfind(" ") > longest // 2 else longest for start in starts]


def _passages(load: Load, config: Config, earlier: Earlier) -> Any:
    corpus, at = load(config), trained_setting(load, config, earlier)
    matrix = matrix_of(at.problem, earlier)
    assert matrix is not None, "passages take the exact matrix, which no route but the primal forms"
    exact = ri.Dense(at.problem, [matrix])
    sources = corpus.sources, corpus.query_sources
    return passages_of(at, exact, corpus.vocabulary.decode, sources, config, earlier)


def facts(config: Config, first: Earlier) -> list[tuple[str, str]]:
    """The figures that a page begins with.

    Args:
        config: The study's configuration.
        first: Results of the first seed.
    """
    trained = first["train"].values
    return [
        ("Training windows", f"{trained['windows']:,}"),
        ("of them analysed", f"{config['train']:,}"),
        ("Queries", f"{config['queries']:,}"),
        ("Tracked parameters", f"{trained['parameters']:,} of {trained['all_parameters']:,}"),
        ("Bits per character", f"{trained['train_bits']:.2f}, queries {trained['query_bits']:.2f}"),
        ("Gradient norm at the end", power(trained["gradient_norm"])),
    ]
