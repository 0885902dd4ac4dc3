"""pytest plugin: `pytest --refimpl my_adapter:MyLibrary` judges an implementation, check by check.

Not within refimpl, since every pytest run of whoever has it installed imports this module: refimpl,
and torch with it, is imported only when it is asked for.
"""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("refimpl", "judge an implementation of influence functions")
    group.addoption("--refimpl", metavar="MODULE:CLASS", help="the adapter to judge")
    group.addoption(
        "--refimpl-exec", metavar="PROGRAM", help="or a program that answers in its stead"
    )
    group.addoption("--refimpl-quick", action="store_true", help="about ten cases, in seconds")
    group.addoption(
        "--refimpl-deviations", metavar="TOML", help="declared deviations: strict xfails"
    )
    group.addoption(
        "--refimpl-timeout", metavar="S", type=float, default=60.0, help="seconds of a call"
    )
    group.addoption(
        "--refimpl-in-process", action="store_true", help="no process of its own: for a debugger"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Load what collects the items, if it is asked for."""
    if config.getoption("refimpl") or config.getoption("refimpl_exec"):
        from refimpl.oracle.run.plugin import Items

        config.pluginmanager.register(Items(config), "refimpl-items")
