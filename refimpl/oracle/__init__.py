"""The oracle: is this implementation of influence functions right, and if not, what is wrong?"""

from refimpl.oracle.adapter import (
    Adapter as Adapter,
    Declaration as Declaration,
    State as State,
    Unsupported as Unsupported,
)
from refimpl.oracle.case import Case as Case, LossSpec as LossSpec
from refimpl.oracle.conventions import Conventions as Conventions
from refimpl.oracle.verdicts import Outcome as Outcome, Verdict as Verdict
