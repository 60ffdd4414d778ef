import numpy as np
import pytest
import torch

from eebench.backbones.checkpoints import load_backbone
from eebench.backbones.tokens import load_tokenizer
from eebench.errors import DamagedError
from eebench.heads import HeadConfig, exit_heads
from eebench.model import MultiExitModel
from eebench.toy import toy_data
from eebench.trace import Trace, full_precision, length_batches, load_trace, save_trace, trace_model


@pytest.fixture
def traced():
    torch.manual_seed(0)
    backbone = load_backbone("toy")
    model = MultiExitModel(backbone, dict(exit_heads(backbone, 2, HeadConfig(), (1, 2))))
    dev = toy_data().splits["dev"]
    encoded = load_tokenizer("toy").encode(dev.texts, 16)
    return model, encoded, trace_model(model, encoded, dev.labels, torch.device("cpu"))


def test_a_trace_holds_each_samples_own_logits_in_order(traced):
    model, encoded, trace = traced
    assert trace.logits.shape == (2, 48, 2) and trace.exit_layers == (1, 2)
    assert trace.lengths.tolist() == encoded.lengths.tolist() and trace.ids.tolist() == list(range(48))
    with torch.no_grad():
        for row in (0, 17, 47):
            alone = model(encoded.batch(np.array([row]))).logits[:, 0]
            assert torch.allclose(trace.logits[:, row], alone, atol=1e-5)


def test_answers_are_classes_or_scores(traced):
    trace = traced[2]
    assert torch.equal(trace.answers(), trace.logits.argmax(-1))
    scores = Trace((1,), torch.tensor([[[0.5], [2.0]]]), torch.ones(2), torch.ones(2), torch.arange(2))
    assert scores.answers().tolist() == [[0.5, 2.0]]


def test_a_trace_comes_back_from_disk(traced, tmp_path):
    trace = traced[2]
    save_trace(tmp_path / "t", trace, {"split": "dev"})
    back = load_trace(tmp_path / "t")
    assert back.exit_layers == (1, 2) and torch.equal(back.logits, trace.logits)
    assert torch.equal(back.labels, trace.labels) and torch.equal(back.lengths, trace.lengths)
    (tmp_path / "t").write_bytes(b"x")
    with pytest.raises(DamagedError):
        load_trace(tmp_path / "t")


def test_length_batches_cover_every_row_within_the_token_bound():
    lengths = np.random.default_rng(0).integers(1, 100, size=500)
    batches = length_batches(lengths, tokens=300)
    assert sorted(np.concatenate(batches).tolist()) == list(range(500))
    assert all(len(batch) * lengths[batch].max() <= 300 for batch in batches)
    assert [len(batch) for batch in length_batches(np.array([50]), tokens=10)] == [1]


def test_full_precision_puts_the_old_setting_back():
    before = torch.get_float32_matmul_precision()
    with full_precision():
        assert torch.get_float32_matmul_precision() == "highest"
    assert torch.get_float32_matmul_precision() == before


def test_a_cut_keeps_some_samples_of_everything():
    rows = torch.arange(3)
    wide = torch.arange(6, dtype=torch.float32).view(2, 3)
    trace = Trace((1, 2), wide[..., None].expand(2, 3, 2), rows + 5, rows + 10, rows, similarities=wide,
                  executed=wide > 1)  # fmt: skip
    cut = trace.cut(torch.tensor([True, False, True]))
    assert (cut.samples, cut.exit_layers) == (2, (1, 2)) and cut.logits.shape == (2, 2, 2)
    assert (cut.labels.tolist(), cut.lengths.tolist(), cut.ids.tolist()) == ([5, 7], [10, 12], [0, 2])
    assert cut.similarities.tolist() == [[0, 2], [3, 5]] and cut.executed.tolist() == [
        [False, True],
        [True, True],
    ]
    assert cut.scores is None and trace.samples == 3
