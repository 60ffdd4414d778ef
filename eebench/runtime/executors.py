"""The orders in which groups go on: one sample at a time, batches that shrink, batches that are filled up again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

from eebench.errors import UserError, closest
from eebench.runtime.entries import Entry
from eebench.runtime.walking import Departure, Group, Walk

LONGEST_WAIT = 8
"""Batches that may enter while a row waits for company; after them it waits no more, at any depth."""

ALIKE = 1.25
"""Rows are joined when the longest has at most about this many times the tokens of the shortest group."""

Order = Callable[[Walk, Iterable[Entry], int], Iterator[Departure]]
"""Rows in the order they leave, from a walk, the batches of the stream and their size."""


def compact(walk: Walk, batches: Iterable[Entry], size: int = 1) -> Iterator[Departure]:
    """Batch after batch; rows that leave are dropped from theirs, and padding is cut to the longest row left."""
    for entry in batches:
        if len(entry.places) == 1:
            yield walk.single(entry)
            continue
        group: Group | None = walk.enter(entry)
        while group is not None and len(group) > 1:
            departure, group = walk.onward(group)
            if departure is not None:
                yield departure
        if group is not None:
            yield walk.alone(group)


def pooled(walk: Walk, batches: Iterable[Entry], size: int) -> Iterator[Departure]:
    """Batches that are no longer full wait at their depth for rows of later ones, so that late layers run full.

    Groups of `size` to 2 `size` - 1 rows go on, the deepest first. What waits is bounded: fewer than `size` rows per
    exit and length class, none for longer than `LONGEST_WAIT` batches.
    """
    pool = Pool(walk, size, LONGEST_WAIT)
    for number, entry in enumerate(batches):
        group: Group | None = walk.enter(entry, number)
        while group is not None:
            departure, rest = walk.onward(group)
            if departure is not None:
                yield departure
            if rest is not None:
                pool.put(rest)
            group = pool.due(number)
    while (group := pool.shallowest()) is not None:
        departure, rest = walk.onward(group)
        if departure is not None:
            yield departure
        if rest is not None:
            pool.put(rest)


class Pool:
    """Groups that wait, by their layer and length class; none for longer than `longest_wait`.

    Time is what its groups are dated in: batches that entered, or seconds.
    """

    def __init__(self, walk: Walk, size: int, longest_wait: float) -> None:
        self.walk, self.size, self.longest_wait = walk, size, longest_wait
        self._waiting: dict[tuple[int, int], list[Group]] = {}

    def put(self, group: Group) -> None:
        """Lets a group wait."""
        self._waiting.setdefault((group.layer, length_class(group.width)), []).append(group)

    def due(self, now: float) -> Group | None:
        """The deepest group that is full, or has waited long enough by `now`."""
        for key in sorted(self._waiting, reverse=True):
            groups = self._waiting[key]
            full = sum(map(len, groups)) >= self.size
            if full or now - min(group.since for group in groups) >= self.longest_wait:
                return self.walk.join(self._waiting.pop(key))
        return None

    def shallowest(self) -> Group | None:
        """The group with the most layers to go: run in this order, all that is left meets at the later layers."""
        return self.walk.join(self._waiting.pop(min(self._waiting))) if self._waiting else None


def length_class(width: int) -> int:
    """The step of the ladder 1, `ALIKE`, `ALIKE`^2, ... that a number of tokens stands on."""
    return int(math.log(width) / math.log(ALIKE))


EXECUTORS: dict[str, Order] = {"sequential": compact, "compact": compact, "pooled": pooled}
"""How groups go on, by name; `sequential` is `compact` with batches of one."""


def find_executor(name: str) -> Order:
    """The executor called `name`; UserError with the names there are."""
    if name not in EXECUTORS:
        near = closest(name, EXECUTORS)
        hint = f"did you mean '{near}'?" if near else f"choose one of {', '.join(EXECUTORS)}."
        raise UserError(f"unknown executor '{name}'; {hint}")
    return EXECUTORS[name]
