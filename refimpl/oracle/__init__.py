"""The oracle: is this implementation of influence functions right, and if not, what is wrong?"""

from refimpl.oracle.question.case import Case as Case
from refimpl.oracle.question.conventions import Conventions as Conventions
from refimpl.oracle.question.loss import LossSpec as LossSpec
from refimpl.oracle.results.outcome import Outcome as Outcome, Verdict as Verdict
from refimpl.oracle.stages.setting import State as State
from refimpl.oracle.subject.adapter import (
    Adapter as Adapter,
    Declaration as Declaration,
    Unsupported as Unsupported,
)
