"""Options that several commands share, and what they turn into."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import torch

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="Folder with tasks in the official GLUE tsv layout (or set EEBENCH_DATA)."
    ),
]
Runs = Annotated[Path, typer.Option("--runs", help="Where trained models and traces are kept.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
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


def auto_precision(device: torch.device) -> str:
    """What `precision: auto` means on a device: bf16 where it is fast everywhere, fp32 elsewhere."""
    return "bf16" if device.type == "cuda" else "fp32"
