import numpy as np

from eebench.toy import BAD, GOOD, toy_data, toy_split, toy_task


def test_the_same_arguments_give_the_same_data():
    assert toy_data().fingerprint == toy_data().fingerprint
    assert toy_data(seed=1).fingerprint != toy_data().fingerprint
    assert toy_data(dev=8).fingerprint != toy_data().fingerprint


def test_sizes_and_balance():
    data = toy_data(train=10, dev=6)
    assert {name: len(split.texts) for name, split in data.splits.items()} == {"train": 10, "dev": 6}
    assert data.splits["train"].labels.tolist() == [0, 1] * 5
    assert data.spec == toy_task() and toy_task("other").name == "other"


def test_the_label_is_the_list_the_words_come_from():
    split = toy_split(40, np.random.default_rng(3))
    for (text,), label in zip(split.texts, split.labels, strict=True):
        words = text.split()
        good, bad = (sum(word in names for word in words) for names in (GOOD, BAD))
        assert (good, bad) == ((good, 0) if label else (0, bad)) and good + bad in (1, 2, 3)
        assert 4 <= len(words) <= 12
