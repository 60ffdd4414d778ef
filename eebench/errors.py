"""Every error that eebench raises on purpose.

EebenchError                 base: a message fit for a user, no traceback needed
|-- UserError                the request is wrong; the command line exits with code 2
|   |-- UnknownName          a method, task, rule, ... that does not exist (with a suggestion)
|   |-- ConfigError          a suite or `--set` value is wrong; carries all problems found
|   |-- DataError            a data file is not what its task says it is
|   `-- ModelError           a directory or name is not a usable model
`-- RunError                 one run failed; recorded as a row, the others go on
    |-- DivergedError        the loss is not finite
    |-- StorageError         the disk is full or not writable
    `-- DamagedError         a stored file does not match its checksum (it is rebuilt)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class EebenchError(Exception):
    """Base of all errors below; `str(error)` says what, where, and what to type next."""


class UserError(EebenchError):
    """The request cannot be carried out as typed."""


class UnknownName(UserError):
    """A name that is not in its catalogue.

    Example: ``UnknownName("method", "pabbe", ["pabee", "gaml"])`` reads
    "unknown method 'pabbe'; did you mean 'pabee'?  `eebench list methods` shows all 2."
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], where: str = "") -> None:
        self.kind, self.name = kind, name
        super().__init__(unknown_name_message(kind, name, known, where))


class ConfigError(UserError):
    """One or more mistakes in a configuration, reported together."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


class DataError(UserError):
    """A data file is missing, malformed, or not of the size its task has."""


class ModelError(UserError):
    """A model directory or name cannot be used."""


class RunError(EebenchError):
    """One run failed for a reason that belongs to the run, not to the request."""


class DivergedError(RunError):
    """The training loss became NaN or infinite."""


class StorageError(RunError):
    """A file could not be written, for example because the disk is full."""


class DamagedError(RunError):
    """A stored file does not match its recorded checksum."""


def plural(kind: str) -> str:
    """The name `eebench list` knows a kind by: "task" -> "tasks"."""
    return f"{kind}s"


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None when nothing is close."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def unknown_name_message(kind: str, name: str, known: Iterable[str], where: str = "") -> str:
    """One line: what is unknown, where, the closest known name, how to see all names."""
    names = sorted(known)
    place = f" in {where}" if where else ""
    suggestion = closest(name, names)
    hint = f"did you mean '{suggestion}'?  " if suggestion else ""
    return f"unknown {kind} '{name}'{place}; {hint}`eebench list {plural(kind)}` shows all {len(names)}."
