"""What a task is, and the catalogue of named tasks: nine of GLUE, six of ELUE, two bundled.

Sizes are the published row counts; they are checked on loading because re-splits and files damaged by
quote-aware editors are common. Class order is the one of the hub's `nyu-mll/glue`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from eebench.errors import UnknownName, UserError
from eebench.tasks.layouts import BundledLayout, FileLayout, FolderLayout, HubLayout


@dataclass(frozen=True)
class TaskSpec:
    """One task: texts, labels, metrics, and the places its rows can come from.

    `labels` holds label names in class order and is empty for regression. Results have all `metrics`, the first of
    them is the headline. `sizes` maps splits to known row counts (empty: unknown), right within `size_tolerance` rows.
    `label_aliases` maps other label texts found in files to label names.
    `label_range` bounds the scores of a regression; `html_breaks` tells of HTML line breaks to remove.
    `dev_of` names the task whose runs this one shows on a dev set of its own; empty for all but such second dev sets.
    `max_length` is in tokens.
    """

    name: str
    group: str
    text_columns: tuple[str, ...]
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    sizes: Mapping[str, int] = field(default_factory=dict, hash=False)
    hub: HubLayout | None = None
    folder: FolderLayout | None = None
    max_length: int = 128
    bundled: BundledLayout | None = None
    files: FileLayout | None = None
    title: str = ""
    label_aliases: Mapping[str, str] = field(default_factory=dict, hash=False)
    label_range: tuple[float, float] | None = None
    size_tolerance: int = 0
    html_breaks: bool = False
    dev_of: str = ""

    @property
    def trained_as(self) -> str:
        """The task that runs are trained on."""
        return self.dev_of or self.name

    @property
    def dev_split(self) -> str:
        """What the dev set that this task is scored on is called among the splits of `trained_as`."""
        return self.name if self.dev_of else "dev"

    @property
    def classes(self) -> int:
        """Outputs of a classifier for this task: the number of labels, 1 for regression."""
        return len(self.labels) or 1

    @property
    def is_regression(self) -> bool:
        """True when labels are numbers."""
        return not self.labels

    @property
    def metric(self) -> str:
        """The headline: the metric that tables of one number show, and that chooses epochs and settings."""
        return self.metrics[0]

    def headlined(self, metric: str) -> TaskSpec:
        """The same task with another of its metrics as the headline; UserError when it is none of them."""
        if metric not in self.metrics:
            raise UserError(f"task '{self.name}' has no metric '{metric}'; it has {', '.join(self.metrics)}.")
        return replace(self, metrics=tuple(dict.fromkeys((metric, *self.metrics))))

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that have labels, "train" and "dev" first."""
        layouts = (self.bundled, self.files, self.folder, self.hub)
        return next((layout.splits for layout in layouts if layout is not None), ())


ACCURACY = ("accuracy",)
PAIR_F1 = ("f1", "accuracy", "acc_f1")
PAIR_MEAN = ("acc_f1", "accuracy", "f1")
CORRELATION = ("pearson_spearman", "pearson", "spearman")

ENTAILMENT = ("entailment", "not_entailment")
SENTIMENT = ("negative", "positive")
INFERENCE = ("entailment", "neutral", "contradiction")

SENTENCE = ("sentence",)
SENTENCES = ("sentence1", "sentence2")
INFERENCE_PAIR = ("premise", "hypothesis")

# Header names by which each text column is known; redistributed files differ from the official ones.
FIRST = ("sentence1", "#1 String", "premise", "text_a")
SECOND = ("sentence2", "#2 String", "hypothesis", "text_b")
LABEL = ("label",)
SCORE = ("score", "label")
QUALITY = ("Quality", "label")

GLUE_HUB = "nyu-mll/glue"
MRPC_SIZES = {"train": 3_668, "dev": 408}
STSB_SIZES = {"train": 5_749, "dev": 1_500}
MRPC_LABELS = ("not_equivalent", "equivalent")

