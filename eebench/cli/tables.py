"""Plain tables on the terminal."""

from __future__ import annotations

from collections.abc import Sequence


def print_table(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> None:
    """Prints an aligned table without ruling, as text that can be piped on."""
    import typer
    from tabulate import tabulate

    typer.echo(tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True))
