"""Learning rate as a function of the step, so that nothing has to be stored to resume."""

from __future__ import annotations

from dataclasses import dataclass

from eebench.training.options import TrainingOptions


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up to `peak` over `warmup` steps, then constant or linear decay to 0 at `total`."""

    peak: float
    warmup: int
    total: int
    decay: bool

    def at(self, step: int) -> float:
        """Learning rate of step 0, 1, ..., total - 1."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        if not self.decay:
            return self.peak
        return self.peak * max(0.0, (self.total - step) / max(1, self.total - self.warmup))


def steps_in(epochs: float, steps_per_epoch: int) -> int:
    """Optimiser steps in so many epochs, rounded down; at least one in any part of an epoch."""
    # The small term undoes rounding such as 0.29 * 100 = 28.999...
    return max(int(epochs * steps_per_epoch + 1e-9), 1 if epochs > 0 else 0)


def schedule_of(options: TrainingOptions, peak: float, epochs: float, steps_per_epoch: int) -> Schedule:
    """The schedule of one stage."""
    total = steps_in(epochs, steps_per_epoch)
    share = options.warmup_share * total
    warmup = share if options.warmup_epochs is None else options.warmup_epochs * steps_per_epoch
    return Schedule(peak, min(total, round(warmup)), total, options.schedule == "linear")
