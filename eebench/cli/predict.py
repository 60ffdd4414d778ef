"""`eebench predict`: answers of a trained run to new texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eebench.cli.settings import RUNS, DataDir, Device, Runs

if TYPE_CHECKING:
    from eebench.predict import Asked, Choice, Predictor
    from eebench.runtime import Execution

RunName = Annotated[
    str, typer.Argument(help="A run's directory, or the beginning or end of its name, or of its key.")
]
RuleName = Annotated[
    str | None, typer.Option("--rule", help="When to leave; default: the method's own rule.")
]
Setting = Annotated[str | None, typer.Option("--setting", help="One setting of the rule, e.g. S=0.1.")]
Speedup = Annotated[
    str | None,
    typer.Option("--speedup", help="In place of --setting: the setting that is so fast on dev, e.g. 2x."),
]
Inference = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="An option that only inference reads, e.g. gate_threshold=0.7; may be repeated."
    ),
]
BackboneName = Annotated[
    str | None, typer.Option("--backbone", help="Where the run's backbone is, if it cannot be found.")
]


def predict(
    run: RunName,
    source: Annotated[
        str | None, typer.Option("--input", help="A file with a text per line, csv or tsv; - is stdin.")
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="Column of a csv or tsv with the texts; twice for pairs.")
    ] = None,
    rule: RuleName = None,
    setting: Setting = None,
    speedup: Speedup = None,
    assignments: Inference = None,
    form: Annotated[str, typer.Option("--format", help="csv or jsonl.")] = "csv",
    output: Annotated[str, typer.Option(help="A file, written anew; - is stdout.")] = "-",
    executor: Annotated[str, typer.Option(help="sequential, compact or pooled.")] = "compact",
    batch_size: Annotated[
        int, typer.Option(min=1, help="Rows at once; 1 answers each row before the next is read.")
    ] = 32,
    submission: Annotated[
        Path | None,
        typer.Option(
            "--glue-submission", help="Instead of --input: answer GLUE's test set into this folder."
        ),
    ] = None,
    data_dir: DataDir = None,
    backbone: BackboneName = None,
    device: Device = "auto",
    runs: Runs = RUNS,
) -> None:
    """Answer texts with a trained run that leaves early: label, confidence, exit and cost of each, in input order.

    Without --setting or --speedup every text takes all layers. Finished rows are on disk whenever it is stopped.

    Examples:

        eebench predict joint-rotten_tomatoes --input reviews.txt --speedup 2x --output answers.csv

        eebench predict 1ab9eae5 --input reviews.tsv --text review --rule entropy --setting S=0.1 --format jsonl

        eebench predict gaml-rte --glue-submission upload --data-dir path/to/glue --speedup 2x
    """
    from rich.console import Console
    from rich.progress import Progress

    from eebench.answer_files import check_output, output_stream, write_answers
    from eebench.errors import UserError
    from eebench.runtime import Execution
    from eebench.text_rows import TextSource

    if (source is None) == (submission is None):
        raise UserError(
            "predict needs texts: --input FILE, or --glue-submission FOLDER for GLUE's test set, not both."
        )
    if source is None:
        predictor = open_predictor(run, backbone, assignments, device, runs)
        how = Execution(executor, batch_size, predictor.device)
        write_submission(predictor, (rule, setting, speedup), how, (data_dir, Path(submission or "")))
        return
    texts = TextSource(source, tuple(text or ()))
    check_output(output, form, source)
    predictor = open_predictor(run, backbone, assignments, device, runs)
    predictor.check_texts(texts.texts_per_row)
    how = Execution(executor, batch_size, predictor.device)
    choice = chosen(predictor, asked(rule, setting, speedup))
    console = Console(stderr=True)
    with (
        texts.rows() as rows,
        output_stream(output) as stream,
        Progress(console=console, transient=True, disable=not console.is_terminal or output == "-") as bar,
    ):
        line = bar.add_task("rows", total=None)
        answers = predictor.stream(rows, choice, how)
        try:
            tally = write_answers(answers, stream, form, lambda: bar.advance(line))
        except KeyboardInterrupt:
            from eebench.cli import INTERRUPTED, Interrupted

            place = "standard output" if output == "-" else output
            typer.echo(
                f"interrupted; what is answered is in {place}; a new start would replace it.", err=True
            )
            raise Interrupted(INTERRUPTED) from None
    for sentence in tally.lines():
        typer.echo(sentence, err=True)


def write_submission(
    predictor: Predictor,
    wanted: tuple[str | None, str | None, str | None],
    how: Execution,
    places: tuple[Path | None, Path],
) -> None:
    """GLUE's test set, answered, as its leaderboard takes it; DataError when one of its texts cannot be answered."""
    import os

    from eebench.artifacts import write_text
    from eebench.errors import DataError
    from eebench.tasks.sources import DATA_VARIABLE
    from eebench.tasks.submission import read_test_set, submission_text, unlabelled_sets
    from eebench.text_rows import rows_of

    data_dir, folder = places
    given = os.environ.get(DATA_VARIABLE)
    task = predictor.job.task.name
    for which in unlabelled_sets(task):
        rows = read_test_set(task, which, data_dir or (Path(given).expanduser() if given else None))
        choice = chosen(predictor, asked(*wanted))
        answers = list(predictor.stream(rows_of(rows.texts), choice, how))
        bad = next((answer for answer in answers if answer.error), None)
        if bad is not None:
            raise DataError(
                f"{which.source}, row {bad.row}: {bad.error}; the leaderboard wants an answer to every row."
            )
        write_text(
            folder / which.file, submission_text(task, rows.indices, [answer.label for answer in answers])
        )
        typer.echo(f"wrote {folder / which.file}: {len(answers):,} answers.")


def open_predictor(
    run: str, backbone: str | None, assignments: list[str] | None, device: str, runs: Path
) -> Predictor:
    """The run as the options of the command line name it."""
    from eebench.cli.settings import find_device
    from eebench.options import parse_assignments
    from eebench.predict import load_run

    return load_run(run, runs, backbone, find_device(device), parse_assignments(assignments or []))


def asked(rule: str | None, setting: str | None, speedup: str | None) -> Asked:
    """The options that say when to leave."""
    from eebench.latency.choosing import parse_speedup
    from eebench.predict import Asked

    return Asked(rule, setting, None if speedup is None else parse_speedup(speedup))


def chosen(predictor: Predictor, wanted: Asked) -> Choice:
    """The setting, told on stderr with what it does on dev where that is known."""
    from eebench.tasks.metrics import metric_title

    choice = predictor.choose(wanted)
    metric = metric_title(predictor.job.task.metric)
    typer.echo(f"setting: {choice.text}{on_dev(choice, metric)}", err=True)
    if choice.slower is not None:
        typer.echo(
            f"warning: {choice.rule.name} has no setting between that and the slower {choice.slower.setting_text}"
            f"{on_dev(choice.slower, metric)}; take it with --rule {choice.rule.name} "
            f"--setting '{choice.slower.setting_text}'.",
            err=True,
        )
    return choice


def on_dev(choice: Choice, metric: str) -> str:
    """What a setting does on dev beside all layers; empty where that is not known."""
    if choice.speedup_flops is None or choice.score is None or choice.full_score is None:
        return ""
    drop = 100 * (choice.score - choice.full_score)
    score = f"{metric} {100 * choice.score:.1f}% on dev, {drop:+.1f} to all layers"
    return f" ({choice.speedup_flops:.2f}x in FLOPs, {score})"
