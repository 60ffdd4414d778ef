"""How much replay saves against re-running the model per setting, and that both decide alike.

    python benchmarks/replay.py                 everything, minutes on a CPU
    python benchmarks/replay.py --parity-only   only the comparison of decisions
    python benchmarks/replay.py --samples 100   on the first 100 dev samples

Exits with 1 when replay and really leaving early differ on a sample that is not near a threshold.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

import torch
from measuring import Measure, Subject, machine, output_options, show, subject_options

from eebench.backbones.tokens import Encoded
from eebench.cost.conventions import DEFAULT_CONVENTION, convention
from eebench.engine.execute import Executor
from eebench.engine.turns import clock, seconds
from eebench.errors import EebenchError
from eebench.model import MultiExitModel
from eebench.plan import Job
from eebench.replay import CostTable, exit_indices, near_threshold, replay
from eebench.rules.base import Rule
from eebench.rules.catalogue import find_rule
from eebench.runtime import sequential
from eebench.store import Store
from eebench.sweep import Accounting, Measured
from eebench.trace import Trace, trace_model

FEW, MANY = 1_000, 100_000
REPLAY_REPEATS, MODEL_REPEATS = 7, 3
WARM_UP_SAMPLES = 20
SETTINGS_PER_RULE = 5
PARITY_RULES = ("entropy", "normalized-entropy", "max-prob", "patience", "budgeted")


@dataclass(frozen=True)
class Trained:
    """A trained model with its dev split, tokenised, and the trace of that split."""

    job: Job
    model: MultiExitModel
    encoded: Encoded
    trace: Trace
    device: torch.device

    def table(self, rule: Rule) -> CostTable:
        """FLOPs of leaving at each exit, so that replay does all that a point of a curve needs."""
        accounting = Accounting(convention(DEFAULT_CONVENTION), 128)
        return Measured.of(self.job, self.trace, accounting).table(rule)


@dataclass(frozen=True)
class Agreement:
    """How decisions of one rule compare: counts over settings x samples.

    A decision is an exit and an answer. `near`: close enough to a threshold to tip by rounding;
    `differing`: not the same in both; `wrong`: differing and not near, which must not happen.
    """

    rule: str
    decisions: int
    near: int
    differing: int
    wrong: int


def load(subject: Subject, method: str, store: Store, samples: int | None) -> Trained:
    """The trained run (trained now if it is not there), cut to its first `samples` dev rows."""
    job = subject.jobs([method])[0]
    executor = Executor(store, subject.device)
    executor.ensure_trained(job)
    examples = executor.examples(job, "dev")
    count = min(samples or len(examples.encoded), len(examples.encoded))
    encoded = first_rows(examples.encoded, count)
    model = executor.model(job)
    trace = trace_model(model, encoded, examples.labels[:count], subject.device)
    return Trained(job, model, encoded, trace, subject.device)


def first_rows(encoded: Encoded, count: int) -> Encoded:
    """The first `count` rows of a tokenised split."""
    end = int(encoded.offsets[count])
    return replace(
        encoded, ids=encoded.ids[:end], segments=encoded.segments[:end], offsets=encoded.offsets[: count + 1]
    )


def agreement(trained: Trained, name: str) -> Agreement:
    """Every dev sample at `SETTINGS_PER_RULE` settings of one rule, really left early and replayed."""
    rule, trace = find_rule(name), trained.trace
    thresholds = spread(rule.grid(trace.geometry), SETTINGS_PER_RULE)
    replayed = exit_indices(rule, trace, thresholds)
    answers = trace.answers().gather(0, replayed)
    near_total = differing = wrong = 0
    for setting, threshold in enumerate(thresholds):
        left = list(sequential(trained.model, rule, threshold, trained.encoded, trained.device))
        exits = torch.tensor([one.exit_index for one in left])
        answered = torch.tensor([int(one.logits.argmax()) for one in left])
        different = (exits != replayed[setting]) | (answered != answers[setting])
        near = near_threshold(rule, trace, threshold)
        near_total += int(near.sum())
        differing += int(different.sum())
        wrong += int((different & ~near).sum())
    return Agreement(name, len(thresholds) * trace.samples, near_total, differing, wrong)


def spread(grid: Sequence[float], count: int) -> list[float]:
    """`count` values of a grid at even distances, ends included; all of a smaller grid."""
    if len(grid) <= count:
        return list(grid)
    return [grid[round(place * (len(grid) - 1) / (count - 1))] for place in range(count)]


def parity_measures(agreements: Sequence[Agreement]) -> list[Measure]:
    """All rules together."""
    return [
        Measure("decisions compared, an exit and an answer each", sum(one.decisions for one in agreements)),
        Measure("of them near a threshold", sum(one.near for one in agreements)),
        Measure("differing, not near a threshold", sum(one.wrong for one in agreements), at_most=0),
    ]


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
    table, top = trained.table(rule), max(rule.grid(trained.trace.geometry))
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
    parser.add_argument("--parity-only", action="store_true", help="compare decisions, time nothing")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints; 1 when a decision differs that is not near a threshold, 2 for a user's mistake."""
    given = parse(arguments)
    try:
        trained = load(Subject.of(given), given.method, Store(given.runs), given.samples)
    except EebenchError as error:
        print(error, file=sys.stderr)
        return 2
    measures = [] if given.parity_only else speed_measures(trained)
    agreements = [agreement(trained, name) for name in PARITY_RULES]
    conditions = {"run": trained.job.title, "samples": trained.trace.samples, **machine(trained.device)}
    tables = {"agreement": [asdict(one) for one in agreements]}
    show([*measures, *parity_measures(agreements)], conditions, given.json, tables)
    return 1 if any(one.wrong for one in agreements) else 0


if __name__ == "__main__":
    sys.exit(main())
