"""Loads a task from the first place that has it: the installed package, a local directory, the hub.

A local directory, once given, is the only place searched: a typing mistake must not start a download.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from eebench.errors import DataError, UserError
from eebench.tasks.bundled import bundled_splits
from eebench.tasks.files import file_splits
from eebench.tasks.folder import expected_layout, folder_splits
from eebench.tasks.hub import hub_splits
from eebench.tasks.specs import TaskSpec, task_spec
from eebench.tasks.splits import Split, TaskData, fingerprint

DATA_VARIABLE = "EEBENCH_DATA"


def load_task(
    spec: TaskSpec | str, data_dir: Path | None = None, splits: Sequence[str] = ("train", "dev")
) -> TaskData:
    """The named splits of a task, checked against its known sizes.

    `data_dir` (or else the variable EEBENCH_DATA) is a directory with official GLUE or ELUE files;
    bundled tasks and tasks made of local files do not need it.
    Raises UnknownName, UserError for a split the task does not have, DataError for data missing or wrong.

    Example: ``load_task("rte", Path("glue")).splits["dev"].texts[0]`` is a premise and a hypothesis.
    """
    task = task_spec(spec) if isinstance(spec, str) else spec
    for name in splits:
        if name not in task.splits:
            raise UserError(
                f"task {task.name} has no split '{name}' with labels; it has {', '.join(task.splits)}."
            )
    loaded = _read(task, data_dir or _data_dir_from_environment(), splits)
    return TaskData(task, loaded, fingerprint(loaded))


def _data_dir_from_environment() -> Path | None:
    value = os.environ.get(DATA_VARIABLE)
    return Path(value).expanduser() if value else None


def _read(spec: TaskSpec, data_dir: Path | None, names: Sequence[str]) -> dict[str, Split]:
    if spec.bundled is not None:
        return bundled_splits(spec, spec.bundled, names)
    if spec.files is not None:
        return file_splits(spec, spec.files, names)
    if spec.folder is not None and data_dir is not None:
        return folder_splits(spec, spec.folder, data_dir, names)
    if spec.hub is not None:
        return hub_splits(spec, spec.hub, names)
    files = expected_layout(spec.folder) if spec.folder else "its files"
    raise DataError(
        f"task {spec.name} is not on the hub in this form; give a directory with {files}: "
        f"--data-dir DIRECTORY, or set {DATA_VARIABLE}."
    )
