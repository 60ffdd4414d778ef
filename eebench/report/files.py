"""The figure files of a page: their names, and how the page shows them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count

from eebench.report.markdown import escape


@dataclass(frozen=True)
class FigureFile:
    """A figure in memory: its path below the results folder, what it shows, its bytes."""

    path: str
    alt: str
    svg: bytes

    @property
    def image(self) -> str:
        """The figure on the page."""
        return f"![{escape(self.alt)}]({self.path})"


def slug(text: str) -> str:
    """Text as a part of a file name: letters, digits, dot, dash and underscore, at most 60 of them.

    Example: ``slug("google/electra base")`` is ``google-electra-base``.
    """
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.")[:60] or "unnamed"


def free_path(names: Iterable[str], taken: Iterable[str]) -> str:
    """The path of a figure called by `names`; two that become one (``a/b`` and ``a-b``) are told apart by a number."""
    stem = "figures/" + "-".join(map(slug, names))
    # Some file systems do not tell upper case from lower.
    used = {path.casefold() for path in taken}
    candidates = (f"{stem}.svg" if number == 1 else f"{stem}-{number}.svg" for number in count(1))
    return next(path for path in candidates if path.casefold() not in used)
