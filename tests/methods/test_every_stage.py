"""What holds for every stage of every method: its losses do not see padding, and what it holds frozen does not move."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from eebench.conformance import SMALL
from eebench.engine.execute import Executor, build
from eebench.errors import UserError
from eebench.methods.base import Needed
from eebench.methods.catalogue import BUILT_IN, find_method
from eebench.model import MultiExitModel, weights_of
from eebench.options import merge
from eebench.plan import Job
from eebench.training.checkpoints import CheckpointFile
from eebench.training.loop import Setup, Trainer, freeze_others, set_modes
from eebench.training.stages import Examples, Stage, Step, refuse_shared

CPU = torch.device("cpu")
NAMES = [method.name for method in BUILT_IN]
OTHER_LOSSES: Sequence[tuple[str, dict[str, Any]]] = (
    ("berxit", {"learn_score": False}),
    ("cost-eff", {"feature_loss": "plain", "taylor_loss": "exits"}),
    ("cost-eff", {"feat_distill": False}),
    ("cost-eff", {"pred_distill": "hard_labels"}),
    ("cost-eff", {"training": "two_stage"}),
    ("cost-eff-assistant", {"feature_loss": "plain"}),
    ("cost-eff-assistant", {"training": "two_stage", "ta_recipe": "paper"}),
    ("csdbert", {"head_form": "pooler_linear", "rank_ema": 0.5}),
    ("distilbert", {"cosine_weight": 1.0, "hidden_weight": 1.0, "layers": 2}),
    ("fastbert", {"divergence": "student_first", "head": {"attention": "smartbert"}}),
    ("pkd", {"layers": 2, "vector": "cls"}),
    ("smartbert", {"ccl1_states": "outputs", "ccl2_state": "before", "ccl2_denominator": "without_positive"}),
    ("smartbert", {"gate_mode": "hard", "exit_input": "gated", "loss_mix": "paper"}),
    ("theseus", {"successor_epochs": 1, "train_head": True}),
    ("tinybert", {"form": "tinybert6", "answers_mean": "classes"}),
)
"""Losses that no default asks for."""
CASES = [*((name, {}) for name in NAMES), *OTHER_LOSSES]
SHARED_HEAD = {"head": {"attention": "none", "pooler": "shared"}}


def case_id(case: tuple[str, Mapping[str, Any]]) -> str:
    return "-".join([case[0], *(f"{key}={value}" for key, value in case[1].items() if key != "head")])


@dataclass(frozen=True)
class Beginning:
    """A method's model before its first stage, the models it learns from, and rows to learn."""

    job: Job
    model: MultiExitModel
    needed: Mapping[str, MultiExitModel]
    train: Examples

    @property
    def stages(self) -> list[Stage]:
        return self.job.method.stages(self.job.options)

    def without_dropout(self) -> None:
        for model in (self.model, *self.needed.values()):
            for module in model.modules():
                if isinstance(module, nn.Dropout):
                    module.p = 0.0


def begin(executor: Executor, job: Job) -> Beginning:
    """As training begins, but all models are untrained and moved a little, so that students differ from teachers."""
    torch.manual_seed(3)
    needed = {role: moved(build(need)).eval() for role, need in job.needs.items()}
    model = build(job)
    job.method.initialise(
        model,
        {role: Needed(weights_of(found), lambda found=found: found) for role, found in needed.items()},  # type: ignore[misc]
    )
    return Beginning(job, moved(model), needed, executor.examples(job, "train"))


def moved(model: MultiExitModel) -> MultiExitModel:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name not in ("temperatures", "ranking"):
                parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return model


