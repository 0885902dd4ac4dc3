"""A peer is one file: what names its requirement is installed, judged and left out of imports."""

import gc
import importlib.util
import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from refimpl.oracle.cases import quick
from validation import peers
from validation.peers import session
from validation.peers.requirements import libraries

NOXFILE = Path(session.__file__).parents[2] / "noxfile.py"
PEER = '''"""A new peer: what its documentation says."""

from refimpl.oracle.selftest.reference import Reference

REQUIREMENT = "new-peer[extra]"
ADAPTERS = (Reference,)
'''


@pytest.fixture
def new_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file as one adds it to the folder."""
    (tmp_path / "new_peer.py").write_text(PEER, encoding="utf-8")
    monkeypatch.setattr(peers, "__path__", [*peers.__path__, str(tmp_path)])
    return "new_peer"


def nox_parametrized(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the noxfile hands to nox.parametrize, without nox."""
    stub: Any = types.ModuleType("nox")
    handed: list[Any] = []
    stub.options, stub.Session = types.SimpleNamespace(), object
    stub.session = lambda function: function
    stub.parametrize = lambda name, values, ids: handed.append(values) or (lambda f: f)
    monkeypatch.setitem(sys.modules, "nox", stub)
    monkeypatch.setattr(sys, "path", [*sys.path])
    spec = importlib.util.spec_from_file_location("noxfile", NOXFILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (values,) = handed
    return module, values


def test_a_peer_is_a_file_that_names_what_pip_installs(new_peer: str) -> None:
    assert libraries() == {
        "curvlinops": "curvlinops-for-pytorch",
        "dattri": "dattri",
        "kronfluence": "kronfluence",
        "pydvl": "pyDVL[influence]",
        new_peer: "new-peer[extra]",
    }


def test_a_new_file_is_judged(
    new_peer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, case = next(iter(quick().items()))
    monkeypatch.setattr(session, "quick_cases", lambda: {name: case})
    out = tmp_path / "out.json"
    session.main([new_peer, str(out), "--quick"])
    gc.unfreeze()  # the session freezes what was imported
    judged = json.loads(out.read_text(encoding="utf-8"))
    assert judged["requirement"] == "new-peer[extra]"
    assert judged["documented"] == "A new peer: what its documentation says."
    verdicts = {o["verdict"] for o in judged["adapters"][0]["outcomes"]}
    assert "pass" in verdicts
    assert verdicts <= {"pass", "indeterminate"}


def test_nox_installs_it(new_peer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, values = nox_parametrized(monkeypatch)
    assert new_peer in values
    assert libraries() == module.PEERS
