"""Trained runs as they lie on disk: found by a piece of their name, opened without their task's data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eebench.about import About, read_about
from eebench.artifacts import read_json
from eebench.backbones.checkpoints import BUNDLED, backbone_fingerprint
from eebench.engine.execute import read_trace, trained
from eebench.errors import ConfigError, DamagedError, ModelError, RunError, UserError, closest
from eebench.methods.base import Method
from eebench.methods.catalogue import methods
from eebench.model import MultiExitModel
from eebench.options import describe, merge, resolve_options
from eebench.plan import Job
from eebench.store import Run, RunSpec
from eebench.tasks.scale import LabelScale
from eebench.tasks.specs import CATALOGUE
from eebench.tasks.splits import TaskData
from eebench.trace import Trace
from eebench.training.options import TrainingOptions

BUILT_IN_BACKBONES = (*BUNDLED, "toy")


@dataclass(frozen=True)
class TrainedRun:
    """A finished run and the job that it came from, without data; `text_columns` of its task may be unknown."""

    run: Run
    job: Job

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.run.directory.name

    def model(self) -> MultiExitModel:
        """The trained model, on the CPU; RunError when the weights are damaged."""
        try:
            weights = self.run.weights()
        except DamagedError as error:
            raise RunError(
                f"{self.run.model_path} is damaged; {again(self.job.method.name, self.run.spec)} makes it anew."
            ) from error
        return trained(self.job, weights, LabelScale.read(self.run.record())).eval()

    def dev_trace(self) -> Trace | None:
        """The trace on dev that belongs to the job's inference options, None when there is none."""
        return read_trace(self.run.directory, "dev", self.job.variant)


def again(method: str, spec: RunSpec) -> str:
    """The command that trains a run, as far as it is short; its options are in run.json."""
    return f"`eebench train {method} --task {spec.task} --seed {spec.seed}` with the options in its run.json"


def find_run(text: str, root: Path) -> Path:
    """The directory of a run: a path, or the unique beginning or end of a name in `root`, or of its key.

    Raises UserError when there is none, or more than one.
    """
    typed = Path(text)
    # A folder that happens to be called like the beginning of a run is not meant.
    if text and typed.is_dir() and (len(typed.parts) != 1 or (typed / "run.json").is_file()):
        return typed
    names = sorted(path.name for path in root.glob("*") if (path / "run.json").is_file())
    matches = [name for name in names if text and fits(text, name)]
    if len(matches) == 1:
        return root / matches[0]
    if matches:
        raise UserError(
            f"'{text}' is {len(matches)} runs in {root}: {listed(matches)}; write more of the name."
        )
    if not names:
        raise UserError(
            f"no run '{text}': there is no run in {root}; train one, or name the folder with --runs."
        )
    near = closest(text, names)
    hint = f"did you mean '{near}'?  " if near else ""
    raise UserError(
        f"no run '{text}' in {root}; {hint}`eebench status --runs {root}` shows all {len(names)}."
    )


def fits(text: str, name: str) -> bool:
    """Whether `text` is how a directory name or its key begins, or how it ends."""
    return name.startswith(text) or name.endswith(text) or name.rsplit("-", 1)[-1].startswith(text)


def listed(names: Iterable[str], most: int = 4) -> str:
    """Some names, and how many more there are."""
    found = list(names)
    rest = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + rest


def open_run(
    directory: Path, backbone: str | None = None, inference: Mapping[str, Any] | None = None
) -> TrainedRun:
    """The finished run in `directory`; `inference` changes options that only inference reads.

    `backbone` names the backbone where the run cannot say it. Raises UserError when the run is not finished, when
    its method or backbone is not there, or when an option is wrong.
    """
    spec = read_spec(directory)
    run, about = Run(directory, spec), read_about(directory)
    method = method_of(spec, about)
    check_finished(run, method)
    name = backbone_of(spec, about, backbone)
    stored = about.options if about is not None else spec.options
    options = with_inference(method, options_of(method, stored, directory), inference or {})
    check_others(spec)
    described = about or guessed(run, method, name, options)
    task = described.task_spec
    data = TaskData(task, {}, spec.data)
    return TrainedRun(run, Job(spec, method, options, name, task, data, spec.seed, {}))


