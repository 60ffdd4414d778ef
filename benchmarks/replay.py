"""How much replay saves against re-running the model per setting; that both decide alike is parity.py's to show.

Usage:

    python benchmarks/replay.py                 minutes on a CPU
    python benchmarks/replay.py --samples 100   on the first 100 dev samples
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch
from measuring import Measure, Subject, Trained, first_rows, machine, output_options, show, subject_options

from eebench.backbones.tokens import Encoded
from eebench.cost.conventions import DEFAULT_CONVENTION, convention
from eebench.engine.execute import Executor
from eebench.engine.turns import clock, seconds
from eebench.errors import EebenchError
from eebench.replay import CostTable, replay
from eebench.rules.base import Rule
from eebench.rules.catalogue import find_rule
from eebench.runtime import sequential
from eebench.store import Store
from eebench.sweep import Accounting, Measured
from eebench.trace import trace_model

FEW, MANY = 1_000, 100_000
REPLAY_REPEATS, MODEL_REPEATS = 7, 3
WARM_UP_SAMPLES = 20


def cost_table(trained: Trained, rule: Rule) -> CostTable:
    """FLOPs of leaving at each exit, so that replay does all that a point of a curve needs."""
    accounting = Accounting(convention(DEFAULT_CONVENTION), 128)
    return Measured.of(trained.job, trained.trace, accounting).table(rule)


def speed_measures(trained: Trained) -> list[Measure]:
    """One setting by re-running, one trace, and replay of few and of many settings; medians, warm-up apart."""
    rule = find_rule("entropy")
    grid = rule.grid(trained.trace.geometry)
    middle = grid[len(grid) // 2]
    mean_exit = float(replay(rule, trained.trace, [middle]).mean_exit(trained.trace.exit_layers)[0])
    rerun, once = model_seconds(trained, rule, middle)
    few, many = replay_seconds(trained, rule)
    further = (many - few) / (MANY - FEW)
    all_at_once = FEW * rerun / (once + few)
    return [
        Measure(f"re-running, batch size 1, one setting ({rule.setting(middle)})", rerun, "s"),
        Measure("mean exit at that setting", mean_exit, "layers"),
        Measure("tracing, once for all settings", once, "s"),
        Measure(f"replay of {FEW:,} settings", few * 1e3, "ms"),
        Measure(f"replay of {MANY:,} settings", many * 1e3, "ms"),
        Measure("settings per second by replay", MANY / many, "1/s"),
        Measure("cost of a further setting", further * 1e6, "us"),
        Measure("re-running / a further setting", rerun / further, "x", at_least=1e5),
        Measure(f"{FEW:,} x re-running / (trace + replay of {FEW:,})", all_at_once, "x", at_least=1e3),
    ]


def model_seconds(trained: Trained, rule: Rule, threshold: float) -> tuple[float, float]:
    """Median seconds of re-running one setting and of one trace, taken in turns."""
    model, device, labels = trained.model, trained.device, trained.trace.labels.numpy()

    def rerun(encoded: Encoded) -> float:
        return seconds(lambda: list(sequential(model, rule, threshold, encoded, device)), device)

    def once(encoded: Encoded) -> float:
        return seconds(lambda: trace_model(model, encoded, labels[: len(encoded)], device), device)

    warm_up = first_rows(trained.encoded, min(WARM_UP_SAMPLES, len(trained.encoded)))
    rerun(warm_up), once(warm_up)
    pairs = [(rerun(trained.encoded), once(trained.encoded)) for _ in range(MODEL_REPEATS)]
    return median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)


def replay_seconds(trained: Trained, rule: Rule) -> tuple[float, float]:
    """Median seconds of replaying `FEW` and `MANY` settings with their FLOPs, taken in turns."""
    table, top = cost_table(trained, rule), max(rule.grid(trained.trace.geometry))
    grids = [torch.linspace(0.0, top, count).tolist() for count in (FEW, MANY)]
    times: list[list[float]] = [[], []]
    for _ in range(REPLAY_REPEATS + 1):
        for grid, taken in zip(grids, times, strict=True):
            start = clock(trained.device)
            replay(rule, trained.trace, grid, table)
            taken.append(clock(trained.device) - start)
    return median(times[0][1:]), median(times[1][1:])  # the first turn is warm-up


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    subject_options(parser)
    output_options(parser)
    parser.add_argument("--method", default="joint", help="label of the suite's method to measure")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where trained models are kept")
    parser.add_argument("--samples", type=int, help="dev samples used; default: all")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints; 1 when a bound is missed, 2 for a user's mistake."""
    given = parse(arguments)
    try:
        subject = Subject.of(given)
        store = Executor(Store(given.runs), subject.device)
        trained = Trained.of(subject.jobs([given.method])[0], store, given.samples)
    except EebenchError as error:
        print(error, file=sys.stderr)
        return 2
    measures = speed_measures(trained)
    conditions = {"run": trained.job.title, "samples": trained.trace.samples, **machine(trained.device)}
    show(measures, conditions, given.json)
    return 0 if all(one.met for one in measures) else 1


if __name__ == "__main__":
    sys.exit(main())
