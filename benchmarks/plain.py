"""That a method learns what a plain `transformers` loop learns: same checkpoint, rows, epochs, rate, batch, precision.

    python benchmarks/plain.py --data-dir path/to/glue                          finetune on four tasks, three seeds
    python benchmarks/plain.py --data-dir path/to/glue --task stsb --method pabee --method joint --seeds 1
    python benchmarks/plain.py --data-dir path/to/glue --set head.pooler=own --label "finetune, own pooler"
    python benchmarks/plain.py --toy --output elsewhere                         seconds: that it runs, no numbers

The plain loop is what a tutorial shows: `AutoModelForSequenceClassification`, `AutoTokenizer`, shuffled batches padded
to their longest text, torch's AdamW, the library's linear schedule, raw labels. It shares the data and nothing else
with eebench. Rows are written as they are known, to `plain.csv` in the output folder with a page `plain.md` beside it;
what is there already is not trained again, so a call that was stopped can be repeated.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from measuring import TOY_ROWS
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    get_linear_schedule_with_warmup,
)

from eebench.artifacts import write_text
from eebench.backbones.checkpoints import find_checkpoint
from eebench.cli.settings import find_device
from eebench.engine.execute import Executor
from eebench.engine.local import Silent, run_plan
from eebench.errors import EebenchError, RunError
from eebench.learns import BUDGET
from eebench.methods.catalogue import find_method
from eebench.options import merge, parse_assignments, resolve_options
from eebench.plan import Cell, Job, Plan, Planner, in_order
from eebench.store import Store
from eebench.tasks.metrics import score
from eebench.tasks.specs import TaskSpec, task_spec
from eebench.tasks.splits import Split
from eebench.toy import toy_data, toy_task
from eebench.training.evaluation import exit_scores, scored

TASKS = ("stsb", "mrpc", "cola", "rotten_tomatoes")
PLAIN = "plain transformers loop"


@dataclass(frozen=True)
class Row:
    """One trained model: `score` of its last exit on dev, `exits` of all of them, in percent."""

    task: str
    metric: str
    loop: str
    seed: int
    rows: int
    epochs: int
    lr: float
    batch_size: int
    precision: str
    head: str
    score: float
    exits: str

    @property
    def key(self) -> tuple[Any, ...]:
        """What was trained, without what came of it."""
        return tuple(
            getattr(self, field.name) for field in fields(self) if field.name not in ("score", "exits")
        )


@dataclass(frozen=True)
class Recipe:
    """What both loops do alike."""

    job: Job
    train: Split

    @property
    def dev(self) -> Split:
        return self.job.data.splits["dev"]

    def row(self, loop: str, head: str, exits: Sequence[float]) -> Row:
        """The row of a trained model, or with no `exits` of one to be trained."""
        options, task = self.job.options, self.job.task
        shown = [f"{100 * value:.2f}" for value in exits]
        return Row(
            task.name, task.metric, loop, self.job.seed, len(self.train), options.epochs, options.lr,
            options.batch_size, options.precision, head, float(shown[-1]) if shown else 0.0, " ".join(shown),
        )  # fmt: skip


def plain_score(recipe: Recipe, device: torch.device) -> float:
    """Trains the checkpoint as `transformers` itself reads it and returns its score on dev."""
    job, options, random = recipe.job, recipe.job.options, np.random.default_rng(recipe.job.seed)
    torch.manual_seed(job.seed)
    directory = find_checkpoint(job.backbone).directory
    tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
    model = AutoModelForSequenceClassification.from_pretrained(
        directory, num_labels=job.task.classes, trust_remote_code=False
    ).to(device)
    steps = -(-len(recipe.train) // options.batch_size) * options.epochs
    optimizer = torch.optim.AdamW(decayed(model, options.weight_decay), lr=options.lr, eps=options.adam_eps)
    schedule = get_linear_schedule_with_warmup(optimizer, round(options.warmup_share * steps), steps)
    model.train()
    for _ in range(options.epochs):
        order = random.permutation(len(recipe.train))
        for start in range(0, len(order), options.batch_size):
            rows = order[start : start + options.batch_size]
            batch = encoded(tokenizer, recipe.train, rows, options.max_length).to(device)
            labels = torch.from_numpy(recipe.train.labels[rows]).to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bf16"):
                loss: Tensor = model(**batch, labels=labels).loss
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), options.clip_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    model.eval()
    answers = []
    with torch.no_grad():
        for start in range(0, len(recipe.dev), options.batch_size):
            rows = np.arange(start, min(start + options.batch_size, len(recipe.dev)))
            answers.append(
                model(**encoded(tokenizer, recipe.dev, rows, options.max_length).to(device)).logits.cpu()
            )
    logits = torch.cat(answers)
    given = logits[:, 0] if job.task.is_regression else logits.argmax(dim=1)
    return score(job.task.metric, recipe.dev.labels, given.numpy())


def decayed(model: torch.nn.Module, decay: float) -> list[dict[str, Any]]:
    """The parameters in two groups, biases and LayerNorm without decay."""
    plain = [p for name, p in model.named_parameters() if name.endswith("bias") or "LayerNorm" in name]
    others = [p for name, p in model.named_parameters() if not (name.endswith("bias") or "LayerNorm" in name)]
    return [{"params": others, "weight_decay": decay}, {"params": plain, "weight_decay": 0.0}]


def encoded(tokenizer: Any, split: Split, rows: np.ndarray, length: int | None) -> Any:
    """Texts as one padded batch."""
    columns = list(zip(*(split.texts[row] for row in rows), strict=True))
    return tokenizer(
        *map(list, columns), truncation=True, max_length=length, padding=True, return_tensors="pt"
    )


def own_scores(job: Job, executor: Executor) -> list[float]:
    """Every exit's score on dev of eebench's own run, trained now or found done."""
    cell = Cell(job.method.name, job.method, job.task, job.backbone, job.seed, job)
    outcome = run_plan(Plan((cell,), in_order([job])), executor, Silent())[0]
    if outcome.trace is None:
        raise RunError(f"{job.title} failed: {outcome.reason}")
    return scored(exit_scores(outcome.trace, job.task.metric))


@dataclass(frozen=True)
class Wanted:
    """What is compared: the methods, their options and how rows call them."""

    given: argparse.Namespace
    planner: Planner
    executor: Executor

    def jobs(self) -> Iterator[tuple[str, Job]]:
        """The plain loop's recipe and then each method's, for every task and seed."""
        for name in self.given.task or TASKS:
            task = toy_task() if self.given.toy else task_spec(name)
            for seed in self.given.seeds:
                if not (self.given.no_plain or self.given.toy):
                    yield PLAIN, self.job("finetune", {}, task, seed)
                for method in self.given.method or ["finetune"]:
                    own = parse_assignments(self.given.assignments or [])
                    yield self.given.label or method, self.job(method, own, task, seed)

    def job(self, method: str, own: Mapping[str, Any], task: TaskSpec, seed: int) -> Job:
        """The run of a method with the shared recipe and options of its `own`."""
        found = find_method(method)
        budget = {"epochs": self.given.epochs, "lr": self.given.lr, "train_rows": self.given.rows}
        options = resolve_options(found, merge(BUDGET, budget, own), "--set")
        return self.planner.job(found, options, "toy" if self.given.toy else self.given.backbone, task, seed)

    def recipe(self, job: Job) -> Recipe:
        """The rows that a job trains on."""
        train = job.data.splits["train"]
        return Recipe(job, train if job.options.train_rows is None else train.head(job.options.train_rows))


def compare(wanted: Wanted, folder: Path) -> list[Row]:
    """Trains what is missing and writes both files after each row."""
    known = {row.key: row for row in read(folder / "plain.csv")}
    for loop, job in wanted.jobs():
        recipe = wanted.recipe(job)
        head = "transformers' own" if loop == PLAIN else job.method.exit_form(job.options)
        row = recipe.row(loop, head, [])
        if row.key not in known:
            done = (
                [plain_score(recipe, wanted.executor.device)]
                if loop == PLAIN
                else own_scores(job, wanted.executor)
            )
            row = recipe.row(loop, head, done)
            known |= {
                row.key: row for row in read(folder / "plain.csv")
            }  # another call may write beside this one
            known[row.key] = row
            write(folder, list(known.values()))
        print(*asdict(known[row.key]).values(), sep="\t", flush=True)
    return list(known.values())


def read(path: Path) -> list[Row]:
    """The rows of an earlier call."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return [
            Row(**{
                field.name: {"int": int, "float": float, "str": str}[str(field.type)](line[field.name])
                for field in fields(Row)
            })
            for line in csv.DictReader(stream)
        ]  # fmt: skip


