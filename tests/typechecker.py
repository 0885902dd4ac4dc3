"""beartype, applied once for each signature: a function inside a function is decorated at every call."""

import inspect
from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype

__all__ = ["checked"]

# With `is_random` it would pick the list item that it looks at by Python's global generator, which
# tests must leave alone.
_beartype = beartype(conf=BeartypeConf(is_random=False))
_checkers: dict[Any, Callable[..., Any]] = {}


def checked(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function that checks its arguments, the same one for all functions that look alike.

    jaxtyping hands over an empty function with the signature of the one to be checked, and calls it
    with that one's arguments: two of one name and signature do the same. A third of the suite's time
    went into compiling such functions anew.

    Args:
        fn: The function that jaxtyping made.
    """
    # A default is known by its id: what is kept here keeps it alive, so that no other takes the id.
    parameters = tuple(
        (p.name, p.kind, p.annotation, id(p.default))
        for p in inspect.signature(fn).parameters.values()
    )
    key = (fn.__module__, fn.__qualname__, parameters, fn.__annotations__.get("return"))
    if key not in _checkers:
        _checkers[key] = _when_called(fn)
    return _checkers[key]


def _when_called(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function, checked from its first call on: most are never called by a test process."""
    # The one with a return annotation is called after the function itself, whose arguments were checked
    # before: to check them twice was a tenth of the suite's time.
    if (returned := fn.__annotations__.get("return", Any)) is not Any:
        fn.__annotations__ = {"return": returned}
    checker: Callable[..., Any] | None = None

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal checker
        if checker is None:
            checker = _beartype(fn)
        return checker(*args, **kwargs)

    return call
