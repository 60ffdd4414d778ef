import numpy as np
import pytest
import torch

from eebench.backbones.checkpoints import load_backbone
from eebench.backbones.tokens import load_tokenizer
from eebench.engine.execute import build_skeleton
from eebench.losses import exit_losses
from eebench.methods.catalogue import find_method
from eebench.training.evaluation import exit_scores


def gradients(equilibrium, exits=(0, 1)):
    """Gradients by parameter of the sum of the chosen exits' losses, dropout off."""
    method = find_method("elasticbert")
    options = method.options_type(gradient_equilibrium=equilibrium, head={"pooler": "none", "dropout": 0.0})
    torch.manual_seed(0)
    model = method.build(load_backbone("toy"), 2, options).double().train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    encoded = load_tokenizer("toy").encode([("a good day",), ("grim film and cold",)], 16)
    logits = _logits(model, encoded.batch(np.arange(2)))
    exit_losses(logits, torch.tensor([1, 0]))[list(exits)].sum().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def _logits(model, batch):
    state, logits = model.embed(batch), []
    for layer in (1, 2):
        state = model.advance(layer, state)
        logits.append(model.heads[str(layer)](state))
        state = model.onward(layer, state)
    return torch.stack(logits)


def test_layers_get_the_average_of_their_exits_and_heads_their_own():
    together, first, second = gradients(True), gradients(False, (0,)), gradients(False, (1,))
    for name, gradient in together.items():
        if name.startswith("heads."):
            expected = first[name] + second[name]  # zero for the exit left out
        elif name.startswith("backbone.layers.1."):
            expected = second[name]  # only exit 2 comes after layer 2
        else:
            expected = (first[name] + second[name]) / 2
        assert torch.allclose(gradient, expected, atol=1e-12), name


def test_fewer_layers_are_another_model_and_all_of_them_keep_their_name(toy_job):
    method = find_method("elasticbert")
    whole, cut = method.options_type(), method.options_type(layers=1)
    assert [method.label(options) for options in (whole, cut)] == ["elasticbert", "elasticbert-1"]
    assert method.heading(cut) == "ElasticBERT, first 1 layer"
    assert (method.depth(whole, 2), method.depth(cut, 2)) == (2, 1)
    assert "layers" not in whole.model_dump(mode="json") and cut.model_dump(mode="json")["layers"] == 1
    job = toy_job("elasticbert", layers=1)
    assert build_skeleton(job).exit_layers == (1,) and job.spec.key != toy_job("elasticbert").spec.key


def test_evaluation_is_untouched():
    method = find_method("elasticbert")
    model = method.build(load_backbone("toy"), 2, method.options_type()).eval()
    encoded = load_tokenizer("toy").encode([("a good day",)], 16)
    state = model.advance(1, model.embed(encoded.batch(np.array([0]))))
    assert model.onward(1, state) is state


def test_it_trains_with_the_plain_sum(executor, toy_job):
    job = toy_job("elasticbert")
    (stage,) = job.method.stages(job.options)
    assert job.options.exit_weights == "sum" and job.options.weight_decay == pytest.approx(0.1)
    assert executor.ensure_trace(job).logits.shape[0] == 2 and stage.name == "joint"


def test_the_epoch_with_the_best_mean_over_exits_is_kept(executor, toy_job):
    defaults = find_method("elasticbert").options_type()
    assert defaults.select == "best" and defaults.holdout == 0.0
    job = toy_job("elasticbert", select=defaults.select, epochs=4)
    history = executor.ensure_trained(job).record()["history"]
    scores = [record["exit_scores"] for record in history]
    best = max(scores, key=lambda exits: sum(exits) / len(exits))
    trace = executor.ensure_trace(job)
    assert exit_scores(trace, "accuracy") == best and best != scores[-1]
