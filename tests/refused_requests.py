"""Requests about a good problem that are refused: each a call, and what its error says."""

import torch
from refused_problems import CE, INF, NAN, SE, P, X, Y, make, spoiled
from torch import nn

import refimpl as ri
from refimpl.rows.sweeps import sweeps_over


def solve(damping=0.1, vectors=None, **options):
    problem = make(**options)
    vectors = problem.parameters if vectors is None else vectors
    return ri.exact.GaussNewton(problem).solve(vectors, damping)


def respond(examples=(0,), epsilon=0.1, damping=0.1, **options):
    return ri.exact.bregman_response(make(), examples, epsilon=epsilon, damping=damping, **options)


def lissa(**options):
    settings = {"depth": 2, "batch_size": 3, "generator": torch.Generator()} | options
    return ri.fast.LiSSA(make(), **settings)


def query(measurement="loss", model=None, loss=CE, x=X, y=Y, queries=None, **options):
    problem = make(model, loss, x, y)
    identity = ri.fast.Identity(problem)
    return ri.influence(
        problem, *(queries or (x, y)), curvature=identity, damping=1.0, measurement=measurement, **options
    )  # fmt: skip


VALUE_ERRORS = {
    # solves
    "negative damping": (lambda: solve(-0.1), "finite number >= 0, got -0.1"),
    "NaN damping": (lambda: solve(NAN), "finite number >= 0"),
    "no damping on a singular matrix": (lambda: solve(0.0), "singular to working precision"),
    "short vector": (lambda: solve(vectors=torch.ones(3).double()), rf"P={P}\], got \(3,\)"),
    "vector of another dtype": (lambda: solve(vectors=torch.ones(P)), "must be torch.float64 on cpu"),
    "NaN vector": (lambda: solve(vectors=spoiled(NAN, torch.ones(P)).double()), "vectors have NaN"),
    # queries
    "query's label out of range": (lambda: query(queries=(X, Y + 5)), r"labels must lie in \[0, 2\)"),
    "query's targets broadcast": (
        lambda: query("loss", nn.Linear(3, 1), SE, X, X[:, :1], (X, X[:, 0])), r"\(6, 1\), got \(6,\)"),
    "query of another width": (lambda: query(queries=(X[:, :2], Y)), "the model failed on its first"),
    # options
    "unknown fisher": (lambda: ri.fast.KFAC(make(), fisher="true"), "fisher must be one of"),
    "no samples": (lambda: ri.fast.KFAC(make(), fisher="sampled", samples=0), "samples must be >= 1"),
    "negative samples": (lambda: ri.fast.KFAC(make(), fisher="sampled", samples=-1), "samples must be"),
    "unknown sharing": (lambda: ri.fast.EKFAC(make(), weight_sharing="both"), "weight_sharing must be"),
    "batches of nothing": (lambda: ri.fast.EKFAC(make(), batch_size=0), "batch_size must be >= 1"),
    "an eigenbasis alone": (
        lambda: ri.fast.EKFAC(make(), eigen=ri.fast.EKFAC(make()).eigen), "eigen without its factors"
    ),
    "LiSSA without a step": (lambda: lissa(depth=0), "depth and repeats must be >= 1, got 0 and 1"),
    "LiSSA without a repeat": (lambda: lissa(repeats=0), "depth and repeats must be >= 1"),
    "LiSSA's batch of nobody": (lambda: lissa(batch_size=0), r"batch_size must lie in \[1, 6\]"),
    "LiSSA's batch of strangers": (lambda: lissa(batch_size=7), "the number of examples; got 7"),
    "LiSSA of another matrix": (lambda: lissa(matrix=torch.eye(2)), r"matrix must be \[P, P\], P ="),
    "LiSSA of a negative scale": (lambda: lissa(scale=-1.0), "scale must be a finite number > 0"),
    "LiSSA of scale zero": (lambda: lissa(scale=0.0), "scale must be a finite number > 0, got 0"),
    "LiSSA of no scale": (lambda: lissa(scale=NAN), "scale must be a finite number > 0, got nan"),
    "LiSSA that tolerates all": (lambda: lissa(tolerance=1.0), r"tolerance must lie in \(0, 1\)"),
    "LiSSA without damping": (
        lambda: lissa().solve(torch.ones(P).double(), 0.0), "singular to working precision"),
    "unknown measurement": (lambda: query("accuracy"), "unknown measurement 'accuracy'"),
    "vector measurement": (lambda: query(lambda f, y: f), "must return a scalar"),
    "integer measurement": (lambda: query(lambda f, y: f.argmax()), "floating-point number, got"),
    "logit of a regression": (lambda: query("logit", nn.Linear(3, 3), SE, X, X), "'logit' needs a class"),
    "margin of a regression": (
        lambda: query("margin", nn.Linear(3, 3), SE, X, X), "'margin' needs a classification loss"),
    "margin of one class": (lambda: query("margin", nn.Linear(3, 1), y=0 * Y), "at least two classes"),
    "sampled without draws": (
        lambda: list(sweeps_over(make(), fisher="sampled")), "needs draws: see label_draws"),
    "candidate out of range": (lambda: query(candidates=torch.tensor([6])), "from 6 to 6"),
    "response without damping": (lambda: respond(damping=0.0), "needs a damping > 0"),
    "response of nobody": (lambda: respond(examples=[]), "non-empty list"),
    "response of a stranger": (lambda: respond(examples=[6]), r"must lie in \[0, 6\)"),
    "response of a half": (lambda: respond(examples=[0.5]), "non-empty list of indices"),
    "response of a mask": (lambda: respond(examples=torch.tensor([True])), "non-empty list of indices"),
    "response of bytes": (
        lambda: respond(examples=torch.ones(2, dtype=torch.uint8)), "non-empty list of indices"),
    "infinite epsilon": (lambda: respond(epsilon=INF), "epsilon must be finite"),
    "tolerance of one": (lambda: respond(tolerance=1.0), r"tolerance must lie in \(0, 1\)"),
    "loose tolerance": (lambda: respond(tolerance=2.0), r"tolerance must lie in \(0, 1\)"),
}  # fmt: skip
TYPE_ERRORS = {
    "damping a bool": (lambda: solve(True), "damping must be a number, got bool"),
    "vectors no tensor": (
        lambda: solve(vectors=[1.0] * P),
        r"must be a tensor \[..., P\], got list",
    ),
    "candidates of floats": (
        lambda: query(candidates=torch.tensor([0.0])),
        "candidates must be a tensor of indices",
    ),
    "candidates with two axes": (
        lambda: query(candidates=torch.tensor([[0]])),
        "candidates must be a tensor of indices",
    ),
    "candidates a list": (
        lambda: query(candidates=[0]),
        "candidates must be a tensor of indices",
    ),
    "candidates a mask": (
        lambda: query(candidates=Y == 1),
        "candidates must be a tensor of indices",
    ),
    "candidates a mask of bytes": (  # torch would take it for a mask
        lambda: query(candidates=torch.ones(6, dtype=torch.uint8)),
        "candidates must be a tensor of indices",
    ),
}
