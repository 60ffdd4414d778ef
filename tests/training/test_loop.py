from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook
from transformers import AlbertConfig, AlbertModel, DistilBertConfig, DistilBertModel

from eebench.backbones.albert import AlbertBackbone
from eebench.backbones.checkpoints import load_backbone
from eebench.backbones.distilbert import DistilBertBackbone
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
from eebench.training.schedules import Schedule
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
        lambda moment: seen.append((moment.done, moment.total, moment.epoch, moment.loss())),
    )
    progress = trainer.run()
    losses = [record["loss"] for record in progress.history]
    assert losses[-1] < 0.6 * losses[0]
    assert progress.steps == 48 and seen[0][:3] == (1, 48, 1) and seen[-1][:3] == (48, 48, 8)
    assert seen[-1][3] == pytest.approx(losses[-1])
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


def test_frozen_embeddings_are_in_evaluation_mode_and_layers_that_train_are_not():
    model = make_model()
    model.backbone.loose = torch.nn.Dropout()  # has nothing to freeze
    freeze_others(model, Stage("layers", 1, 5e-3, loss_of_all, trains=lambda name, _: ".layers." in name))
    set_modes(model)
    assert not model.backbone.embeddings.training and not model.backbone.embeddings.dropout.training
    assert model.backbone.training and model.backbone.layers[0].training and model.backbone.loose.training
    freeze_others(model, Stage("all", 1, 5e-3, loss_of_all))
    set_modes(model)
    assert all(module.training for module in model.modules())
    freeze_others(model, Stage("none", 1, 5e-3, loss_of_all, trains=inner_exits))
    set_modes(model)
    assert not any(module.training for module in model.backbone.modules())


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


@pytest.mark.parametrize(("ties", "kept"), [("earlier", 0), ("later", 1)])
def test_a_tie_keeps_the_epoch_asked_for_and_is_no_gain(setup, tmp_path, ties, kept):
    model, seen = make_model(), []

    def remember(model, step):
        if step.number == 0:
            seen.append({name: weight.clone() for name, weight in weights_of(model).items()})

    scores = iter([0.5, 0.5, 0.4])
    stage = Stage("tied", 3, 5e-3, loss_of_all, before=remember, select="best", ties=ties,
                  judge=lambda _: next(scores))  # fmt: skip
    options = OPTIONS.model_copy(update={"patience": 2})
    progress = Trainer(model, [stage], replace(setup, options=options), CheckpointFile(tmp_path)).run()
    after = seen[kept + 1]  # what an epoch begins with is what the one before it ended with
    assert all(torch.equal(weight, after[name]) for name, weight in weights_of(model).items())
    assert len(progress.history) == 3


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


@pytest.mark.parametrize("kind", ["distilbert", "albert"])
def test_no_decay_on_layer_norms_under_other_names(kind):
    if kind == "distilbert":
        sizes = {"vocab_size": 20, "dim": 8, "hidden_dim": 16, "n_layers": 1, "n_heads": 2}
        backbone = DistilBertBackbone(DistilBertModel(DistilBertConfig(**sizes)))
    else:
        sizes = {"vocab_size": 20, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1}
        backbone = AlbertBackbone(AlbertModel(AlbertConfig(**sizes, num_attention_heads=2, embedding_size=4)))
    stage = Stage("all", 1, 1e-3, loss_of_all)
    optimizer = make_optimizer(list(backbone.named_parameters()), stage, OPTIONS)
    (plain,) = (group["params"] for group in optimizer.param_groups if group["weight_decay"] == 0.0)
    exempt = {id(parameter) for parameter in plain}
    norms = [module for module in backbone.modules() if isinstance(module, torch.nn.LayerNorm)]
    assert len(norms) == 3 and all(id(norm.weight) in exempt for norm in norms)
    vectors = [parameter for parameter in backbone.parameters() if parameter.dim() == 1]
    assert len(plain) == len(vectors)  # no matrix among them


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

    def stop(moment):
        if moment.done == 8:
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


def test_every_epoch_of_every_stage_has_an_order_of_its_own(setup, tmp_path):
    orders = {}

    def note(stage):
        return lambda model, step: orders.setdefault((stage, step.epoch), []).append(tuple(step.rows))

    stages = [Stage(name, 2, 1e-3, loss_of_all, before=note(name)) for name in ("one", "two")]
    Trainer(make_model(), stages, setup, CheckpointFile(tmp_path)).run()
    assert len(orders) == 4 and len(set(map(tuple, orders.values()))) == 4
    for batches in orders.values():
        assert sorted(row for batch in batches for row in batch) == list(range(len(setup.train.labels)))


