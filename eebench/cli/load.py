"""`eebench load`: waiting times under load, leaving early beside the full model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eebench.cli.predict import (
    BackboneName,
    Inference,
    RuleName,
    RunName,
    Setting,
    Speedup,
    asked,
    chosen,
    open_predictor,
)
from eebench.cli.settings import RUNS, DataDir, Device, Runs

if TYPE_CHECKING:
    from eebench.loadtest import Load, Served
    from eebench.predict import Predictor


def load(
    run: RunName,
    rate: Annotated[float, typer.Option(help="Requests that arrive in a second, on average.")],
    requests: Annotated[int, typer.Option(min=1, help="How many arrive in all.")] = 500,
    source: Annotated[
        str | None, typer.Option("--input", help="Their texts, one per line; default: the task's dev split.")
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="Text column of a csv or tsv; twice for pairs.")
    ] = None,
    rule: RuleName = None,
    setting: Setting = None,
    speedup: Speedup = None,
    assignments: Inference = None,
    batch_size: Annotated[int, typer.Option(min=1, help="The most requests in a batch.")] = 32,
    max_wait_ms: Annotated[
        float, typer.Option(min=0, help="A batch goes when its first request waited so long.")
    ] = 20,
    seed: Annotated[int, typer.Option(help="Of arrival times and texts.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    data_dir: DataDir = None,
    full: Annotated[
        str | None,
        typer.Option(
            help="The run that is the full model, e.g. of finetune; default: RUN itself, all layers."
        ),
    ] = None,
    backbone: BackboneName = None,
    device: Device = "auto",
    runs: Runs = RUNS,
) -> None:
    """Let requests arrive by the clock: throughput and latency of leaving early (pooled) and of the full model.

    Both get the same requests at the same times, one after the other. Without --setting, --speedup 2x is taken.

    Examples:

        eebench load joint-rotten_tomatoes --rate 50 --full finetune-rotten_tomatoes

        eebench load 1ab9eae5 --rate 200 --input reviews.txt --rule entropy --setting S=0.1 --max-wait-ms 5
    """
    from eebench.engine.turns import device_name
    from eebench.loadtest import Load, serve_load

    wanted = Load(rate, requests, batch_size, max_wait_ms / 1e3, seed)
    predictor = open_predictor(run, backbone, assignments, device, runs)
    texts = _texts(predictor, source, tuple(text or ()), data_dir)
    reference = _reference(predictor, full, device, runs)
    fast = chosen(predictor, asked(rule, setting, speedup if setting or speedup else "2x"))
    every = reference.choose(asked(None, None, None))
    served = {
        f"full model ({full or every.text})": serve_load(reference, texts, wanted, every, pooled=False),
        f"leaving early ({fast.text})": serve_load(predictor, texts, wanted, fast, pooled=True),
    }
    place = device_name(predictor.device)
    (_show_json if as_json else _show)(served, wanted, place)


def _reference(predictor: Predictor, full: str | None, device: str, runs: Path) -> Predictor:
    """The full model; UserError for a run of another task."""
    from eebench.errors import UserError

    if full is None:
        return predictor
    found = open_predictor(full, None, None, device, runs)
    if found.job.task.name != predictor.job.task.name:
        raise UserError(
            f"--full {full} answers {found.job.task.name}, the run {predictor.job.task.name}; name a run of that task."
        )
    return found


def _texts(
    predictor: Predictor, source: str | None, columns: tuple[str, ...], data_dir: Path | None
) -> list[tuple[str, ...]]:
    """The texts that requests carry: those of a file, else of the dev split of the run's task."""
    from eebench.errors import UserError
    from eebench.tasks.sources import load_task
    from eebench.tasks.specs import CATALOGUE
    from eebench.text_rows import TextSource

    if source is not None:
        texts = TextSource(source, columns)
        predictor.check_texts(texts.texts_per_row)
        with texts.rows() as rows:
            found = [row.texts for row in rows if not row.error]
        if not found:
            raise UserError(f"{source} has no texts; write one per line.")
        return found
    name = predictor.job.task.name
    if name not in CATALOGUE:
        raise UserError(f"'{name}' is a task of your own; give the texts of the requests with --input.")
    return load_task(name, data_dir, ("dev",)).splits["dev"].texts


def _rows(served: dict[str, Served]) -> list[dict[str, object]]:
    return [
        {
            "model": name, "throughput": round(one.throughput, 1),
            **{f"p{percent}_ms": round(one.percentile_ms(percent), 1) for percent in (50, 95, 99)},
            "mean_layers": round(float(one.layers.mean()), 2), "saturated": one.saturated,
        }
        for name, one in served.items()
    ]  # fmt: skip


def _show_json(served: dict[str, Served], wanted: Load, place: str) -> None:
    import json

    about = {"rate": wanted.rate, "requests": wanted.requests, "batch_size": wanted.batch_size, "seed": wanted.seed,
             "max_wait_ms": 1e3 * wanted.longest_wait_seconds, "device": place, "threads": _threads()}  # fmt: skip
    typer.echo(json.dumps({**about, "models": _rows(served)}))


def _show(served: dict[str, Served], wanted: Load, place: str) -> None:
    from eebench.cli.tables import print_table

    typer.echo(
        f"{wanted.requests:,} requests at {wanted.rate:g}/s, batches of up to {wanted.batch_size}, waiting at most "
        f"{1e3 * wanted.longest_wait_seconds:g} ms for company, at each exit as well; {place}, {_threads()} threads\n"
    )
    print_table(
        [
            (
                row["model"],
                f"{row['throughput']}/s",
                row["p50_ms"],
                row["p95_ms"],
                row["p99_ms"],
                row["mean_layers"],
            )
            for row in _rows(served)
        ],
        ("model", "throughput", "p50 ms", "p95 ms", "p99 ms", "layers"),
    )
    for name, one in served.items():
        if one.saturated:
            typer.echo(
                f"\nsaturated: {name}: requests arrive at {wanted.rate:g}/s and are answered at "
                f"{one.throughput:.1f}/s; {one.backlog:,} were waiting when the last one came. Its latency says how "
                "long the test ran; lower --rate."
            )


def _threads() -> int:
    import torch

    return torch.get_num_threads()
