import os
import subprocess
import sys
from pathlib import Path

import pytest

import eebench
from eebench.backbones.checkpoints import load_backbone
from eebench.errors import UnknownName
from eebench.methods.catalogue import BUILT_IN, find_method, methods
from eebench.rules.catalogue import RULES, find_rule


def test_every_method_names_a_rule_a_paper_and_stages():
    for name, method in methods().items():
        assert method.name == name and method.title and method.paper
        assert find_rule(method.default_rule).name in RULES
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


PLUGIN = """
from eebench.losses import exit_losses
from eebench.methods.base import Method
from eebench.training.stages import Stage

class LastTwo(Method):
    name, title, paper, default_rule = "last-two", "Last two exits", "this file", "entropy"

    def stages(self, options):
        return [Stage("all", options.epochs, options.lr, loss)]

def loss(outputs, labels, step):
    return {"loss": exit_losses(outputs.logits[-2:], labels).sum()}
"""


def install(folder, name, target, source):
    """A plug-in as pip leaves it: a module and the metadata that names its entry point."""
    (folder / f"{name.replace('-', '_')}.py").write_text(source)
    metadata = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[eebench.methods]\n{name} = {target}\n")


def test_a_method_from_outside_trains_and_a_broken_one_fails_alone(toy_suite, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    install(site, "last-two", "last_two:LastTwo", PLUGIN)
    install(site, "broken", "broken:Broken", "import nothing_of_this_name\n")
    install(site, "wrong", "wrong:Wrong", "class Wrong: pass\n")
    start = toy_suite.read_text().split("methods:")[0].replace("[1, 2]", "[1]")
    (tmp_path / "mine.yaml").write_text(start + "methods: [last-two, broken, wrong, finetune]\n")
    path = os.pathsep.join([str(site), str(Path(eebench.__file__).parents[1])])  # this tree, installed or not
    done = subprocess.run(
        [sys.executable, "-m", "eebench", "sweep", "--suite", "mine.yaml"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr
    rows = (tmp_path / "results/mine/runs.csv").read_text().splitlines()
    states = {row.split(",")[2]: row.split(",")[4] for row in rows[1:]}
    assert states == {"last-two": "ok", "broken": "failed", "wrong": "failed", "finetune": "ok"}
    assert "ModuleNotFoundError: No module named 'nothing_of_this_name'" in done.stderr
    assert "is no subclass of eebench's Method" in done.stderr
