"""A second, compact implementation of every stage: what the faults are edits of.

It shares no mathematics with refimpl.rows, refimpl.fast and refimpl.exact, so that the truth and it
confirm each other; and every step is a small method, so that a mistake is the edit of one of them.
"""

from refimpl.oracle.pipeline.passes import Run as Run
from refimpl.oracle.pipeline.stages import Pipeline as Pipeline
