"""Prediction of a long stream: peak memory, rate, and the same labels as one line at a time.

    python benchmarks/predict_stream.py --toy --lines 100000
    python benchmarks/predict_stream.py --run joint-rotten_tomatoes --lines 100000

The lines are made up, of 1 to 40 words. Exits with 1 when a bound is missed.
"""

from __future__ import annotations

import argparse
import csv
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from measuring import Measure, Subject, machine, output_options, show

from eebench.answer_files import write_answers
from eebench.cli.settings import find_device
from eebench.engine.execute import Executor
from eebench.errors import UserError
from eebench.predict import Asked, Choice, Predictor, load_run
from eebench.runtime import Execution
from eebench.store import Store
from eebench.text_rows import TextSource, rows_of
from eebench.toy import BAD, GOOD, PLAIN

MOST_GROWTH = 0.05
"""Gigabytes that the last nine tenths of the lines may add to the peak of the first tenth."""


def write_lines(path: Path, lines: int, seed: int = 0) -> None:
    """Random lines of 1 to 40 words; the same for the same arguments."""
    random = np.random.default_rng(seed)
    words = np.array([*GOOD, *BAD, *PLAIN])
    with path.open("w", encoding="utf-8") as file:
        for _ in range(lines):
            file.write(" ".join(random.choice(words, size=random.integers(1, 41))) + "\n")


def toy_run(folder: Path, given: argparse.Namespace) -> Path:
    """The toy run, trained below `folder`."""
    subject = Subject("quickstart", None, None, 42, True, find_device(given.device))
    (job,) = subject.jobs(["joint"])
    executor = Executor(Store(folder), subject.device)
    executor.ensure_trace(job)
    return executor.run(job).directory


def peak_gigabytes() -> float:
    """The most memory this process ever held, in units of 10^9 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


def stream(
    predictor: Predictor, paths: tuple[Path, Path], choice: Choice, how: Execution
) -> tuple[int, float]:
    """Answers a file into another; the rows answered and the seconds it took."""
    source, target = paths
    start = time.perf_counter()
    with TextSource(str(source)).rows() as rows, target.open("w", encoding="utf-8", newline="") as out:
        tally = write_answers(predictor.stream(rows, choice, how), out, "csv")
    return tally.answered, time.perf_counter() - start


def differing(predictor: Predictor, paths: tuple[Path, Path], choice: Choice, sample: int) -> int:
    """Of `sample` lines spread over the file, how many have another label or exit when they are alone."""
    lines = paths[0].read_text(encoding="utf-8").splitlines()
    places = sorted(set(np.linspace(0, len(lines) - 1, sample).astype(int).tolist()))
    with paths[1].open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    one_by_one = Execution("sequential", 1, predictor.device)
    alone = predictor.stream(rows_of(lines[place] for place in places), choice, one_by_one)
    return sum(
        (rows[place]["label"], rows[place]["exit_layer"]) != (other.label, str(other.exit_layer))
        for place, other in zip(places, alone, strict=True)
    )


def measure(predictor: Predictor, folder: Path, given: argparse.Namespace) -> list[Measure]:
    """A tenth of the lines, all of them, and a sample one line at a time."""
    choice = predictor.choose(Asked(given.rule, given.setting, None if given.setting else given.speedup))
    how = Execution(given.executor, given.batch_size, predictor.device)
    first, whole, answers = folder / "first.txt", folder / "lines.txt", folder / "answers.csv"
    write_lines(first, max(1, given.lines // 10), seed=1)
    write_lines(whole, given.lines)
    stream(predictor, (first, answers), choice, how)
    early = peak_gigabytes()
    answered, taken = stream(predictor, (whole, answers), choice, how)
    peak = peak_gigabytes()
    other = differing(predictor, (whole, answers), choice, given.sample)
    return [
        Measure("lines answered", answered, "", at_least=given.lines),
        Measure("rate", answered / taken, "lines/s"),
        Measure("peak memory after a tenth", early, "GB"),
        Measure("peak memory", peak, "GB", at_most=early + MOST_GROWTH),
        Measure(f"of {given.sample:,} lines, otherwise alone", other, "", at_most=0),
    ]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    output_options(parser)
    parser.add_argument("--run", help="a trained run; its directory, or a piece of its name")
    parser.add_argument("--runs", default="runs")
    parser.add_argument("--toy", action="store_true", help="a toy run, trained in seconds")
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument(
        "--sample", type=int, default=500, help="lines that are answered one at a time as well"
    )
    parser.add_argument("--rule")
    parser.add_argument("--setting")
    parser.add_argument("--speedup", type=float, default=1.2)
    parser.add_argument("--executor", default="compact")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints; 1 when a bound is missed, 2 for a mistake."""
    given = parse(arguments)
    with TemporaryDirectory() as name:
        folder = Path(name)
        try:
            if not (given.toy or given.run):
                raise UserError("say which model: --run RUN, or --toy.")
            run = toy_run(folder / "runs", given) if given.toy else given.run
            predictor = load_run(run, given.runs, device=find_device(given.device))
            measures = measure(predictor, folder, given)
        except UserError as error:
            print(error, file=sys.stderr)
            return 2
    model = {"run": predictor.trained.name, "executor": given.executor, "batch size": given.batch_size}
    show(measures, {**model, **machine(predictor.device)}, given.json)
    return 0 if all(one.met for one in measures) else 1


if __name__ == "__main__":
    sys.exit(main())
