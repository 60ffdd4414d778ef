import numpy as np
import pytest
import torch

from eebench.cost.components import model_cost
from eebench.engine.execute import build, build_skeleton
from eebench.errors import ConfigError, UserError
from eebench.methods.catalogue import find_method
from eebench.methods.layerdrop import DroppingModel, LayerdropOptions, kept_layers
from eebench.options import resolve_options
from eebench.training.stages import Step


@pytest.mark.parametrize(
    ("given", "depth", "kept"),
    [
        ({}, 12, (1, 3, 5, 7, 9, 11)),
        ({"keep": 6}, 12, (1, 3, 5, 7, 9, 11)),
        ({"keep": 4}, 12, (1, 4, 7, 10)),
        ({"keep": 9}, 12, (1, 2, 3, 5, 6, 7, 9, 10, 11)),
        ({"layers": (2, 4, 6)}, 6, (2, 4, 6)),
        ({}, 5, (1, 3, 5)),
    ],
)
def test_every_other_layer_stays_or_what_is_asked_for(given, depth, kept):
    assert kept_layers(LayerdropOptions(**given), depth) == kept


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"keep": 3}, "keep=3 layers of a backbone with 2; choose 1..2"),
        ({"layers": [1, 3]}, "layer 3 of a backbone"),
    ],
)
def test_more_layers_than_there_are(toy_job, given, message):
    with pytest.raises(UserError, match=message):
        toy_job("layerdrop", **given)


def test_layers_out_of_order_are_refused():
    with pytest.raises(ConfigError, match="ascending order"):
        resolve_options(find_method("layerdrop"), {"layers": [3, 1]}, "here")


def test_dropped_layers_do_nothing_and_all_may_be_dropped(toy_job):
    model = build(toy_job("layerdrop"))
    assert isinstance(model, DroppingModel)
    model.train()
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    from eebench.backbones.tokens import load_tokenizer

    batch = load_tokenizer("toy").encode([("a good film",), ("bad",)], 16).batch(torch.arange(2).numpy())
    model.draw(1.0)
    assert model.dropped == {1, 2}
    embedded = model.classify(2, model.embed(batch))
    assert torch.equal(model(batch).logits[0], embedded)
    model.draw(0.0)
    assert not model.dropped and not torch.equal(model(batch).logits[0], embedded)


@pytest.mark.parametrize(
    ("given", "expected"), [({}, 0.5), ({"keep": 1}, 0.5), ({"keep": 2}, 0.0), ({"drop_rate": 0.2}, 0.2)]
)
def test_layers_are_dropped_as_often_as_they_will_be_missing(toy_job, given, expected):
    """1 - r / N: one layer of two stays. u <= p drops, so no layer is drawn more than 3 sigma from p."""
    job = toy_job("layerdrop", **given)
    model, (stage, _) = build(job), job.method.stages(job.options)
    torch.manual_seed(0)
    drawn = 0
    for number in range(1000):
        stage.before(model, Step(number, np.arange(1)))
        drawn += len(model.dropped)
    assert abs(drawn / 2000 - expected) <= 3 * (expected * (1 - expected) / 2000) ** 0.5


def test_half_of_the_draws_drop_a_layer_at_rate_one_half(toy_job):
    model = build(toy_job("layerdrop"))
    torch.manual_seed(0)
    drawn = []
    for _ in range(400):
        model.draw(0.5)
        drawn.append(1 in model.dropped)
    assert 160 < sum(drawn) < 240


def test_the_finished_model_is_the_trained_one_without_the_other_layers(executor, toy_job):
    job = toy_job("layerdrop", layers=[2])
    executor.ensure_trained(job)
    finished = executor.model(job).eval()
    assert (finished.depth, finished.exit_layers, len(finished.backbone.layers)) == (1, (1,), 1)
    weights = executor.run(job).weights()
    trained = build(job).eval()
    renamed = {
        name.replace("layers.0.", "layers.1.").replace("heads.1.", "heads.2."): tensor
        for name, tensor in weights.items()
    }
    from eebench.model import copy_weights

    copy_weights(trained, renamed)
    batch = executor.examples(job, "dev").encoded.batch(torch.arange(8).numpy())
    with torch.no_grad():
        assert torch.equal(trained(batch).logits, finished(batch).logits)
        trained.kept = (1, 2)
        assert not torch.equal(trained(batch).logits, finished(batch).logits)


def test_it_costs_what_its_kept_layers_cost(toy_job):
    half, whole = (model_cost(build_skeleton(toy_job(name))) for name in ("layerdrop", "finetune"))
    assert len(half.layers) == 1 and half.layers[0] == whole.layers[0]


def test_a_run_that_was_killed_ends_with_the_same_weights(executor, toy_job, tmp_path):
    from eebench.engine.execute import Executor
    from eebench.store import Store

    class Killed(Exception):
        pass

    def kill(moment):
        if moment.done == 8:
            raise Killed

    job, other = toy_job("layerdrop", drop_rate=0.5), Executor(Store(tmp_path / "other"), executor.device)
    with pytest.raises(Killed):
        executor.ensure_trained(job, kill)
    executor.ensure_trained(job)
    other.ensure_trained(job)
    weights, whole = executor.run(job).weights(), other.run(job).weights()
    assert all(torch.equal(weights[name], whole[name]) for name in whole)
