"""Memory and time of replaying a large trace: a million samples, 24 exits, a thousand settings.

    python benchmarks/replay_memory.py
    python benchmarks/replay_memory.py --samples 10000 --settings 100

Exits with 1 when a bound is missed.
"""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Sequence

import torch
from measuring import Measure, machine, output_options, show

from eebench.engine.turns import seconds
from eebench.replay import chunks, replay
from eebench.rules.base import Rule
from eebench.rules.catalogue import find_rule
from eebench.trace import Trace

CPU = torch.device("cpu")
MOST_GIGABYTES, MOST_SECONDS = 2.0, 120.0


def synthetic_trace(samples: int, exits: int, classes: int, seed: int = 0) -> Trace:
    """Random logits that grow surer with depth, filled in chunk by chunk: no more memory than the trace itself."""
    random = torch.Generator().manual_seed(seed)
    logits = torch.empty(exits, samples, classes)
    for rows in chunks(samples):
        for index in range(exits):
            sureness = 0.3 + 3.0 * index / exits
            logits[index, rows].normal_(0.0, sureness, generator=random)
    labels = torch.randint(0, classes, (samples,), generator=random)
    lengths = torch.randint(4, 129, (samples,), generator=random)
    return Trace(tuple(range(1, exits + 1)), logits, labels, lengths, torch.arange(samples))


def thresholds(rule: Rule, trace: Trace, count: int) -> list[float]:
    """`count` settings: even steps for a real threshold, the rule's few integers over and over for a count."""
    grid = rule.grid(trace.geometry)
    if all(threshold.is_integer() for threshold in grid):
        return [grid[index % len(grid)] for index in range(count)]
    return torch.linspace(min(grid), max(grid), count).tolist()


def peak_gigabytes() -> float:
    """The most memory this process ever held, in units of 10^9 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


def measure(trace: Trace, name: str, settings: int) -> list[Measure]:
    """Time of one rule at all settings, and the peak so far."""
    rule = find_rule(name)
    grid = thresholds(rule, trace, settings)
    taken = seconds(lambda: replay(rule, trace, grid), CPU)
    return [
        Measure(f"{name}: {settings:,} settings", taken, "s", at_most=MOST_SECONDS),
        Measure(f"peak memory after {name}", peak_gigabytes(), "GB", at_most=MOST_GIGABYTES),
    ]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    output_options(parser)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--exits", type=int, default=24)
    parser.add_argument("--classes", type=int, default=2)
    parser.add_argument("--settings", type=int, default=1_000)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints; 1 when a bound is missed."""
    given = parse(arguments)
    before = Measure("memory before the trace", peak_gigabytes(), "GB")
    trace = synthetic_trace(given.samples, given.exits, given.classes)
    with_trace = Measure("memory with the trace", peak_gigabytes(), "GB")
    measures = [before, with_trace]
    for name in ("entropy", "patience"):
        measures += measure(trace, name, given.settings)
    shape = f"{given.samples:,} samples x {given.exits} exits x {given.classes} classes"
    show(measures, {"trace": shape, **machine(CPU)}, given.json)
    return 0 if all(one.met for one in measures) else 1


if __name__ == "__main__":
    sys.exit(main())
