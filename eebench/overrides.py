"""What the command line changes of a suite: backbones, tasks, methods, seeds, options; and what that is called."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from eebench.artifacts import canonical_json
from eebench.errors import UserError

LONGEST_NAME = 60
"""Characters of a made-up name; what is longer ends in a hash."""


@dataclass(frozen=True)
class Overrides:
    """Changes of a suite; an empty one leaves it as it is.

    `tasks` and `methods` choose among the suite's own and add known ones that it does not have; `options` are given to
    every method that has them and win over everything in the file. `name` is what results are called.
    """

    backbones: Sequence[str] = ()
    tasks: Sequence[str] = ()
    methods: Sequence[str] = ()
    seeds: Sequence[int] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None

    def changes(self) -> dict[str, Any]:
        """What is changed, for people and for provenance; empty for nothing."""
        found = {"backbones": list(self.backbones), "tasks": list(self.tasks), "methods": list(self.methods),
                 "seeds": list(self.seeds), "options": dict(self.options)}  # fmt: skip
        return {key: value for key, value in found.items() if value}

    def name_of(self, suite: str) -> str:
        """The name of the results: the one given, the suite's where nothing is changed, else one that says what is.

        Raises UserError when a changed suite is given the name of the unchanged one, whose results it would replace.
        """
        if not self.changes():
            return self.name or suite
        if self.name == suite:
            raise UserError(
                f"--name {suite}: the results of the unchanged suite are called so; give what you changed another name."
            )
        if self.name is not None:
            return self.name
        parts = [*self.backbones, *self.tasks, *self.methods, *(f"seed-{seed}" for seed in self.seeds),
                 *(f"{key}-{value}" for key, value in flat(self.options))]  # fmt: skip
        made = "-".join([suite, *(re.sub(r"[^A-Za-z0-9._]+", "-", part).strip("-") for part in parts)])
        if len(made) <= LONGEST_NAME:
            return made
        return f"{suite}-{sha256(canonical_json(self.changes()).encode()).hexdigest()[:8]}"

    def applied(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """The content of a suite's file with backbones, tasks and seeds as they are asked for.

        Whatever belongs to a task that is left out is left out with it; methods are chosen later, by their labels.
        """
        changed = dict(raw)
        if self.backbones:
            changed["backbones"] = list(self.backbones)
        if self.seeds:
            changed["seeds"] = list(self.seeds)
            changed["methods"] = [without(item, "seeds") for item in listed(raw.get("methods"))]
        if self.tasks:
            changed["tasks"] = [self._task(raw, name) for name in self.tasks]
            for key in ("task_defaults", "metrics"):
                changed |= {key: among(raw[key], self.tasks)} if key in raw else {}
            own = {item.get("name") if isinstance(item, dict) else item for item in listed(raw.get("tasks"))}
            added = [name for name in self.tasks if name not in own]
            methods = [self._on_tasks(item, added) for item in listed(changed.get("methods"))]
            changed["methods"] = [item for item in methods if item is not None]
        return changed

    def _task(self, raw: Mapping[str, Any], name: str) -> Any:
        """The suite's own entry of a task, else its name."""
        own = [
            item for item in listed(raw.get("tasks")) if isinstance(item, dict) and item.get("name") == name
        ]
        return own[0] if own else name

    def _on_tasks(self, item: Any, added: Collection[str]) -> Any:
        """A method's entry on the tasks that are left; None where it is for none of them.

        Which tasks it is for is said of the suite's own; those `added` are for every method.
        """
        if not isinstance(item, dict):
            return item
        kept = dict(item)
        if isinstance(item.get("tasks"), list):
            kept["tasks"] = [task for task in self.tasks if task in item["tasks"] or task in added]
            if not kept["tasks"]:
                return None
        if "task_options" in item:
            kept["task_options"] = among(item["task_options"], self.tasks)
        return kept


UNCHANGED = Overrides()


def listed(value: Any) -> list[Any]:
    """A list from a file; what is no list is refused later, where its place is known."""
    return value if isinstance(value, list) else []


def among(mapping: Any, names: Collection[str]) -> Any:
    """The entries of some names."""
    return (
        {key: value for key, value in mapping.items() if key in names}
        if isinstance(mapping, dict)
        else mapping
    )


def without(item: Any, key: str) -> Any:
    """A mapping without one key; anything else as it is."""
    return {name: value for name, value in item.items() if name != key} if isinstance(item, dict) else item


def flat(options: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Nested options as dotted keys with their values."""
    found: list[tuple[str, Any]] = []
    for key, value in options.items():
        found += flat(value, f"{before}{key}.") if isinstance(value, Mapping) else [(f"{before}{key}", value)]
    return found