def asked(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    return merge(SMALL.get(name, {}), {"weight_decay": 0.1}, given)


def losses(start: Beginning, stage: Stage, done: int, length: int | None) -> dict[str, float]:
    """The terms of one step on the same four rows, padded to their longest or to `length`."""
    torch.manual_seed(done)
    rows = np.arange(4)
    step = Step(done, rows, epoch=done, done=done, total=2)
    stage.before(start.model, step)
    start.without_dropout()
    outputs = start.model(start.train.encoded.batch(rows, length))
    terms = stage.objective(outputs, torch.from_numpy(start.train.labels[rows]), step)
    return {name: float(value.detach()) for name, value in terms.items()}


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_no_loss_depends_on_how_far_a_batch_is_padded(executor, toy_job, case) -> None:
    """First and last step of each stage: alternating losses, features first, layers drawn or all replaced."""
    name, given = case
    start = begin(executor, toy_job(name, **asked(name, given)))
    lengths = start.train.encoded.lengths[:4]
    assert len(set(lengths.tolist())) > 1 and lengths.max() < 20
    for stage in start.stages:
        stage.first(start.model, start.train)
        freeze_others(start.model, stage)
        set_modes(start.model)
        for done in (0, 1):
            tight, wide, wider = (losses(start, stage, done, length) for length in (None, 20, 60))
            assert tight.keys() == wide.keys() == wider.keys()
            for term, value in tight.items():
                padded = [wide[term], wider[term]]
                assert padded == pytest.approx([value, value], rel=1e-4, abs=1e-6), (stage.name, term)


def frozen(start: Beginning, stage: Stage) -> Iterator[tuple[str, Tensor]]:
    """What a stage must leave alone: parameters that it does not train, all buffers, all of the models learned from."""
    for name, parameter in start.model.named_parameters(remove_duplicate=False):
        if not stage.trains(name, start.model):
            yield name, parameter
    yield from start.model.named_buffers()
    for role, model in start.needed.items():
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            yield f"{role}: {name}", tensor


@dataclass
class Watched:
    """A stage of one epoch that notes what is frozen, and what is trained, before its first step."""

    start: Beginning
    stage: Stage

    def first(self, model: MultiExitModel, train: Examples) -> None:
        self.stage.first(model, train)
        self.before = {name: tensor.clone() for name, tensor in frozen(self.start, self.stage)}
        self.trained = {
            name: tensor.clone() for name, tensor in weights_of(model).items() if name not in self.before
        }

    def train(self, directory: Path) -> None:
        setup = Setup(self.start.train, None, "accuracy", self.start.job.options, 1, CPU)
        stage = replace(self.stage, epochs=1, first=self.first)
        Trainer(self.start.model, [stage], setup, CheckpointFile(directory)).run()

    @property
    def moved(self) -> list[str]:
        after = dict(frozen(self.start, self.stage))
        assert self.before.keys() == after.keys()
        return [name for name, tensor in self.before.items() if not torch.equal(tensor, after[name])]

    @property
    def learned(self) -> bool:
        weights = weights_of(self.start.model)
        return any(not torch.equal(tensor, weights[name]) for name, tensor in self.trained.items())


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_what_a_stage_holds_frozen_stays_bit_for_bit(executor, toy_job, tmp_path: Path, case) -> None:
    name, given = case
    start = begin(executor, toy_job(name, **asked(name, given)))
    for stage in start.stages:
        watched = Watched(start, stage)
        watched.train(tmp_path)
        assert watched.learned and watched.moved == [], stage.name


@pytest.mark.parametrize("name", NAMES)
def test_with_a_shared_pooler_a_method_is_refused_or_moves_nothing_frozen(
    executor, toy_job, tmp_path: Path, name
) -> None:
    try:
        start = begin(executor, toy_job(name, **asked(name, SHARED_HEAD)))
    except UserError:
        return
    for stage in start.stages:
        watched = Watched(start, stage)
        watched.train(tmp_path)
        assert watched.moved == [], stage.name


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("deebert", {"head": {"pooler": "shared"}}),
        ("fastbert", SHARED_HEAD),
        ("cost-eff", {"training": "two_stage", "head": {"pooler": "shared"}}),
        ("cost-eff-assistant", {"training": "two_stage", "head": {"pooler": "shared"}}),
    ],
)
def test_a_pooler_that_a_frozen_exit_shares_is_refused_when_planning(toy_job, name, given) -> None:
    shared = r"trains heads\.(1|2)\.pooler\.dense\.weight, which is also heads\.(2|1)\.pooler\.dense\.weight"
    message = (
        rf"^{name}: stage '.*' {shared}, and that is to stay frozen; .* set head.pooler to own, tanh or none"
    )
    with pytest.raises(UserError, match=message):
        toy_job(name, **asked(name, given))


