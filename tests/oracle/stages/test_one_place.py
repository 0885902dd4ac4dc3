"""What depends on a stage's name stands in the stage's own file: no other module compares with one."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from refimpl.oracle.stages import STAGES

ROOT = Path(__file__).parents[3]
ROOMS = (
    "refimpl/oracle",
    "refimpl/cli",
    "validation/peers",
    "validation/proved",
    "validation/trust",
)
MODULES = sorted(
    path.relative_to(ROOT)
    for room in ROOMS
    for path in (ROOT / room).rglob("*.py")
    if path.parent != ROOT / "refimpl/oracle/stages"
)


def named(node: ast.expr) -> set[str]:
    """The stages among the literals of an expression."""
    parts = node.elts if isinstance(node, (ast.Tuple, ast.List, ast.Set)) else [node]
    return {str(p.value) for p in parts if isinstance(p, ast.Constant)} & {*STAGES}


def switches(tree: ast.AST) -> Iterator[tuple[int, set[str]]]:
    """Line and stages of whatever compares with a stage's name, or looks something up by it.

    "gauss_newton" is the name of a curvature as well: a comparison of a `curvature` or a `kind` is none.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left, _, others):
                sides = [left, *others]
                about = {ast.unparse(side).rpartition(".")[2] for side in sides}
                stages = set().union(*map(named, sides))
                stages -= {"gauss_newton"} if about & {"curvature", "kind"} else set()
            case ast.Subscript(ast.Name("Literal")):
                continue
            case ast.Subscript(_, index):
                stages = named(index)
            case ast.Dict(keys):
                stages = set().union(*(named(key) for key in keys if key is not None))
                stages = stages if len(stages) > 1 else set()
            case ast.MatchValue(value):
                stages = named(value)
            case _:
                continue
        if stages:
            yield node.lineno, stages  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_no_module_outside_the_stages_switches_on_the_name_of_one(path: Path) -> None:
    assert list(switches(ast.parse((ROOT / path).read_text()))) == []


@pytest.mark.parametrize(
    "text",
    [
        "stage == 'factors'",
        "stage in ('solve', 'scores')",
        "{'gradients': 1, 'factors': 2}[stage]",
        "answers['scores']",
        "match stage:\n    case 'response': ...",
        "stage == 'gauss_newton'",
    ],
)
def test_a_switch_is_seen(text: str) -> None:
    assert list(switches(ast.parse(text)))


@pytest.mark.parametrize(
    "text",
    [
        "Check('scores-equal', 'stages', 'scores')",
        "trial.curvature == 'gauss_newton'",
        "Literal['ekfac', 'gauss_newton']",
    ],
)
def test_what_only_names_a_stage_or_a_curvature_is_none(text: str) -> None:
    assert not list(switches(ast.parse(text)))
