"""The conformance suite: what must hold for every method, checked on any of them.

Each check is independent of the others; one that fails, or cannot even run, says why, and the others go on. A method
is trained on the toy backbone and task; a trained run is checked as it is, on toy sentences, because none of the checks
asks whether an answer is right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from eebench.artifacts import checksum
from eebench.backbones.base import Batch
from eebench.backbones.tokens import Encoded, load_tokenizer
from eebench.cost.components import measure, model_cost
from eebench.cost.conventions import DEFAULT_CONVENTION, convention
from eebench.cost.operations import ModelCost
from eebench.cost.paths import path_operations
from eebench.engine.execute import Executor
from eebench.errors import EebenchError
from eebench.methods.base import Method
from eebench.model import MultiExitModel, Outputs
from eebench.options import merge, resolve_options
from eebench.plan import Job, Planner
from eebench.replay import exit_indices, near_threshold, replay
from eebench.rules.base import Rule
from eebench.rules.catalogue import RULES
from eebench.runtime import EXECUTORS, Execution, Left, execute
from eebench.store import Store
from eebench.sweep import Accounting, Measured, applies
from eebench.toy import toy_data, toy_task
from eebench.trace import Trace, trace_model
from eebench.trained import TrainedRun
from eebench.training.loop import Moment

CPU = torch.device("cpu")
CLOSE = 1e-4
"""Largest difference between the same logits computed in other batches, relative to 1 + their size."""
QUICK: Mapping[str, Any] = {
    "epochs": 2, "lr": 5e-3, "batch_size": 16, "warmup_epochs": None, "select": "last", "holdout": 0.0,
    "patience": None,
}  # fmt: skip
SMALL: Mapping[str, Mapping[str, Any]] = {
    "first-k": {"k": 1}, "first-k-fold": {"k": 1}, "pairwise": {"pair": [1, 2]},
    "cascade": {"members": [1, "full"], "folds": 2},
    "fastbert": {"exit_epochs": 1},
    "smartbert": {"exit_epochs": 1, "soft_epochs": 1}, "tinybert": {"intermediate_epochs": 1},
    "cost-eff": {"heads": 1, "feed_forward": 32, "rank": 16, "prunes": 1, "prune_every": 1.0, "prune_epochs": 1.0,
                 "recovery_feature_epochs": 1, "recovery_epochs": 1},
}  # fmt: skip
"""What built-in methods need on a backbone of two layers."""
TRAIN_ROWS, DEV_ROWS = 32, 10
BATCH = 4


class Failure(Exception):
    """What a check found wrong."""


class Skipped(Exception):
    """Why a check does not apply."""


@dataclass(frozen=True)
class Result:
    """One check: passed, failed or skipped, and why."""

    check: str
    status: str
    reason: str = ""


@dataclass(frozen=True)
class Subject:
    """What is checked: a trained model with the job it came from, and texts; `retrain` trains it, None for a run."""

    job: Job
    model: MultiExitModel
    encoded: Encoded
    retrain: Executor | None = None

    @cached_property
    def trace(self) -> Trace:
        """The model's trace on the texts; labels are of no importance."""
        labels = np.zeros(len(self.encoded), dtype=np.int64 if self.model.classes > 1 else np.float32)
        return trace_model(self.model, self.encoded, labels, CPU)

    @cached_property
    def cost(self) -> ModelCost:
        """What its components cost when nothing is skipped."""
        with skipping_nothing(self.model):
            return model_cost(self.model)

    @cached_property
    def rules(self) -> list[Rule]:
        """Every rule that the model can leave by."""
        return [rule for rule in (kind() for kind in RULES.values()) if applies(rule, self.trace)]

    def left(self, rule: Rule, threshold: float, executor: str = "compact") -> list[Left]:
        """How each text leaves for real."""
        size = 1 if executor == "sequential" else BATCH
        return list(execute(self.model, rule, threshold, self.encoded, Execution(executor, size, CPU)))

    def strictest(self, rule: Rule) -> float:
        """The threshold under which nothing leaves early."""
        low, high = rule.bounds(self.trace.geometry)
        return low if rule.sense == "below" else high

    def loosest(self, rule: Rule) -> float:
        """The threshold under which everything leaves as soon as the rule allows."""
        low, high = rule.bounds(self.trace.geometry)
        return high if rule.sense == "below" else low


Check = Callable[[Subject], None]


