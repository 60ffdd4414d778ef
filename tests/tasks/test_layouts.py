from __future__ import annotations

from pathlib import Path

from eebench.tasks.layouts import BundledLayout, FileLayout, FolderLayout, HubLayout


def test_every_layout_names_its_splits_in_order():
    assert FolderLayout("X", (("a",),), ("b",)).splits == ("train", "dev")
    assert HubLayout("x", None, ("a",)).splits == ("train", "dev")
    assert HubLayout("x", None, ("a",), shares=(("train", 90), ("test", 10))).splits == ("train", "test")
    assert BundledLayout("x", (("train", 50), ("dev", 50))).splits == ("train", "dev")
    assert FileLayout({"dev": Path("d.csv")}, ("a",), "b").splits == ("dev",)


def test_columns_given_by_place_mean_no_header():
    assert not FolderLayout("CoLA", (3,), 1).has_header
    assert FolderLayout("RTE", (("sentence1",),), ("label",)).has_header


def test_layouts_are_hashable_although_they_hold_mappings():
    assert hash(FolderLayout("X", (1,), 0)) == hash(FolderLayout("X", (1,), 0))
    assert hash(FileLayout({}, ("a",), "b")) == hash(FileLayout({}, ("a",), "b"))
