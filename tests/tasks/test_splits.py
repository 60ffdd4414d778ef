from __future__ import annotations

import hashlib

import numpy as np
import pytest

from eebench.errors import UserError
from eebench.tasks.splits import Split, fingerprint, hold_out, partition


def split_of(texts: list[str], labels: list[int]) -> Split:
    return Split([(text,) for text in texts], np.array(labels, dtype=np.int64), np.arange(len(texts)))


def numbered(count: int, classes: int = 2) -> Split:
    return split_of([f"text {i}" for i in range(count)], [i % classes for i in range(count)])


def rows(split: Split) -> list[tuple[str, int]]:
    return [(text, label) for (text,), label in zip(split.texts, split.labels.tolist(), strict=True)]


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="equally long, not 1, 2, 1"):
        Split([("a",)], np.zeros(2, dtype=np.int64), np.zeros(1, dtype=np.int64))


def test_take_keeps_ids_and_order():
    taken = numbered(5).take(np.array([3, 1]))
    assert rows(taken) == [("text 3", 1), ("text 1", 1)]
    assert taken.ids.tolist() == [3, 1]
    assert len(numbered(5).take([])) == 0


def test_head_is_nested_seeded_and_in_row_order():
    split = numbered(50)
    small, large = split.head(5), split.head(20)
    assert set(small.ids) < set(large.ids)
    assert large.ids.tolist() == sorted(large.ids)
    assert len(small) == 5
    assert split.head(20, seed=1).ids.tolist() != large.ids.tolist()
    assert split.head(50) is split


def test_head_of_nothing_is_refused():
    with pytest.raises(UserError, match="cannot keep 0 rows"):
        numbered(3).head(0)


def test_head_orders_by_sha256_of_seed_and_text():
    split = numbered(6)
    keys = [hashlib.sha256(f"0\x1f{text}".encode()).digest() for (text,) in split.texts]
    assert split.head(2).ids.tolist() == sorted(sorted(range(6), key=keys.__getitem__)[:2])


def test_fingerprint_is_that_of_the_content():
    split = split_of(["a"], [1])
    expected = hashlib.sha256(b'train\n["a",1]\n').hexdigest()
    assert fingerprint({"train": split}) == expected
    assert fingerprint({"train": split, "test": numbered(3)}) == expected
    assert fingerprint({"train": split_of(["a"], [0])}) != expected
    assert fingerprint({"dev": split}) != expected
    assert fingerprint({"test": split}) != fingerprint({"test": numbered(3)})


def test_fingerprint_keeps_the_texts_of_a_pair_apart():
    labels, ids = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    assert fingerprint({"train": Split([("a", "b c")], labels, ids)}) != fingerprint(
        {"train": Split([("a b", "c")], labels, ids)}
    )


def test_hold_out_is_stratified_complete_and_deterministic():
    split = numbered(100, classes=4)
    rest, held = hold_out(split, 0.2, seed=3)
    assert np.bincount(held.labels).tolist() == [5, 5, 5, 5]
    assert sorted([*rest.ids, *held.ids]) == list(range(100))
    assert hold_out(split, 0.2, seed=3)[1].ids.tolist() == held.ids.tolist()
    assert hold_out(split, 0.2, seed=4)[1].ids.tolist() != held.ids.tolist()


def test_hold_out_does_not_depend_on_row_order():
    split = numbered(40)
    turned = split.take(range(39, -1, -1))
    assert sorted(rows(hold_out(split, 0.25, 0)[1])) == sorted(rows(hold_out(turned, 0.25, 0)[1]))


def test_hold_out_gives_rare_classes_to_both_sides():
    split = split_of([f"t{i}" for i in range(102)], [0] * 100 + [1] * 2)
    rest, held = hold_out(split, 0.01, 0)
    assert np.bincount(held.labels).tolist() == [1, 1]
    assert np.bincount(rest.labels).tolist() == [99, 1]


def test_hold_out_keeps_equal_texts_together():
    split = split_of([f"t{i // 4}" for i in range(40)], [0] * 40)
    rest, held = hold_out(split, 0.25, 0)
    assert not set(rest.texts) & set(held.texts)
    assert len(held) == 12


def test_hold_out_of_scores_is_not_stratified():
    split = Split([(f"t{i}",) for i in range(10)], np.linspace(0, 5, 10, dtype=np.float32), np.arange(10))
    rest, held = hold_out(split, 0.3, 0)
    assert (len(rest), len(held)) == (7, 3)
    assert held.labels.dtype == np.float32


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 2.0])
def test_hold_out_refuses_fractions_out_of_range(fraction: float):
    with pytest.raises(UserError, match="between 0 and 1"):
        hold_out(numbered(10), fraction, 0)


def test_hold_out_refuses_a_single_row():
    with pytest.raises(UserError, match="of 1 rows; give more rows"):
        hold_out(numbered(1), 0.5, 0)


def test_partition_cuts_every_class_in_hash_order():
    split = numbered(20)
    parts = partition(split, (("train", 70), ("dev", 30)))
    by_hash = sorted(rows(split), key=lambda row: hashlib.sha256(row[0].encode()).digest())
    train = {row for label in (0, 1) for row in [row for row in by_hash if row[1] == label][:7]}
    assert rows(parts["train"]) == [row for row in by_hash if row in train]
    assert rows(parts["dev"]) == [row for row in by_hash if row not in train]
    assert parts["dev"].ids.tolist() == list(range(6))


def test_partition_does_not_tear_equal_texts_apart_and_drops_nothing():
    split = split_of(["same"] * 3 + [f"t{i}" for i in range(7)], [0] * 10)
    for share in range(10, 100, 10):
        parts = partition(split, (("train", share), ("dev", 100 - share)))
        assert not set(parts["train"].texts) & set(parts["dev"].texts)
        assert len(parts["train"]) + len(parts["dev"]) == 10