def toy_subject(method: Method, given: Mapping[str, Any], root: Path) -> Subject:
    """The method trained on the toy task, in a store below `root`; raises what training raises."""
    planner = Planner(None, "fp32")
    data = toy_data(TRAIN_ROWS, DEV_ROWS)
    planner.remember(data)
    asked = merge(QUICK, SMALL.get(method.name, {}), given)
    job = planner.job(method, resolve_options(method, asked, "--set"), "toy", toy_task(), seed=1)
    executor = Executor(Store(root), CPU)
    executor.ensure_trained(job)
    return Subject(job, executor.model(job).eval(), executor.examples(job, "dev").encoded, executor)


def run_subject(run: TrainedRun) -> Subject:
    """A trained run, on toy sentences (or pairs of them)."""
    texts = toy_data(2, DEV_ROWS).splits["dev"].texts
    if len(run.job.task.text_columns) == 2:
        texts = [(first, second) for (first,), (second,) in zip(texts, reversed(texts), strict=True)]
    length = run.job.options.max_length or run.job.task.max_length
    return Subject(
        run.job, run.model(), load_tokenizer(run.job.backbone, run.job.others).encode(texts, length)
    )


def check_extremes(subject: Subject) -> None:
    """Under the loosest threshold a text leaves at the first exit that ran, under the strictest at the last."""
    depth = subject.model.depth
    for rule in subject.rules:
        for row, left in enumerate(subject.left(rule, subject.strictest(rule))):
            expect(
                left.layer == depth, f"{rule.name}: text {row} leaves at layer {left.layer}, not at {depth}"
            )
        if not leaves_at_once(rule):
            continue
        for row, left in enumerate(subject.left(rule, subject.loosest(rule))):
            first = first_exit(subject.trace, row)
            expect(
                left.layer == first, f"{rule.name}: text {row} leaves at layer {left.layer}, not at {first}"
            )


def leaves_at_once(rule: Rule) -> bool:
    """Whether the rule can leave at the first exit: those that count exits cannot."""
    return rule.name == "budgeted" or not rule.start(1, CPU)


def first_exit(trace: Trace, row: int) -> int:
    """The first layer with an exit that ran for a text, the last one where none did."""
    if trace.executed is None:
        return trace.exit_layers[0]
    ran = trace.executed[:-1, row].nonzero()
    return trace.exit_layers[int(ran[0]) if len(ran) else -1]


def check_monotone(subject: Subject) -> None:
    """A looser threshold never costs more, summed over texts."""
    accounting = Accounting(convention(DEFAULT_CONVENTION), None)
    trace, depth = subject.trace, subject.model.depth
    # Speed-ups are not asked for, so what they refer to may be anything.
    measured = Measured(trace, subject.cost, accounting, depth, reference=1, metrics=subject.job.task.metrics)
    for rule in subject.rules:
        thresholds = sorted(rule.grid(trace.geometry), reverse=rule.sense == "reached")
        costs = replay(rule, trace, thresholds, measured.table(rule)).total_cost
        assert costs is not None
        dearer = (costs.diff() > 0).nonzero()
        if len(dearer):
            place = int(dearer[0])
            a, b = (rule.setting(thresholds[place + step]) for step in (0, 1))
            raise Failure(f"{rule.name}: {b} costs more than the stricter {a}")


def check_batches(subject: Subject) -> None:
    """A text has the same logits alone, in a batch, and in a batch of another order."""
    together, count = subject.trace, len(subject.encoded)
    order = np.random.default_rng(0).permutation(count)
    shuffled = trace_model(subject.model, subject.encoded.take(order), together.labels.numpy(), CPU)
    compare(together.logits[:, order], shuffled.logits, "in another order")
    for row in range(count):
        alone = trace_model(
            subject.model, subject.encoded.part(row, row + 1), np.zeros(1, dtype=np.int64), CPU
        )
        compare(together.logits[:, row : row + 1], alone.logits, f"of text {row} alone")


def compare(one: Tensor, other: Tensor, where: str) -> None:
    """Failure when logits [E, N, C] differ by more than rounding."""
    worst = float(((one - other).abs() / (1 + one.abs())).max())
    expect(worst <= CLOSE, f"the logits {where} differ by {worst:.1e}")


def check_replay(subject: Subject, executor: str) -> None:
    """Exit and answer of every text are the replayed ones under every rule, but where a criterion is on the edge."""
    trace, answers = subject.trace, subject.trace.answers()
    for rule in subject.rules:
        threshold = most_spread(rule, trace)
        replayed = exit_indices(rule, trace, [threshold])[0].tolist()
        near = near_threshold(rule, trace, threshold).tolist()
        for row, left in enumerate(subject.left(rule, threshold, executor)):
            if near[row]:
                continue
            setting, index = rule.setting(threshold), left.exit_index
            expect(
                index == replayed[row],
                f"{rule.name} at {setting}: text {row} leaves at exit {index}, replayed {replayed[row]}",
            )
            answer = int(left.logits.argmax()) if len(left.logits) > 1 else float(left.logits[0])
            expect(
                math.isclose(answer, float(answers[index, row]), rel_tol=CLOSE, abs_tol=CLOSE),
                f"{rule.name} at {setting}: text {row} is answered {answer}, replayed {float(answers[index, row])}",
            )


