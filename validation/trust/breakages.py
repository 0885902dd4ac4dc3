"""Break refimpl on purpose, one mistake at a time, and show which test turns red.

Run with `python -m validation.trust.breakages`; docs/trust.md holds what it printed. Every mistake is one
that published libraries have made. The edit is made in a copy of the repository, never in place.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Breakage:
    """One edit: its mistake, its place, and the tests that should fail."""

    mistake: str
    file: str
    right: str
    wrong: str
    tests: str


BREAKAGES = (
    Breakage(
        "the Kronecker product in column-major order",
        "refimpl/fast/kfac.py",
        "return S @ V @ A  #",
        "return (A @ V.reshape(-1, len(A), len(S)) @ S).reshape(V.shape)  #",
        "tests/fast",
    ),
    Breakage(
        "S not divided by N",
        "refimpl/fast/kfac.py",
        "s_sum[name] / problem.num_examples)",
        "s_sum[name])",
        "tests/fast",
    ),
    Breakage(
        "bias column of the inputs zero instead of one",
        "refimpl/problem/layers/layer.py",
        "torch.ones_like(rows[..., :1])",
        "torch.zeros_like(rows[..., :1])",
        "tests/problem/layers/test_rows.py",
    ),
    Breakage(
        "the data's labels under the name of sampled ones",
        "refimpl/rows/sweeps.py",
        'if fisher == "empirical":',
        'if fisher in ("empirical", "sampled"):',
        "tests/fast",
    ),
    Breakage(
        "damping added twice",
        "refimpl/curvature/dense.py",
        "damped.diagonal().add_(damping)",
        "damped.diagonal().add_(2 * damping)",
        "tests/exact",
    ),
    Breakage(
        "multiplied by the corrected eigenvalues instead of divided",
        "refimpl/fast/ekfac.py",
        "1 / (L + damping)",
        "(L + damping)",
        "tests/fast",
    ),
    Breakage(
        "tokens squared before they are summed",
        "refimpl/fast/ekfac.py",
        "    for u in gradient_matrices_in_pieces(g, a):\n        total += (u**2).sum(dim=(0, 1))\n",
        '    total += torch.einsum("knro,nri->oi", g**2, a**2)\n',
        "tests/fast",
    ),
    Breakage(
        "sign of the influence flipped",
        "refimpl/scores/examples.py",
        "return -gradient_products(",
        "return gradient_products(",
        "tests/scores/test_examples.py",
    ),
    Breakage(
        "softmax Hessian without its cross terms",
        "refimpl/losses/cross_entropy.py",
        "return scores * p.sqrt()[..., None, :]",
        "return torch.where(diagonal, scores, torch.zeros_like(scores)) * p.sqrt()[..., None, :]",
        "tests/losses/test_losses.py",
    ),
    Breakage(
        "proximity term lambda instead of lambda / 2",
        "refimpl/exact/objectives.py",
        "self.damping / 2 * (shift @ shift)",
        "self.damping * (shift @ shift)",
        "tests/exact",
    ),
    Breakage(
        "Gauss-Newton Hessian summed where the mean is meant",
        "refimpl/exact/definition.py",
        "    return total / problem.num_examples\n\n\ndef hessian",
        "    return total\n\n\ndef hessian",
        "tests/exact",
    ),
    Breakage(
        "ignored tokens counted in the input covariance",
        "refimpl/rows/hooks.py",
        "return token_mask.reshape(n, -1)",
        "return torch.ones_like(token_mask.reshape(n, -1))",
        "tests/rows/test_hooks.py",
    ),
    Breakage(
        "the same draws in every batch",
        "refimpl/rows/sweeps.py",
        "else draws[place]",
        "else draws[: place.stop - place.start]",
        "tests/sampling/test_draws.py",
    ),
    Breakage(
        "one draw shared by all examples of a batch",
        "refimpl/rows/sweeps.py",
        "else draws[place]",
        "else draws[place][:1].expand_as(draws[place])",
        "tests/sampling/test_draws.py",
    ),
    Breakage(
        "labels drawn uniformly instead of from the model",
        "refimpl/losses/cross_entropy.py",
        "u = draws.transpose(0, 1) * cumulative[..., -1]",
        "cumulative = torch.full_like(p, 1 / p.shape[-1]).cumsum(dim=-1); u = draws.transpose(0, 1)",
        "tests/sampling/test_factors.py",
    ),
    Breakage(
        "label noise of variance 1/2 for half the squared distance",
        "refimpl/losses/squared_error.py",
        "return -draws.transpose(0, 1)",
        "return -draws.transpose(0, 1) / 2**0.5",
        "tests/sampling/test_factors.py",
    ),
)


def broken(breakage: Breakage) -> str:
    """The text of the file with the mistake in it.

    Args:
        breakage: The edit.

    Raises:
        ValueError: The code no longer has what the edit replaces.
    """
    text = (ROOT / breakage.file).read_text(encoding="utf-8")
    if text.count(breakage.right) != 1:
        raise ValueError(f"{breakage.file} does not have {breakage.right!r} exactly once")
    return text.replace(breakage.right, breakage.wrong)


def catch(breakage: Breakage) -> str:
    """The first test that turns red under an edit.

    Args:
        breakage: The edit.

    Raises:
        RuntimeError: No test notices.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "refimpl"
        ignored = shutil.ignore_patterns(".*", "reports", "*.egg-info")
        shutil.copytree(ROOT, copy, ignore=ignored)
        target = copy / breakage.file
        target.write_text(broken(breakage), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "--tb=no"]
        run = subprocess.run(
            [*command, "-p", "no:cacheprovider", breakage.tests],
            cwd=copy,
            capture_output=True,
            text=True,
            check=False,
        )
    failed = re.search(r"^FAILED (.+?)(?: - .*)?$", run.stdout, re.MULTILINE)
    if failed is None:
        raise RuntimeError(f"no test of {breakage.tests} notices: {breakage.mistake}\n{run.stdout}")
    return failed[1]


def main() -> None:
    """Print the table of docs/trust.md."""
    print("| mistake | where | caught by |\n| --- | --- | --- |")
    for breakage in BREAKAGES:
        print(f"| {breakage.mistake} | `{breakage.file}` | `{catch(breakage)}` |", flush=True)


if __name__ == "__main__":
    main()
