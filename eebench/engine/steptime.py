"""How long one optimiser step takes: real training loops that take turns step by step, beside plain fine-tuning.

Every stage of every run is timed on the same batches of the same rows. What a method needs is not trained first:
the time of a step does not depend on what the weights are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
import torch

from eebench.backbones.tokens import load_tokenizer
from eebench.engine.execute import build
from eebench.engine.turns import PausedLoop, device_name, take_turns
from eebench.methods.base import Needed
from eebench.methods.catalogue import find_method
from eebench.model import MultiExitModel, weights_of
from eebench.options import merge, resolve_options
from eebench.plan import Job
from eebench.steptimes import StepTime
from eebench.suites import Suite, SuiteFile, find_suite
from eebench.training.loop import Setup
from eebench.training.options import TrainingOptions
from eebench.training.stages import Examples
from eebench.yaml_files import read_yaml

REFERENCE = "finetune"
"""The method whose step is 1, under the label that suites give it."""

WARM_UP = 4
"""Steps of each loop before the first that counts; even, as methods may alternate between two kinds of step."""

GROUP = 4
"""Stages in memory at once besides the reference, each with its model, gradients and optimiser states."""

REFERENCE_LOOP = f"the reference, {REFERENCE}"
"""What messages call the loop that everything is set beside."""

OnRound = Callable[[int, int], None]


@dataclass(frozen=True)
class Protocol:
    """What all steps of a measurement share: the reference's batches and precision, on one device.

    `steps` of each stage count; `group` stages are in memory at once besides the reference.
    """

    reference: Job
    steps: int
    device: torch.device
    group: int = GROUP

    @property
    def rounds(self) -> int:
        """Steps of each loop, warm-up included."""
        return WARM_UP + self.steps

    def examples(self) -> Examples:
        """Training rows for one epoch of `rounds` full batches; the rows come again when there are too few."""
        job, train = self.reference, self.reference.data.splits["train"]
        count = self.rounds * job.options.batch_size
        rows = train.head(count).take(np.resize(np.arange(min(count, len(train))), count))
        length = job.options.max_length or job.task.max_length
        return Examples(load_tokenizer(job.backbone, job.others).encode(rows.texts, length), rows.labels)

    def setup(self, examples: Examples, options: TrainingOptions) -> Setup:
        """How a run with `options` trains, but for what it must share with the reference."""
        like = self.reference.options
        shared = {name: getattr(like, name) for name in ("batch_size", "max_length", "precision")}
        alike = options.model_copy(update=shared)
        return Setup(examples, None, self.reference.task.metric, alike, self.reference.seed, self.device)


@dataclass(frozen=True)
class Work:
    """One stage of one run; `index` is its place among the run's stages."""

    job: Job
    index: int

    @property
    def key(self) -> tuple[str, int]:
        """The same for equal work."""
        return self.job.spec.key, self.index

    def loop(self, protocol: Protocol, examples: Examples) -> PausedLoop:
        """The stage's training loop before its first step, one step a block, its schedule as long as the rows."""
        cards = [protocol.device] if protocol.device.type == "cuda" else []
        with torch.random.fork_rng(devices=cards):
            torch.manual_seed(self.job.seed)
            model = fresh_model(self.job).to(protocol.device)
            earlier = self.job.method.stages(self.job.options)[: self.index + 1]
            stage = earlier.pop()
            for before in earlier:
                before.first(model, examples)  # what earlier stages make of the model, they train it or not
        setup = protocol.setup(examples, self.job.options)
        return PausedLoop(model, [replace(stage, epochs=1)], setup, steps=1)


def fresh_model(job: Job) -> MultiExitModel:
    """The job's model before training; what it needs is just as fresh."""
    model = build(job)
    needed = {role: Needed(weights_of(fresh_model(need)), _maker(need)) for role, need in job.needs.items()}
    job.method.initialise(model, needed)
    return model


def _maker(job: Job) -> Callable[[], MultiExitModel]:
    return lambda: fresh_model(job).eval()


