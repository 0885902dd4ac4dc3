"""An adapter in this process."""

from collections.abc import Mapping
from typing import Any

from refimpl.oracle.adapter import Adapter, Unsupported, stages_of
from refimpl.oracle.case import Case
from refimpl.oracle.trial import Described, Failed

__all__ = ["InProcess"]


class InProcess:
    """Calls an adapter directly: quick, open to a debugger, and helpless against one that hangs.

    Args:
        adapter: The adapter.
    """

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self.described = Described(adapter.declaration, stages_of(type(adapter)))

    def call(self, stage: str, case: Case, arguments: Mapping[str, Any]) -> Any:
        """The raw answer of a stage; see `Session`."""
        method = getattr(self.adapter, stage)
        try:
            if stage in ("eigenbasis", "solve"):  # what they need stands in their arguments
                return method(**arguments)
            return method(case, **arguments)
        except (Unsupported, Failed):
            raise
        except Exception as error:
            raise Failed(f"{stage} raised {type(error).__name__}: {error}") from error