def write(folder: Path, rows: Sequence[Row]) -> None:
    """The table and the page, in an order that does not depend on when a row was made."""
    ordered = sorted(rows, key=lambda row: (*row.key[:3], row.key))
    lines = [",".join(field.name for field in fields(Row))]
    lines += [
        ",".join(f'"{value}"' if "," in str(value) else str(value) for value in asdict(row).values())
        for row in ordered
    ]
    write_text(folder / "plain.csv", "\n".join(lines) + "\n")
    write_text(folder / "plain.md", page(ordered))


def page(rows: Sequence[Row]) -> str:
    """Each loop's mean and deviation over seeds beside the plain loop's on the same recipe."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.task, row.metric, row.rows, row.epochs, row.lr, row.batch_size, row.precision,
                           row.loop, row.head), []).append(row)  # fmt: skip
    lines = [
        "# Beside a plain `transformers` loop", "",
        "The last exit's score on dev, mean and sample deviation over seeds, on MiniLM-L6; `plain.csv` has every run. "
        "Both loops have the same checkpoint, rows, epochs, peak rate, batch size and precision. *Noise* is a "
        "difference of the means of at most twice its standard error, sqrt(s1^2/n1 + s2^2/n2). The plain loop learns "
        "the raw scores of STS-B, whose mean of 2.7 takes it more steps than 2,000 rows have; ours standardised.", "",
        "| task | metric | rows x epochs | rate | precision | loop | exits | seeds | score | to plain | noise |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for (task, metric, size, epochs, lr, batch, precision, loop, head), found in groups.items():
        plain = next(
            (
                other
                for key, other in groups.items()
                if key[:7] == (task, metric, size, epochs, lr, batch, precision) and key[7] == PLAIN
            ),
            None,
        )
        gap, verdict = ("", "") if loop == PLAIN or plain is None else difference(found, plain)
        lines.append(
            f"| {task} | {metric} | {size:,} x {epochs} | {lr:g} | {precision} | {loop} | {head} | {len(found)} | "
            f"{spread([row.score for row in found])} | {gap} | {verdict} |"
        )
    return "\n".join(lines) + "\n"


def spread(scores: Sequence[float]) -> str:
    """Mean, and the sample deviation where there are two or more."""
    return f"{mean(scores):.1f} ± {stdev(scores):.1f}" if len(scores) > 1 else f"{scores[0]:.1f}"


def difference(found: Sequence[Row], plain: Sequence[Row]) -> tuple[str, str]:
    """The difference of means in points, and whether seeds explain it."""
    ours, theirs = ([row.score for row in rows] for rows in (found, plain))
    gap = mean(ours) - mean(theirs)
    if min(len(ours), len(theirs)) < 2:
        return f"{gap:+.1f}", "one seed"
    error = (stdev(ours) ** 2 / len(ours) + stdev(theirs) ** 2 / len(theirs)) ** 0.5
    return f"{gap:+.1f}", "yes" if abs(gap) <= 2 * error else "above" if gap > 0 else "NO"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--task", action="append", help=f"may be repeated; default: {', '.join(TASKS)}")
    parser.add_argument("--method", action="append", help="may be repeated; default: finetune")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--rows", type=int, help="training rows; default: all")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--backbone", default="minilm-l6", help="a bundled name or a local directory")
    parser.add_argument(
        "--set", dest="assignments", action="append", help="an option of the methods, key=value"
    )
    parser.add_argument("--label", help="how rows call the methods, instead of by their names")
    parser.add_argument("--no-plain", action="store_true", help="leave the plain loop out")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--data-dir", type=Path, help="folder in the official GLUE layout")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--output", type=Path, default=Path("results"))
    parser.add_argument(
        "--toy", action="store_true", help="toy backbone and task: proves it runs, no numbers"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compares, writes and prints the page; 2 for a user's mistake."""
    given = parse(arguments)
    try:
        planner = Planner(given.data_dir, given.precision)
        planner.remember(toy_data(train=TOY_ROWS))
        if given.toy:
            given.task = ["toy"]
        wanted = Wanted(given, planner, Executor(Store(given.runs), find_device(given.device)))
        rows = compare(wanted, given.output)
    except EebenchError as error:
        print(error, file=sys.stderr)
        return 2
    print(page(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
