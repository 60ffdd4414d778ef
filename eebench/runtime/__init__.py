"""Leaving early for real: layers after the exit are not computed.

It proves the replay (same exit, same answer) and is what a deployed model does. `execute` is the entry;
`sequential` and `leave_early` run one sample at a time, as the published scripts do.

    entries.py    tokenised rows -> batches of similar length, bounded memory
    walking.py    a group of rows at one depth: on to the next exit, who leaves, who stays, groups joined
    executors.py  the three orders of doing so: sequential, compact, pooled
    execution.py  results per sample, in input order
"""

from eebench.runtime.execution import Execution, Left, execute, leave_early, sequential
from eebench.runtime.executors import EXECUTORS

__all__ = ["EXECUTORS", "Execution", "Left", "execute", "leave_early", "sequential"]
