import pytest
import torch

from eebench.backbones.checkpoints import load_backbone
from eebench.heads import HeadConfig
from eebench.methods.base import Method
from eebench.training.options import TrainingOptions
from eebench.training.stages import Stage


class Plain(Method):
    """The least a method has to say."""

    name, title, paper, default_rule = "plain", "Plain", "none", "entropy"

    def stages(self, options):
        return [Stage("one", options.epochs, options.lr, lambda outputs, labels, step: {})]


def test_by_default_every_layer_gets_an_exit_and_nothing_is_needed():
    method, options = Plain(), TrainingOptions(head=HeadConfig(pooler="none"))
    model = method.build(load_backbone("toy"), 3, options)
    assert model.exit_layers == (1, 2) and model.classes == 3
    assert (method.recipe, method.label(options), method.depth(options, 12)) == ("plain", "plain", 12)
    assert method.needs(options) == {} and method.version == 1
    finished = method.finished(load_backbone("toy"), 3, options)
    assert [p.shape for p in finished.parameters()] == [p.shape for p in model.parameters()]
    before = [parameter.clone() for parameter in model.parameters()]
    method.initialise(model, {})
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_method_without_stages_cannot_be_made():
    with pytest.raises(TypeError, match="abstract"):
        type("Half", (Method,), {"name": "half"})()


def test_results_name_the_form_of_the_exits():
    heads = {"none": "linear", "tanh": "tanh pooler", "own": "own pooler", "shared": "shared pooler"}
    for pooler, form in heads.items():
        assert Plain().exit_form(TrainingOptions(head=HeadConfig(pooler=pooler))) == form
    attention = HeadConfig(attention="fastbert")
    assert Plain().exit_form(TrainingOptions(head=attention)) == "fastbert attention"
