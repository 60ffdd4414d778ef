"""What a run says of itself so that it can be used without its data: `about.json` beside its weights.

A run's identity has fingerprints in place of names; this file has the names. It is no part of the identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eebench.artifacts import read_json, write_json
from eebench.errors import DamagedError
from eebench.plan import Job
from eebench.tasks.specs import TaskSpec

FILE = "about.json"


@dataclass(frozen=True)
class About:
    """Names behind a run. `options` are all of the method's, those that only inference reads among them.

    `labels` are in class order, empty for regression. `backbone` is as it was typed: a name or a directory.
    `text_columns` has one name, or two for pairs; empty where it is not known.
    """

    method: str
    backbone: str
    task: str
    labels: tuple[str, ...]
    text_columns: tuple[str, ...]
    metric: str
    max_length: int
    html_breaks: bool
    options: Mapping[str, Any]

    @classmethod
    def of(cls, job: Job) -> About:
        """What is known of a job when it is trained."""
        task, options = job.task, job.options
        return cls(
            job.method.name, job.backbone, task.name, task.labels, task.text_columns, task.metric,
            options.max_length or task.max_length, task.html_breaks, options.model_dump(mode="json"),
        )  # fmt: skip

    @property
    def task_spec(self) -> TaskSpec:
        """The task as far as answering needs it: no place that its rows come from."""
        return TaskSpec(
            self.task, "run", self.text_columns, self.labels, (self.metric,),
            max_length=self.max_length, html_breaks=self.html_breaks,
        )  # fmt: skip


def note_about(directory: Path, job: Job) -> None:
    """Writes what is known of the job beside its run, unless it is there already."""
    path = directory / FILE
    if not path.exists():
        write_json(path, asdict(About.of(job)))


def read_about(directory: Path) -> About | None:
    """What the run says of itself; None for runs trained before it did. DamagedError when it is malformed."""
    path = directory / FILE
    if not path.exists():
        return None
    content = read_json(path)
    try:
        lists = {name: tuple(content[name]) for name in ("labels", "text_columns")}
        return About(**{**content, **lists})
    except (TypeError, KeyError) as error:
        raise DamagedError(
            f"{path} is not what eebench writes ({error}); remove it, and train the same run again: it is found "
            "done, and the file is written anew."
        ) from error
