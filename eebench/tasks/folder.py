"""Official GLUE and ELUE tab-separated files in a local directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eebench.errors import DataError
from eebench.tasks.layouts import Column, FolderLayout
from eebench.tasks.rows import Row, accepted_labels, build_split, check_size, find_column, tab_separated
from eebench.tasks.specs import TaskSpec
from eebench.tasks.splits import Split


def folder_splits(
    spec: TaskSpec, layout: FolderLayout, data_dir: Path, names: Sequence[str]
) -> dict[str, Split]:
    """The splits `names` of a task from the files under `data_dir`; DataError when missing or not right."""
    directory = find_folder(spec, layout, data_dir)
    return {name: _read(spec, layout, directory / layout.files[name], name) for name in names}


def find_folder(spec: TaskSpec, layout: FolderLayout, data_dir: Path) -> Path:
    """The task's directory: below the group's ("ELUE/SST-2"), below `data_dir`, or `data_dir` itself.

    Letter case and dashes do not matter ("sst2" is "SST-2"). The group comes first because GLUE and ELUE
    use the same directory names for different data.
    """
    if not data_dir.is_dir():
        raise DataError(f"no directory {data_dir}; correct --data-dir or EEBENCH_DATA.")
    groups = [*_children(data_dir, spec.group), *_children(data_dir, f"{spec.group}data"), data_dir]
    candidates = [child for parent in groups for child in _children(parent, layout.name)] + [data_dir]
    for directory in candidates:
        if any((directory / file).is_file() for file in layout.files.values()):
            return directory
    raise DataError(
        f"no files of {spec.name} in {data_dir}; expected {expected_layout(layout)} there; "
        f"correct --data-dir or EEBENCH_DATA."
    )


def expected_layout(layout: FolderLayout) -> str:
    """The files a user must provide: "RTE/{train.tsv,dev.tsv}"."""
    return f"{layout.name}/{{{','.join(layout.files.values())}}}"


def _children(parent: Path, name: str) -> list[Path]:
    wanted = _plain(name)
    return sorted(child for child in parent.iterdir() if _plain(child.name) == wanted and child.is_dir())


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _read(spec: TaskSpec, layout: FolderLayout, path: Path, name: str) -> Split:
    digits = layout.digit_labels
    split = build_split(spec, _rows(layout, path), str(path), accepted_labels(spec, digits))
    check_size(spec, name, len(split), str(path))
    return split


def _rows(layout: FolderLayout, path: Path) -> list[Row]:
    lines = tab_separated(path)
    header = lines.pop(0)[1] if lines and layout.has_header else []
    if not lines:
        return []
    places = [_place(header, column, path) for column in (*layout.text_columns, layout.label_column)]
    needed = max(places) + 1
    rows = []
    for line, fields in lines:
        if len(fields) >= needed:
            texts = tuple(fields[place] for place in places[:-1])
            rows.append(Row(line, texts, fields[places[-1]]))
        elif not layout.skip_short_rows:
            raise DataError(
                f"{path}:{line}: {len(fields)} tab-separated fields, expected {needed} or more; "
                f"the line is cut or its tabs were lost. Download the file again."
            )
    return rows


def _place(header: Sequence[str], column: Column, path: Path) -> int:
    return column if isinstance(column, int) else find_column(header, column, f"{path}:1")
