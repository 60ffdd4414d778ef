"""Members of a cascade that are other backbones, each with its own tokenizer."""

import json
import shutil
import string
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from eebench.backbones.checkpoints import fingerprint_of, load_backbone
from eebench.backbones.tokens import load_tokenizer
from eebench.cost.conventions import convention, flops
from eebench.cost.paths import full_flops
from eebench.engine.execute import build_skeleton
from eebench.errors import ConfigError, ModelError, UserError
from eebench.methods.catalogue import find_method
from eebench.options import resolve_options
from eebench.predict import Predictor
from eebench.replay import exit_indices, near_threshold
from eebench.rules.catalogue import find_rule
from eebench.runtime import Execution, execute
from eebench.sweep import Accounting, Measured, full_backbone
from eebench.trace import load_trace, save_trace
from eebench.trained import open_run

SMALL = {"folds": 2, "epochs": 1}
CPU = torch.device("cpu")
LETTERS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase,
           *(f"##{letter}" for letter in string.ascii_lowercase)]  # fmt: skip


@pytest.fixture
def letters(tmp_path):
    """A checkpoint that reads letter by letter, narrower than the toy backbone."""
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(LETTERS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=40,
    )  # fmt: skip
    directory = tmp_path / "letters"
    BertModel(config).save_pretrained(directory)
    (directory / "vocab.txt").write_text("\n".join(LETTERS))
    return directory


@pytest.fixture
def mixed(toy_job, letters):
    """A cascade of that checkpoint and the whole toy backbone."""
    return toy_job("cascade", members=[str(letters), "full"], max_length=30, **SMALL)


def test_each_member_is_an_ordinary_run_of_its_own_backbone(executor, mixed, letters):
    assert {need.backbone for role, need in mixed.needs.items() if role.startswith("fold-")} == {str(letters)}
    assert mixed.needs["member-1"].backbone == "toy" and mixed.others == (str(letters),)
    assert mixed.method.exit_layers(mixed.options, 2) == (1, 3)
    assert mixed.method.label(mixed.options) == "cascade-letters-full"
    # [CLS] is what a checkpoint that says nothing is read by; the toy backbone is read by its mean.
    assert mixed.needs["fold-0-0"].options.head.pooling == "cls" and mixed.options.head.pooling == "mean"
    model = executor.model(mixed) if executor.ensure_trained(mixed) else None
    assert [encoder.width for encoder in model.encoders] == [16, 32]


def test_exits_answer_as_the_members_do_on_their_own_tokens(executor, mixed, letters):
    trace = executor.ensure_trace(mixed)
    large = executor.ensure_trace(mixed.needs["member-1"])
    temperature = executor.model(mixed).temperatures.detach()
    assert torch.allclose(trace.logits[1] * temperature[1], large.logits[-1], atol=1e-5)
    texts = mixed.data.splits["dev"].texts
    own, spelt = (load_tokenizer(name).encode(texts, 30).lengths for name in ("toy", str(letters)))
    assert (spelt > own).all() and spelt.max() == 30
    assert trace.sequences.tolist() == [own.tolist(), spelt.tolist()]
    model = executor.model(mixed).eval()
    small, tokens = model.encoders[0], load_tokenizer(str(letters)).encode(texts, 30)
    with torch.no_grad():
        state = small(tokens.batch(np.arange(len(texts))))
        logits = model.heads["1"](state) / temperature[0]
    assert torch.allclose(trace.logits[0], logits, atol=1e-5)


@pytest.mark.parametrize(("executor_name", "size"), [("sequential", 1), ("compact", 7), ("pooled", 7)])
def test_leaving_early_decides_as_the_trace_does(executor, mixed, executor_name, size):
    trace, rule = executor.ensure_trace(mixed), find_rule("max-prob")
    threshold = float(trace.logits[0].softmax(-1).amax(-1).median())
    encoded = executor.examples(mixed, "dev").encoded
    left = list(execute(executor.model(mixed), rule, threshold, encoded, Execution(executor_name, size)))
    replayed = exit_indices(rule, trace, [threshold])[0]
    near = near_threshold(rule, trace, threshold)
    assert set(replayed.tolist()) == {0, 1}
    for row, one in enumerate(left):
        assert near[row] or one.exit_index == int(replayed[row])
        assert torch.allclose(one.logits, trace.logits[one.exit_index, row], atol=1e-4)


