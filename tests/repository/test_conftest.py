"""The safeguards of the tests can fail: shapes are enforced, and what is global is guarded."""

from pathlib import Path

import pytest
import torch
from jaxtyping import TypeCheckError
from repository.sources import MODULES

import refimpl as ri
from validation.training.optimisers import train

CONFTEST = Path(__file__).parents[2] / "conftest.py"

MOVES = {
    "Python's random state": "random.random()",
    "numpy's random state": "numpy.random.random()",
    "torch's default dtype": "torch.set_default_dtype(torch.float64)",
    "torch's gradient mode": "torch.set_grad_enabled(False)",
    "torch's deterministic mode": "torch.use_deterministic_algorithms(True)",
    "torch's number of threads": "torch.set_num_threads(2)",
}

# Called from its own doctest with a vector where the annotation wants a matrix.
WRONG = '''
import torch
from jaxtyping import Float
from torch import Tensor

def trace(matrix: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    """Trace.

    >>> trace(torch.eye(2))
    tensor(2.)
    >>> trace(torch.ones(2))
    tensor(2.)
    """
    return matrix.sum() if matrix.ndim == 1 else matrix.trace()
'''


def test_everything_defined_in_both_packages_is_imported_through_the_hook():
    # pytest imports the __init__ of a package past the hook when it collects it first (importlib
    # mode looks for it inside itself): harmless as long as an __init__ only passes names on.
    unhooked = [m for m in MODULES if type(m.__loader__).__module__ != "jaxtyping._import_hook"]
    for module in unhooked:
        for value in vars(module).values():
            assert getattr(value, "__module__", None) != module.__name__, (module, value)
    assert len(unhooked) < len(MODULES) / 2


def test_a_wrong_shape_or_dtype_is_refused():
    model, x, y = torch.nn.Linear(2, 3), torch.eye(4, 2), torch.zeros(4, 3)
    loss = ri.losses.SquaredError()
    with pytest.raises(TypeCheckError, match="parameter 'targets'"):  # four inputs, three targets
        train(model, loss, x, y[:3], weight_decay=0.0, iterations=1)
    with pytest.raises(TypeCheckError, match="parameter 'vectors'"):
        ri.exact.GaussNewton(ri.Problem(model, loss, x, y)).apply(torch.zeros(9, dtype=torch.int64))


def test_the_safeguards_fail_where_they_must(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(CONFTEST.parent / "tests"))  # its plugin, `evidence`
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8"))
    moving = "\n".join(f"def test_{n}(): {code}" for n, code in enumerate(MOVES.values()))
    pytester.makepyfile(test_moving=f"import random, numpy, torch\n{moving}")
    pytester.mkpydir("refimpl").joinpath("wrong.py").write_text(WRONG, encoding="utf-8")
    run = pytester.runpytest_subprocess("--doctest-modules", "--import-mode=importlib")
    run.assert_outcomes(passed=len(MOVES), errors=len(MOVES), failed=1)
    run.stdout.fnmatch_lines([f"*this test changed {what}:*" for what in MOVES])
    run.stdout.fnmatch_lines(["*FAILED refimpl/wrong.py::refimpl.wrong.trace*"])
    assert "TypeCheckError" in run.stdout.str()
