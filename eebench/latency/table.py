"""Measured times of leaving early, ``results/<suite>/latency.csv``; a file with the device named.

task, backbone, method, rule, setting   what is run; the full model is `finetune` at its last exit
executor, batch_size                    how: full (all layers), stock (the same by transformers' own forward pass),
                                        sequential, compact or pooled
score, mean_exit                        of the answers that were given while the clock ran
speedup_flops                           in FLOPs, each sample at its real length, under `convention`
seconds_per_sample                      median over repeats; seconds_low and seconds_high are the extremes
throughput                              samples per second, of the median
p50_ms, p95_ms, p99_ms                  from a sample's batch being made to its answer, over samples and repeats
speedup_time                            median over repeats of the full model's time at that batch size over this one's
efficiency                              speedup_time / speedup_flops
repeats, samples, threads, precision    behind the numbers
device                                  name of the processor or graphics card, never of a host
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from eebench.timings import TimingFile

FULL = "full"
"""The executor of the reference: all layers and the last exit, for every sample."""

STOCK = "stock"
"""The executor of the same model by the forward pass of its library, where users come from."""

WHOLE = (FULL, STOCK)
"""The executors that run all layers."""

PLACES = {"seconds_per_sample": 7, "seconds_low": 7, "seconds_high": 7, "throughput": 1, "score": 4}
"""Decimals of numbers; three of all others."""


@dataclass(frozen=True)
class LatencyRow:
    """One row: a method under one setting, run by one executor on batches of one size."""

    task: str
    backbone: str
    method: str
    rule: str
    setting: str
    executor: str
    batch_size: int
    score: float
    mean_exit: float
    speedup_flops: float
    seconds_per_sample: float
    seconds_low: float
    seconds_high: float
    throughput: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    speedup_time: float
    efficiency: float
    repeats: int
    samples: int
    threads: int
    precision: str
    convention: str
    device: str

    @property
    def place(self) -> tuple[str, str, str]:
        """What is measured at once: task, backbone and device."""
        return self.task, self.backbone, self.device

    @property
    def subject(self) -> tuple[str, int]:
        """What a part of a measurement replaces: the rows of a method at a batch size."""
        return self.method, self.batch_size

    @property
    def conditions(self) -> str:
        """Under what it is measured: times of one place compare when these are alike."""
        return conditions(self.samples, self.threads, self.precision)

    @property
    def title(self) -> str:
        """What a sentence calls it."""
        return f"{self.method}, {self.rule} {self.setting}, {self.executor}, batches of {self.batch_size}"


LATENCY = TimingFile("latency.csv", LatencyRow, "latency", PLACES)


def conditions(samples: int, threads: int, precision: str) -> str:
    """Under what something is measured, in words."""
    return f"samples {samples}, threads {threads}, precision {precision}"


def slower_than_full(rows: Sequence[LatencyRow]) -> Iterator[str]:
    """A sentence for each row that takes longer than the full model on batches of the same size."""
    for row in rows:
        if row.executor not in WHOLE and row.speedup_time < 1.0:
            yield (
                f"Slower than the full model: {row.title} on {row.task} saves FLOPs ({row.speedup_flops:.2f}x) "
                f"and costs time ({row.speedup_time:.2f}x)."
            )
