"""All methods by name: the built-in ones and those of other packages (entry-point group `eebench.methods`)."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from eebench.errors import UnknownName, UserError
from eebench.methods.base import Method
from eebench.methods.berxit import Berxit
from eebench.methods.deebert import Deebert
from eebench.methods.elasticbert import Elasticbert
from eebench.methods.fastbert import Fastbert, FastbertGa
from eebench.methods.finetune import Finetune, FirstK
from eebench.methods.gaml import Gaml, Mutual
from eebench.methods.joint import Joint, Pabee, ShallowDeep
from eebench.methods.leebert import Leebert
from eebench.methods.pcee import Pcee

BUILT_IN: tuple[type[Method], ...] = (
    Finetune, FirstK, Joint, Deebert, ShallowDeep, Pabee, Pcee, Fastbert, FastbertGa, Elasticbert, Berxit,
    Leebert, Mutual, Gaml,
)  # fmt: skip
ENTRY_POINTS = "eebench.methods"


@cache
def methods() -> dict[str, Method]:
    """Every usable method by name, built-in ones first."""
    found: dict[str, Method] = {method.name: method() for method in BUILT_IN}
    for entry in entry_points(group=ENTRY_POINTS):
        loaded = entry.load()
        if not (isinstance(loaded, type) and issubclass(loaded, Method)):
            raise UserError(f"plug-in '{entry.value}' is no subclass of eebench.methods.base.Method.")
        found[loaded.name] = loaded()
    return found


def find_method(name: str, where: str = "") -> Method:
    """The method called `name`; raises UnknownName."""
    known = methods()
    if name not in known:
        raise UnknownName("method", name, known, where)
    return known[name]