COLA = TaskSpec(
    "cola", "glue", SENTENCE, ("unacceptable", "acceptable"), ("matthews", "accuracy"),
    {"train": 8_551, "dev": 1_043}, HubLayout(GLUE_HUB, "cola", SENTENCE),
    FolderLayout("CoLA", (3,), 1), title="CoLA",
)  # fmt: skip
SST2 = TaskSpec(
    "sst2", "glue", SENTENCE, SENTIMENT, ACCURACY,
    {"train": 67_349, "dev": 872}, HubLayout(GLUE_HUB, "sst2", SENTENCE),
    FolderLayout("SST-2", (SENTENCE,), LABEL), title="SST-2",
)  # fmt: skip
MRPC = TaskSpec(
    "mrpc", "glue", SENTENCES, MRPC_LABELS, PAIR_F1,
    MRPC_SIZES, HubLayout(GLUE_HUB, "mrpc", SENTENCES),
    FolderLayout("MRPC", (FIRST, SECOND), QUALITY), title="MRPC",
)  # fmt: skip
# The hub has 363,846 training rows, papers count 363,849: readers differ on three rows with missing fields.
QQP = TaskSpec(
    "qqp", "glue", ("question1", "question2"), ("not_duplicate", "duplicate"), PAIR_F1,
    {"train": 363_846, "dev": 40_430}, HubLayout(GLUE_HUB, "qqp", ("question1", "question2")),
    FolderLayout("QQP", (("question1",), ("question2",)), ("is_duplicate", "label"), skip_short_rows=True),
    title="QQP", size_tolerance=3,
)  # fmt: skip
STSB = TaskSpec(
    "stsb", "glue", SENTENCES, (), CORRELATION,
    STSB_SIZES, HubLayout(GLUE_HUB, "stsb", SENTENCES),
    FolderLayout("STS-B", (FIRST, SECOND), SCORE), title="STS-B", label_range=(0.0, 5.0),
)  # fmt: skip


def mnli(name: str, title: str, dev: int, kind: str, dev_of: str = "") -> TaskSpec:
    """MNLI with one of its two dev sets, `kind` "matched" or "mismatched", of `dev` rows."""
    # Published readers of the tsv files number the labels in three different orders, so only texts are accepted.
    return TaskSpec(
        name, "glue", INFERENCE_PAIR, INFERENCE, ACCURACY,
        {"train": 392_702, "dev": dev},
        HubLayout(
            GLUE_HUB, "mnli", INFERENCE_PAIR, hub_splits={"train": "train", "dev": f"validation_{kind}"}
        ),
        FolderLayout(
            "MNLI", (FIRST, SECOND), ("gold_label", "label"),
            {"train": "train.tsv", "dev": f"dev_{kind}.tsv"}, digit_labels=False,
        ),
        title=title, dev_of=dev_of,
    )  # fmt: skip


MNLI = mnli("mnli", "MNLI", 9_815, "matched")
# The runs of `mnli`, whose epochs the matched dev set chooses, scored on the other one.
MNLI_MM = mnli("mnli_mm", "MNLI (mismatched)", 9_832, "mismatched", dev_of="mnli")
QNLI = TaskSpec(
    "qnli", "glue", ("question", "sentence"), ENTAILMENT, ACCURACY,
    {"train": 104_743, "dev": 5_463}, HubLayout(GLUE_HUB, "qnli", ("question", "sentence")),
    FolderLayout("QNLI", (("question",), SENTENCE), LABEL), title="QNLI",
)  # fmt: skip
RTE = TaskSpec(
    "rte", "glue", SENTENCES, ENTAILMENT, ACCURACY,
    {"train": 2_490, "dev": 277}, HubLayout(GLUE_HUB, "rte", SENTENCES),
    FolderLayout("RTE", (FIRST, SECOND), LABEL), title="RTE",
)  # fmt: skip
WNLI = TaskSpec(
    "wnli", "glue", SENTENCES, ("not_entailment", "entailment"), ACCURACY,
    {"train": 635, "dev": 71}, HubLayout(GLUE_HUB, "wnli", SENTENCES),
    FolderLayout("WNLI", (FIRST, SECOND), LABEL), title="WNLI",
)  # fmt: skip

