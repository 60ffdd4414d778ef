"""Hyper-parameter search: every combination is an ordinary run with the first seed, the best serves all seeds.

Each method gets every combination of the searched keys that it has, so what a method was allowed to try is one
number that the results state. The selection split (a held-out slice of train under a blind protocol, else dev)
judges a run by the mean score of its exits, as GAML-BERT selects (Sec. 6.4).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from eebench.choices import MethodChoice, Tuned
from eebench.engine.execute import read_trace
from eebench.engine.local import Outcome
from eebench.errors import ConfigError, UserError
from eebench.plan import Cell, Plan, Planner, allowed, check_only, in_order
from eebench.store import Store
from eebench.suites import Suite
from eebench.tasks.splits import HELD_OUT
from eebench.training.evaluation import exit_scores, mean_over_scored

Place = tuple[str, str, str]
"""Label of a method, task and backbone: what a search chooses for."""


@dataclass(frozen=True)
class Trial:
    """One combination of values to try for a place, and its run."""

    place: Place
    values: Mapping[str, Any]
    cell: Cell


def trials(planner: Planner, suite: Suite, only: Mapping[str, set[str]] | None = None) -> list[Trial]:
    """Every run of the search, for the cells that `only` allows; ConfigError with all that cannot be."""
    check_only(only or {}, suite)
    found, problems = [], []
    places = {key: values for key, values in (only or {}).items() if key != "seed"}
    for task, backbone, choice in product(suite.tasks, suite.backbones, searched(suite)):
        # A second dev set shows the runs that its task's search chose.
        if task.dev_of or not allowed(places, choice, backbone, task, suite.seeds[0]):
            continue
        for values in choice.configurations:
            tried = choice.model_copy(update={"tuned": {(task.name, backbone): Tuned(values=values)}})
            try:
                cell = planner.cell(tried, backbone, task, suite.seeds[0])
            except UserError as error:
                problems.append(str(error))
                continue
            label = f"{choice.label} with {', '.join(f'{key}={value}' for key, value in values.items())}"
            found.append(Trial((choice.label, task.name, backbone), values, replace(cell, label=label)))
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return found


def searched(suite: Suite) -> Iterator[MethodChoice]:
    """The methods that have anything to search for."""
    yield from (choice for choice in suite.choices if choice.searched)


def search_plan(found: Sequence[Trial]) -> Plan:
    """The runs of a search, each once."""
    cells = tuple(trial.cell for trial in found)
    return Plan(cells, in_order(cell.job for cell in cells if cell.job is not None))


def tune(suite: Suite, found: Sequence[Trial], outcomes: Sequence[Outcome]) -> Suite:
    """The suite with the best values of every place; `outcomes` are those of the trials, in their order.

    A run that failed, or whose score is NaN, is worse than any other; of equals the first in the suite's order
    wins. A place whose runs all failed carries the reason, which becomes that of its cells.
    """
    judged: dict[Place, list[tuple[float, Trial, Outcome]]] = {}
    for trial, outcome in zip(found, outcomes, strict=True):
        judged.setdefault(trial.place, []).append((judge(outcome, suite.selection), trial, outcome))
    best = {place: _best(rows) for place, rows in judged.items()}
    choices = [
        choice.model_copy(update={"tuned": {
            (task, backbone): tuned for (label, task, backbone), tuned in best.items() if label == choice.label
        }})
        for choice in suite.choices
    ]  # fmt: skip
    return suite.model_copy(update={"choices": choices})


def judge(outcome: Outcome, split: str) -> float:
    """The mean score over the exits on `split`; minus infinity for a run that has none."""
    trace = outcome.on(split)
    if trace is None:
        return -math.inf
    mean = mean_over_scored(exit_scores(trace, outcome.cell.task.metric))
    return -math.inf if math.isnan(mean) else mean


def _best(rows: Sequence[tuple[float, Trial, Outcome]]) -> Tuned:
    """The values of the best trial of one place, or why there is none."""
    score, trial, outcome = max(rows, key=lambda row: row[0])
    if score > -math.inf:
        return Tuned(values=dict(trial.values))
    if trial.cell.job is None:
        return Tuned(problem=outcome.reason)
    reason = outcome.reason or "its score is not a number"
    return Tuned(problem=f"none of the {len(rows)} runs of its search has a result; the first: {reason}")


def stored_outcomes(found: Sequence[Trial], store: Store, split: str) -> list[Outcome] | None:
    """The outcomes of the trials as far as they lie in the store; None if any run or trace is still to make."""
    outcomes = []
    for trial in found:
        cell = trial.cell
        if cell.job is None:
            outcomes.append(Outcome(cell, "failed", cell.problem))
            continue
        run = store.run(cell.job.spec)
        trace = read_trace(run.directory, split, cell.job.variant) if run.is_done() else None
        if trace is None:
            return None
        dev, held = (None, trace) if split == HELD_OUT else (trace, None)
        outcomes.append(Outcome(cell, "ok", trace=dev, holdout=held))
    return outcomes


def known_plan(
    planner: Planner, suite: Suite, store: Store, only: Mapping[str, set[str]] | None = None
) -> tuple[Plan, int]:
    """What is known of a sweep before it runs, and how many cells wait for a search.

    When every run of the search lies in the store, or there is none to make, the plan is the final one. Else it has
    the search and the cells of the methods that need none.
    """
    found = trials(planner, suite, only)
    outcomes = stored_outcomes(found, store, suite.selection)
    if outcomes is not None:
        return planner.plan(tune(suite, found, outcomes), only), 0
    final = planner.plan(suite, only).cells
    waiting = {choice.label for choice in searched(suite)}
    cells = [*(trial.cell for trial in found), *(cell for cell in final if cell.label not in waiting)]
    plan = Plan(tuple(cells), in_order(cell.job for cell in cells if cell.job is not None))
    return plan, sum(cell.label in waiting for cell in final)
