"""Training speed: against the Hugging Face Trainer on the same module, and between methods on the same batches.

    python benchmarks/training.py                     minutes on a CPU
    python benchmarks/training.py --rows 512 --rounds 2 --blocks 3
    python benchmarks/training.py --full              whole training set and all epochs: speed and final score

Both loops train the identical module of `finetune` from the same weights with the same options. Each round
gives both the same rows and a seed of its own; the loop that begins changes from round to round.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import datasets
import numpy as np
import torch
import torch.nn.functional as F
from measuring import Measure, Subject, machine, output_options, show, subject_options
from tokenizers import Tokenizer as RawTokenizer
from tokenizers.models import WordLevel
from torch import Tensor, nn
from transformers import (
    AutoTokenizer,
    DataCollatorWithPadding,
    PreTrainedTokenizerFast,
    PrinterCallback,
    TrainerCallback,
    TrainingArguments,
)
from transformers import Trainer as StockTrainer

from eebench.backbones.base import Batch
from eebench.backbones.checkpoints import find_checkpoint
from eebench.backbones.tokens import load_tokenizer
from eebench.engine.execute import build
from eebench.engine.steptime import Timing
from eebench.engine.turns import PausedLoop, clock, rotated, seconds, take_turns
from eebench.errors import EebenchError
from eebench.model import MultiExitModel
from eebench.plan import Job
from eebench.tasks.splits import Split
from eebench.trace import trace_model
from eebench.training.checkpoints import CheckpointFile
from eebench.training.evaluation import exit_scores, scored
from eebench.training.loop import Setup, Trainer
from eebench.training.schedules import schedule_of
from eebench.training.stages import Examples

METHODS = ("finetune", "joint", "gaml")
STEP_BOUNDS: Mapping[str, float] = {"joint": 1.15, "gaml": 1.9}
LEAST_SPEEDUP = 1.2
STEPS_PER_BLOCK = 10
WARM_UP_BATCHES = 3


@dataclass(frozen=True)
class Work:
    """What a loop trains: a job's untrained model for some epochs on some rows of its training split."""

    job: Job
    rows: Split
    epochs: int
    device: torch.device

    @property
    def samples(self) -> int:
        """Training examples seen, all epochs together."""
        return len(self.rows) * self.epochs

    def model(self, seed: int) -> MultiExitModel:
        """The model before training, on the device; equal seeds give equal weights."""
        torch.manual_seed(seed)
        return build(self.job).to(self.device)

    def setup(self, seed: int) -> Setup:
        """The work as our loop takes it."""
        options = self.job.options.model_copy(update={"epochs": self.epochs})
        return Setup(tokenised(self.job, self.rows), None, self.job.task.metric, options, seed, self.device)


@dataclass(frozen=True)
class Trained:
    """Seconds of one training loop, what is set up before it not counted, and the trained model's dev score."""

    seconds: float
    score: float