def test_every_step_has_its_rate_and_a_clipped_gradient(setup, tmp_path):
    rates, norms = [], []

    def look(optimizer, *_):
        rates.append({(group["factor"], round(group["lr"], 12)) for group in optimizer.param_groups})
        gradients = [weight.grad for group in optimizer.param_groups for weight in group["params"]]
        norms.append(float(torch.nn.utils.get_total_norm([one for one in gradients if one is not None])))

    stage = Stage(
        "one", 2, 1.0, loss_of_all, lr_factor=lambda name: 4.0 if name.startswith("heads.") else 1.0,
        schedule=lambda per_epoch: Schedule(8e-3, 4, 2 * per_epoch, True),
    )  # fmt: skip
    options = OPTIONS.model_copy(update={"clip_norm": 1e-3})
    handle = register_optimizer_step_pre_hook(look)
    try:
        Trainer(make_model(), [stage], replace(setup, options=options), CheckpointFile(tmp_path)).run()
    finally:
        handle.remove()
    # Four steps up to the peak of 8e-3, then eight down to what would be 0 after the last.
    by_hand = [0.002, 0.004, 0.006, 0.008, 0.008, 0.007, 0.006, 0.005, 0.004, 0.003, 0.002, 0.001]
    assert rates == [{(1.0, rate), (4.0, round(4 * rate, 12))} for rate in by_hand]
    assert norms == pytest.approx([1e-3] * 12, rel=1e-2)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_forward_pass_multiplies_in_the_precision_asked_for(setup, tmp_path, precision):
    kinds, model = set(), make_model()
    inner = model.backbone.layers[0]
    linear = next(part for part in inner.modules() if isinstance(part, torch.nn.Linear))
    linear.register_forward_hook(lambda module, inputs, output: kinds.add(output.dtype))
    options = OPTIONS.model_copy(update={"precision": precision})
    stages = [Stage("one", 1, 5e-3, loss_of_all)]
    Trainer(model, stages, replace(setup, options=options), CheckpointFile(tmp_path)).run()
    assert kinds == {torch.float32 if precision == "fp32" else torch.bfloat16}


def test_a_checkpoint_follows_every_epoch_but_the_last_of_all(setup, tmp_path):
    """Between two stages as well: the run that ends needs none, its caller stores the weights."""
    files = set()

    def note(model, step):
        files.update(path.name for path in tmp_path.glob("*.safetensors"))

    stages = [
        Stage(name, epochs, 5e-3, loss_of_all, before=note) for name, epochs in (("one", 2), ("two", 1))
    ]
    Trainer(make_model(), stages, setup, CheckpointFile(tmp_path)).run()
    files.update(path.name for path in tmp_path.glob("*.safetensors"))
    assert files == {"checkpoint-6.safetensors", "checkpoint-12.safetensors"}


def test_a_stage_selects_and_waits_for_itself_alone(setup, tmp_path):
    """What the first stage reached is no bar for the second, and its patience is spent anew."""
    model, seen, scores = make_model(), {}, iter([0.9, 0.8, 0.5, 0.4])

    def remember(model, step):
        if step.number == 0:
            seen[len(seen)] = {name: weight.clone() for name, weight in weights_of(model).items()}

    stages = [Stage(name, 3, 5e-3, loss_of_all, before=remember, select="best", judge=lambda _: next(scores))
              for name in ("one", "two")]  # fmt: skip
    options = OPTIONS.model_copy(update={"patience": 1})
    progress = Trainer(model, stages, replace(setup, options=options), CheckpointFile(tmp_path)).run()
    assert [(record["stage"], record["epoch"]) for record in progress.history] == [
        ("one", 1), ("one", 2), ("two", 1), ("two", 2),
    ]  # fmt: skip

    def same(first, second):
        return all(torch.equal(weight, second[name]) for name, weight in first.items())

    # Each stage ends with the weights of its first epoch: 1 begins the second epoch, 2 the second stage.
    assert same(seen[2], seen[1]) and not same(seen[1], seen[0])
    assert same(weights_of(model), seen[3])
