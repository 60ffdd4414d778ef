"""`eebench list`: the names that other commands take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

Rows = list[tuple[str, ...]]


def show_names(
    kind: Annotated[
        str,
        typer.Argument(help="methods, rules, tasks, backbones, suites, metrics, conventions or references"),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array of names.")] = False,
) -> None:
    """List what there is, by name.

    Examples:

        eebench list methods

        eebench list suites --json
    """
    from eebench.errors import UserError, closest

    kinds: dict[str, tuple[Callable[[], Rows], tuple[str, ...]]] = {
        "methods": (_methods, ("method", "what", "default rule", "source")),
        "rules": (_rules, ("rule", "knob", "what", "source")),
        "tasks": (_tasks, ("task", "group", "classes", "metrics", "train", "dev")),
        "backbones": (_backbones, ("backbone", "what")),
        "suites": (_suites, ("suite", "what")),
        "metrics": (_metrics, ("metric", "what")),
        "conventions": (_conventions, ("convention", "counts")),
        "references": (_references, ("table", "paper", "rows")),
    }
    if kind not in kinds:
        near = closest(kind, kinds)
        hint = f"did you mean '{near}'?  " if near else ""
        raise UserError(f"unknown kind '{kind}'; {hint}choose one of: {', '.join(kinds)}.")
    find, headers = kinds[kind]
    rows = find()
    if as_json:
        import json

        typer.echo(json.dumps([row[0] for row in rows]))
        return
    from eebench.cli.tables import print_table

    print_table(rows, headers)


def _methods() -> Rows:
    from eebench.methods.catalogue import methods

    return [(name, method.title, method.default_rule, method.paper) for name, method in methods().items()]


def _rules() -> Rows:
    from eebench.rules.catalogue import RULES

    return [(name, rule.knob, rule.title, rule.source) for name, rule in RULES.items()]


def _tasks() -> Rows:
    from eebench.tasks.specs import task_names, task_spec

    specs = [task_spec(name) for name in task_names()]
    return [
        (spec.name, spec.group, str(spec.classes), ", ".join(spec.metrics),
         *(str(spec.sizes.get(s, "")) for s in ("train", "dev")))
        for spec in specs
    ]  # fmt: skip


def _backbones() -> Rows:
    from eebench.backbones.checkpoints import BUNDLED, HUB_EXAMPLES

    bundled = [(name, entry.about) for name, entry in BUNDLED.items()]
    return [*bundled, *HUB_EXAMPLES.items(), ("<directory>", "any supported encoder saved as safetensors")]


def _suites() -> Rows:
    from eebench.suites import find_suite, suite_names
    from eebench.yaml_files import read_yaml

    return [
        (name, str(read_yaml(find_suite(name)).get("description", "")).strip().split("\n")[0])
        for name in suite_names()
    ]


def _metrics() -> Rows:
    from eebench.tasks.metrics import METRICS

    return [(name, metric.title) for name, metric in METRICS.items()]


def _references() -> Rows:
    from eebench.reference import reference_names, reference_table

    tables = {name: reference_table(name) for name in reference_names()}
    return [(name, str(table["paper"].iloc[0]), str(len(table))) for name, table in tables.items()]


def _conventions() -> Rows:
    from eebench.cost.conventions import CONVENTIONS

    return [(name, entry.description) for name, entry in CONVENTIONS.items()]