@pytest.mark.parametrize("name", ["joint", "pabee", "cost-eff", "cost-eff-assistant"])
def test_a_shared_pooler_is_fine_where_all_its_exits_train(toy_job, name) -> None:
    assert toy_job(name, **asked(name, {"head": {"pooler": "shared"}})).options.head.pooler == "shared"


def test_shared_layers_are_one_part() -> None:
    """ALBERT's layers are the same modules: trained or frozen together they are no conflict, apart they are."""
    from transformers import AlbertConfig

    from eebench.backbones.architectures import ARCHITECTURES

    config = AlbertConfig(hidden_size=16, embedding_size=8, intermediate_size=16, num_attention_heads=2)
    method = find_method("deebert")
    with torch.device("meta"):
        model = method.build(ARCHITECTURES["albert"].skeleton(config), 2, method.options_type())
    (stage,) = method.stages(method.options_type())
    refuse_shared(stage, model)
    upper = replace(stage, trains=lambda name, model: name.startswith("backbone.layers.3."))
    with pytest.raises(UserError, match=r"trains backbone.layers.3\..*, which is also backbone.layers.0\."):
        refuse_shared(upper, model)


def test_the_loop_refuses_what_no_plan_has_seen(toy_job) -> None:
    job = toy_job("joint")
    stage = replace(job.method.stages(job.options)[0], trains=lambda name, _: name.startswith("heads.1."))
    with pytest.raises(UserError, match="stage 'joint' trains heads.1.pooler"):
        freeze_others(build(job), stage)


META = torch.device("meta")
GATED = "a gated layer asks which rows are left, once a layer: skipping them is what saves the work"


def on_meta(start: Beginning) -> None:
    """Everything of a beginning without values: what reads a value back to the host, or mixes devices, fails."""
    start.model.to(META)
    for model in start.needed.values():
        model.to(META)


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_a_step_never_waits_for_the_device(executor, toy_job, case) -> None:
    """A step of every stage on the meta device, whose tensors have shapes and nothing else."""
    name, given = case
    start = begin(executor, toy_job(name, **asked(name, given)))
    rows = np.arange(4)
    labels = torch.from_numpy(start.train.labels[rows]).to(META)
    for stage in start.stages:
        stage.first(start.model, start.train)  # once a stage, so it may look
    on_meta(start)
    for stage in start.stages:
        trained = freeze_others(start.model, stage)
        set_modes(start.model)
        for done in (0, 1):
            step = Step(done, rows, epoch=done, done=done, total=2)
            stage.before(start.model, step)
            outputs = start.model(start.train.encoded.batch(rows).to(META))
            terms = stage.objective(outputs, labels, step)
            logged = stage.update(terms, trained)
            nn.utils.clip_grad_norm_([parameter for _, parameter in trained], 1.0)
            assert {value.device for value in (terms | logged).values()} == {META}, stage.name
            assert {parameter.grad.device for _, parameter in trained if parameter.grad is not None} == {META}


@pytest.mark.parametrize("name", NAMES)
def test_a_pass_of_a_trace_never_waits_for_the_device(executor, toy_job, name) -> None:
    """All signals of a batch in evaluation mode; only the finished trace is brought back."""
    start = begin(executor, toy_job(name, **asked(name, {})))
    if start.model.gate_threshold is not None and start.model.gate_threshold < 1:
        pytest.skip(GATED)
    on_meta(start)
    start.model.eval()
    with torch.inference_mode():
        outputs = start.model(start.train.encoded.batch(np.arange(4)).to(META), start.model.kinds)
    assert outputs.logits.device == META and outputs.logits.shape[1:] == (4, 2)
