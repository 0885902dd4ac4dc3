"""pytest --refimpl: items, their verdicts, and nothing imported where it is not asked for."""

import subprocess
import sys
from pathlib import Path

FAKES = Path(__file__).parents[1] / "fakes.py"
ROOT = Path(__file__).parents[3]


def ran(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "pytest_refimpl", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, "-rxX", "--tb=short", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={
            "PYTHONPATH": str(ROOT),
            "PATH": "",
            "OMP_NUM_THREADS": "1",
            # Where refimpl is installed its entry point would load the plugin a second time.
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
    )


def test_items_fail_and_declared_ones_are_strict_xfails(tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text(
        '[[deviation]]\nid = "mlp/tanh-square::gradients::gradients-equal"\nreason = "on purpose"\n'
        'link = "https://e.org"\nexpires = 2099-01-01\n'
        '[[deviation]]\nid = "mlp/tanh-square::factors::factor-a-equal"\nreason = "not so"\n'
        'link = "https://e.org"\nexpires = 2099-01-01\n'
    )
    names = "(gradients-equal or factor-a-equal) and (tanh-square or hostile-padding)"
    asked = ["--refimpl", f"{FAKES}:Zero", "--refimpl-quick", "--refimpl-in-process", "-k", names]
    found = ran(tmp_path, *asked, "--refimpl-deviations", "d.toml", "--junitxml=j.xml")
    assert found.returncode == 1, found.stdout + found.stderr
    assert "XFAIL mlp/tanh-square::gradients::gradients-equal::isolated" in found.stdout
    assert "on purpose (https://e.org)" in found.stdout
    assert "[XPASS(strict)] not so" in found.stdout
    assert "refimpl check" in found.stdout
    assert "2 failed, 1 passed" in found.stdout
    assert 'property name="ratio"' in (tmp_path / "j.xml").read_text()


def test_without_the_option_nothing_is_imported(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text(
        "import sys\ndef test_own():\n    assert not {'torch', 'refimpl'} & set(sys.modules)\n"
    )
    found = ran(tmp_path)
    assert "1 passed" in found.stdout, found.stdout + found.stderr


def test_no_adapter_is_a_usage_error(tmp_path: Path) -> None:
    found = ran(tmp_path, "--refimpl", f"{FAKES}:Undeclared", "--refimpl-in-process")
    assert found.returncode == 4
    assert "needs a declaration" in found.stderr
