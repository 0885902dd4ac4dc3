"""One table: what is refused, with which kind of error, and what the message says.

Users run refimpl without the tests' beartype hook, which may object to a wrong type before our own
check does. So the table's errors are those of a process without it; under it, every row must still
be refused.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import refused_problems as problems
import refused_requests as requests
import torch
from torch import nn

import refimpl as ri

VALUE_ERRORS = problems.VALUE_ERRORS | requests.VALUE_ERRORS
TYPE_ERRORS = problems.TYPE_ERRORS | requests.TYPE_ERRORS
TABLE = {name: ("ValueError", *row) for name, row in VALUE_ERRORS.items()}
TABLE |= {name: ("TypeError", *row) for name, row in TYPE_ERRORS.items()}


def outcomes() -> dict[str, list[str]]:
    """What each row raises: the kind and the message."""
    refusals = {}
    for name, (_, call, _) in TABLE.items():
        try:
            refusals[name] = ["nothing", repr(call())]
        except Exception as error:
            refusals[name] = [type(error).__name__, str(error)]
    return refusals


@pytest.fixture(scope="module")
def without_the_hook() -> dict[str, list[str]]:
    here = Path(__file__).resolve()
    path = os.pathsep.join([str(here.parents[1]), str(Path(ri.__file__).parents[1])])
    run = subprocess.run(
        [sys.executable, str(here)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    return json.loads(run.stdout)


@pytest.mark.parametrize("name", TABLE)
def test_bad_input_is_refused_with_a_clear_message(name, without_the_hook):
    kind, call, message = TABLE[name]
    assert without_the_hook[name][0] == kind, without_the_hook[name]
    with pytest.raises(Exception, match=message):
        raise Exception(without_the_hook[name][1])
    with pytest.raises((ValueError, TypeError)):
        call()


def test_instance_norm_of_the_usual_kind_is_not_taken_for_batch_norm():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.InstanceNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    assert problems.make(model.train(), x=torch.randn(6, 1, 2, 2)).frozen == ()


if __name__ == "__main__":
    print(json.dumps(outcomes()))