def most_spread(rule: Rule, trace: Trace) -> float:
    """The threshold of the rule's grid under which texts leave at the most different exits."""
    grid = rule.grid(trace.geometry)
    shares = replay(rule, trace, grid).exits.double() / trace.samples
    return grid[int(torch.special.entr(shares).sum(dim=1).argmax())]


class Whole(nn.Module):
    """The model's own way through everything, for counting."""

    def __init__(self, model: MultiExitModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, mask: Tensor, segments: Tensor) -> tuple[Tensor, ...]:
        """All that the exits and gates give: what is not used would not be counted."""
        outputs: Outputs = self.model(Batch(input_ids, mask, segments, padded=False))
        found = (outputs.logits, outputs.scores, outputs.gates)
        return tuple(tensor for tensor in found if tensor is not None)


def check_cost(subject: Subject) -> None:
    """The whole model, counted at once, costs the sum of embedding, layers, exits and other parts."""
    model = subject.model
    with skipping_nothing(model):
        whole = measure(Whole(model), tokens)
    parts = path_operations(subject.cost, model.exit_layers, model.depth, "all")
    for kind in ("linear", "matmul"):
        found, summed = (getattr(one, kind)(100) for one in (whole, parts))
        expect(found == summed, f"{kind}: {found:,} MACs at 100 tokens, its parts have {summed:,}")


def tokens(length: int) -> tuple[Tensor, ...]:
    """`input_ids`, `mask`, `segments` [1, length] of a text without padding."""
    zeros = torch.zeros(1, length, dtype=torch.int64)
    return zeros, torch.ones_like(zeros, dtype=torch.bool), zeros.clone()


@contextmanager
def skipping_nothing(model: MultiExitModel) -> Iterator[None]:
    """Every layer runs meanwhile, whatever its gate says."""
    threshold = model.gate_threshold
    model.gate_threshold = None if threshold is None else 1.0
    try:
        yield
    finally:
        model.gate_threshold = threshold


class Stopped(Exception):
    """Stands for a kill in the middle of training."""


def check_resume(subject: Subject) -> None:
    """Training that is stopped at its middle, and started again, ends in the same bytes."""
    executor, job = subject.retrain, subject.job
    if executor is None:
        raise Skipped("needs a method to train: `eebench check METHOD`")
    run = executor.run(job)
    steps = int(run.record()["training_steps"])
    if steps < 2:
        raise Skipped("training takes less than two steps")
    whole = checksum(run.model_path)

    def stop(moment: Moment) -> None:
        if moment.done == steps // 2 + 1:
            raise Stopped

    with run.lock():
        run.reset()
    try:
        executor.ensure_trained(job, stop)
    except Stopped:
        executor.ensure_trained(job)
    expect(
        checksum(run.model_path) == whole,
        f"the weights differ when stopped at step {steps // 2 + 1} of {steps}",
    )


def expect(holds: bool, otherwise: str) -> None:
    """Raises Failure with the reason unless it holds."""
    if not holds:
        raise Failure(otherwise)


CHECKS: dict[str, Check] = {
    "threshold extremes": check_extremes,
    "cost falls with the threshold": check_monotone,
    "independent of the batch": check_batches,
    **{
        f"replay = execution ({name})": lambda subject, name=name: check_replay(subject, name)  # type: ignore[misc]
        for name in EXECUTORS
    },
    "cost is the sum of parts": check_cost,
    "resume after a kill": check_resume,
}
"""All checks by name, in the order they are made; the last one leaves the subject's run trained anew."""


def conform(subject: Subject, checks: Mapping[str, Check] = CHECKS) -> Iterator[Result]:
    """The result of each check, as it is known."""
    for name, check in checks.items():
        yield result(name, check, subject)


def result(name: str, check: Check, subject: Subject) -> Result:
    """One check; whatever a stranger's method raises is its failure, not the end of the others."""
    try:
        check(subject)
    except Skipped as reason:
        return Result(name, "skipped", str(reason))
    except (Failure, EebenchError) as reason:
        return Result(name, "failed", str(reason))
    except Exception as error:  # noqa: BLE001
        return Result(name, "failed", f"{type(error).__name__}: {error}")
    return Result(name, "passed")


def failed(results: Sequence[Result]) -> int:
    """How many checks failed."""
    return sum(one.status == "failed" for one in results)