class ForStockTrainer(nn.Module):
    """A multi-exit model behind the interface that the Hugging Face Trainer expects; trains the last exit."""

    def __init__(self, model: MultiExitModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        mask = attention_mask.bool()
        batch = Batch(input_ids, mask, token_type_ids, padded=not bool(mask.all()))
        logits = self.model(batch).logits[-1]
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


class LoopClock(TrainerCallback):  # type: ignore[misc]
    """Reads the clock where the stock loop begins and after every step."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.begin, self.end = device, 0.0, 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.begin = clock(self.device)

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.end = clock(self.device)


def tokenised(job: Job, rows: Split) -> Examples:
    """Rows as our loop takes them."""
    return Examples(load_tokenizer(job.backbone).encode(rows.texts, token_limit(job)), rows.labels)


def token_limit(job: Job) -> int:
    """Tokens kept of a text."""
    return job.options.max_length or job.task.max_length


def train_stock(work: Work, seed: int) -> Trained:
    """The Hugging Face Trainer as everyone runs it, with evaluation, saving and logging off."""
    wrapped = ForStockTrainer(work.model(seed))
    watch = LoopClock(work.device)
    with tempfile.TemporaryDirectory() as directory:
        trainer = StockTrainer(
            model=wrapped,
            args=stock_arguments(directory, work, seed),
            train_dataset=stock_dataset(work.job, work.rows),
            data_collator=DataCollatorWithPadding(padding_tokenizer(work.job.backbone)),
            callbacks=[watch],
        )
        trainer.remove_callback(PrinterCallback)  # its summary would end up between our tables
        trainer.train()
    return Trained(watch.end - watch.begin, dev_score(wrapped.model, work))


def stock_arguments(directory: str, work: Work, seed: int) -> Any:
    """Our options in the other loop's words; what is not named here keeps its default."""
    options, on_cpu = work.job.options, work.device.type == "cpu"
    schedule = schedule_of(options, options.lr, work.epochs, -(-len(work.rows) // options.batch_size))
    return TrainingArguments(
        output_dir=directory, per_device_train_batch_size=options.batch_size, num_train_epochs=work.epochs,
        learning_rate=options.lr, lr_scheduler_type="linear" if schedule.decay else "constant_with_warmup",
        warmup_steps=schedule.warmup, weight_decay=options.weight_decay, max_grad_norm=options.clip_norm,
        adam_epsilon=options.adam_eps, bf16=options.precision == "bf16", use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu, seed=seed, eval_strategy="no", save_strategy="no",
        logging_strategy="no", report_to="none", disable_tqdm=True,
    )  # fmt: skip


def stock_dataset(job: Job, rows: Split) -> Any:
    """Rows as a `datasets` table, tokenised once by `map` before training."""
    tokenizer, limit = load_tokenizer(job.backbone), token_limit(job)

    def columns(batch: dict[str, list[list[str]]]) -> dict[str, list[np.ndarray]]:
        encoded = tokenizer.encode([tuple(texts) for texts in batch["texts"]], limit)
        ids, kinds = (np.split(flat, encoded.offsets[1:-1]) for flat in (encoded.ids, encoded.segments))
        return {
            "input_ids": ids,
            "token_type_ids": kinds,
            "attention_mask": [np.ones_like(row) for row in ids],
        }

    table = datasets.Dataset.from_dict(
        {"texts": [list(texts) for texts in rows.texts], "labels": rows.labels}
    )
    return table.map(columns, batched=True, remove_columns=["texts"])


def padding_tokenizer(backbone: str) -> Any:
    """What the stock collator pads with; the toy backbone pads with 0."""
    if backbone == "toy":
        raw = RawTokenizer(WordLevel({"[PAD]": 0}, unk_token="[PAD]"))
        return PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="[PAD]")
    return AutoTokenizer.from_pretrained(find_checkpoint(backbone).directory, trust_remote_code=False)


def train_ours(work: Work, seed: int) -> Trained:
    """The same model, rows and options in our loop."""
    model, setup = work.model(seed), work.setup(seed)
    stages = work.job.method.stages(setup.options)
    with tempfile.TemporaryDirectory() as directory:
        trainer = Trainer(model, stages, setup, CheckpointFile(Path(directory)))
        taken = seconds(trainer.run, work.device)
    return Trained(taken, dev_score(model, work))


def dev_score(model: MultiExitModel, work: Work) -> float:
    """The last exit's score on the dev split, in [0, 1]."""
    dev = tokenised(work.job, work.job.data.splits["dev"])
    trace = trace_model(model, dev.encoded, np.asarray(dev.labels), work.device)
    return scored(exit_scores(trace, work.job.task.metric))[-1]


def loop_measures(work: Work, rounds: int) -> list[Measure]:
    """Both loops in turns, after a few batches of warm-up each; medians over rounds."""
    warm_up = Work(work.job, work.rows.head(WARM_UP_BATCHES * work.job.options.batch_size), 1, work.device)
    loops: dict[str, Callable[[Work, int], Trained]] = {"stock": train_stock, "ours": train_ours}
    done: dict[str, list[Trained]] = {name: [] for name in loops}
    for train in loops.values():
        train(warm_up, 0)
    for number in range(rounds):
        for name in rotated(list(loops), number):
            done[name].append(loops[name](work, work.job.seed + number))
    stock, ours = done["stock"], done["ours"]
    ratios = [other.seconds / own.seconds for other, own in zip(stock, ours, strict=True)]
    metric = f"dev {work.job.task.metric}"
    return [
        Measure("Hugging Face Trainer", work.samples / median(one.seconds for one in stock), "examples/s"),
        Measure("eebench finetune", work.samples / median(one.seconds for one in ours), "examples/s"),
        Measure("eebench / Hugging Face, examples/s", median(ratios), "x", at_least=LEAST_SPEEDUP),
        Measure(
            f"Hugging Face Trainer, {metric}, mean of rounds", 100 * mean(one.score for one in stock), "%"
        ),
        Measure(f"eebench finetune, {metric}, mean of rounds", 100 * mean(one.score for one in ours), "%"),
    ]


def loop_of(work: Work) -> PausedLoop:
    """Our training loop before its first step, to be run block by block."""
    setup = work.setup(work.job.seed)
    stages = work.job.method.stages(setup.options)
    return PausedLoop(work.model(work.job.seed), stages, setup, STEPS_PER_BLOCK)


def step_measures(works: Mapping[str, Work]) -> list[Measure]:
    """Step time of each method on the same batches, in turns of a block; medians, the first block is warm-up."""
    with ExitStack() as stack:
        loops = {name: stack.enter_context(loop_of(work)) for name, work in works.items()}
        times = take_turns(loops, blocks_of(works[METHODS[0]]))
    base = times[METHODS[0]][1:]
    measures = []
    for name, (_, *taken) in times.items():
        measures.append(Measure(f"{name}: one step", 1e3 * median(taken) / STEPS_PER_BLOCK, "ms"))
        if name in STEP_BOUNDS:
            ratio = Timing(taken, base).ratio
            measures.append(Measure(f"{name} / finetune, one step", ratio, "x", at_most=STEP_BOUNDS[name]))
    return measures


def blocks_of(work: Work) -> int:
    """How many whole blocks of steps one epoch of `work` has."""
    return len(work.rows) // (STEPS_PER_BLOCK * work.job.options.batch_size)


def rows_for_blocks(job: Job, blocks: int) -> Split:
    """Training rows of `blocks` blocks and one of warm-up, as far as there are so many."""
    size = STEPS_PER_BLOCK * job.options.batch_size
    train = job.data.splits["train"]
    return train.head(size * max(2, min(blocks + 1, len(train) // size)))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    subject_options(parser)
    output_options(parser)
    parser.add_argument("--rows", type=int, default=2048, help="training rows used")
    parser.add_argument("--epochs", type=int, default=1, help="epochs of a round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of both loops, each with its seed")
    parser.add_argument("--blocks", type=int, default=20, help="blocks of steps in the comparison of methods")
    parser.add_argument("--full", action="store_true", help="all rows and the suite's epochs; loops only")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints; 2 for a user's mistake."""
    given = parse(arguments)
    datasets.disable_progress_bars()
    try:
        subject = Subject.of(given)
        jobs = dict(zip(METHODS, subject.jobs(METHODS), strict=True))
    except EebenchError as error:
        print(error, file=sys.stderr)
        return 2
    job = jobs[METHODS[0]]
    rows = job.data.splits["train"] if given.full else job.data.splits["train"].head(given.rows)
    epochs = job.options.epochs if given.full else given.epochs
    measures = loop_measures(Work(job, rows, epochs, subject.device), given.rounds)
    if not given.full:
        rows_of_blocks = rows_for_blocks(job, given.blocks)
        measures += step_measures(
            {name: Work(job, rows_of_blocks, 1, subject.device) for name, job in jobs.items()}
        )
    conditions = {
        "run": job.title, "rows": len(rows), "epochs": epochs, "rounds": given.rounds,
        "precision": job.options.precision, "batch": job.options.batch_size, **machine(subject.device),
    }  # fmt: skip
    show(measures, conditions, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