def test_every_member_is_charged_at_its_own_length(executor, mixed, letters):
    trace, kind = executor.ensure_trace(mixed), convention("full_2mac")
    measured = Measured.of(mixed, trace, Accounting(kind, None))
    table = measured.table(find_rule("max-prob"))
    costs = table.costs[:, table.column].numpy()
    skeleton_cost, (own, spelt) = measured.cost, trace.sequences.numpy()
    first = skeleton_cost.embedding + skeleton_cost.layers[0] + skeleton_cost.exits[1]
    assert costs[0].tolist() == flops(first, spelt, kind).tolist()
    second = skeleton_cost.layers[1] + skeleton_cost.layers[2] + skeleton_cost.exits[3]
    assert (costs[1] - costs[0]).tolist() == flops(second, own, kind).tolist()
    _, whole = full_backbone(mixed.backbone, mixed.task.classes)
    assert measured.reference == int(full_flops(whole, own, kind).sum())
    # At one padded length both are charged it.
    padded = Measured.of(mixed, trace, Accounting(kind, 128)).table(find_rule("max-prob"))
    assert set(padded.costs[0].tolist()) == {int(flops(first, 128, kind))}


def test_a_trace_keeps_what_each_member_read(executor, mixed, tmp_path):
    trace = executor.ensure_trace(mixed)
    save_trace(tmp_path / "trace.safetensors", trace)
    assert load_trace(tmp_path / "trace.safetensors").others.equal(trace.others)
    some = trace.cut(torch.tensor([4, 1]))
    assert some.sequences.tolist() == trace.sequences[:, [4, 1]].tolist()
    assert replace(trace, others=None).sequences.tolist() == [trace.lengths.tolist()]


def test_a_stored_cascade_answers_texts_and_says_what_they_cost(executor, mixed):
    trace = executor.ensure_trace(mixed)
    predictor = Predictor(open_run(executor.run(mixed).directory), CPU)
    dev = mixed.data.splits["dev"]
    answers = predictor.predict([text for (text,) in dev.texts], rule="max-prob", setting="q=0.6")
    table = Measured.of(mixed, trace, Accounting(convention("full_2mac"), None)).table(find_rule("max-prob"))
    for row, answer in enumerate(answers):
        place = (1, 3).index(answer.exit_layer)
        assert answer.mflops == pytest.approx(int(table.costs[place, table.column[row]]) / 1e6)


def test_another_member_under_the_same_name_is_another_run(toy_job, mixed, letters, executor):
    executor.ensure_trained(mixed)
    config = json.loads((letters / "config.json").read_text())
    torch.manual_seed(4)
    BertModel(BertConfig(**config)).save_pretrained(letters)
    fingerprint_of.cache_clear()
    again = toy_job("cascade", members=[str(letters), "full"], max_length=30, **SMALL)
    assert again.spec.key != mixed.spec.key
    with pytest.raises(UserError, match="has a member '.*letters', which is not there now, or not the one"):
        open_run(executor.run(mixed).directory)
    shutil.rmtree(letters)
    with pytest.raises(UserError, match="put that directory back, or train the run again"):
        open_run(executor.run(mixed).directory)


def test_the_last_member_may_be_named(toy_job, letters, mixed):
    named = toy_job("cascade", members=[str(letters), "toy"], max_length=30, **SMALL)
    assert named.spec.key == mixed.spec.key


@pytest.mark.parametrize(
    ("members", "error", "message"),
    [
        (["toy", "full"], UserError, "has the backbone itself, 'toy', before the end; cut it to a number of layers"),
        (["toy", "minilm-l6"], UserError, "the last member is 'minilm-l6', .* backbone, which is 'toy'; write --backb"),
        (["./nowhere", "full"], ModelError, r"no directory \./nowhere; give a directory with config.json"),
        (["letters", "letters", "full"], ConfigError, "each once"),
        (["", "full"], ConfigError, "members"),
    ],
)  # fmt: skip
def test_members_that_cannot_be(toy_job, members, error, message):
    with pytest.raises(error, match=message):
        toy_job("cascade", members=members)


def test_a_member_without_a_vocabulary_of_its_own(toy_job, letters):
    (letters / "vocab.txt").unlink()
    with pytest.raises(ModelError, match="letters has no vocabulary"):
        toy_job("cascade", members=[str(letters), "full"])


def test_a_member_whose_texts_are_cut_longer_than_it_reads(toy_job, letters):
    with pytest.raises(UserError, match=r"max_length=64 is more than '.*letters' can read; choose 3\.\.40"):
        toy_job("cascade", members=[str(letters), "full"], max_length=64, **SMALL)


def test_settings_of_the_largest_count_layers_as_before():
    options = resolve_options(find_method("cascade"), {"members": [1, "full"]}, "here")
    assert find_method("cascade").others(options) == ()
    assert find_method("cascade").heading(options) == "CascadeBERT (1 + full layers)"
    job_less = find_method("cascade").build(load_backbone("toy"), 2, options)
    assert job_less.sequences == (0, 0)


def test_it_is_counted_without_weights(mixed):
    skeleton = build_skeleton(mixed)
    assert skeleton.exit_layers == (1, 3) and next(skeleton.parameters()).is_meta
