"""Runs on disk: one directory per trained model, named by a hash of everything that determines it."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from eebench.artifacts import (
    TEMPORARY,
    canonical_json,
    checksum,
    read_json,
    read_tensors,
    write_json,
    write_tensors,
)
from eebench.errors import DamagedError, StorageError

IDENTITY_VERSION = 1


@dataclass(frozen=True)
class RunSpec:
    """What determines a trained model, and nothing else.

    `backbone` and `data` are fingerprints, so a model or data set has the same run wherever it lies. `needs`
    maps roles to the keys of needed runs. `labels` says what was done to the scores of a regression; empty for classes.
    `metric` is the one that chose the epoch, where one was chosen by another than the task's usual one. `others` are
    the fingerprints, by name, of the backbones that a model consists of besides its own.
    """

    recipe: str
    recipe_version: int
    options: Mapping[str, Any]
    backbone: str
    task: str
    data: str
    seed: int
    needs: Mapping[str, str] = field(default_factory=dict)
    labels: str = ""
    metric: str = ""
    others: Mapping[str, str] = field(default_factory=dict)

    def identity(self) -> dict[str, Any]:
        """The content of the hash."""
        return {
            "identity_version": IDENTITY_VERSION, "recipe": self.recipe, "recipe_version": self.recipe_version,
            "options": dict(self.options), "backbone": self.backbone, "task": self.task, "data": self.data,
            "seed": self.seed, "needs": dict(self.needs), **self._own(),
        }  # fmt: skip

    def _own(self) -> dict[str, Any]:
        """What only some runs have; the names of all others stay as they were before there was such a thing."""
        own = {"labels": self.labels, "metric": self.metric, "others": dict(self.others)}
        return {name: value for name, value in own.items() if value}

    @property
    def key(self) -> str:
        """sha256 over the canonical JSON of `identity`, 16 hex digits; the order of keys never matters."""
        return hashlib.sha256(canonical_json(self.identity()).encode()).hexdigest()[:16]

    @property
    def directory_name(self) -> str:
        """Readable name of the run's directory."""
        task = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in self.task)
        return f"{self.recipe}-{task}-s{self.seed}-{self.key}"


class Run:
    """One run's directory: identity, weights, history, traces; complete only once `done.json` is there."""

    def __init__(self, directory: Path, spec: RunSpec) -> None:
        self.directory, self.spec = directory, spec
        self.done_path = directory / "done.json"
        self.failure_path = directory / "failure.json"
        self.model_path = directory / "model.safetensors"

    def is_done(self) -> bool:
        """Whether training finished (the weights are checked when they are read)."""
        try:
            return self.done_path.exists() and bool(read_json(self.done_path))
        except DamagedError:
            return False

    def failure(self) -> str | None:
        """Why the last attempt failed, or None."""
        if self.is_done() or not self.failure_path.exists():
            return None
        return str(read_json(self.failure_path)["reason"])

    def record(self) -> dict[str, Any]:
        """What `finish` wrote (parameters, steps, history, checksums), and the size of the weights' file in bytes."""
        content: dict[str, Any] = read_json(self.done_path)
        size = self.model_path.stat().st_size if self.model_path.exists() else None
        return {**content, "model_bytes": size}

    def describe(self) -> None:
        """Writes the identity beside the run, for people to read."""
        path = self.directory / "run.json"
        if not path.exists():
            write_json(path, self.spec.identity())

    def finish(self, weights: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Stores the trained weights and then declares the run done."""
        write_tensors(self.model_path, weights, {"key": self.spec.key})
        write_json(self.done_path, {**record, "model_sha256": checksum(self.model_path)})
        self.failure_path.unlink(missing_ok=True)

    def fail(self, reason: str) -> None:
        """Records why training failed; never counted as done."""
        write_json(self.failure_path, {"reason": reason})

    def weights(self) -> dict[str, Tensor]:
        """The trained weights; DamagedError when they do not match their checksum."""
        if not self.model_path.exists() or checksum(self.model_path) != self.record().get("model_sha256"):
            raise DamagedError(f"{self.model_path} does not match its checksum; it is trained again.")
        return read_tensors(self.model_path)[0]

    def reset(self) -> None:
        """Forgets everything but the lock, so that the run is made again."""
        for path in self.directory.iterdir():
            if path.name == "lock":
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run for one process; a second one waits here. The system frees it if the holder dies."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            handle = (self.directory / "lock").open("w")
        except OSError as error:
            raise StorageError(f"cannot write {self.directory}: {error}.") from error
        with handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            for leftover in self.directory.rglob(f"{TEMPORARY}*"):
                leftover.unlink()
            yield


class Store:
    """The folder of all runs (`runs/`, git-ignored)."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, spec: RunSpec) -> Run:
        """The run of `spec`, whether it exists yet or not."""
        return Run(self.root / spec.directory_name, spec)
