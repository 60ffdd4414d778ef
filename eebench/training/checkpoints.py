"""Everything needed to go on after a kill, in one file, replaced whole once per epoch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from eebench.artifacts import checksum, read_json, read_tensors, write_json, write_tensors
from eebench.errors import DamagedError
from eebench.model import load_weights, weights_of


@dataclass
class Progress:
    """Where training stands: epochs finished per stage, scores so far, when to stop."""

    stage: int = 0
    epoch: int = 0
    steps: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best_score: float | None = None
    epochs_without_gain: int = 0


@dataclass
class Checkpoint:
    """The resumable state of a run. `best` holds the weights kept by selection, empty until there are any."""

    progress: Progress
    best: dict[str, Tensor] = field(default_factory=dict)


class CheckpointFile:
    """The checkpoint of one run: `checkpoint-N.safetensors` and a small file that names it with its checksum."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.pointer = directory / "checkpoint.json"

    def save(
        self, checkpoint: Checkpoint, model: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device
    ) -> None:
        """Writes the state; the previous one stays valid until the new one is complete."""
        progress = checkpoint.progress
        path = self.directory / f"checkpoint-{progress.steps}.safetensors"
        tensors = {f"model/{name}": tensor for name, tensor in weights_of(model).items()}
        tensors |= {f"best/{name}": tensor for name, tensor in checkpoint.best.items()}
        tensors |= optimizer_tensors(model, optimizer)
        tensors["rng/cpu"] = torch.get_rng_state()
        if device.type == "cuda":
            tensors["rng/cuda"] = torch.cuda.get_rng_state(device)
        write_tensors(path, tensors, asdict(progress))
        write_json(self.pointer, {"file": path.name, "sha256": checksum(path)})
        for old in self.directory.glob("checkpoint-*.safetensors"):
            if old != path:
                old.unlink()

    def load(self) -> tuple[Checkpoint, dict[str, Tensor]] | None:
        """The saved state and its tensors, or None when there is none; DamagedError when it is not whole."""
        if not self.pointer.exists():
            return None
        pointer = read_json(self.pointer)
        path = self.directory / str(pointer["file"])
        if not path.exists() or checksum(path) != pointer["sha256"]:
            raise DamagedError(f"{path} does not match its checksum.")
        tensors, header = read_tensors(path)
        return Checkpoint(Progress(**header), part(tensors, "best")), tensors

    def clear(self) -> None:
        """Removes the checkpoint."""
        self.pointer.unlink(missing_ok=True)
        for path in self.directory.glob("checkpoint-*.safetensors"):
            path.unlink()


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors under `prefix/`, without the prefix."""
    return {
        name.removeprefix(f"{prefix}/"): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{prefix}/")
    }


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state by parameter name: step and both moments of AdamW."""
    tensors = {}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer/{key}/{name}"] = value
    return tensors


def restore(
    tensors: dict[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device
) -> None:
    """Puts a checkpoint's weights, optimiser state and random state back."""
    load_weights(model, part(tensors, "model"))
    parameters = dict(model.named_parameters())
    for key_and_name, value in part(tensors, "optimizer").items():
        key, name = key_and_name.split("/", 1)
        # The fused kernels keep the step count as a tensor beside the parameter.
        optimizer.state[parameters[name]][key] = value.to(parameters[name].device)
    torch.set_rng_state(tensors["rng/cpu"])
    if device.type == "cuda" and "rng/cuda" in tensors:
        torch.cuda.set_rng_state(tensors["rng/cuda"], device)
