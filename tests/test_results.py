"""The text results: rounding, order and bytes that do not change without reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from eebench.errors import DataError, StorageError
from eebench.results import (
    OPTIONAL,
    SCHEMAS,
    natural_key,
    read_results,
    table_text,
    write_if_changed,
    write_results,
)

FILES = [*(f"{name}.csv" for name in SCHEMAS if name not in OPTIONAL), "provenance.json"]


def point(**changes: Any) -> dict[str, Any]:
    base = {
        "task": "SST-2", "backbone": "bert", "method": "pabee", "rule": "patience", "setting": "patience=3",
        "split": "dev", "metric": "accuracy", "score_mean": 0.91234567, "score_std": 0.00125, "seeds": 3,
        "mean_exit": 6.12345, "speedup_layers": 1.9596, "flops_per_sample": 11_000_000_000.4,
        "speedup_flops": 1.97699, "convention": "full_2mac@128", "head": "own pooler", "pooling": "cls",
    }  # fmt: skip
    return base | changes


def run(**changes: Any) -> dict[str, Any]:
    base = {
        "task": "SST-2", "backbone": "bert", "method": "pabee", "seed": 1, "status": "ok", "reason": "",
        "parameters": 109_483_778, "training_steps": 1200, "head": "own pooler", "pooling": "cls",
        "configurations": 4, "exit_mean": 0.81234, "model_bytes": 437_951_328, "precision": "fp32", "learned": "yes",
    }  # fmt: skip
    return base | changes


def histogram() -> list[dict[str, Any]]:
    """Bins of two quantities, in an order that is not theirs."""
    names = {"task": "SST-2", "backbone": "bert", "method": "gaml", "high": 1.0}
    bins = [("angle", 0.0), ("c", 0.0), ("c", -np.inf), ("c", -0.25)]
    return [{**names, "quantity": quantity, "low": low, "count": 7} for quantity, low in bins]


def rows_of(text: str) -> list[list[str]]:
    return [line.split(",") for line in text.splitlines()[1:]]


class TestTableText:
    def test_every_table_has_the_columns_of_its_schema(self):
        headers = {name: table_text(name, None) for name in SCHEMAS}
        assert headers == {
            "points": "task,backbone,method,rule,setting,split,metric,score_mean,score_std,seeds,mean_exit,"
            "speedup_layers,flops_per_sample,speedup_flops,convention,head,pooling\n",
            "exits": "task,backbone,method,exit,split,metric,score_mean,score_std,seeds,head,pooling,unanswered\n",
            "summary": "task,backbone,method,rule,metric,full_score,speedup_at_1pt,score_at_2x,auc,seeds,"
            "setting_at_1pt,setting_at_2x\n",
            "runs": "task,backbone,method,seed,status,reason,parameters,training_steps,head,pooling,"
            "configurations,exit_mean,model_bytes,precision,learned\n",
            "costs": "backbone,component,parameters,flops,convention\n",
            "histograms": "task,backbone,method,quantity,low,high,count\n",
            "checks": "task,backbone,method,split,rule,theta,checks,fired\n",
            "simple": "task,backbone,method,rule,setting,split,metric,score_mean,score_std,seeds,mean_exit,"
            "flops_per_sample,speedup_flops\n",
            "layers": "backbone,method,layer,width,heads,head_width,ffn_width,layer_flops,exit_flops,gate_flops,"
            "convention\n",
        }

    def test_rounding(self):
        text = table_text("points", pd.DataFrame([point()]))
        assert text.splitlines()[1] == (
            "SST-2,bert,pabee,patience,patience=3,dev,accuracy,0.9123,0.0013,3,6.123,1.960,11000000000,1.977,"
            "full_2mac@128,own pooler,cls"
        )

    @pytest.mark.parametrize(
        ("name", "numbers"),
        [
            ("points", "12.3457 12.3457 12 12.346 12.346 12 12.346"),
            ("exits", "12 12.3457 12.3457 12 12.3"),
            ("summary", "12.3457 12.346 12.3457 12.3457 12"),
            ("runs", "12 12 12 12 12.3457 12"),
            ("costs", "12 12"),
            ("histograms", "12.35 12.35 12"),
            ("checks", "12 12"),
            ("simple", "12.3457 12.3457 12 12.346 12 12.346"),
        ],
    )
    def test_every_number_has_the_decimals_of_its_column(self, name: str, numbers: str):
        row = {column.name: "x" if column.places is None else 12.3456789 for column in SCHEMAS[name]}
        (cells,) = rows_of(table_text(name, pd.DataFrame([row])))
        assert [cell for cell in cells if cell != "x"] == numbers.split()

    def test_missing_numbers_are_empty_cells(self):
        rows = [point(score_std=None, speedup_flops=float("nan"), flops_per_sample=None)]
        cells = rows_of(table_text("points", pd.DataFrame(rows)))[0]
        assert cells[7:14] == ["0.9123", "", "3", "6.123", "1.960", "", ""]

    def test_zero_has_no_sign(self):
        text = table_text("points", pd.DataFrame([point(score_mean=-0.00001)]))
        assert rows_of(text)[0][7] == "0.0000"

    def test_a_large_integer_keeps_every_digit(self):
        rows = pd.DataFrame([run(parameters=2**63 - 1)])
        assert rows_of(table_text("runs", rows))[0][6] == "9223372036854775807"

    def test_settings_sort_by_their_numbers(self):
        settings = ["exit=10", "S=0.1", "exit=2", "S=0.05", "theta=0.06;R=10", "theta=0.06;R=2", "S=1e-3"]
        text = table_text("points", pd.DataFrame([point(setting=setting) for setting in settings]))
        assert [row[4] for row in rows_of(text)] == [
            "S=1e-3", "S=0.05", "S=0.1", "exit=2", "exit=10", "theta=0.06;R=2", "theta=0.06;R=10",
        ]  # fmt: skip

    def test_names_keep_the_order_of_the_caller(self):
        rows = [
            point(task=task, method=method, rule=rule)
            for task in ("SST-2", "CoLA")
            for method in ("pabee", "deebert")
            for rule in ("patience", "entropy")
        ]
        # Interleaved: first appearances decide, not where the other rows lie.
        order = [0, 1, 2, 3, 4, 6, 5, 7]
        text = table_text("points", pd.DataFrame([rows[index] for index in order]))
        assert [tuple(row[index] for index in (0, 2, 3)) for row in rows_of(text)] == [
            (row["task"], row["method"], row["rule"]) for row in rows
        ]

    def test_seeds_and_exits_sort_as_numbers(self):
        text = table_text("runs", pd.DataFrame([run(seed=seed) for seed in (10, 9, 1)]))
        assert [row[3] for row in rows_of(text)] == ["1", "9", "10"]

    def test_a_missing_number_sorts_before_all_others(self):
        text = table_text("runs", pd.DataFrame([run(seed=seed) for seed in (1, 0, None)]))
        assert [row[3] for row in rows_of(text)] == ["", "0", "1"]
        bins = [{**histogram()[1], "low": low} for low in (-1e300, None)]
        first, _ = rows_of(table_text("histograms", pd.DataFrame(bins)))
        assert first[4] == ""

    def test_bins_sort_by_their_limits(self):
        rows = rows_of(table_text("histograms", pd.DataFrame(histogram())))
        assert [(row[3], row[4]) for row in rows] == [
            ("angle", "0.00"), ("c", "-inf"), ("c", "-0.25"), ("c", "0.00"),
        ]  # fmt: skip

    def test_the_order_of_rows_given_does_not_matter_within_a_method(self):
        rows = [point(setting=f"S={value}") for value in (0.5, 0.05, 0.1)]
        assert table_text("points", pd.DataFrame(rows)) == table_text("points", pd.DataFrame(rows[::-1]))

    def test_a_row_is_a_line_whatever_its_text(self):
        text = table_text("runs", pd.DataFrame([run(status="failed", reason='a, "b"\r\nand\x00c\u2028d')]))
        assert (
            text.splitlines()[1]
            == 'SST-2,bert,pabee,1,failed,"a, ""b"" and c d",109483778,1200,own pooler,cls,4,0.8123,437951328,fp32,yes'
        )

    def test_columns_outside_the_schema_are_left_out(self):
        plain, extended = pd.DataFrame([run()]), pd.DataFrame([run(host="name")])
        assert table_text("runs", plain) == table_text("runs", extended)

    def test_a_missing_column_is_named(self):
        with pytest.raises(DataError, match=r"rows for runs.csv have no column 'reason'"):
            table_text("runs", pd.DataFrame([run()]).drop(columns="reason"))

    def test_two_rows_with_one_key_are_refused(self):
        with pytest.raises(DataError, match=r"runs.csv have the same key: task=SST-2, .*seed=1"):
            table_text("runs", pd.DataFrame([run(), run(status="failed")]))


class TestNaturalKey:
    @pytest.mark.parametrize(
        ("smaller", "larger"),
        [("S=0.05", "S=0.1"), ("exit=2", "exit=10"), ("a=-1", "a=0"), ("R=2;t=9", "R=3;t=1"), ("S", "S=1")],
    )
    def test_order(self, smaller: str, larger: str):
        assert natural_key(smaller) < natural_key(larger)


class TestWriteAndRead:
    def tables(self) -> dict[str, pd.DataFrame]:
        return {
            "points": pd.DataFrame([point(), point(setting="patience=10", score_std=None)]),
            "runs": pd.DataFrame([run(), run(seed=2, status="failed", reason="NaN loss", parameters=None)]),
            "costs": pd.DataFrame([{"backbone": "NA", "component": "layer 1", "parameters": np.int64(7),
                                    "flops": np.int64(1811939328), "convention": "full_2mac@128"}]),
        }  # fmt: skip

    def test_every_file_is_there_even_when_empty(self, tmp_path: Path):
        write_results(tmp_path / "new" / "smoke", {}, {})
        folder = tmp_path / "new" / "smoke"
        assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
        assert (folder / "provenance.json").read_bytes() == b"{}\n"
        assert all(path.read_bytes().endswith(b"\n") for path in folder.iterdir())

    def test_provenance_is_canonical(self, tmp_path: Path):
        write_results(tmp_path, {}, {"b": [1, 2.5], "a": {"d": "é", "c": None}})
        text = '{\n  "a": {\n    "c": null,\n    "d": "é"\n  },\n  "b": [\n    1,\n    2.5\n  ]\n}\n'
        assert (tmp_path / "provenance.json").read_text(encoding="utf-8") == text

    def test_reads_back_exactly(self, tmp_path: Path):
        write_results(tmp_path, self.tables(), {"suite": {"name": "smoke"}})
        results = read_results(tmp_path)
        assert results.points["setting"].tolist() == ["patience=3", "patience=10"]
        assert results.points["score_mean"].tolist() == [0.9123, 0.9123]
        assert results.points["score_std"].isna().tolist() == [False, True]
        assert results.points["flops_per_sample"].tolist() == [11_000_000_000] * 2
        assert results.runs["reason"].tolist() == ["", "NaN loss"]
        assert results.runs["parameters"].isna().tolist() == [False, True]
        assert results.runs["parameters"].iloc[0] == 109_483_778
        # A backbone called NA is a name, not a missing value.
        assert results.costs["backbone"].tolist() == ["NA"]
        assert results.exits.empty and results.summary.empty
        assert results.provenance == {"suite": {"name": "smoke"}}
        assert results.folder == tmp_path

    def test_writing_what_was_read_changes_no_byte(self, tmp_path: Path):
        write_results(tmp_path / "a", self.tables(), {"x": 1})
        results = read_results(tmp_path / "a")
        write_results(tmp_path / "b", {name: getattr(results, name) for name in SCHEMAS}, results.provenance)
        for name in FILES:
            assert (tmp_path / "b" / name).read_bytes() == (tmp_path / "a" / name).read_bytes(), name

    def test_only_changed_files_are_touched(self, tmp_path: Path):
        tables = self.tables()
        write_results(tmp_path, tables, {})
        before = {name: (tmp_path / name).stat().st_ino for name in FILES}
        tables["runs"] = tables["runs"].assign(training_steps=7)
        write_results(tmp_path, tables, {})
        changed = [name for name in FILES if (tmp_path / name).stat().st_ino != before[name]]
        assert changed == ["runs.csv"]

    def test_an_unknown_table_is_refused_before_anything_is_written(self, tmp_path: Path):
        with pytest.raises(DataError, match="no result file is named 'point'"):
            write_results(tmp_path, {"point": pd.DataFrame()}, {})
        assert list(tmp_path.iterdir()) == []

    def test_provenance_without_an_exact_text_is_refused(self, tmp_path: Path):
        with pytest.raises(ValueError, match="JSON compliant"):
            write_results(tmp_path, {}, {"loss": float("nan")})

    def test_a_folder_from_before_there_was_a_search_had_one_configuration(self, tmp_path: Path):
        write_results(tmp_path, self.tables(), {})
        path = tmp_path / "runs.csv"
        lines = [line.rsplit(",", 5)[0] for line in path.read_text(encoding="utf-8").splitlines()]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        runs = read_results(tmp_path).runs
        assert runs["configurations"].tolist() == [1, 1] and runs["exit_mean"].isna().all()
        assert runs["model_bytes"].isna().all()
        assert runs["precision"].tolist() == runs["learned"].tolist() == ["", ""]
        assert (runs["exit_mean"].dtype, runs["model_bytes"].dtype) == ("float64", "Int64")

    def test_a_folder_from_before_answers_were_counted_does_not_know_how_many_lack(self, tmp_path: Path):
        row = {"task": "rte", "backbone": "toy", "method": "pabee", "exit": 1, "split": "dev", "metric": "accuracy",
               "score_mean": 0.5, "score_std": None, "seeds": 1, "head": "linear", "pooling": "cls"}  # fmt: skip
        write_results(tmp_path, {**self.tables(), "exits": pd.DataFrame([row])}, {})
        path = tmp_path / "exits.csv"
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[0].endswith(",unanswered")
        path.write_text("".join(f"{line.rpartition(',')[0]}\n" for line in lines), encoding="utf-8")
        exits = read_results(tmp_path).exits
        assert len(exits) and exits["unanswered"].isna().all() and exits["unanswered"].dtype == "float64"

    def test_a_table_that_may_be_absent_is_there_only_with_rows(self, tmp_path: Path):
        path = tmp_path / "histograms.csv"
        write_results(tmp_path, {"histograms": pd.DataFrame(histogram())}, {})
        assert path.is_file() and len(read_results(tmp_path).histograms) == 4
        write_results(tmp_path, {}, {})
        assert not path.exists()
        found = read_results(tmp_path).histograms
        assert found.empty and list(found.columns) == [column.name for column in SCHEMAS["histograms"]]

    def test_later_columns_are_kept_as_text(self, tmp_path: Path):
        write_results(tmp_path, self.tables(), {})
        path = tmp_path / "costs.csv"
        header, row = path.read_text(encoding="utf-8").splitlines()
        path.write_text(f"{header},note\n{row},007\n", encoding="utf-8")
        assert read_results(tmp_path).costs["note"].tolist() == ["007"]


class TestDamage:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "smoke"
        write_results(folder, {"runs": pd.DataFrame([run(), run(seed=2)])}, {})
        return folder

    @pytest.mark.parametrize("name", FILES)
    def test_a_missing_file_says_how_to_make_it(self, folder: Path, name: str):
        (folder / name).unlink()
        with pytest.raises(DataError, match=rf"{name} is missing; `eebench sweep --suite smoke` writes it"):
            read_results(folder)

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            (",reason,", ",cause,", r"runs.csv has no column 'reason'; `eebench sweep --suite smoke`"),
            (",2,ok", ",two,ok", r"runs.csv, line 3, column 'seed': 'two' is not a number"),
            (",2,ok", ",2.0,ok", r"column 'seed': '2.0' is not a number"),
            ("SST-2,bert,pabee,2", "<<<<<<< HEAD\nSST-2,bert,pabee,2", r"runs.csv, line 3: 1 cells, not 15"),
            ("pabee,2", '"pabee,2', r"runs.csv is not a CSV table \(unexpected end of data\)"),
        ],
    )
    def test_a_damaged_table(self, folder: Path, old: str, new: str, message: str):
        path = folder / "runs.csv"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
        with pytest.raises(DataError, match=message):
            read_results(folder)

    def test_an_empty_file_has_no_columns(self, folder: Path):
        (folder / "points.csv").write_text("", encoding="utf-8")
        with pytest.raises(DataError, match=r"points.csv has no column 'task', 'backbone'"):
            read_results(folder)

    @pytest.mark.parametrize(("text", "message"), [("{", "is not JSON"), ("[]", "is not a JSON object")])
    def test_damaged_provenance(self, folder: Path, text: str, message: str):
        (folder / "provenance.json").write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=message):
            read_results(folder)


class TestWriteIfChanged:
    def test_says_whether_it_wrote(self, tmp_path: Path):
        path = tmp_path / "deep" / "file"
        assert write_if_changed(path, b"one") is True
        assert write_if_changed(path, b"one") is False
        assert write_if_changed(path, b"two") is True
        assert path.read_bytes() == b"two"

    def test_leaves_nothing_else_behind(self, tmp_path: Path):
        write_if_changed(tmp_path / "file", b"one")
        assert [path.name for path in tmp_path.iterdir()] == ["file"]

    def test_a_refusal_is_one_message_and_no_remains(self, tmp_path: Path):
        (tmp_path / "file").mkdir()
        with pytest.raises(StorageError, match=r"cannot write .*file: Is a directory"):
            write_if_changed(tmp_path / "file", b"one")
        assert [path.name for path in tmp_path.iterdir()] == ["file"]

    def test_a_parent_that_is_a_file(self, tmp_path: Path):
        (tmp_path / "results").write_text("", encoding="utf-8")
        with pytest.raises(StorageError, match="cannot write"):
            write_if_changed(tmp_path / "results" / "points.csv", b"one")

    def test_provenance_text_is_json(self, tmp_path: Path):
        write_results(tmp_path, {}, {"z": 1, "a": 2})
        assert list(json.loads((tmp_path / "provenance.json").read_text(encoding="utf-8"))) == ["a", "z"]
