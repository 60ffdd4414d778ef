"""Makes one run: build, train with resume, store; then its trace. Safe to kill at any moment."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eebench.about import note_about
from eebench.artifacts import checksum, read_json, write_json
from eebench.backbones.base import Backbone
from eebench.backbones.checkpoints import load_backbone, skeleton_backbone
from eebench.backbones.tokens import Encoded, load_tokenizer
from eebench.errors import DamagedError, DivergedError, UserError
from eebench.methods.base import Needed
from eebench.model import MultiExitModel, load_weights, weights_of
from eebench.plan import Job
from eebench.slender import conform
from eebench.store import Run, Store
from eebench.tasks.scale import LabelScale
from eebench.tasks.splits import HELD_OUT, Split, hold_out
from eebench.trace import TRACE_VERSION, Trace, load_trace, save_trace, trace_model
from eebench.training import learning
from eebench.training.checkpoints import CheckpointFile
from eebench.training.loop import OnStep, Setup, Trainer, unwatched
from eebench.training.stages import Examples

CALMER = "try a lower learning rate (--set lr=...) or precision=fp32"
HOLDOUT_SEED = 0
"""The held-out slice is the same for every seed, so that seeds differ in training alone."""


@dataclass
class Executor:
    """Makes runs and traces in `store` on `device`; tokenises each split once."""

    store: Store
    device: torch.device
    _encoded: dict[tuple[str, ...], Encoded] = field(default_factory=dict)

    def run(self, job: Job) -> Run:
        """The run directory of a job."""
        return self.store.run(job.spec)

    def ensure_trained(self, job: Job, on_step: OnStep = unwatched) -> Run:
        """The trained run of `job`: made now, continued, or found done. Two processes do the work once."""
        run = self.run(job)
        with run.lock():
            note_about(run.directory, job)  # in runs as well that were trained before there was such a file
            if not run.is_done():
                run.describe()
                self._train(job, run, on_step)
        return run

    def ensure_trace(self, job: Job, split: str = "dev", on_step: OnStep = unwatched) -> Trace:
        """The trace of `job` on `split`; a damaged trace or run is noticed by its checksum and made again."""
        run = self.ensure_trained(job, on_step)
        with run.lock():
            trace = read_trace(run.directory, split, job.variant)
            if trace is None:
                trace = self._trace(job, run, split, on_step)
        return trace

    def model(self, job: Job) -> MultiExitModel:
        """The trained model of a finished run, on the executor's device."""
        run = self.run(job)
        return trained(job, run.weights(), LabelScale.read(run.record())).to(self.device)

    def examples(self, job: Job, split: str) -> Examples:
        """A split, tokenised by the job's backbone; "holdout" is the slice of train that the job holds out."""
        if split != HELD_OUT:
            return self._examples(job, job.data.splits[split], split)
        _, held = training_rows(job)
        if held is None:
            raise UserError(f"{job.title} holds out nothing of train; set `holdout: 0.1`.")
        return self._examples(job, held, f"{HELD_OUT}-{job.options.train_rows}-{job.options.holdout}")

    def _examples(self, job: Job, rows: Split, name: str) -> Examples:
        key = (job.data.fingerprint, name, str(len(rows.texts)), job.backbone, *job.others,
               str(job.options.max_length))  # fmt: skip
        if key not in self._encoded:
            length = job.options.max_length or job.task.max_length
            self._encoded[key] = load_tokenizer(job.backbone, job.others).encode(rows.texts, length)
        return Examples(self._encoded[key], rows.labels)

    def _train(self, job: Job, run: Run, on_step: OnStep) -> None:
        # The caller's random state is its own business; inside, everything follows from the seed.
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(job.seed)
            model = build(job)
            setup = self._setup(job)
            needed = {role: self._needed(need, setup.scale) for role, need in job.needs.items()}
            job.method.initialise(model, needed)
            file = CheckpointFile(run.directory)
            trainer = Trainer(model, job.method.stages(job.options), setup, file, on_step)
            try:
                progress = trainer.run()
            except DamagedError:
                file.clear()
                self._train(job, run, on_step)
                return
        weights = weights_of(model)
        if not all(bool(torch.isfinite(weight).all()) for weight in weights.values()):
            raise DivergedError(f"the weights are not finite after step {progress.steps}; {CALMER}.")
        record: dict[str, Any] = {
            "parameters": model.parameter_count(), "training_steps": progress.steps,
            "history": progress.history, "exit_layers": list(model.exit_layers),
        }  # fmt: skip
        if setup.scale is not None:
            record["label_scale"] = asdict(setup.scale)
        model.scale = setup.scale
        record["learning"] = self._look(job, model)
        run.finish(weights, record)
        file.clear()

    def _look(self, job: Job, model: MultiExitModel) -> dict[str, Any]:
        """Whether the trained model learned anything, on some of its training rows."""
        rows = training_rows(job)[0].head(learning.ROWS)
        seen = self._examples(job, rows, f"seen-{job.options.train_rows}-{job.options.holdout}")
        return learning.look(trace_model(model, seen.encoded, np.asarray(seen.labels), self.device))

    def _needed(self, job: Job, scale: LabelScale | None) -> Needed:
        """The needed run, its scores of a regression standardised; its heads and answers only fit the same `scale`."""
        weights = self._sound_weights(job)
        if LabelScale.read(self.run(job).record()) != scale:
            raise UserError(
                f"{job.title} was trained on other rows than what needs it, so their scores are standardised "
                "differently; give both the same train_rows and holdout."
            )
        return Needed(weights, lambda: trained(job, weights, None).eval())

    def _sound_weights(self, job: Job) -> dict[str, torch.Tensor]:
        run = self.ensure_trained(job)
        try:
            return run.weights()
        except DamagedError:
            with run.lock():
                run.reset()
            return self.ensure_trained(job).weights()

    def _setup(self, job: Job) -> Setup:
        options, (train, held) = job.options, training_rows(job)
        selection = None
        if job.method.chooses(options):
            selection = self.examples(job, "dev" if held is None else HELD_OUT)
        return Setup(
            self._examples(job, train, f"train-{options.train_rows}-{options.holdout}"),
            selection, job.task.metric, options, job.seed, self.device,
        )  # fmt: skip

    def _trace(self, job: Job, run: Run, split: str, on_step: OnStep) -> Trace:
        try:
            model = self.model(job)
        except DamagedError:
            run.reset()
            run.describe()
            note_about(run.directory, job)
            self._train(job, run, on_step)
            model = self.model(job)
        examples = self.examples(job, split)
        trace = trace_model(model, examples.encoded, np.asarray(examples.labels), self.device)
        if not bool(torch.isfinite(trace.logits).all()):
            run.reset()  # a model that answers NaN is no success to be found again
            raise DivergedError(f"the trained model's answers are not finite; {CALMER}.")
        write_trace(run.directory, split, trace, job.variant)
        return trace


