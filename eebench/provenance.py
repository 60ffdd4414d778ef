"""Where a suite's results come from: inputs by fingerprint, versions, settings; no date, host or path."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import eebench
from eebench.engine.local import Outcome
from eebench.suites import MethodChoice, Suite

LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "scikit-learn", "fvcore")


def provenance(suite: Suite, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What `provenance.json` holds."""
    jobs = [outcome.cell.job for outcome in outcomes if outcome.cell.job is not None]
    return {
        "suite": {"name": suite.name, "description": suite.description},
        "protocol": suite.protocol,
        "seeds": suite.seeds,
        "cost": suite.cost.model_dump(mode="json"),
        "rules": {name: grid if grid is not None else "default" for name, grid in suite.rules.items()},
        "backbones": {job.backbone: job.spec.backbone for job in jobs},
        "tasks": {
            job.task.name: {"data": job.data.fingerprint, "metric": job.task.metric,
                            "dev": len(job.data.splits["dev"].texts), "train": len(job.data.splits["train"].texts)}
            for job in jobs
        },
        "methods": {
            choice.label: {
                "method": choice.method.name, "title": title(choice),
                "paper": choice.method.paper, "default_rule": choice.method.default_rule,
                "recipe": choice.method.recipe, "recipe_version": choice.method.version,
                "options": choice.options.model_dump(mode="json"),
            }
            for choice in suite.choices
        },
        "versions": {"eebench": eebench.__version__, **{name: version(name) for name in LIBRARIES}},
    }  # fmt: skip


def title(choice: MethodChoice) -> str:
    """How tables call a method: its heading, with the label where somebody gave it one of their own."""
    heading = choice.method.heading(choice.options)
    own = choice.label != choice.method.label(choice.options)
    return f"{heading} ({choice.label})" if own else heading
