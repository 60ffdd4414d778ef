"""Needed runs as a suite itself would train them, so that one run serves every method that asks for it."""

from __future__ import annotations

from typing import Any

from eebench.methods.base import Need
from eebench.methods.finetune import FinetuneOptions
from eebench.training.options import TrainingOptions


def shared_options(options: TrainingOptions) -> dict[str, Any]:
    """What was given for `options` explicitly, as far as fine-tuning knows it, and the form of the head.

    A method's own defaults stay with the method: the needed run has fine-tuning's.
    """
    given = options.model_fields_set & FinetuneOptions.model_fields.keys()
    return options.model_dump(include=given | {"head"})


def finetuned(options: TrainingOptions) -> Need:
    """The whole backbone, fine-tuned: the `finetune` run beside `options` in the same suite."""
    return Need("finetune", shared_options(options))


def first_layers_finetuned(options: TrainingOptions, count: int) -> Need:
    """The first `count` layers, fine-tuned: the `first-k` run beside `options` in the same suite."""
    return Need("first-k", {**shared_options(options), "k": count})