def read_spec(directory: Path) -> RunSpec:
    """What identifies the run in `directory`; UserError when it is no run."""
    path = directory / "run.json"
    if not path.is_file():
        raise UserError(f"{directory} is no run: it has no run.json; `eebench status` shows what is trained.")
    content = read_json(path)
    try:
        content.pop("identity_version")
        return RunSpec(**content)
    except (TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is not what eebench writes ({error}); train the run again.") from error


def method_of(spec: RunSpec, about: About | None) -> Method:
    """The method the run was trained by; UserError when it is not here, or trains otherwise by now."""
    known = methods()
    found = known.get(about.method) if about is not None else None
    if found is None:
        found = next((method for method in known.values() if method.recipe == spec.recipe), None)
    if found is None:
        raise UserError(
            f"method '{spec.recipe}' of this run is not installed; `eebench list methods` shows which are."
        )
    if found.version != spec.recipe_version:
        raise UserError(
            f"this run was trained by version {spec.recipe_version} of '{found.name}', here is version "
            f"{found.version}; {again(found.name, spec)} trains it anew."
        )
    return found


def check_finished(run: Run, method: Method) -> None:
    """UserError when training did not end, with what to type."""
    if run.is_done():
        return
    failure = run.failure()
    state = f"failed: {failure}" if failure else "is not finished"
    raise UserError(f"run {run.directory.name} {state}; {again(method.name, run.spec)} goes on with it.")


def backbone_of(spec: RunSpec, about: About | None, given: str | None) -> str:
    """A name under which the run's backbone can be loaded: found by its fingerprint."""
    if given is not None:
        if backbone_fingerprint(given) != spec.backbone:
            raise UserError(f"--backbone {given} is not what this run was trained on; leave the option out.")
        return given
    candidates = dict.fromkeys([*([] if about is None else [about.backbone]), *BUILT_IN_BACKBONES])
    found = next((name for name in candidates if has_fingerprint(name, spec.backbone)), None)
    if found is None:
        was = "none of the built-in ones" if about is None else f"'{about.backbone}', which is not there now"
        raise UserError(
            f"this run's backbone is {was}; name the one it was trained on: --backbone NAME (a directory, or a hub "
            "name)."
        )
    return found


def check_others(spec: RunSpec) -> None:
    """UserError where a further backbone of the run's model is not there, or is another one by now."""
    for name, wanted in spec.others.items():
        if not has_fingerprint(name, wanted):
            raise UserError(
                f"this run's model has a member '{name}', which is not there now, or not the one it was trained on; "
                "put that directory back, or train the run again."
            )


def has_fingerprint(name: str, wanted: str) -> bool:
    """Whether the backbone called `name` is there and is the one wanted."""
    try:
        return backbone_fingerprint(name) == wanted
    except ModelError:
        return False


def options_of(method: Method, stored: Mapping[str, Any], directory: Path) -> TrainingOptions:
    """The options as they were stored; UserError when the method has others by now."""
    try:
        return method.options_type.model_validate_json(json.dumps(dict(stored)))
    except ValidationError as error:
        problems = list(describe(error, method.options_type, str(directory / "run.json")))
        raise ConfigError(problems) from error


def with_inference(method: Method, options: TrainingOptions, given: Mapping[str, Any]) -> TrainingOptions:
    """The options with some of those changed that training does not read; UserError for all others."""
    if not given:
        return options
    fixed = sorted(given.keys() - method.inference)
    if fixed:
        free = ", ".join(sorted(method.inference)) or f"'{method.name}' has none"
        raise UserError(
            f"--set {fixed[0]}: a trained run keeps its options; those that only inference reads: {free}."
        )
    resolve_options(method, given, f"--set ({method.name})")
    changed = merge(options.model_dump(mode="json"), given)
    return method.options_type.model_validate_json(json.dumps(changed))


def guessed(run: Run, method: Method, backbone: str, options: TrainingOptions) -> About:
    """What can be told of a run that says nothing of itself: from the catalogue of tasks, else from its trace."""
    spec = run.spec
    if spec.task in CATALOGUE:
        task = CATALOGUE[spec.task]
        job = Job(spec, method, options, backbone, task, TaskData(task, {}, spec.data), spec.seed, {})
        return About.of(job)
    trace = read_trace(run.directory, "dev")
    if trace is None:
        raise UserError(
            f"run {run.directory.name} does not say what its classes are; {again(method.name, spec)} finds it done "
            "and adds that."
        )
    classes = trace.geometry.classes
    labels = tuple(map(str, range(classes))) if classes > 1 else ()
    return About(
        method.name, backbone, spec.task, labels, (), "accuracy" if labels else "pearson",
        options.max_length or 128, False, options.model_dump(mode="json"),
    )  # fmt: skip
