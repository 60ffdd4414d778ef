"""Tasks: what they are (`specs`), where their rows come from (`sources`), how predictions score (`metrics`).

Importing this package loads NumPy and nothing heavier; scikit-learn, SciPy and `datasets` wait for their use.
"""

from __future__ import annotations

from eebench.tasks.files import FileTask, file_task
from eebench.tasks.metrics import METRICS, Metric, find_metric, from_confusion, score
from eebench.tasks.sources import load_task
from eebench.tasks.specs import TaskSpec, task_names, task_spec
from eebench.tasks.splits import Split, TaskData, fingerprint, hold_out

__all__ = [
    "METRICS",
    "FileTask",
    "Metric",
    "Split",
    "TaskData",
    "TaskSpec",
    "file_task",
    "find_metric",
    "fingerprint",
    "from_confusion",
    "hold_out",
    "load_task",
    "score",
    "task_names",
    "task_spec",
]
