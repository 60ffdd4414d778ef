"""All methods by name: the built-in ones and those of other packages (entry-point group `eebench.methods`)."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from torch import Tensor

from eebench.errors import RunError, UnknownName
from eebench.methods.base import Method
from eebench.methods.berxit import Berxit
from eebench.methods.cascade import Cascade, FirstKFold
from eebench.methods.cost_eff import Costeff
from eebench.methods.cost_eff_assistant import CosteffAssistant
from eebench.methods.csdbert import Csdbert
from eebench.methods.deebert import Deebert
from eebench.methods.distilbert import Distilbert
from eebench.methods.elasticbert import Elasticbert
from eebench.methods.fastbert import Fastbert, FastbertGa
from eebench.methods.finetune import Finetune, FirstK
from eebench.methods.gaml import Gaml, Mutual
from eebench.methods.head_pruning import HeadPruning
from eebench.methods.joint import Joint, Pabee, ShallowDeep
from eebench.methods.layerdrop import Layerdrop
from eebench.methods.leebert import Leebert
from eebench.methods.pairwise import Pairwise
from eebench.methods.pcee import Pcee
from eebench.methods.pkd import Pkd
from eebench.methods.smartbert import Smartbert
from eebench.methods.theseus import Theseus
from eebench.methods.tinybert import Tinybert
from eebench.model import Outputs
from eebench.training.options import TrainingOptions
from eebench.training.stages import Stage, Step, Terms

BUILT_IN: tuple[type[Method], ...] = (
    Finetune, FirstK, Joint, Deebert, ShallowDeep, Pabee, Pcee, Fastbert, FastbertGa, Elasticbert, Berxit,
    Leebert, Mutual, Gaml, Pairwise, Smartbert, Csdbert, Distilbert, Pkd, Tinybert,
    Layerdrop, Theseus, HeadPruning, Cascade, FirstKFold, CosteffAssistant, Costeff,
)  # fmt: skip
ENTRY_POINTS = "eebench.methods"


class BrokenPlugin(Method):
    """Stands for a plug-in that cannot be used: its runs fail with the reason, the others go on."""

    title, paper, default_rule = "unusable plug-in", "see the reason", "budgeted"

    def __init__(self, name: str, reason: str) -> None:
        self.name = name  # type: ignore[misc]
        self.paper = self.reason = reason  # type: ignore[misc]

    def stages(self, options: TrainingOptions) -> list[Stage]:
        """One stage, so that suites can be planned; its first step tells the reason."""
        return [Stage("unusable", 1, options.lr, self._refuse)]

    def _refuse(self, outputs: Outputs, labels: Tensor, step: Step) -> Terms:
        raise RunError(self.reason)


@cache
def methods() -> dict[str, Method]:
    """Every method by name, built-in ones first; a plug-in cannot take the name of a built-in one."""
    found: dict[str, Method] = {method.name: method() for method in BUILT_IN}
    for entry in entry_points(group=ENTRY_POINTS):
        found.setdefault(entry.name, load_plugin(entry))
    return found


def load_plugin(entry: EntryPoint) -> Method:
    """The plug-in's method, or a stand-in that says why it cannot be used."""
    try:
        loaded = entry.load()
        if not (isinstance(loaded, type) and issubclass(loaded, Method)):
            return BrokenPlugin(entry.name, f"plug-in '{entry.value}' is no subclass of eebench's Method.")
        missing = [name for name in ("title", "paper", "default_rule") if not hasattr(loaded, name)]
        if missing or getattr(loaded, "name", None) != entry.name:
            wrong = f"lacks {', '.join(missing)}" if missing else f"is not named '{entry.name}' by its `name`"
            return BrokenPlugin(entry.name, f"plug-in '{entry.value}' {wrong}.")
        return loaded()
    except Exception as error:  # noqa: BLE001  (whatever a stranger's module raises is its reason)
        return BrokenPlugin(
            entry.name, f"plug-in '{entry.value}' does not load: {type(error).__name__}: {error}"
        )


def find_method(name: str, where: str = "") -> Method:
    """The method called `name`; raises UnknownName."""
    known = methods()
    if name not in known:
        raise UnknownName("method", name, known, where)
    return known[name]
