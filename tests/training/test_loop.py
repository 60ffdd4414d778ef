from dataclasses import replace

import numpy as np
import pytest
import torch

from eebench.backbones.checkpoints import load_backbone
from eebench.backbones.tokens import load_tokenizer
from eebench.errors import DivergedError
from eebench.heads import HeadConfig, exit_heads
from eebench.losses import exit_losses
from eebench.model import MultiExitModel, weights_of
from eebench.slender import Size, factorise, keep_heads, keep_neurons, size_of
from eebench.toy import toy_data
from eebench.training.checkpoints import CheckpointFile
from eebench.training.loop import (
    Examples,
    LossWatch,
    Setup,
    Trainer,
    freeze_others,
    make_optimizer,
    set_modes,
)
from eebench.training.options import TrainingOptions
from eebench.training.stages import Stage, inner_exits

CPU = torch.device("cpu")
OPTIONS = TrainingOptions(epochs=3, lr=5e-3, batch_size=16, precision="fp32")


def loss_of_all(outputs, labels, step):
    return {"loss": exit_losses(outputs.logits, labels).sum()}


def make_model():
    torch.manual_seed(0)
    backbone = load_backbone("toy")
    return MultiExitModel(backbone, dict(exit_heads(backbone, 2, HeadConfig(pooler="none"), (1, 2))))


@pytest.fixture
def setup():
    splits = toy_data().splits
    tokenizer = load_tokenizer("toy")
    train, dev = (Examples(tokenizer.encode(s.texts, 16), s.labels) for s in (splits["train"], splits["dev"]))
    return Setup(train, dev, "accuracy", OPTIONS, 1, CPU)


def test_training_learns_and_reports_each_epoch(setup, tmp_path):
    seen = []
    model = make_model()
    trainer = Trainer(
        model,
        [Stage("all", 8, 5e-3, loss_of_all)],
        setup,
        CheckpointFile(tmp_path),
        lambda *step: seen.append(step),
    )
    progress = trainer.run()
    losses = [record["loss"] for record in progress.history]
    assert losses[-1] < 0.6 * losses[0]
    assert progress.steps == 48 and seen[0] == (1, 48) and seen[-1] == (48, 48)
    assert [record["epoch"] for record in progress.history] == list(range(1, 9))


def test_a_frozen_backbone_stays_and_is_in_evaluation_mode(setup, tmp_path):
    model = make_model()
    before = {name: weight.clone() for name, weight in weights_of(model).items()}
    stage = Stage("heads", 1, 5e-3, loss_of_all, trains=inner_exits)
    trained = freeze_others(model, stage)
    set_modes(model)
    assert [name for name, _ in trained] == ["heads.1.classifier.weight", "heads.1.classifier.bias"]
    assert not model.backbone.training and model.heads["1"].training and not model.heads["2"].training
    Trainer(model, [stage], setup, CheckpointFile(tmp_path)).run()
    changed = {name for name, weight in weights_of(model).items() if not torch.equal(weight, before[name])}
    assert changed == {"heads.1.classifier.weight", "heads.1.classifier.bias"}


def test_a_loss_that_is_not_finite_stops_the_run_with_its_step(setup, tmp_path):
    calls = []

    def breaks(outputs, labels, step):
        calls.append(1)
        return {"loss": outputs.logits.sum() * (float("nan") if len(calls) == 3 else 1.0)}

    with pytest.raises(DivergedError, match="not finite at step 3"):
        Trainer(make_model(), [Stage("bad", 1, 1e-3, breaks)], setup, CheckpointFile(tmp_path)).run()


def test_the_watch_means_over_the_epoch():
    watch = LossWatch(CPU)
    for step, value in enumerate((1.0, 3.0)):
        watch.add({"loss": torch.tensor(value), "kd": torch.tensor(2 * value)}, step)
    assert watch.means() == {"loss": 2.0, "kd": 4.0}


