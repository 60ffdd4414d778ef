"""Options that several commands share, and what they turn into."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch

    from eebench.plan import Job

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="Folder with tasks in the official GLUE tsv layout (or set EEBENCH_DATA)."
    ),
]
Runs = Annotated[Path, typer.Option("--runs", help="Where trained models and traces are kept.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing of progress.")]
RUNS = Path("runs")


def find_device(name: str) -> torch.device:
    """The device called auto, cpu or cuda; UserError when it is not there."""
    import torch

    from eebench.errors import UserError

    if name not in ("auto", "cpu", "cuda"):
        raise UserError(f"unknown device '{name}'; choose auto, cpu or cuda.")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("no CUDA device is available; use --device cpu.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def say_precision(jobs: Iterable[Job], device: torch.device, quiet: bool = False) -> None:
    """Says on stderr, unless `quiet`, in which precision the jobs train; warns of one that the device only emulates."""
    from eebench.training.precision import bf16_slowdown, multiplies_in_bf16

    found, has_units = sorted({job.options.precision for job in jobs}), multiplies_in_bf16(device)
    units = "multiplies in bf16" if has_units else "does not multiply in bf16"
    if not quiet:
        typer.echo(f"precision {', '.join(found)}; this {device.type} {units}.", err=True)
    if "bf16" in found and not has_units:
        typer.echo(
            f"warning: bf16 is emulated here, a matrix product takes {bf16_slowdown(device):.0f} times as long as "
            "in fp32; `precision: auto` takes fp32.",
            err=True,
        )
