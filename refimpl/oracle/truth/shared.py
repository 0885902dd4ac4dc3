"""One truth for a case, whoever asks: what it has computed is computed once in this process."""

from functools import lru_cache

from refimpl.oracle.question.case import Case, ContentKey
from refimpl.oracle.truth.truth import Truth

__all__ = ["truth_of"]


@lru_cache(maxsize=256)
def _shared(key: ContentKey, curvature: str) -> Truth:
    return Truth(key.case, curvature)


def truth_of(case: Case, curvature: str) -> Truth:
    """The truth of a case, shared by all who ask for it in this process.

    Args:
        case: The case.
        curvature: As for `Truth`.
    """
    return _shared(case.content_key, curvature)
