"""Where a suite's results come from: inputs by fingerprint, versions, settings; no date, host or path."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import eebench
from eebench.choices import MethodChoice
from eebench.engine.local import Outcome
from eebench.sections import dump_sections
from eebench.suites import Suite
from eebench.tasks.metrics import one_class_score
from eebench.tasks.specs import TaskSpec
from eebench.tasks.splits import TaskData

LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "scikit-learn", "fvcore")


def provenance(suite: Suite, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What `provenance.json` holds."""
    cells = [outcome.cell for outcome in outcomes]
    jobs = [cell.job for cell in cells if cell.job is not None]
    return {
        "suite": {
            "name": suite.name, "description": suite.description,
            **({"overrides": suite.overrides} if suite.overrides else {}),
        },
        "protocol": suite.protocol,
        "seeds": suite.all_seeds,
        "cost": suite.cost.model_dump(mode="json"),
        "rules": {name: grid if grid is not None else "default" for name, grid in suite.rules.items()},
        "backbones": {job.backbone: job.spec.backbone for job in jobs},
        "tasks": {cell.task.name: task_facts(cell.task, cell.job.data) for cell in cells if cell.job is not None},
        "methods": {choice.label: method_facts(choice) for choice in suite.choices},
        "versions": {"eebench": eebench.__version__, **{name: version(name) for name in LIBRARIES}},
        **({"sections": dump_sections(suite.sections)} if suite.sections else {}),
    }  # fmt: skip


def task_facts(task: TaskSpec, data: TaskData) -> dict[str, Any]:
    """A task's data and metrics, `metric` its headline.

    `one_class` is the headline's score on dev of always answering train's most frequent class, `one_class_by_metric`
    that of every metric.
    """
    train, dev = data.splits["train"], data.splits[task.dev_split]
    floors = {name: one_class_score(name, train.labels, dev.labels) for name in task.metrics}
    known = {name: round(floor, 4) for name, floor in floors.items() if floor is not None}
    return {
        "data": data.fingerprint, "metric": task.metric, "metrics": list(task.metrics), "dev": len(dev.texts),
        "train": len(train.texts), **({"one_class": known[task.metric], "one_class_by_metric": known} if known else {}),
    }  # fmt: skip


def method_facts(choice: MethodChoice) -> dict[str, Any]:
    """What a method is and what it was trained with; what single tasks have of their own, and what a search chose."""
    method, options = choice.method, choice.options.model_dump(mode="json")
    own = {
        task: {key: value for key, value in found.model_dump(mode="json").items() if value != options[key]}
        for task, found in choice.by_task.items()
    }
    chosen: dict[str, dict[str, Any]] = {}
    for (task, backbone), tuned in choice.tuned.items():
        chosen.setdefault(task, {})[backbone] = tuned.values if not tuned.problem else None
    return {
        "method": method.name, "title": title(choice), "paper": method.paper,
        "default_rule": choice.default_rule, "recipe": method.recipe, "recipe_version": method.version,
        "options": options,
        **({"task_options": own} if own else {}),
        **({"seeds": list(choice.seeds)} if choice.seeds is not None else {}),
        **({"searched": choice.searched, "chosen": chosen} if choice.searched else {}),
    }  # fmt: skip


def title(choice: MethodChoice) -> str:
    """How tables call a method: its heading, with the label where somebody gave it one of their own."""
    heading = choice.method.heading(choice.options)
    own = choice.label != choice.method.label(choice.options)
    return f"{heading} ({choice.label})" if own else heading
