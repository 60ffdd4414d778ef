"""The command line: one file per command, heavy imports inside the commands."""

from __future__ import annotations

import sys

import typer

from eebench.cli.assemble import assemble
from eebench.cli.check import check
from eebench.cli.cost import cost
from eebench.cli.latency import latency
from eebench.cli.listing import show_names
from eebench.cli.load import load
from eebench.cli.predict import predict
from eebench.cli.report import report
from eebench.cli.status import status
from eebench.cli.steptime import steptime
from eebench.cli.sweep import sweep
from eebench.cli.train import train

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

app = typer.Typer(
    name="eebench",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Train, sweep, cost and compare early-exit BERT methods under one protocol.",
)
app.command()(train)
app.command()(sweep)
app.command()(report)
app.command()(cost)
app.command("list")(show_names)
app.command()(status)
app.command()(steptime)
app.command()(latency)
app.command()(predict)
app.command()(load)
app.command()(check)
app.command()(assemble)


class Interrupted(SystemExit):
    """Ctrl-C in a command that has said itself what became of its work."""


def main() -> None:
    """Runs the command line; the one place where errors become messages.

    Exit codes: 0 done, 1 a run failed, 2 the request was wrong, 130 interrupted (finished work is kept).
    """
    from eebench.errors import EebenchError, UserError

    try:
        app()
    except EebenchError as error:
        typer.echo(f"error: {error}".replace("\n", "\nerror: "), err=True)
        sys.exit(2 if isinstance(error, UserError) else 1)
    except SystemExit as stop:
        # typer has turned Ctrl-C into this, and says nothing
        if stop.code == INTERRUPTED and not isinstance(stop, Interrupted):
            typer.echo("interrupted; run the same command again to continue.", err=True)
        raise
