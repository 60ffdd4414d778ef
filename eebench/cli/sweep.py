"""`eebench sweep`: everything a suite asks for, as text files that can be diffed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eebench.cli.settings import RUNS, DataDir, Device, Quiet, Runs

if TYPE_CHECKING:
    from eebench.engine.execute import Executor
    from eebench.engine.local import Outcome
    from eebench.plan import Plan
    from eebench.suites import Suite


def sweep(
    suite: Annotated[str, typer.Option(help="Name of a suite, or the path of a YAML file.")],
    only: Annotated[str, typer.Option(help="Cells to run, e.g. method=gaml,task=rte.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would run, and train nothing.")
    ] = False,
    backbone: Annotated[
        list[str] | None, typer.Option(help="Instead of the suite's backbones; may be repeated.")
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option(help="Instead of the suite's tasks; may be repeated.")
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="Instead of the suite's methods, by label or name; may be repeated."),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Instead of the suite's seeds, e.g. 1,2,3.")] = "",
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="An option of every method that has it, e.g. --set epochs=1; may be repeated."
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="What results are called; a changed suite has a name that says what changed."),
    ] = None,
    results: Annotated[Path, typer.Option(help="Where results are written.")] = Path("results"),
    data_dir: DataDir = None,
    device: Device = "auto",
    runs: Runs = RUNS,
    quiet: Quiet = False,
) -> None:
    """Train what is missing, trace it, replay every rule and setting, and write the results tables.

    With --only nothing but the runs is made. --backbone, --task, --method, --seeds and --set change the suite, or
    cut it to a part; its results then have a name of their own and leave those of the whole suite alone.

    Examples:

        eebench sweep --suite quickstart

        eebench sweep --suite quickstart --only method=gaml --dry-run

        eebench sweep --suite glue --backbone minilm-l6 --task rte --seeds 1,2 --set epochs=1 --data-dir path/to/glue
    """
    from rich.console import Console

    from eebench.cli.progress import PlanProgress
    from eebench.cli.settings import find_device, say_precision
    from eebench.engine.execute import Executor
    from eebench.engine.local import run_plan
    from eebench.options import parse_assignments
    from eebench.overrides import Overrides
    from eebench.plan import Planner, parse_only
    from eebench.search import known_plan, search_plan, trials, tune
    from eebench.store import Store
    from eebench.suites import load_suite
    from eebench.training.precision import auto_precision

    wanted = parse_only(only)
    overrides = Overrides(
        backbone or (),
        task or (),
        method or (),
        parse_seeds(seeds),
        parse_assignments(assignments or []),
        name,
    )
    loaded = load_suite(suite, overrides)
    place = find_device(device)
    planner, executor = Planner(data_dir, auto_precision(place)), Executor(Store(runs), place)
    if dry_run:
        known, waiting = known_plan(planner, loaded, executor.store, wanted)
        show_plan(known, executor)
        if waiting:
            typer.echo(f"These include a search; the final runs of {waiting} cells depend on it.")
        return
    plan = planner.plan(loaded, wanted)
    say_precision(plan.jobs, place, quiet)
    with PlanProgress(Console(stderr=True, quiet=quiet)) as progress:
        if search := trials(planner, loaded, wanted):
            tried = run_plan(search_plan(search), executor, progress, (loaded.selection,))
            loaded = tune(loaded, search, tried)
            plan = planner.plan(loaded, wanted)
        outcomes = run_plan(plan, executor, progress, loaded.splits)
    if not wanted:
        write(loaded, outcomes, executor, results / loaded.name)
        typer.echo(f"wrote {results / loaded.name}; `eebench report --suite {loaded.name}` draws it.")
    else:
        typer.echo(
            f"made {len(outcomes)} cells; without --only, `eebench sweep --suite {suite}` writes results."
        )
    finish(outcomes)


def parse_seeds(text: str) -> list[int]:
    """`"1,2,3"` -> [1, 2, 3]; UserError for anything else but nothing at all."""
    from eebench.errors import UserError

    try:
        return [int(part) for part in text.split(",")] if text else []
    except ValueError:
        raise UserError(
            f"--seeds {text}: write whole numbers with commas between them, for example 1,2,3."
        ) from None


def show_plan(plan: Plan, executor: Executor) -> None:
    """One line per run: cached, to train or failed before, and which cells it is for."""
    from eebench.cli.tables import print_table

    rows = []
    for job in plan.jobs:
        run = executor.run(job)
        state = "cached" if run.is_done() else "failed before" if run.failure() else "to train"
        uses = [cell.label for cell in plan.cells if cell.job is not None and cell.job.key == job.key]
        needed = [other.method.name for other in plan.jobs if job.spec.key in other.spec.needs.values()]
        purpose = ", ".join(dict.fromkeys([*uses, *(f"needed by {name}" for name in needed)]))
        rows.append((state, job.title, purpose, run.directory.name))
    cached = sum(row[0] == "cached" for row in rows)
    hopeless = [cell for cell in plan.cells if cell.job is None]
    rows += [("cannot run", cell.title, cell.problem, "") for cell in hopeless]
    print_table(rows, ("state", "run", "for", "directory"))
    made = len(plan.jobs)
    typer.echo(
        f"\n{made} runs for {len(plan.cells) - len(hopeless)} cells: {cached} cached, {made - cached} not."
    )


def write(suite: Suite, outcomes: Sequence[Outcome], executor: Executor, folder: Path) -> None:
    """The results tables and where they come from."""
    from eebench.provenance import provenance
    from eebench.results import write_results
    from eebench.sweep import Collector

    jobs = {
        outcome.cell.job.spec.key: outcome.cell.job for outcome in outcomes if outcome.cell.job is not None
    }
    done = {key: executor.run(job) for key, job in jobs.items()}
    records = {key: run.record() for key, run in done.items() if run.is_done()}
    tables = Collector(suite, outcomes).tables(records)
    write_results(folder, tables, provenance(suite, outcomes))


def finish(outcomes: Sequence[Outcome]) -> None:
    """Says what failed; exit code 1 when anything did."""
    bad = [outcome for outcome in outcomes if outcome.status != "ok"]
    for outcome in bad:
        typer.echo(f"{outcome.status}: {outcome.cell.title}: {outcome.reason}", err=True)
    if bad:
        typer.echo(f"{len(bad)} of {len(outcomes)} cells did not finish.", err=True)
        raise typer.Exit(1)
