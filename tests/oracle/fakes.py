"""Adapters with known manners, each the reference but for one stage."""

import os
import sys
import time
from collections import UserDict

import numpy as np

from refimpl.oracle import Adapter, Declaration, Unsupported
from refimpl.oracle.selftest.reference import Reference


class Honest(Reference):
    pass


class Zero(Reference):
    def gradients(self, case):
        return {name: np.zeros_like(g) for name, g in super().gradients(case).items()}


class NotANumber(Reference):
    def gradients(self, case):
        found = super().gradients(case)
        found = {name: g.copy() for name, g in found.items()}
        next(iter(found.values()))[0, 0, 0] = np.nan
        return found


class Hang(Reference):
    def gradients(self, case):
        time.sleep(3600)


class Ends(Reference):
    def gradients(self, case):
        print("out of memory", file=sys.stderr, flush=True)
        os._exit(7)


class Segfault(Reference):
    def gradients(self, case):
        import ctypes

        ctypes.string_at(0)


class Raises(Reference):
    def gradients(self, case):
        raise RuntimeError("no kernel for this")


class Exits(Reference):
    def gradients(self, case):
        raise SystemExit(0)


class Panics(Reference):
    """Raises what is no Exception, as libraries in Rust do, in two lines."""

    def gradients(self, case):
        raise type("PanicException", (BaseException,), {})("index out\nof bounds")


class Complex(Reference):
    def gradients(self, case):
        return {name: g + 1j for name, g in super().gradients(case).items()}


class Breaks(Reference):
    """Answers by a mapping that breaks when it is read."""

    def gradients(self, case):
        class Lazy(UserDict):
            def __getitem__(self, layer):
                raise OSError("the file is gone")

        return Lazy(super().gradients(case))


class OddLayers(Reference):
    def gradients(self, case):
        return {0: None, "fc": None}


class WrongShape(Reference):
    def gradients(self, case):
        return {name: g[..., :-1] for name, g in super().gradients(case).items()}


class WrongLayers(Reference):
    def gradients(self, case):
        return {f"{name}.weight": g for name, g in super().gradients(case).items()}


class NotADict(Reference):
    def gradients(self, case):
        return list(super().gradients(case).values())


class Half(Reference):
    """Computes in float16, and declares float64."""

    def gradients(self, case):
        return {name: g.astype(np.float16) for name, g in super().gradients(case).items()}


class HalfDeclared(Half):
    declaration = Declaration("half", conventions={"dtype": "float16"})


class Noisy(Reference):
    def gradients(self, case):
        print('{"id": 1, "ok": true}')
        print("chatter", file=sys.stderr)
        os.write(1, b"from C\n")
        os.system("echo from a child")
        assert sys.stdin.read() == ""
        return super().gradients(case)


class Refuses(Reference):
    def gradients(self, case):
        raise Unsupported("no per-example gradients")


class Spoils(Reference):
    """Writes into what it is given."""

    def eigenbasis(self, factors):
        found = super().eigenbasis(factors)
        for A, S in factors.values():
            A *= 0
            S *= 0
        return found


class ScoresOnly(Adapter):
    declaration = Declaration("scores-only", "3")

    def scores(self, case, seed):
        return Reference().scores(case, seed)


class Undeclared(Adapter):
    pass


class HonestSampled(Reference):
    declaration = Declaration("sampled", conventions={"fisher": "sampled"})


class _Blind(Reference):
    declaration = Declaration("blind", conventions={"fisher": "sampled"}, curvature="kfac")

    def scores(self, case, seed):
        count = len(case.query_inputs) * case.num_examples
        return np.arange(count, dtype=float).reshape(-1, case.num_examples)


class BlindScores(Adapter):
    """Right parts of sampled labels; scores that are 0, 1, 2 and so on, and no gradients."""

    declaration = _Blind.declaration
    factors, eigenbasis, solve = _Blind.factors, _Blind.eigenbasis, _Blind.solve
    scores, _drawn, _truth = _Blind.scores, _Blind._drawn, _Blind._truth


class OnesForLambda(Reference):
    declaration = Declaration("ones", conventions={"fisher": "sampled"})

    def eigenvalues(self, case, basis, seed):
        found = super().eigenvalues(case, basis, seed)
        return {name: np.ones_like(L) for name, L in found.items()}


class Nought(Reference):
    """Zeros for every answer; each method also serves another class by itself."""

    def gradients(self, case):
        return _zeros(Reference.gradients(self, case))

    def factors(self, case, seed):
        return _zeros(Reference.factors(self, case, seed))

    def eigenbasis(self, factors):
        return _zeros(Reference.eigenbasis(self, factors))

    def eigenvalues(self, case, basis, seed):
        return _zeros(Reference.eigenvalues(self, case, basis, seed))

    def gauss_newton(self, case, vectors):
        return np.zeros_like(vectors)

    def solve(self, state, vectors, damping):
        return np.zeros_like(vectors)

    def scores(self, case, seed):
        return np.zeros((len(case.query_inputs), case.num_examples))

    def response(self, case, example, epsilon):
        return np.zeros(case.num_parameters)


def _zeros(answer):
    if isinstance(answer, dict):
        return {name: _zeros(part) for name, part in answer.items()}
    return tuple(map(_zeros, answer)) if isinstance(answer, tuple) else np.zeros_like(answer)
