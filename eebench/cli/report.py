"""`eebench report`: tables and figures of a suite, from its text results alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eebench.errors import UserError, closest


def report(
    suite: Annotated[str | None, typer.Option(help="The suite to render; without it, every one.")] = None,
    results: Annotated[Path, typer.Option(help="The folder with one results folder per suite.")] = Path(
        "results"
    ),
    layout: Annotated[
        str | None,
        typer.Option(
            help="A paper whose sections replace the suite's own: gaml, csdbert, smartbert, costeff."
        ),
    ] = None,
) -> None:
    """Render README.md and figures/*.svg of a suite from its results; nothing is trained or measured.

    Examples:

        eebench report

        eebench report --suite quickstart

        eebench report --suite quickstart --layout gaml
    """
    folders = results_folders(results, suite)
    from eebench.report import update_report
    from eebench.report.layouts import known_layout

    # Before the first folder is written.
    if layout is not None:
        known_layout(layout)
        if suite is None:
            raise UserError("--layout rewrites a suite's page; name the suite with --suite.")
    for folder in folders:
        for file in update_report(folder, layout):
            typer.echo(f"{file.change:<9}  {file.path}")


def results_folders(results: Path, suite: str | None) -> list[Path]:
    """The folder of `suite`, or of every suite with results, by name.

    Raises UserError, with the command that makes results, when there are none.
    """
    # A glob over a folder that is not there is empty, not an error.
    found = sorted(path.parent for path in results.glob("*/points.csv"))
    if suite is None:
        if not found:
            raise UserError(f"no results in {results}; `eebench sweep --suite quickstart` makes some.")
        return found
    names = [folder.name for folder in found]
    if suite not in names:
        raise UserError(_no_results(suite, names, results))
    return [results / suite]


def _no_results(suite: str, names: list[str], results: Path) -> str:
    """What is missing, what is there instead, and how to make it."""
    near = closest(suite, names)
    hint = f"did you mean '{near}'?  " if near else ""
    there = f"{results} has {', '.join(names)}; " if names else ""
    return f"no results of suite '{suite}' in {results}; {hint}{there}`eebench sweep --suite {suite}` makes them."
