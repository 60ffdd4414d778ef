"""`eebench train`: one run, and what its default rule does with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eebench.cli.settings import RUNS, DataDir, Device, Quiet, Runs

if TYPE_CHECKING:
    from eebench.engine.local import Outcome
    from eebench.tasks.specs import TaskSpec


def train(
    method: Annotated[str, typer.Argument(help="What to train; `eebench list methods` shows all.")],
    task: Annotated[str, typer.Option(help="A known task, or a name of your own with the file options.")],
    backbone: Annotated[
        str, typer.Option(help="minilm-l6, mpnet-base, a local directory, or a hub name.")
    ] = "minilm-l6",
    seed: Annotated[int, typer.Option(help="Random seed.")] = 42,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="A hyper-parameter, e.g. --set lr=3e-5; may be repeated."),
    ] = None,
    data_dir: DataDir = None,
    train_file: Annotated[
        Path | None, typer.Option(help="Your own training data: csv, tsv or jsonl.")
    ] = None,
    dev_file: Annotated[Path | None, typer.Option(help="Your own dev data.")] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="Text column of your files; twice for pairs.")
    ] = None,
    label: Annotated[str, typer.Option(help="Label column of your files.")] = "label",
    metric: Annotated[str, typer.Option(help="Metric of your task.")] = "accuracy",
    device: Device = "auto",
    runs: Runs = RUNS,
    quiet: Quiet = False,
) -> None:
    """Train one method on one task (or continue, or find it done) and show its exits.

    Examples:

        eebench train gaml --task rte --data-dir path/to/glue

        eebench train pabee --task rotten_tomatoes --set epochs=1 --set lr=1e-4

        eebench train joint --task mine --train-file a.csv --dev-file b.csv --text sentence
    """
    from rich.console import Console

    from eebench.choices import MethodChoice
    from eebench.cli.progress import PlanProgress
    from eebench.cli.settings import find_device, say_precision
    from eebench.engine.execute import Executor
    from eebench.engine.local import run_plan
    from eebench.errors import RunError, UserError
    from eebench.methods.catalogue import find_method
    from eebench.options import parse_assignments, resolve_options
    from eebench.plan import Plan, Planner, in_order
    from eebench.store import Store
    from eebench.training.learning import verdict
    from eebench.training.precision import auto_precision

    chosen = find_method(method)
    options = resolve_options(chosen, parse_assignments(assignments or []), f"--set ({method})")
    spec = _task(task, train_file, dev_file, (tuple(text or ["text"]), label, metric))
    place = find_device(device)
    planner = Planner(data_dir, auto_precision(place))
    choice = MethodChoice(label=chosen.label(options), method=chosen, options=options)
    cell = planner.cell(choice, backbone, spec, seed)
    if cell.job is None:
        raise UserError(cell.problem)
    executor = Executor(Store(runs), place)
    say_precision([cell.job], place, quiet)
    with PlanProgress(Console(stderr=True, quiet=quiet)) as progress:
        outcome = run_plan(Plan((cell,), in_order([cell.job])), executor, progress)[0]
    if outcome.trace is None:
        raise RunError(f"{cell.job.title} failed: {outcome.reason}")
    run = executor.run(cell.job)
    typer.echo(f"run: {run.directory}")
    show(outcome)
    if (learned := verdict(run.record())).startswith("no"):
        typer.echo(f"This model did not learn: {learned.removeprefix('no: ')}.", err=True)


def _task(
    name: str, train_file: Path | None, dev_file: Path | None, columns: tuple[tuple[str, ...], str, str]
) -> TaskSpec:
    from eebench.errors import UserError
    from eebench.tasks.files import FileTask, file_task
    from eebench.tasks.specs import task_spec

    if train_file is None and dev_file is None:
        return task_spec(name)
    if train_file is None or dev_file is None:
        raise UserError("a task of your own needs both --train-file and --dev-file.")
    text, label, metric = columns
    return file_task(FileTask(name, train_file, dev_file, text, label, metric=metric))


def show(outcome: Outcome) -> None:
    """The score of each exit, and the method's own rule over its default grid."""
    from eebench.cli.tables import print_table
    from eebench.cost.conventions import DEFAULT_CONVENTION, convention
    from eebench.rules.catalogue import find_rule
    from eebench.sweep import Accounting, Measured, applies, point_rows
    from eebench.tasks.metrics import metric_title
    from eebench.training.evaluation import exit_scores

    cell, trace = outcome.cell, outcome.trace
    assert cell.job is not None and trace is not None
    scores = [exit_scores(trace, metric) for metric in cell.task.metrics]
    shown = [
        ["-" if value is None else f"{100 * value:.1f}" for value in exits]
        for exits in zip(*scores, strict=True)
    ]
    rows = [(layer, *values) for layer, values in zip(trace.exit_layers, shown, strict=True)]
    print_table(rows, ("exit", *(f"{metric_title(metric)} on dev (%)" for metric in cell.task.metrics)))
    rule = find_rule(cell.method.default_rule)
    if len(trace.exit_layers) == 1 or not applies(rule, trace):
        return
    measured = Measured.of(cell.job, trace, Accounting(convention(DEFAULT_CONVENTION), 128))
    typer.echo("")
    print_table(
        [
            (row["setting"], f"{100 * row['score']:.1f}", f"{row['mean_exit']:.2f}",
             f"{row['full_flops'] / row['flops']:.2f}x")
            for row in point_rows(measured.headline, rule, None)
        ],
        (f"{rule.title}", f"{metric_title(cell.task.metric)} (%)", "mean exit", "speed-up (FLOPs, 128 tokens)"),
    )  # fmt: skip
