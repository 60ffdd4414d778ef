"""A toy task to go with the toy backbone: shared by unit tests, conformance checks and docs.

A text is positive when it holds more words from one list than from another, so one layer can learn it and
the number of words decides how hard it is.
"""

from __future__ import annotations

import numpy as np

from eebench.tasks.specs import TaskSpec
from eebench.tasks.splits import Split, TaskData, fingerprint

GOOD = ("good", "great", "fine", "warm", "bright")
BAD = ("bad", "poor", "dull", "cold", "grim")
PLAIN = ("the", "film", "was", "a", "day", "and", "we", "saw")


def toy_task(name: str = "toy") -> TaskSpec:
    """Two classes, accuracy."""
    return TaskSpec(name, "toy", ("sentence",), ("negative", "positive"), ("accuracy",), max_length=16)


def toy_data(train: int = 96, dev: int = 48, seed: int = 0) -> TaskData:
    """Random sentences of 4 to 12 words; the same for the same arguments."""
    random = np.random.default_rng(seed)
    splits = {"train": toy_split(train, random), "dev": toy_split(dev, random)}
    return TaskData(toy_task(), splits, fingerprint(splits))


def toy_scores(train: int = 96, dev: int = 48, seed: int = 0) -> TaskData:
    """The same sentences as a regression: 5 for a positive one, 1 for a negative one, less its number of words / 10."""
    data = toy_data(train, dev, seed)
    spec = TaskSpec(
        "toy-scores", "toy", ("sentence",), (), ("pearson",), max_length=16, label_range=(0.0, 5.0)
    )
    splits = {
        name: Split(
            split.texts,
            np.array(
                [
                    1 + 4 * label - len(text.split()) / 10
                    for (text,), label in zip(split.texts, split.labels, strict=True)
                ],
                dtype=np.float32,
            ),
            split.ids,
        )
        for name, split in data.splits.items()
    }
    return TaskData(spec, splits, fingerprint(splits))


def toy_split(rows: int, random: np.random.Generator) -> Split:
    """`rows` labelled sentences drawn from `random`."""
    texts: list[tuple[str, ...]] = []
    labels = []
    for row in range(rows):
        label = row % 2
        words = [
            *random.choice(GOOD if label else BAD, size=random.integers(1, 4)),
            *random.choice(PLAIN, size=random.integers(3, 9)),
        ]
        random.shuffle(words)
        texts.append((" ".join(words),))
        labels.append(label)
    return Split(texts, np.array(labels, dtype=np.int64), np.arange(rows, dtype=np.int64))
