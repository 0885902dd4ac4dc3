"""One truth for each case in this process, so that everything is computed once."""

from functools import lru_cache

from refimpl.oracle.question.case import Case, ContentKey
from refimpl.oracle.truth.truth import Truth

__all__ = ["truth_of"]


@lru_cache(maxsize=256)
def _shared(key: ContentKey, curvature: str) -> Truth:
    return Truth(key.case, curvature)


def truth_of(case: Case, curvature: str) -> Truth:
    """The truth of a case, shared within this process.

    Args:
        case: Model, data and conventions.
        curvature: As for `Truth`.
    """
    return _shared(case.content_key, curvature)
