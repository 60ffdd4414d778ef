import pytest

from eebench.backbones.checkpoints import load_backbone
from eebench.errors import UnknownName
from eebench.methods.catalogue import BUILT_IN, find_method, methods
from eebench.rules.catalogue import RULES


def test_every_method_names_a_rule_a_paper_and_stages():
    for name, method in methods().items():
        assert method.name == name and method.title and method.paper
        assert method.default_rule in RULES
        options = method.options_type()
        assert method.stages(options), name


def test_an_unknown_method():
    with pytest.raises(UnknownName, match="unknown method 'pabbe'; did you mean 'pabee'"):
        find_method("pabbe")


# Parameters of one more exit at BERT-base width and two classes, by each paper's head.
EXTRA = {
    "joint": 1538,
    "pabee": 1538,
    "shallow-deep": 1538,
    "ml": 1538,
    "gaml": 1538,
    "deebert": 590592 + 1538,
}


@pytest.mark.parametrize("name", [method.name for method in BUILT_IN if method.name in EXTRA])
def test_the_default_head_of_each_method_has_its_papers_size(name):
    import torch
    from transformers import BertConfig, BertModel

    from eebench.backbones.bert import BertBackbone

    method = find_method(name)
    counts = []
    for layers in (2, 3):
        with torch.device("meta"):
            backbone = BertBackbone(BertModel(BertConfig(num_hidden_layers=layers)))
            model = method.build(backbone, 2, method.options_type())
        counts.append(model.parameter_count() - sum(p.numel() for p in backbone.parameters()))
    assert counts[1] - counts[0] == EXTRA[name]


def test_first_k_of_bert_base_has_the_published_parameters():
    import torch
    from transformers import BertConfig, BertModel

    from eebench.backbones.bert import BertBackbone

    def parameters(layers):
        with torch.device("meta"):
            backbone = BertBackbone(BertModel(BertConfig(num_hidden_layers=layers)))
            method = find_method("finetune")
            return method.build(backbone, 2, method.options_type()).parameter_count()

    assert parameters(12) - 1538 == 109_482_240  # without the classifier
    assert parameters(6) - 1538 == 66_955_008


def test_two_methods_with_one_recipe_resolve_to_the_same_training():
    pabee, shallow = find_method("pabee"), find_method("shallow-deep")
    assert pabee.recipe == shallow.recipe
    assert pabee.options_type().model_dump() == shallow.options_type().model_dump()
    backbone = load_backbone("toy")
    assert pabee.build(backbone, 2, pabee.options_type()).exit_layers == (1, 2)
