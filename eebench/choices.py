"""One method of a suite with its options: for every task, for single tasks, and as a search chose them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from eebench.methods.base import Method
from eebench.options import merge, resolve_options
from eebench.training.options import TrainingOptions


class Tuned(BaseModel):
    """What a search came to: the values it chose, or the problem that left nothing to choose from."""

    model_config = ConfigDict(frozen=True)

    values: dict[str, Any] = Field(default_factory=dict)
    problem: str = ""


class MethodChoice(BaseModel):
    """One method with resolved options, under the label results use.

    `by_task` holds the options of tasks that have their own, `searched` the values to try for each key, `tuned`
    what the search chose for a task and backbone; empty until it has. `tasks`, `backbones` and `seeds` are the
    only ones it is run on, None for those of the suite.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    label: str
    method: Method
    options: TrainingOptions
    by_task: dict[str, TrainingOptions] = Field(default_factory=dict)
    searched: dict[str, list[Any]] = Field(default_factory=dict)
    tuned: dict[tuple[str, str], Tuned] = Field(default_factory=dict)
    rule: str | None = None
    tasks: frozenset[str] | None = None
    backbones: frozenset[str] | None = None
    seeds: tuple[int, ...] | None = None

    @property
    def default_rule(self) -> str:
        """The rule that reports show the method under."""
        return self.rule or self.method.default_rule

    @property
    def configurations(self) -> list[dict[str, Any]]:
        """Every combination of the searched values, in the order of the suite; one empty one without a search."""
        return [dict(zip(self.searched, values, strict=True)) for values in product(*self.searched.values())]

    def options_for(self, task: str, backbone: str) -> TrainingOptions:
        """The options of the runs on one task and backbone, with what a search chose for them."""
        return self.with_values(task, self.tuned.get((task, backbone), Tuned()).values)

    def with_values(self, task: str, values: Mapping[str, Any]) -> TrainingOptions:
        """The options for one task with `values` in place of its own; ConfigError when they do not fit."""
        options = self.by_task.get(task, self.options)
        if not values:
            return options
        # A method's own defaults stay unset, as needed runs must not get them.
        given = merge(options.model_dump(exclude_unset=True), values)
        return resolve_options(self.method, given, f"search ({self.label})")
