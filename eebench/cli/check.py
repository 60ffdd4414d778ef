"""`eebench check`: whether a method, or a trained run, does what every method must."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eebench.cli.predict import BackboneName
from eebench.cli.settings import RUNS, DataDir, Device, Runs

if TYPE_CHECKING:
    from eebench.conformance import Result, Subject


def check(
    name: Annotated[str, typer.Argument(help="A method, trained on a toy task, or a trained run.")],
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="A hyper-parameter of the method, or an inference option of the run."),
    ] = None,
    learns: Annotated[
        bool, typer.Option("--learns", help="Train it on real text, in minutes, beside plain fine-tuning.")
    ] = False,
    task: Annotated[str, typer.Option(help="The task of --learns.")] = "rotten_tomatoes",
    data_dir: DataDir = None,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
    backbone: BackboneName = None,
    runs: Runs = RUNS,
) -> None:
    """Run the conformance suite: a table of checks; exit code 1 if any of them fails.

    With --learns a method is trained on real text instead, as long as `finetune` is, and its last exit has to come
    within three points of it. Both runs are kept, so that a second call finds them.

    Examples:

        eebench check joint

        eebench check pabee --learns --task stsb --data-dir path/to/glue

        eebench check joint-rotten_tomatoes-s42-1ab9eae5 --json
    """
    from tempfile import TemporaryDirectory

    from eebench.conformance import conform, failed

    if learns:
        results = _learning(name, assignments or [], task, (data_dir, device, backbone or "minilm-l6", runs))
    else:
        with TemporaryDirectory() as folder:
            results = list(conform(_subject(name, assignments or [], backbone, runs, Path(folder))))
    if as_json:
        import json
        from dataclasses import asdict

        typer.echo(json.dumps([asdict(one) for one in results]))
    else:
        from eebench.cli.tables import print_table

        print_table([(one.check, one.status, one.reason) for one in results], ("check", "result", "reason"))
    raise typer.Exit(1 if failed(results) else 0)


def _learning(
    name: str, assignments: list[str], task: str, place: tuple[Path | None, str, str, Path]
) -> list[Result]:
    """What a method learns beside plain fine-tuning; UserError for what cannot be trained."""
    from rich.console import Console

    from eebench.cli.progress import PlanProgress
    from eebench.cli.settings import find_device, say_precision
    from eebench.engine.execute import Executor
    from eebench.learns import compared, results
    from eebench.options import parse_assignments
    from eebench.plan import Planner
    from eebench.store import Store
    from eebench.tasks.specs import task_spec
    from eebench.training.precision import auto_precision

    data_dir, device, backbone, runs = place
    found = find_device(device)
    planner = Planner(data_dir, auto_precision(found))
    plan = compared(planner, name, parse_assignments(assignments), (task_spec(task), backbone))
    say_precision(plan.jobs, found)
    with PlanProgress(Console(stderr=True)) as progress:
        return results(plan, Executor(Store(runs), found), progress)


def _subject(name: str, assignments: list[str], backbone: str | None, runs: Path, folder: Path) -> Subject:
    """The method trained on the toy task, or the run; UnknownName for neither."""
    from eebench.conformance import run_subject, toy_subject
    from eebench.errors import UnknownName, UserError, closest
    from eebench.methods.catalogue import methods
    from eebench.options import parse_assignments
    from eebench.trained import find_run, open_run

    known, given = methods(), parse_assignments(assignments)
    if name in known:
        return toy_subject(known[name], given, folder)
    if not runs.is_dir() and not Path(name).is_dir():
        raise UnknownName("method", name, known)
    try:
        directory = find_run(name, runs)
    except UserError as error:
        near = closest(name, known)
        raise UserError(f"{error}  Or did you mean the method '{near}'?") if near else error from None
    return run_subject(open_run(directory, backbone, given))
