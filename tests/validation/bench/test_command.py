"""The command: a part in a process of its own, resumed, and a page that says what is missing."""

import json

import pytest
import torch
from typer.testing import CliRunner

from validation.__main__ import app
from validation.bench import command


@pytest.fixture(autouse=True)
def threads():
    """The command sets torch's threads: give them back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def bench(out, *args: str):
    return CliRunner().invoke(app, ["bench", "--quick", "--threads", "1", "--out", str(out), *args])


def test_parts_are_measured_resumed_and_drawn(tmp_path):
    run = bench(tmp_path, "dense", "--part", "memory/16-4-10")
    assert run.exit_code == 0, run.output
    saved = tmp_path / "dense" / "parts" / "seed-0" / "memory_16-4-10.json"
    first = saved.read_text()
    assert json.loads(first)["values"]["output"] == 8 * 118**2
    page = json.loads((tmp_path / "bench.json").read_text())
    assert {t["verdict"] for t in page["targets"]} == {"not measured"}
    assert list(page["measured"]) == ["dense"]
    assert "not measured" in (tmp_path / "bench.html").read_text()
    assert "1 thread(s)" in (tmp_path / "bench.md").read_text()

    assert bench(tmp_path, "dense", "--part", "memory/16-4-10").exit_code == 0
    assert saved.read_text() == first  # it was not measured again
    assert bench(tmp_path, "--from-saved").exit_code == 0
    assert saved.read_text() == first


def test_a_part_that_fails_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "code", lambda: "x")
    run = bench(tmp_path, "dense", "--part", "memory/16-4-10", "--device", "no-such-device")
    assert run.exit_code == 1
    assert "no-such-device" in run.output


@pytest.mark.parametrize(
    ("args", "words"), [(["speed"], "no bench speed"), (["--clock", "sun"], "no clock 'sun'")]
)
def test_what_there_is_not_is_refused(tmp_path, args, words):
    run = bench(tmp_path, *args)
    assert run.exit_code == 2
    assert words in run.output


def test_threads_are_as_many_as_multiply_fastest(monkeypatch):
    torch.set_num_threads(2)
    rates = {1: 10.0, 2: 10.9}
    monkeypatch.setattr(command, "product_rate", lambda *_: rates[torch.get_num_threads()])
    assert command.best_threads() == 1
    rates[2] = 11.1
    assert command.best_threads() == 2
    assert torch.get_num_threads() == 2


def test_a_pattern_takes_along_what_its_parts_need():
    study = command.only_parts(command.BENCHES["responses"], "beside")
    config = dict(command.BENCHES["responses"].config) | {"rates": [1e-3], "steps": [10, 20]}
    names = [part.name for part in study.parts(config)]
    assert names == ["adam/0.001/10", "adam/0.001/20", "beside"]
