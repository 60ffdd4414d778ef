"""`eebench steptime`: what a training step of each method costs beside plain fine-tuning's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eebench.cli.settings import DataDir, Device

if TYPE_CHECKING:
    from eebench.plan import Cell, Job, Plan
    from eebench.steptimes import StepTime


def steptime(
    suite: Annotated[str, typer.Option(help="Name of a suite, or the path of a YAML file.")],
    task: Annotated[str | None, typer.Option(help="Whose rows; default: the suite's first task.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps timed of each stage, after a warm-up.")] = 30,
    only: Annotated[str, typer.Option(help="What to time, e.g. method=gaml,backbone=mpnet-base.")] = "",
    results: Annotated[Path, typer.Option(help="Where results are written.")] = Path("results"),
    data_dir: DataDir = None,
    device: Device = "auto",
) -> None:
    """Time one optimiser step of every stage of a suite's methods, in turns with plain fine-tuning's.

    Nothing is trained to the end or kept. With --only the other rows of steptime.csv stay as they are.

    Examples:

        eebench steptime --suite quickstart

        eebench steptime --suite quickstart --only method=gaml --steps 100
    """
    from rich.console import Console
    from rich.progress import Progress

    from eebench.cli.settings import find_device
    from eebench.engine.steptime import REFERENCE, Protocol, measure_steps, reference_options
    from eebench.methods.catalogue import find_method
    from eebench.plan import Planner, parse_only
    from eebench.steptimes import STEP_TIMES
    from eebench.suites import load_suite
    from eebench.timings import merged
    from eebench.training.precision import auto_precision

    wanted, loaded, place = parse_only(only), load_suite(suite), find_device(device)
    folder, whole = results / loaded.name, "method" not in wanted
    if task is not None:
        wanted["task"] = {task}
    # One of each unless asked for more: a step costs the same whatever the seed.
    wanted = {
        "task": {loaded.tasks[0].name}, "backbone": {loaded.backbones[0]}, "seed": {str(loaded.seeds[0])}, **wanted,
    }  # fmt: skip
    planner, known = Planner(data_dir, auto_precision(place)), STEP_TIMES.read(folder)
    found: list[StepTime] = []
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        for cell, runs in measured_places(planner.plan(loaded, wanted)):
            options = reference_options(suite, loaded, cell.task.name, cell.backbone)
            reference = planner.job(find_method(REFERENCE), options, cell.backbone, cell.task, cell.seed)
            line = bar.add_task(f"{cell.task.name}, {cell.backbone}", total=None)
            found += measure_steps(
                {REFERENCE: reference, **runs},
                Protocol(reference, steps, place),
                lambda done, total, line=line: bar.update(line, completed=done, total=total),  # type: ignore[misc]
            )
    path = STEP_TIMES.write(folder, merged(known, found, whole))
    show(found)
    typer.echo(f"\nwrote {path}")


def measured_places(plan: Plan) -> list[tuple[Cell, dict[str, Job]]]:
    """For each task and backbone a cell of it, and its runs by label; DataError when there are no data."""
    from eebench.errors import DataError

    places: dict[tuple[str, str], tuple[Cell, dict[str, Job]]] = {}
    for cell in plan.cells:
        if cell.job is None:
            raise DataError(cell.problem)
        _, runs = places.setdefault((cell.task.name, cell.backbone), (cell, {}))
        runs.setdefault(cell.label, cell.job)
    return list(places.values())


def show(rows: Sequence[StepTime]) -> None:
    """The measured times on the terminal."""
    from eebench.cli.tables import print_table

    headers = ("task", "backbone", "method", "stage", "ms / step", "ratio")
    print_table(
        [
            (row.task, row.backbone, row.method, row.stage, f"{row.step_ms:.1f}", f"{row.ratio:.2f}")
            for row in rows
        ],
        headers,
    )
