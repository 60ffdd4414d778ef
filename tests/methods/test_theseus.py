from functools import partial

import numpy as np
import pytest
import torch

from eebench.engine.execute import Executor, build
from eebench.errors import UserError
from eebench.methods.catalogue import find_method
from eebench.methods.theseus import (
    TheseusModel,
    TheseusOptions,
    descend_if_replaced,
    replace_all,
    replacement_rate,
    set_rate,
)
from eebench.store import Store
from eebench.training.loop import freeze_others, set_modes
from eebench.training.stages import Step


def rate(done, total, **given):
    return replacement_rate(TheseusOptions(**given), Step(0, np.arange(1), done=done, total=total))


def test_the_released_slope_reaches_one_at_step_1167():
    released = {"slope": 0.0006, "full_at": 1.0}
    assert rate(0, 1725, **released) == 0.3
    assert rate(500, 1725, **released) == pytest.approx(0.6)
    assert rate(1166, 1725, **released) == pytest.approx(0.9996) and rate(1167, 1725, **released) == 1.0


def test_the_linear_rate_reaches_one_at_its_share_of_the_steps():
    assert rate(0, 100) == 0.3
    assert rate(30, 100) == pytest.approx(0.65)  # half way from 0.3 to 1
    assert rate(59, 100) == pytest.approx(0.3 + 0.7 * 59 / 60) and rate(60, 100) == rate(99, 100) == 1.0


def test_the_constant_rate_jumps_to_one():
    assert [rate(done, 10, rate="constant") for done in (0, 5, 6)] == [0.5, 0.5, 1.0]
    assert rate(0, 10, rate="constant", first_rate=0.7) == 0.7


def test_a_step_without_a_replaced_layer_changes_nothing():
    assert descend_if_replaced({"loss": torch.tensor(1.0)}, []) == {}
    weight = torch.ones(1, requires_grad=True)
    descend_if_replaced({"loss": (3 * weight).sum()}, [])
    assert weight.grad.item() == 3


def follower(executor, toy_job):
    job = toy_job("theseus")
    executor.ensure_trained(job.needs["predecessor"])
    whole = executor.model(job.needs["predecessor"]).eval()
    model = build(job)
    assert isinstance(model, TheseusModel)
    model.follow(whole)
    return model, whole, executor.examples(job, "dev").encoded.batch(np.arange(8))


def test_unreplaced_modules_are_the_predecessors_layers(executor, toy_job):
    model, whole, batch = follower(executor, toy_job)
    for part in (*model.modules(), *whole.modules()):
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    model.train()
    with torch.no_grad():
        model.draw(0.0)
        assert torch.equal(model(batch).logits, whole(batch).logits)
        model.draw(1.0)
        replaced = model(batch).logits
        assert torch.equal(replaced[0], whole.classify(2, whole.layer(1, whole.embed(batch))))
        model.draw(0.0)
        assert torch.equal(model.eval()(batch).logits, replaced)  # evaluation knows successors only


@pytest.mark.parametrize("start", [set_rate, partial(replace_all)])
def test_frozen_parts_drop_out_as_the_released_code_has_it(executor, toy_job, start):
    model, whole, _ = follower(executor, toy_job)
    job = toy_job("theseus")
    freeze_others(model, job.method.stages(job.options)[0])
    set_modes(model)
    assert not model.backbone.embeddings.training
    step = Step(0, np.arange(1))
    start(model, step, job.options) if start is set_rate else start(model, step)
    frozen = (
        model.backbone.embeddings,
        *model.heads.values(),
        whole.backbone.layers[0],
        whole.backbone.layers[1],
    )
    dropouts = [part for module in frozen for part in module.modules() if isinstance(part, torch.nn.Dropout)]
    assert len(dropouts) >= 4 and all(part.training and part.p == 0.1 for part in dropouts)
    assert not model.eval().heads["1"].training


def test_the_predecessor_is_no_part_of_the_model(executor, toy_job):
    model, _, _ = follower(executor, toy_job)
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {"backbone", "heads"}
    assert len(model.backbone.layers) == 1
    assert model.parameter_count() == build(toy_job("first-k", k=1)).parameter_count()


@pytest.mark.parametrize("train_head", [False, True])
def test_only_successor_layers_train(executor, toy_job, train_head):
    job = toy_job("theseus", epochs=1, successor_epochs=1, train_head=train_head)
    executor.ensure_trained(job)
    before, after = (executor.run(run).weights() for run in (job.needs["predecessor"], job))
    changed = {
        name.split(".")[1 if name.startswith("backbone") else 0]
        for name, weight in after.items()
        if not torch.equal(weight, before[name.replace("heads.1.", "heads.2.")])
    }
    assert changed == ({"layers", "heads"} if train_head else {"layers"})


def test_the_default_is_the_codes_one_loop():
    method = find_method("theseus")
    (stage,) = method.stages(method.options_type())
    assert (stage.epochs, stage.name) == (15, "replacing")
    assert len(method.stages(method.options_type(successor_epochs=3))) == 2


def test_a_run_that_was_killed_ends_with_the_same_weights(executor, toy_job, tmp_path):
    class Killed(Exception):
        pass

    def kill(moment):
        if moment.done == 8:
            raise Killed

    job, other = toy_job("theseus", successor_epochs=1), Executor(Store(tmp_path / "other"), executor.device)
    with pytest.raises(Killed):
        executor.ensure_trained(job, kill)
    executor.ensure_trained(job)
    other.ensure_trained(job)
    weights, whole = executor.run(job).weights(), other.run(job).weights()
    assert all(torch.equal(weights[name], whole[name]) for name in whole)


def test_groups_that_do_not_fit(toy_job):
    with pytest.raises(
        UserError, match=r"2 layers cannot be replaced in groups of 3; set group to one of 2\."
    ):
        toy_job("theseus", group=3)