def stages_of(job: Job, roles: tuple[str, ...] = ()) -> Iterator[tuple[str, Work]]:
    """Every stage on the way to the trained run with its title, those of needed runs first."""
    for role, need in job.needs.items():
        yield from stages_of(need, (*roles, role))
    for index, stage in enumerate(job.method.stages(job.options)):
        if stage.epochs > 0:  # the others only change the model
            yield (f"{' / '.join(roles)}: {stage.name}" if roles else stage.name), Work(job, index)


@dataclass(frozen=True)
class Timing:
    """Seconds of each counted step of one stage, and of the reference's step in the same round."""

    own: Sequence[float]
    reference: Sequence[float]

    @property
    def ratio(self) -> float:
        """Median over rounds of own / reference."""
        return median(own / base for own, base in zip(self.own, self.reference, strict=True))


def time_works(
    works: Mapping[str, Work], protocol: Protocol, on_round: OnRound = lambda done, total: None
) -> dict[str, Timing]:
    """The timing of each work, and under `REFERENCE_LOOP` the reference's over all groups.

    The works are timed in groups that fit into memory, each beside the reference.
    """
    names, size, examples = list(works), protocol.group, protocol.examples()
    groups = [names[first : first + size] for first in range(0, len(names), size)] or [[]]
    found: dict[str, Timing] = {}
    base: list[float] = []
    rounds_done = 0

    def count() -> None:
        nonlocal rounds_done
        rounds_done += 1
        on_round(rounds_done, len(groups) * protocol.rounds)

    for group in groups:
        with ExitStack() as stack:
            members = {REFERENCE_LOOP: Work(protocol.reference, 0), **{name: works[name] for name in group}}
            loops = {
                name: stack.enter_context(work.loop(protocol, examples)) for name, work in members.items()
            }
            taken = {
                name: times[WARM_UP:] for name, times in take_turns(loops, protocol.rounds, count).items()
            }
        reference = taken.pop(REFERENCE_LOOP)
        base += reference
        found |= {name: Timing(own, reference) for name, own in taken.items()}
    return found | {REFERENCE_LOOP: Timing(base, base)}


def measure_steps(
    runs: Mapping[str, Job], protocol: Protocol, on_round: OnRound = lambda done, total: None
) -> list[StepTime]:
    """One row per stage of each run (by label); equal work is timed once and shown under every label."""
    listed = [(label, title, work) for label, job in runs.items() for title, work in stages_of(job)]
    names = {Work(protocol.reference, 0).key: REFERENCE_LOOP}
    for label, title, work in listed:
        names.setdefault(work.key, f"{label}, stage {title}")
    works = {names[work.key]: work for *_, work in listed if names[work.key] != REFERENCE_LOOP}
    timings = time_works(works, protocol, on_round)
    rows: dict[tuple[str, str], StepTime] = {}
    for label, title, work in listed:
        rows.setdefault((label, title), _row(label, title, timings[names[work.key]], protocol))
    return list(rows.values())


def _row(label: str, title: str, timing: Timing, protocol: Protocol) -> StepTime:
    job = protocol.reference
    return StepTime(
        job.task.name, job.backbone, label, title, 1e3 * median(timing.own), timing.ratio, protocol.steps,
        job.options.batch_size, torch.get_num_threads(), job.options.precision, device_name(protocol.device),
    )  # fmt: skip


def reference_options(name: str, suite: Suite, task: str, backbone: str) -> TrainingOptions:
    """Plain fine-tuning as the suite called `name` trains it, or would: with its defaults."""
    for choice in suite.choices:
        if choice.label == choice.method.name == REFERENCE:
            return choice.options_for(task, backbone)
    file, method = SuiteFile.model_validate(read_yaml(find_suite(name))), find_method(REFERENCE)
    given = merge(file.defaults, file.task_defaults.get(task, {}))
    known = method.options_type.model_fields
    fitting = {key: value for key, value in given.items() if key in known}
    return resolve_options(method, fitting, f"{find_suite(name)}: defaults")
