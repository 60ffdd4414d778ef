"""Requests that arrive by the clock at one machine: what leaving early does to their waiting times.

Arrivals are a Poisson process, put into a queue by a thread of their own whether or not the model keeps up. A batch
goes when it is full, or when its first request has waited long enough. Latency counts from the moment a request was
due to arrive, so that a late answer to one is not hidden in a late arrival of the next.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from threading import Event, Thread

import numpy as np
import torch
from numpy.typing import NDArray

from eebench.backbones.tokens import Encoded
from eebench.engine.turns import clock
from eebench.errors import UserError
from eebench.predict import Choice, Predictor
from eebench.runtime.entries import Entry, moved
from eebench.runtime.executors import Pool
from eebench.runtime.walking import Group, Walk

Encode = Callable[[Sequence[tuple[str, ...]]], Encoded]
KEPT_UP = 0.9
"""The share of requests answered by the time the last one arrives, below which the machine did not keep up."""
WARM_UP_BATCHES = 3
LEAD_SECONDS = 0.05
"""From starting the clock to the first possible arrival: the thread has to be running by then."""


@dataclass(frozen=True)
class Load:
    """The requests: how many, at what mean `rate` per second, and how long one may wait for company."""

    rate: float
    requests: int = 500
    batch_size: int = 32
    longest_wait_seconds: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise UserError(f"--rate {self.rate:g}: write how many requests arrive in a second, more than 0.")
        if self.requests < 1 or self.batch_size < 1 or self.longest_wait_seconds < 0:
            raise UserError("a load needs at least one request, batches of one, and a wait of 0 ms or more.")

    def arrivals(self) -> NDArray[np.float64]:
        """Seconds from the start at which each request arrives, fp64 [N], ascending; the same for the same seed."""
        gaps = np.random.default_rng(self.seed).exponential(1.0 / self.rate, self.requests)
        return np.cumsum(gaps)

    def choice(self, texts: int) -> NDArray[np.int64]:
        """Which of `texts` texts each request has, int64 [N]."""
        return np.random.default_rng([self.seed, 1]).integers(texts, size=self.requests)


@dataclass(frozen=True)
class Served:
    """What became of N requests: seconds from the start at which each `arrived` and was `answered`, fp64 [N].

    `layers` int64 [N] is how many layers ran for each.
    """

    arrived: NDArray[np.float64]
    answered: NDArray[np.float64]
    layers: NDArray[np.int64]
    batch_size: int

    @property
    def throughput(self) -> float:
        """Answers per second, from the first arrival to the last answer; under saturation the most it can do."""
        return len(self.arrived) / float(self.answered.max() - self.arrived[0])

    @property
    def waits_ms(self) -> NDArray[np.float64]:
        """Latency of each request in milliseconds, fp64 [N]."""
        return 1e3 * (self.answered - self.arrived)

    def percentile_ms(self, percent: float) -> float:
        """The latency within which `percent` of the requests were answered."""
        return float(np.percentile(self.waits_ms, percent))

    @property
    def backlog(self) -> int:
        """Requests without an answer when the last one arrived."""
        return int((self.answered > self.arrived[-1]).sum())

    @property
    def saturated(self) -> bool:
        """Whether requests arrived faster than they were answered: then latency grows as long as they do."""
        behind = self.backlog > (1.0 - KEPT_UP) * len(self.arrived)
        return behind and self.backlog > 2 * self.batch_size


class Desk:
    """Requests that have arrived and wait for their batch."""

    def __init__(self, load: Load, arrivals: NDArray[np.float64]) -> None:
        self.load, self.arrivals = load, arrivals
        self.inbox: SimpleQueue[int] = SimpleQueue()
        self.start = 0.0
        self._waiting: deque[int] = deque()
        self._missing = load.requests

    @contextmanager
    def open(self) -> Iterator[None]:
        """Requests arrive meanwhile."""
        stop = Event()
        self.start = time.perf_counter() + LEAD_SECONDS
        thread = Thread(target=self._feed, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _feed(self, stop: Event) -> None:
        for number, due in enumerate(self.arrivals.tolist()):
            if stop.wait(max(0.0, self.start + due - time.perf_counter())):
                return
            self.inbox.put(number)

    def batch(self) -> list[int]:
        """The requests of the next batch; none unless it is full or its first one has waited long enough."""
        while (number := self._arrived(0.0)) is not None:
            self._waiting.append(number)
        full = len(self._waiting) >= self.load.batch_size
        if not full and (not self._waiting or self._left() > 0):
            return []
        return [self._waiting.popleft() for _ in range(min(self.load.batch_size, len(self._waiting)))]

    def wait(self) -> bool:
        """Waits for the next request, or until a batch is due; False when nothing more will come."""
        if not self._missing:
            # The desk does not know that nobody else will come, and waits for company all the same.
            time.sleep(max(0.0, self._left()) if self._waiting else 0.0)
            return bool(self._waiting)
        number = self._arrived(max(0.0, self._left()) if self._waiting else None)
        if number is not None:
            self._waiting.append(number)
        return True

    def _left(self) -> float:
        """Seconds that the first waiting request may still wait."""
        due = self.start + float(self.arrivals[self._waiting[0]]) + self.load.longest_wait_seconds
        return due - time.perf_counter()

    def _arrived(self, timeout: float | None) -> int | None:
        if not self._missing:
            return None
        try:
            number = self.inbox.get(timeout=timeout) if timeout != 0.0 else self.inbox.get_nowait()
        except Empty:
            return None
        self._missing -= 1
        return number


class Server:
    """Answers requests with one model under one setting; `pooled` joins rows that stand at the same depth.

    In the pool a full group goes first, or one that has waited `longest_wait_seconds` at its depth, then a batch
    that is due, and when the machine would be idle whatever waits.
    Without it, the full model's way, a batch runs to its end before the next begins.
    """

    def __init__(self, walk: Walk, encode: Encode, device: torch.device, pooled: bool) -> None:
        self.walk, self.encode, self.device, self.pooled = walk, encode, device, pooled

    def serve(self, texts: Sequence[tuple[str, ...]], load: Load) -> Served:
        """Serves the whole load on the clock."""
        requests = [texts[place] for place in load.choice(len(texts)).tolist()]
        self._warm_up(requests, load.batch_size)
        arrivals = load.arrivals()
        desk = Desk(load, arrivals)
        serving = Serving(self, requests, desk)
        with desk.open():
            serving.run()
        return Served(arrivals, serving.answered - desk.start, serving.layers, load.batch_size)

    def _warm_up(self, requests: Sequence[tuple[str, ...]], size: int) -> None:
        for _ in range(WARM_UP_BATCHES):
            group: Group | None = self.walk.enter(self.entry(range(min(size, len(requests))), requests))
            while group is not None:
                _, group = self.walk.onward(group)

    def entry(self, numbers: Sequence[int], requests: Sequence[tuple[str, ...]]) -> Entry:
        """Requests as one batch; tokenising is part of serving."""
        encoded = self.encode([requests[number] for number in numbers])
        rows = np.arange(len(numbers), dtype=np.int64)
        batch = moved(encoded.batch(rows), self.device)
        return Entry(np.array(numbers, dtype=np.int64), encoded.lengths, batch)


def serve_load(
    predictor: Predictor, texts: Sequence[tuple[str, ...]], load: Load, choice: Choice, pooled: bool
) -> Served:
    """Serves a load with a trained run at one setting of a rule."""
    walk = Walk(predictor.model, choice.rule, choice.threshold)
    return Server(walk, predictor.encode, predictor.device, pooled).serve(texts, load)


class Serving:
    """One load on its way; `answered` fp64 [N] on the clock, `layers` int64 [N]."""

    def __init__(self, server: Server, requests: Sequence[tuple[str, ...]], desk: Desk) -> None:
        self.server, self.requests, self.desk = server, requests, desk
        self.pool = Pool(server.walk, desk.load.batch_size, desk.load.longest_wait_seconds)
        self.answered = np.zeros(len(requests))
        self.layers = np.zeros(len(requests), dtype=np.int64)

    def run(self) -> None:
        """Goes on until every request is answered."""
        while True:
            group = self._next()
            if group is not None:
                self._advance(group)
            elif not self.desk.wait():
                return

    def _next(self) -> Group | None:
        """What goes on now, None when there is nothing but waiting."""
        due = self.pool.due(time.perf_counter())
        if due is not None:
            return due
        numbers = self.desk.batch()
        if numbers:
            return self.server.walk.enter(self.server.entry(numbers, self.requests))
        return self.pool.shallowest()

    def _advance(self, group: Group) -> None:
        rest: Group | None = group
        while rest is not None:
            departure, rest = self.server.walk.onward(rest)
            if departure is not None:
                ran = departure.layer if departure.executed is None else departure.executed.cpu().numpy()
                self.answered[departure.places] = clock(self.server.device)
                self.layers[departure.places] = ran
            if rest is not None and self.server.pooled:
                self.pool.put(replace(rest, since=time.perf_counter()))
                return
