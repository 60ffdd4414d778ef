"""`eebench latency`: what leaving early saves in time, beside what it saves in FLOPs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eebench.cli.settings import RUNS, DataDir, Device, Runs

if TYPE_CHECKING:
    from eebench.engine.execute import Executor
    from eebench.latency.measure import Protocol
    from eebench.latency.places import Place
    from eebench.latency.table import LatencyRow
    from eebench.suites import CostEntry


def latency(
    suite: Annotated[str, typer.Option(help="Name of a suite, or the path of a YAML file.")],
    only: Annotated[str, typer.Option(help="What to measure, e.g. method=joint,task=rte.")] = "",
    rule: Annotated[
        list[str] | None, typer.Option(help="A rule in place of each method's own; may be repeated.")
    ] = None,
    at: Annotated[
        list[str] | None, typer.Option(help="A setting, e.g. entropy:S=0.3; may be repeated.")
    ] = None,
    speedup: Annotated[
        str,
        typer.Option(
            help="Without --at: the setting with the best dev score at this speed-up in FLOPs or more."
        ),
    ] = "2x",
    batch_size: Annotated[list[int] | None, typer.Option(help="May be repeated; default 1 and 32.")] = None,
    executor: Annotated[
        list[str] | None, typer.Option(help="sequential (batch size 1), compact, pooled; default: all.")
    ] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Dev samples run; default: all.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Passes of each that count, after a warm-up.")] = 5,
    precision: Annotated[str, typer.Option(help="fp32, or autocast to bf16 or fp16.")] = "fp32",
    results: Annotated[Path, typer.Option(help="Where results are written.")] = Path("results"),
    data_dir: DataDir = None,
    device: Device = "auto",
    runs: Runs = RUNS,
) -> None:
    """Measure the time of trained models that leave early, in turns with the full model, batched alike.

    With --only method=... the rows of other methods and batch sizes stay in latency.csv. Runs must have been trained.

    Examples:

        eebench latency --suite quickstart

        eebench latency --suite quickstart --only method=joint --at entropy:S=0.3 --batch-size 1
    """
    from eebench.cli.settings import find_device
    from eebench.engine.execute import Executor
    from eebench.latency.choosing import parse_at, parse_speedup
    from eebench.latency.measure import Protocol
    from eebench.latency.places import Wanted, trained_places
    from eebench.latency.table import LATENCY
    from eebench.plan import Planner, parse_only
    from eebench.runtime.walking import find_precision
    from eebench.store import Store
    from eebench.suites import load_suite
    from eebench.timings import merged
    from eebench.training.precision import auto_precision

    loaded, place = load_suite(suite), find_device(device)
    wanted = Wanted(loaded, parse_only(only), rule or ())
    protocol = Protocol(
        tuple(batch_size or Protocol.batch_sizes), tuple(executor or Protocol.executors), repeats, samples,
        find_precision(precision), parse_speedup(speedup), [parse_at(text) for text in at or ()],
    )  # fmt: skip
    store, folder = Executor(Store(runs), place), results / loaded.name
    known = LATENCY.read(folder)
    places = trained_places(wanted, Planner(data_dir, auto_precision(place)), store)
    whole = "method" not in wanted.only
    found = measured(places, protocol, loaded.cost, store, [] if whole else known)
    path = LATENCY.write(folder, merged(known, found, whole))
    show(found)
    typer.echo(f"\nwrote {path}; `eebench report --suite {loaded.name}` shows it.")


def measured(
    places: Sequence[Place],
    protocol: Protocol,
    cost: CostEntry,
    store: Executor,
    kept: Sequence[LatencyRow],
) -> list[LatencyRow]:
    """The rows of all places, FLOPs counted at real length whatever length the suite charges.

    Before anything runs, UserError when rows that are `kept` were measured otherwise.
    """
    from rich.console import Console
    from rich.progress import Progress

    from eebench.latency.measure import Bench, measure_latency
    from eebench.sweep import Accounting

    accounting = Accounting(Accounting.of(cost).convention, None)
    benches = [Bench(store, place.reference, accounting, protocol) for place in places]
    for bench in benches:
        bench.check_alike(kept)
    found: list[LatencyRow] = []
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        for place, bench in zip(places, benches, strict=True):
            job = place.reference
            line = bar.add_task(f"{job.task.name}, {job.backbone}", total=None)
            found += measure_latency(
                place.candidates,
                bench,
                lambda done, total, line=line: bar.update(line, completed=done, total=total),  # type: ignore[misc]
            )
    return found


def show(rows: Sequence[LatencyRow]) -> None:
    """The measured times on the terminal, and in words where leaving early costs time."""
    from eebench.cli.tables import print_table
    from eebench.latency.table import slower_than_full

    headers = (
        "method", "rule", "setting", "executor", "batch", "score", "ms / sample", "p95 ms", "FLOPs", "time",
        "efficiency",
    )  # fmt: skip
    print_table(
        [
            (
                row.method, row.rule, row.setting, row.executor, row.batch_size, f"{100 * row.score:.1f}",
                f"{1e3 * row.seconds_per_sample:.2f}", f"{row.p95_ms:.1f}", f"{row.speedup_flops:.2f}x",
                f"{row.speedup_time:.2f}x", f"{row.efficiency:.2f}",
            )
            for row in rows
        ],
        headers,
    )  # fmt: skip
    for sentence in slower_than_full(rows):
        typer.echo(sentence)