def test_selection_keeps_the_best_epoch(setup, tmp_path):
    model = make_model()
    chosen = replace(setup, options=OPTIONS.model_copy(update={"select": "best", "epochs": 4}))
    stages = [Stage("good", 4, 5e-3, loss_of_all)]
    progress = Trainer(model, stages, chosen, CheckpointFile(tmp_path)).run()
    best = max(np.mean(record["exit_scores"]) for record in progress.history)
    from eebench.trace import trace_model
    from eebench.training.evaluation import exit_scores

    kept = exit_scores(trace_model(model, setup.selection.encoded, setup.selection.labels, CPU), "accuracy")
    assert np.mean(kept) == pytest.approx(best)


def test_early_stopping_counts_epochs_without_gain(setup, tmp_path):
    options = OPTIONS.model_copy(update={"patience": 1})
    stage = Stage("still", 9, 1e-12, loss_of_all)  # nothing changes, so the second epoch brings no gain
    progress = Trainer(make_model(), [stage], replace(setup, options=options), CheckpointFile(tmp_path)).run()
    assert len(progress.history) == 2


def test_no_decay_on_biases_and_layer_norms():
    model = make_model()
    stage = Stage("all", 1, 1e-3, loss_of_all)
    optimizer = make_optimizer(list(model.named_parameters()), stage, OPTIONS)
    groups = {group["weight_decay"]: group["params"] for group in optimizer.param_groups}
    decayed, plain = groups[OPTIONS.weight_decay], groups[0.0]
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert all("bias" not in names[id(p)] and "LayerNorm" not in names[id(p)] for p in decayed)
    assert len(decayed) + len(plain) == len(names)


def test_parts_may_have_their_own_learning_rate():
    stage = Stage(
        "all", 1, 1e-3, loss_of_all, lr_factor=lambda name: 10.0 if name.startswith("heads.") else 1.0
    )
    optimizer = make_optimizer(list(make_model().named_parameters()), stage, OPTIONS)
    assert {group["factor"] for group in optimizer.param_groups} == {1.0, 10.0}


def test_the_watch_keeps_the_terms_asked_for_step_by_step():
    watch = LossWatch(CPU, ("c",))
    for number in range(2):
        watch.add({"loss": torch.tensor(1.0), "c": torch.tensor(0.1234567 * number)}, number)
    assert watch.record() == {"loss": 1.0, "c": pytest.approx(0.0617284), "series": {"c": [0.0, 0.12346]}}


def test_the_last_epoch_is_cut_where_the_stage_is_not_whole_epochs(setup, tmp_path):
    steps = []

    def watched(outputs, labels, step):
        steps.append((step.epoch, step.number, step.done, step.total))
        return loss_of_all(outputs, labels, step)

    trainer = Trainer(make_model(), [Stage("part", 1.5, 5e-3, watched)], setup, CheckpointFile(tmp_path))
    progress = trainer.run()
    assert trainer.total_steps == progress.steps == 9
    assert [record["epoch"] for record in progress.history] == [1, 2]
    assert steps[:2] == [(0, 0, 0, 9), (0, 1, 1, 9)] and steps[6:] == [
        (1, 0, 6, 9),
        (1, 1, 7, 9),
        (1, 2, 8, 9),
    ]


class Stopped(Exception):
    pass


def test_a_model_that_changed_shape_goes_on_with_the_shape_of_its_checkpoint(setup, tmp_path):
    def halve(model, train):
        for layer in model.backbone.layers:
            keep_heads(layer, [1])
            keep_neurons(layer, range(0, 60, 2))
        factorise(model.backbone, 6)

    stages = [Stage("small", 3, 5e-3, loss_of_all, first=halve)]

    def stop(done, total):
        if done == 8:
            raise Stopped

    whole, part = make_model(), make_model()
    torch.manual_seed(5)
    Trainer(whole, stages, setup, CheckpointFile(tmp_path / "whole")).run()
    torch.manual_seed(5)
    with pytest.raises(Stopped):
        Trainer(part, stages, setup, CheckpointFile(tmp_path / "part"), stop).run()
    resumed = make_model()
    Trainer(resumed, stages, setup, CheckpointFile(tmp_path / "part")).run()
    assert size_of(resumed.backbone) == Size(1, 30, 6)
    theirs = weights_of(whole)
    assert all(torch.equal(weight, theirs[name]) for name, weight in weights_of(resumed).items())
