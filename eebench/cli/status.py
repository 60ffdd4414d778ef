"""`eebench status`: what is trained, what is missing, what failed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eebench.cli.settings import RUNS, DataDir, Device, Runs

if TYPE_CHECKING:
    from eebench.store import Store


def status(
    suite: Annotated[str | None, typer.Option(help="A suite; without one, all runs on disk.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
    data_dir: DataDir = None,
    device: Device = "auto",
    runs: Runs = RUNS,
) -> None:
    """Show the state of every cell of a suite, or of every run in the store.

    Examples:

        eebench status --suite quickstart

        eebench status --json
    """
    from eebench.store import Store

    store = Store(runs)
    rows = _suite_rows(suite, store, data_dir, device) if suite is not None else stored_rows(store)
    if as_json:
        import json

        typer.echo(json.dumps([dict(zip(HEADERS, row, strict=True)) for row in rows]))
        return
    from eebench.cli.tables import print_table

    print_table(rows, HEADERS)


HEADERS = ("status", "run", "reason")
Row = tuple[str, str, str]


def _suite_rows(suite: str, store: Store, data_dir: Path | None, device: str) -> list[Row]:
    """One row per cell: ok, failed with its reason, or missing; while a search is not done, its runs instead."""
    from eebench.cli.settings import find_device
    from eebench.plan import Planner
    from eebench.search import known_plan
    from eebench.suites import load_suite
    from eebench.training.precision import auto_precision

    planner = Planner(data_dir, auto_precision(find_device(device)))
    rows: list[Row] = []
    plan, _ = known_plan(planner, load_suite(suite), store)
    for cell in plan.cells:
        if cell.job is None:
            rows.append(("failed", cell.title, cell.problem))
            continue
        run = store.run(cell.job.spec)
        failure = run.failure()
        state = "ok" if run.is_done() else "failed" if failure is not None else "missing"
        rows.append((state, cell.title, failure or ""))
    return rows


def stored_rows(store: Store) -> list[Row]:
    """One row per run directory: ok, failed with its reason, or unfinished."""
    from eebench.artifacts import read_json

    rows: list[Row] = []
    for directory in sorted(path for path in store.root.glob("*") if path.is_dir()):
        failure = directory / "failure.json"
        if (directory / "done.json").exists():
            rows.append(("ok", directory.name, ""))
        elif failure.exists():
            rows.append(("failed", directory.name, str(read_json(failure)["reason"])))
        else:
            rows.append(("unfinished", directory.name, "run the same command again to continue"))
    return rows