def training_rows(job: Job) -> tuple[Split, Split | None]:
    """What the job trains on, and the slice that its `holdout` keeps from it whether it selects or not."""
    options, train = job.options, job.data.splits["train"]
    if options.train_rows is not None:
        train = train.head(options.train_rows)
    return hold_out(train, options.holdout, HOLDOUT_SEED) if options.holdout > 0 else (train, None)


def build(job: Job) -> MultiExitModel:
    """The job's model before training, from the pretrained backbone."""
    return job.method.build(pretrained(job), job.task.classes, job.options)


def trained(job: Job, weights: dict[str, torch.Tensor], scale: LabelScale | None) -> MultiExitModel:
    """The job's model as training leaves it, with those weights and the shapes they have; `scale` takes its scores
    of a regression from the side they were trained on to the one that is wanted.
    """
    model = job.method.finished(pretrained(job), job.task.classes, job.options)
    conform(model, weights)
    load_weights(model, weights)
    model.scale = scale
    return model


def pretrained(job: Job) -> Backbone:
    """The job's backbone, cut to the layers that its method keeps."""
    full = load_backbone(job.backbone)
    kept = job.method.depth(job.options, full.depth)
    return full if kept == full.depth else load_backbone(job.backbone, kept)


def build_skeleton(job: Job) -> MultiExitModel:
    """The job's trained model without weights (meta device), for counting."""
    depth = skeleton_backbone(job.backbone).depth
    backbone = skeleton_backbone(job.backbone, job.method.depth(job.options, depth))
    with torch.device("meta"):
        return job.method.finished(backbone, job.task.classes, job.options)


def trace_paths(directory: Path, split: str, variant: str = "") -> tuple[Path, Path]:
    """The trace's tensors and the small file with its checksum."""
    name = f"trace-{split};{variant}" if variant else f"trace-{split}"
    return directory / f"{name}.safetensors", directory / f"{name}.json"


def write_trace(directory: Path, split: str, trace: Trace, variant: str = "") -> None:
    """Stores a trace and then its checksum."""
    path, note = trace_paths(directory, split, variant)
    save_trace(path, trace, {"split": split})
    write_json(note, {"sha256": checksum(path), "version": TRACE_VERSION})


def read_trace(directory: Path, split: str, variant: str = "") -> Trace | None:
    """The stored trace, or None when there is none or it does not match its checksum."""
    path, note = trace_paths(directory, split, variant)
    if not (path.exists() and note.exists()):
        return None
    try:
        expected = read_json(note)
        if expected.get("version") != TRACE_VERSION or checksum(path) != expected.get("sha256"):
            return None
        return load_trace(path)
    except DamagedError:
        return None