# Sentence-level treebank with neutral folded into two labels: not the phrases of GLUE's SST-2.
ELUE_SST2 = TaskSpec(
    "elue-sst2", "elue", SENTENCE, SENTIMENT, ACCURACY, {"train": 8_544, "dev": 1_101},
    folder=FolderLayout("SST-2", (SENTENCE,), LABEL), title="SST-2 (ELUE)",
)  # fmt: skip
# The hub has one training split of 25,000; its 80/20 cut by `partition` is not ELUE's own choice of rows.
ELUE_IMDB = TaskSpec(
    "elue-imdb", "elue", SENTENCE, SENTIMENT, ACCURACY, {"train": 20_000, "dev": 5_000},
    HubLayout("stanfordnlp/imdb", "plain_text", ("text",), shares=(("train", 80), ("dev", 20))),
    FolderLayout("IMDb", (("sentence", "text"),), LABEL), title="IMDb (ELUE)",
    label_aliases={"neg": "negative", "pos": "positive"}, html_breaks=True,
)  # fmt: skip
ELUE_MRPC = TaskSpec(
    "elue-mrpc", "elue", SENTENCES, MRPC_LABELS, PAIR_MEAN,
    MRPC_SIZES, HubLayout(GLUE_HUB, "mrpc", SENTENCES),
    FolderLayout("MRPC", (FIRST, SECOND), QUALITY), title="MRPC (ELUE)",
)  # fmt: skip
# The hub's `tsv_format` was read with quoting on and lacks rows; `snli_format` is whole.
ELUE_SCITAIL = TaskSpec(
    "elue-scitail", "elue", INFERENCE_PAIR, ("neutral", "entails"), ACCURACY, {"train": 23_596, "dev": 1_304},
    HubLayout("allenai/scitail", "snli_format", SENTENCES, "gold_label"),
    FolderLayout("SciTail", (("premise", "sentence1"), ("hypothesis", "sentence2")), LABEL),
    title="SciTail (ELUE)", label_aliases={"entailment": "entails"},
)  # fmt: skip
ELUE_SNLI = TaskSpec(
    "elue-snli", "elue", INFERENCE_PAIR, INFERENCE, ACCURACY, {"train": 549_367, "dev": 9_842},
    HubLayout("stanfordnlp/snli", "plain_text", INFERENCE_PAIR, drop_labels=("-1",)),
    FolderLayout("SNLI", (("premise", "sentence1"), ("hypothesis", "sentence2")), LABEL), title="SNLI (ELUE)",
)  # fmt: skip
ELUE_STSB = TaskSpec(
    "elue-stsb", "elue", SENTENCES, (), CORRELATION,
    STSB_SIZES, HubLayout(GLUE_HUB, "stsb", SENTENCES),
    FolderLayout("STS-B", (FIRST, SECOND), SCORE), title="STS-B (ELUE)", label_range=(0.0, 5.0),
)  # fmt: skip

ROTTEN_TOMATOES = TaskSpec(
    "rotten_tomatoes", "bundled", ("text",), SENTIMENT, ACCURACY, {"train": 6_824, "dev": 852, "test": 854},
    bundled=BundledLayout("rotten_tomatoes", (("train", 80), ("dev", 10), ("test", 10))),
    title="Rotten Tomatoes",
)  # fmt: skip
IMDB = TaskSpec(
    "imdb", "bundled", ("text",), SENTIMENT, ACCURACY, {"train": 20_000, "dev": 5_000},
    bundled=BundledLayout("imdb", (("train", 80), ("dev", 20))), title="IMDb", html_breaks=True,
)  # fmt: skip

GLUE = (COLA, SST2, MRPC, QQP, STSB, MNLI, MNLI_MM, QNLI, RTE, WNLI)
ELUE = (ELUE_SST2, ELUE_IMDB, ELUE_MRPC, ELUE_SCITAIL, ELUE_SNLI, ELUE_STSB)
BUNDLED = (ROTTEN_TOMATOES, IMDB)
CATALOGUE: dict[str, TaskSpec] = {spec.name: spec for spec in (*GLUE, *ELUE, *BUNDLED)}


def task_names() -> list[str]:
    """Names of all tasks, GLUE first, in the order tables show them."""
    return list(CATALOGUE)


def task_spec(name: str, where: str = "") -> TaskSpec:
    """The task called `name`; raises UnknownName, which tells `where` (a file and key) when given.

    Example: ``task_spec("rte").labels`` is ``("entailment", "not_entailment")``.
    """
    if name not in CATALOGUE:
        raise UnknownName("task", name, CATALOGUE, where)
    return CATALOGUE[name]
