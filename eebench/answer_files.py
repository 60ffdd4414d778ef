"""Answers written as they are found: csv or jsonl, a file or standard output; what is finished is on disk."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from eebench.errors import StorageError, UserError
from eebench.predict import Prediction

STDOUT = "-"
FORMATS = ("csv", "jsonl")
COLUMNS = (
    "row",
    "label",
    "confidence",
    "exit_layer",
    "executed_layers",
    "mflops",
    "truncated",
    "replaced",
    "error",
)


def cells(answer: Prediction) -> dict[str, object]:
    """One row as written: confidence to six decimals, MFLOPs to three; None where there is no answer."""
    return {
        "row": answer.row, "label": answer.label,
        "confidence": None if answer.confidence is None else round(answer.confidence, 6),
        "exit_layer": answer.exit_layer, "executed_layers": answer.executed_layers,
        "mflops": None if answer.mflops is None else round(answer.mflops, 3),
        "truncated": answer.truncated, "replaced": answer.replaced, "error": answer.error,
    }  # fmt: skip


def csv_row(answer: Prediction) -> list[object]:
    """The cells of a csv: empty for what is missing, true and false in small letters."""
    return [
        "" if cell is None else str(cell).lower() if isinstance(cell, bool) else cell
        for cell in cells(answer).values()
    ]


def row_writer(stream: TextIO, form: str) -> Callable[[Prediction], object]:
    """Writes one answer in a format, the header of a csv first."""
    if form == "jsonl":
        return lambda answer: stream.write(json.dumps(cells(answer), ensure_ascii=False) + "\n")
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(COLUMNS)
    return lambda answer: rows.writerow(csv_row(answer))


def check_output(path: str, form: str, source: str) -> None:
    """UserError for an unknown format, and for an output that would overwrite its input."""
    if form not in FORMATS:
        raise UserError(f"--format {form}: choose {' or '.join(FORMATS)}.")
    if STDOUT not in (path, source) and Path(path).resolve() == Path(source).resolve():
        raise UserError(f"--output {path} is the input too; write to another file.")


@contextmanager
def output_stream(path: str) -> Iterator[TextIO]:
    """The file at `path`, written anew, or standard output for "-"; UserError when it cannot be written."""
    if path == STDOUT:
        yield sys.stdout
        return
    try:
        stream = Path(path).open("w", encoding="utf-8", newline="")  # noqa: SIM115
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; name another file with --output.") from error
    try:
        with stream:
            yield stream
    except BrokenPipeError:
        raise
    except OSError as error:  # closing writes what is left
        raise StorageError(f"cannot write {path}: {error.strerror}; free some space.") from error


def write_answers(
    answers: Iterable[Prediction],
    stream: TextIO,
    form: str,
    on_row: Callable[[], None] = lambda: None,
) -> Tally:
    """Writes all answers in order, each one to the disk as soon as it is known; StorageError when that is full."""
    tally = Tally()
    try:
        write = row_writer(stream, form)
        for answer in answers:
            write(answer)
            stream.flush()
            tally.add(answer)
            on_row()
        stream.flush()
    except BrokenPipeError:
        raise  # the reader has seen enough
    except OSError as error:
        raise StorageError(f"cannot write the answers: {error.strerror}; free some space.") from error
    return tally


class Tally:
    """What a stream of answers came to."""

    def __init__(self) -> None:
        self.rows = self.answered = self.layers = 0
        self.mflops = 0.0
        self.problems: Counter[str] = Counter()

    def add(self, answer: Prediction) -> None:
        """Counts one answer."""
        self.rows += 1
        if answer.replaced:
            self.problems["with bytes that are no UTF-8, replaced"] += 1
        if answer.error:
            self.problems["without an answer"] += 1
            return
        if answer.truncated:
            self.problems["cut to the length the model reads"] += 1
        self.answered += 1
        self.layers += answer.executed_layers or 0
        self.mflops += answer.mflops or 0.0

    def lines(self) -> Iterator[str]:
        """What is said at the end: how much it cost, and one line per kind of problem."""
        if self.answered:
            mean, price = self.layers / self.answered, self.mflops / self.answered
            yield f"{self.answered:,} texts answered, {mean:.2f} layers and {price:,.1f} MFLOPs each"
        else:
            yield "no text answered"
        yield from (f"rows {problem}: {count:,}" for problem, count in sorted(self.problems.items()))
