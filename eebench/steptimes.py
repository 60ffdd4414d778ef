"""Measured step times of a suite's methods, ``results/<suite>/steptime.csv``; a file with the device named.

task, backbone, method, stage    whose step; "finetuned: finetune" is a stage of the run needed as "finetuned"
step_ms                          median milliseconds of one optimiser step
ratio                            median over rounds of its time over plain fine-tuning's in the same round
steps                            steps behind the medians, warm-up not counted
batch_size, threads, precision   the same for every method of a measurement
device                           name of the processor or graphics card, never of a host
"""

from __future__ import annotations

from dataclasses import dataclass

from eebench.timings import TimingFile


@dataclass(frozen=True)
class StepTime:
    """One row: a stage of a method on one task and backbone."""

    task: str
    backbone: str
    method: str
    stage: str
    step_ms: float
    ratio: float
    steps: int
    batch_size: int
    threads: int
    precision: str
    device: str

    @property
    def place(self) -> tuple[str, str, str]:
        """What is measured at once: task, backbone and device."""
        return self.task, self.backbone, self.device

    @property
    def subject(self) -> tuple[str, int]:
        """What a part of a measurement replaces: the rows of a method at a batch size."""
        return self.method, self.batch_size


STEP_TIMES = TimingFile("steptime.csv", StepTime, "steptime")
