"""Published tables: hand-picked cells, the arithmetic the papers themselves print, and the form of the files."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from eebench.errors import UnknownName
from eebench.reference.tables import NUMBERS, PAPERS, SCORES, reference_names, reference_table
from eebench.tasks.metrics import METRICS
from eebench.tasks.specs import task_names

# Rows per table: methods (or settings) times tasks, plus what the comment says.
SIZES = {
    "costeff-table2": 13 * 6,
    "costeff-table3": 14 * 5 - 2 + 2 * (5 + 4),  # two dashes; simple inputs have four differences each
    "costeff-table4": 3 * 3,
    "costeff-table5": 3 * 5,
    "csdbert-table3": 12 * 5,
    "csdbert-table4": 4 * 6,
    "csdbert-table5": 3 * 3,
    "gaml-table1": 17 * 2,
    "gaml-table2": 18 * 7,
    "gaml-table3": 4 * 2,
    "gaml-table4": 4 * 2,
    "gaml-table5": 4 * 3,
    "gaml-table8": 4 * 2,
    "smartbert-table1": 11 * 9,
    "smartbert-table2": 3,
    "smartbert-table3": 2 * 3,
}
COLUMNS = [
    *(
        "paper",
        "table",
        "page",
        "split",
        "method",
        "printed",
        "backbone",
        "setting",
        "item",
        "task",
        "metric",
    ),
    *("score", "speedup", "params", "flops", "cost_percent", "doubtful"),
]
KEY = ["paper", "table", "split", "method", "backbone", "setting", "item", "task", "metric"]
IMAGES = {"cifar10", "cifar100"}


@pytest.fixture(scope="module")
def everything() -> pd.DataFrame:
    return pd.concat([reference_table(name) for name in SIZES], ignore_index=True)


def cells(name: str, **wanted: str) -> pd.DataFrame:
    rows = reference_table(name)
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    return rows


def cell(name: str, column: str = "score", **wanted: str) -> object:
    (value,) = cells(name, **wanted)[column]
    return value


class TestNames:
    def test_all_tables_sorted(self) -> None:
        assert reference_names() == list(SIZES)

    def test_unknown_name_suggests(self) -> None:
        with pytest.raises(UnknownName, match="did you mean 'gaml-table2'.*eebench list references"):
            reference_table("gaml-tabel2")

    def test_a_caller_cannot_change_the_table(self) -> None:
        mine = reference_table("gaml-table3")
        mine.loc[:, "score"] = 0.0
        assert reference_table("gaml-table3")["score"].min() == 48.4


class TestForm:
    @pytest.mark.parametrize(("name", "rows"), SIZES.items())
    def test_columns_and_rows(self, name: str, rows: int) -> None:
        table = reference_table(name)
        assert list(table.columns) == COLUMNS
        assert len(table) == rows
        assert table["paper"].nunique() == table["table"].nunique() == 1
        assert name.endswith(f"table{table['table'].iloc[0]}")
        assert name.partition("-")[0] == table["paper"].iloc[0].replace("-BERT", "").replace("-", "").lower()

    def test_numbers_are_numbers_and_text_is_text(self, everything: pd.DataFrame) -> None:
        for column in COLUMNS:
            if column in NUMBERS:
                assert everything[column].dtype == float, column
            elif column != "table":
                assert all(isinstance(value, str) for value in everything[column]), column
        assert everything["params"].str.fullmatch(r"|\d+M|\d\.\dx").all()

    def test_no_duplicate_keys(self, everything: pd.DataFrame) -> None:
        assert not everything.duplicated(KEY).any()

    def test_names_are_known(self, everything: pd.DataFrame) -> None:
        assert set(everything["paper"]) == set(PAPERS)
        assert set(everything["split"]) == {"", "dev", "test"}
        scored = everything[everything["metric"].isin(SCORES)]
        assert set(scored["task"]) <= {*task_names(), *IMAGES}
        assert set(SCORES) <= {*METRICS, "unspecified"}
        assert everything["setting"].str.fullmatch(r"|S=0(\.\d)?").all()

    def test_scores_are_percentages(self, everything: pd.DataFrame) -> None:
        scored = everything[everything["metric"].isin([*SCORES, "mean"])]
        assert scored["score"].dropna().between(0, 100).all()
        assert (scored.loc[~scored["item"].str.startswith("pair"), "score"].dropna() > 30).all()

    def test_an_empty_score_has_its_reason(self, everything: pd.DataFrame) -> None:
        lost = everything[everything["score"].isna() & (everything["metric"] != "")]
        assert len(lost) == 7
        assert lost["doubtful"].str.contains("lost").all()

    def test_a_printed_name_has_one_method(self, everything: pd.DataFrame) -> None:
        named = everything[everything["method"] != ""]
        assert (named.groupby(["paper", "printed"])["method"].nunique() == 1).all()

    def test_a_main_result_has_one_printed_name(self, everything: pd.DataFrame) -> None:
        main = everything[everything["item"] == ""]
        assert (main.groupby(["paper", "method", "backbone"])["printed"].nunique() == 1).all()

    def test_a_rows_cost_is_the_same_for_all_tasks(self) -> None:
        for name in ("gaml-table2", "csdbert-table3", "csdbert-table4", "costeff-table3"):
            rows = reference_table(name).groupby(["split", "printed", "item"])
            assert (rows[["speedup", "params"]].nunique() == 1).all(axis=None), name


class TestDoubts:
    MARKED = (
        ("gaml-table1", {"method": "finetune", "task": "sst2"}, "lost"),
        ("gaml-table1", {"printed": "mutual KD with exit 1", "task": "cola"}, "label"),
        ("gaml-table1", {"printed": "mutual KD with exit 1", "task": "sst2"}, "label"),
        ("gaml-table1", {"printed": "mutual KD with exit 6", "task": "cola"}, "label"),
        ("gaml-table1", {"printed": "mutual KD with exit 6", "task": "sst2"}, "label"),
        ("gaml-table2", {"method": "gaml", "split": "dev", "task": "mnli"}, "82.7 or 83.2"),
        ("gaml-table2", {"method": "gaml", "split": "dev", "task": "sst2"}, "unreadable"),
        ("gaml-table2", {"method": "gaml-hard", "task": "mrpc"}, "87.6 or 87.0"),
        ("gaml-table2", {"method": "gaml-hard", "task": "qnli"}, "84.9 or 84.0"),
        ("gaml-table2", {"method": "gaml-hard", "task": "qqp"}, "88.9 or 88.0"),
        ("gaml-table4", {"method": "fastbert", "task": "cola"}, "ML-BERT"),
        ("gaml-table4", {"method": "fastbert", "task": "sst2"}, "ML-BERT"),
        *(
            ("csdbert-table3", {"method": "cascade", "task": t}, "test")
            for t in ("rte", "qnli", "qqp", "mnli")
        ),
        ("csdbert-table3", {"method": "cascade", "task": "average"}, "do not use"),
        *(
            ("csdbert-table4", {"method": method, "task": task}, "run together")
            for method in ("elasticbert", "elasticbert-patience")
            for task in ("elue-snli", "average")
        ),
        ("csdbert-table4", {"method": "csdbert", "task": "elue-mrpc"}, "3.9 points above"),
        ("csdbert-table4", {"method": "csdbert", "task": "elue-sst2"}, "4.5 points above"),
        ("csdbert-table5", {"printed": "CsdBERT", "task": "elue-mrpc"}, "3.9 points above"),
        ("csdbert-table5", {"printed": "CsdBERT", "task": "elue-sst2"}, "4.5 points above"),
        ("smartbert-table1", {"method": "deebert", "setting": "S=0.1", "task": "cola"}, "21758"),
        ("smartbert-table1", {"method": "deebert", "setting": "S=0.5", "task": "cola"}, "rounded up"),
        ("smartbert-table1", {"method": "smartbert", "setting": "S=0.5", "task": "mnli"}, "48%"),
        ("smartbert-table1", {"method": "smartbert", "setting": "S=0.5", "task": "cola"}, "48%"),
        *(
            ("smartbert-table1", {"method": "smartbert", "setting": f"S={s}", "task": task}, why)
            for s in (0.1, 0.3, 0.5)
            for task, why in (("rte", "249M"), ("wnli", "285M"))
        ),
        *(
            ("costeff-table3", {"method": "distilbert", "task": t}, "quoted")
            for t in ("sst2", "qnli", "mnli")
        ),
        ("costeff-table3", {"method": "tinybert4", "task": "mnli+mnli_mm"}, "1.0, printed 0.9"),
        *(
            ("costeff-table5", {"printed": f"COST-EFF_8x ({backbone})", "task": task}, "lost")
            for backbone in ("BERT", "ElasticBERT")
            for task in ("sst2", "mrpc", "qnli", "mnli", "mnli_mm")
        ),
    )

    @pytest.mark.parametrize(("name", "wanted", "why"), MARKED)
    def test_is_marked(self, name: str, wanted: dict[str, str], why: str) -> None:
        assert why in str(cell(name, "doubtful", **wanted))

    def test_nothing_else_is_marked(self, everything: pd.DataFrame) -> None:
        assert (everything["doubtful"] != "").sum() == len(self.MARKED)

    def test_the_cell_in_doubt_is_named(self, everything: pd.DataFrame) -> None:
        reasons = everything.loc[everything["doubtful"] != "", "doubtful"]
        assert reasons.str.match(r"(score|flops|cost|label|reductions)[a-z ]*: ").all()


class TestGaml:
    @pytest.mark.parametrize(
        ("method", "split", "task", "score"),
        [
            ("finetune", "dev", "cola", 54.7),
            ("first-6", "dev", "sst2", 88.6),
            ("distilbert", "dev", "qqp", 86.4),
            ("pkd", "dev", "rte", 63.4),
            ("layerdrop", "dev", "qnli", 81.7),
            ("theseus", "dev", "mnli", 80.7),
            ("deebert", "dev", "cola", 43.4),
            ("shallow-deep", "dev", "mrpc", 85.7),
            ("pabee", "dev", "cola", 45.2),
            ("fastbert", "test", "sst2", 91.7),
            ("fastbert-ga", "dev", "qnli", 84.7),
            ("ml", "dev", "rte", 65.7),
            ("gaml-hard", "dev", "cola", 50.5),
            ("gaml", "dev", "cola", 51.1),
            ("gaml", "test", "qqp", 70.9),
        ],
    )
    def test_table_2(self, method: str, split: str, task: str, score: float) -> None:
        assert cell("gaml-table2", method=method, split=split, task=task) == score

    def test_speedups_of_table_2(self) -> None:
        assert cell("gaml-table2", "speedup", method="pabee", split="dev", task="rte") == 1.91
        assert cell("gaml-table2", "speedup", method="pabee", split="test", task="rte") == 1.89
        assert cell("gaml-table2", "params", method="pkd", task="rte") == "66M"

    def test_pilot(self) -> None:
        pair = {"item": "pair=6&12;exit=6", "task": "cola"}
        shown = {method: cell("gaml-table1", method=f"pilot-{method}", **pair) for method in
                 ("direct", "joint", "deep-to-shallow", "mutual")}  # fmt: skip
        assert shown == {"direct": 36.4, "joint": 39.9, "deep-to-shallow": 46.5, "mutual": 47.6}
        last = {"item": "pair=1&12;exit=12", "task": "sst2"}
        assert cell("gaml-table1", method="pilot-shallow-to-deep", **last) == 91.3
        assert math.isnan(float(str(cell("gaml-table1", method="finetune", task="sst2"))))

    def test_small_tables(self) -> None:
        assert cell("gaml-table3", method="ml", item="alpha=0.5") == 48.6
        assert cell("gaml-table3", method="gaml", item="alpha=0.3") == 51.1
        assert cell("gaml-table4", method="gaml", task="cola") == 1800
        assert cell("gaml-table4", method="finetune", task="sst2", metric="training_steps") == 4100
        assert cell("gaml-table5", method="gaml", item="rule=max-prob", task="mrpc") == 87.8
        assert cell("gaml-table5", "speedup", method="deebert", task="mnli") == 1.86
        assert cell("gaml-table8", method="dbt", task="cifar100") == 69.3
        assert cell("gaml-table8", "speedup", method="dbt", task="cifar10") == 1.28


class TestCsdbert:
    @pytest.mark.parametrize(
        ("name", "method", "task", "score"),
        [
            ("csdbert-table3", "finetune", "average", 81.5),
            ("csdbert-table3", "cascade", "qqp", 71.2),
            ("csdbert-table3", "csdbert", "rte", 73.3),
            ("csdbert-table3", "gaml", "mnli", 83.2),
            ("csdbert-table4", "finetune", "elue-imdb", 93.9),
            ("csdbert-table4", "elasticbert", "elue-scitail", 94.5),
            ("csdbert-table4", "elasticbert", "elue-snli", 90.0),
            ("csdbert-table4", "elasticbert-patience", "average", 89.5),
            ("csdbert-table4", "csdbert", "elue-sst2", 93.1),
        ],
    )
    def test_cells(self, name: str, method: str, task: str, score: float) -> None:
        assert cell(name, method=method, task=task) == score

    def test_ablation(self) -> None:
        assert cell("csdbert-table5", item="alpha=0", task="elue-sst2") == 87.4
        assert cell("csdbert-table5", item="beta=0", task="rte") == 69.7

    @pytest.mark.parametrize("name", ["csdbert-table3", "csdbert-table4"])
    def test_averages_are_plain_means(self, name: str) -> None:
        rows = reference_table(name)
        printed = rows[rows["metric"] == "mean"].set_index("method")["score"]
        means = rows[rows["metric"] != "mean"].groupby("method")["score"].mean()
        assert (printed - means).abs().max() < 0.06
        assert len(printed) == len(means)

    def test_baselines_repeat_gaml_bert(self) -> None:
        ours = cells("csdbert-table3")
        ours = ours[~ours["method"].isin(["cascade", "csdbert"]) & (ours["task"] != "average")]
        theirs = cells("gaml-table2", split="dev").set_index(["method", "task"])["score"]
        assert len(ours) == 10 * 4
        assert list(ours["score"]) == [theirs[row.method, row.task] for row in ours.itertuples()]


class TestSmartbert:
    @pytest.mark.parametrize(
        ("method", "setting", "task", "numbers"),
        [
            ("finetune", "", "mrpc", (88.5, 21744, 100)),
            ("distilbert", "", "wnli", (55.3, 10872, 50)),
            ("deebert", "S=0.3", "sst2", (90.3, 10874, 50)),
            ("fastbert", "S=0.5", "cola", (44.4, 12700, 58)),
            ("smartbert", "S=0.1", "qqp", (84.1, 13128, 60)),
            ("smartbert", "S=0.5", "mnli_mm", (82.0, 10570, 48)),
        ],
    )
    def test_table_1(self, method: str, setting: str, task: str, numbers: tuple[float, int, int]) -> None:
        row = cells("smartbert-table1", method=method, setting=setting, task=task)
        assert tuple(row[["score", "flops", "cost_percent"]].iloc[0]) == numbers

    def test_cost_is_cut_not_rounded(self) -> None:
        rows = pd.concat([reference_table("smartbert-table1"), reference_table("smartbert-table3")])
        wrong = rows[(100 * rows["flops"] // 21744) != rows["cost_percent"]]
        shown = set(zip(wrong["method"], wrong["setting"], wrong["task"], strict=True))
        assert shown == {
            ("deebert", "S=0.5", "cola"),
            ("smartbert", "S=0.5", "mnli"),
            ("smartbert", "S=0.5", "cola"),
        }
        assert (wrong["doubtful"] != "").all()

    def test_components(self) -> None:
        flops = reference_table("smartbert-table2").set_index("item")["flops"]
        assert dict(flops) == {"transformer layer": 1811.8, "classifier": 37.6, "skipping gate": 37.4}

    def test_skipping_alone(self) -> None:
        assert cell("smartbert-table3", "flops", printed="Skip", task="rte") == 12190
        assert cell("smartbert-table3", setting="S=0", task="sst2") == 93.1


class TestCostEff:
    @pytest.mark.parametrize(
        ("printed", "task", "score"),
        [
            ("BERT_8L-256H", "mrpc", 84.7),
            ("TinyBERT4", "mnli_mm", 81.6),
            ("DeeBERT_12L-256H", "sst2", 87.5),
            ("PABEE_12L-512H", "mrpc", 86.9),
            ("DistilBERT6", "mnli", 82.2),
            ("TinyBERT6 w/o GD", "qnli", 90.0),
            ("ElasticBERT_6L", "mrpc", 89.4),
            ("COST-EFF_2x", "mnli", 83.7),
        ],
    )
    def test_table_3(self, printed: str, task: str, score: float) -> None:
        assert cell("costeff-table3", printed=printed, task=task, item="") == score

    def test_reductions(self) -> None:
        row = cells(
            "costeff-table3", printed="COST-EFF_8x", item="simple inputs", task="sst2", metric="accuracy"
        )
        assert tuple(row[["score", "speedup", "params"]].iloc[0]) == (91.5, 20.3, "7.9x")

    def test_headline_share_of_bert(self) -> None:
        rows = cells("costeff-table3", item="").set_index(["printed", "task"])["score"]
        assert (rows["COST-EFF_8x"] / rows["BERT_Base"]).mean() == pytest.approx(0.96487, abs=5e-6)

    def test_differences_on_simple_inputs(self) -> None:
        for printed in ("TinyBERT4", "COST-EFF_8x"):
            rows = cells("costeff-table3", printed=printed)
            scores = rows[rows["metric"].isin(SCORES)].set_index(["item", "task"])["score"]
            gain = scores["simple inputs"] - scores[""]
            gain["mnli+mnli_mm"] = (gain["mnli"] + gain["mnli_mm"]) / 2
            shown = rows[rows["metric"] == "points_above_all_inputs"]
            for row in shown.itertuples():
                assert (abs(gain[row.task] - row.score) < 0.06) == (row.doubtful == ""), row

    def test_ablation_means(self) -> None:
        means = reference_table("costeff-table4").groupby("printed")["score"].mean()
        drops = means["COST-EFF_8x"] - means[["- L_feat", "- L_pred"]]
        assert list(drops) == pytest.approx([1.60, 3.433], abs=5e-4)

    def test_appendix(self) -> None:
        assert cell("costeff-table5", backbone="elasticbert-base", task="mnli_mm") == 82.3

    def test_shapes_fit_the_checkpoints(self) -> None:
        rows = reference_table("costeff-table2")
        rows = rows[rows["backbone"].str.startswith("google/")]
        shapes = rows.pivot(index=["printed", "backbone"], columns="metric", values="score").astype(int)
        for (_, backbone), shape in shapes.iterrows():
            assert backbone == f"google/bert_uncased_L-{shape.layers}_H-{shape.hidden_width}_A-{shape.heads}"
        assert len(shapes) == 6

    def test_shapes(self) -> None:
        assert cell("costeff-table2", printed="COST-EFF_8x", metric="ffn_width") == 256
        assert cell("costeff-table2", printed="TinyBERT4", metric="head_width") == 26
        assert cell("costeff-table2", printed="ElasticBERT_6L", metric="early_exit") == 1
