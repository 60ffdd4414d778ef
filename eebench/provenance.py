"""Where a suite's results come from: inputs by fingerprint, versions, settings; no date, host or path."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import eebench
from eebench.choices import MethodChoice
from eebench.engine.local import Outcome
from eebench.plan import Job
from eebench.sections import dump_sections
from eebench.suites import Suite
from eebench.tasks.metrics import one_class_score

LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "scikit-learn", "fvcore")


def provenance(suite: Suite, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What `provenance.json` holds."""
    jobs = [outcome.cell.job for outcome in outcomes if outcome.cell.job is not None]
    return {
        "suite": {"name": suite.name, "description": suite.description},
        "protocol": suite.protocol,
        "seeds": suite.all_seeds,
        "cost": suite.cost.model_dump(mode="json"),
        "rules": {name: grid if grid is not None else "default" for name, grid in suite.rules.items()},
        "backbones": {job.backbone: job.spec.backbone for job in jobs},
        "tasks": {job.task.name: task_facts(job) for job in jobs},
        "methods": {choice.label: method_facts(choice) for choice in suite.choices},
        "versions": {"eebench": eebench.__version__, **{name: version(name) for name in LIBRARIES}},
        **({"sections": dump_sections(suite.sections)} if suite.sections else {}),
    }  # fmt: skip


def task_facts(job: Job) -> dict[str, Any]:
    """A task's data and metric; `one_class` is the score on dev of always answering train's most frequent class."""
    train, dev = job.data.splits["train"], job.data.splits["dev"]
    floor = one_class_score(job.task.metric, train.labels, dev.labels)
    return {
        "data": job.data.fingerprint, "metric": job.task.metric, "dev": len(dev.texts), "train": len(train.texts),
        **({} if floor is None else {"one_class": round(floor, 4)}),
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
