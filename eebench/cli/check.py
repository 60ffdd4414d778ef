"""`eebench check`: whether a method, or a trained run, does what every method must."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eebench.cli.predict import BackboneName
from eebench.cli.settings import RUNS, Runs

if TYPE_CHECKING:
    from eebench.conformance import Subject


def check(
    name: Annotated[str, typer.Argument(help="A method, trained on a toy task, or a trained run.")],
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="A hyper-parameter of the method, or an inference option of the run."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
    backbone: BackboneName = None,
    runs: Runs = RUNS,
) -> None:
    """Run the conformance suite: a table of checks; exit code 1 if any of them fails.

    Examples:

        eebench check joint

        eebench check joint-rotten_tomatoes-s42-1ab9eae5 --json
    """
    from tempfile import TemporaryDirectory

    from eebench.conformance import conform, failed

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
