"""An adapter in this process."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from refimpl.oracle.question.case import Case
from refimpl.oracle.stages import STAGES
from refimpl.oracle.stages.numbers import one_line
from refimpl.oracle.stages.setting import State
from refimpl.oracle.subject.adapter import Adapter, Unsupported, stages_of
from refimpl.oracle.subject.session import Described, Failed

__all__ = ["InProcess"]


class InProcess:
    """Calls an adapter directly: quick, open to a debugger, and helpless against one that hangs.

    Args:
        adapter: The adapter.
        subject: Its name on the command line, for reproductions.
    """

    def __init__(self, adapter: Adapter, subject: str | None = None) -> None:
        kind = type(adapter)
        self.adapter = adapter
        self.subject = subject or f"{kind.__module__}:{kind.__qualname__}"
        self.described = Described(adapter.declaration, stages_of(kind))

    def call(self, stage: str, case: Case, arguments: Mapping[str, Any]) -> Any:
        """The raw answer of a stage; see `Session`."""
        copies = {name: _copied(value) for name, value in arguments.items()}
        try:
            return STAGES[stage].call(self.adapter, case, copies)
        except (Unsupported, Failed):
            raise
        except (KeyboardInterrupt, GeneratorExit):
            raise
        # Whatever else: a panic in Rust, for one, is no Exception.
        except BaseException as error:
            raise Failed(f"{stage} raised {one_line(error)}") from error

    def close(self) -> None:
        """Nothing to do."""


def _copied(value: Any) -> Any:
    """A copy of the arrays, so that an adapter that writes into them spoils no reference."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, Mapping):
        return {name: _copied(v) for name, v in value.items()}
    if isinstance(value, tuple):
        return tuple(_copied(v) for v in value)
    if isinstance(value, State):
        return replace(
            value,
            factors=_copied(value.factors),
            basis=_copied(value.basis),
            eigenvalues=_copied(value.eigenvalues),
        )
    return value
