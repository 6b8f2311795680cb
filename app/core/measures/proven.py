"""Which models and limit groups are labels of their own: a caller may make up the name of a model.

A name counts by itself once it is in a file of ours, or was answered here; until then it is `other`.
"""

from app.core.measures.counts import OTHER
from app.providers import registry
from config import price_list

MOST = 200  # answered models of one process, and their groups

_models: set[str] = set()
_groups: set[str] = set()


def answered(name: str) -> None:
    """A call for the model was answered."""
    if name in _models or len(_models) >= MOST:
        return
    _models.add(name)
    if (provider := registry.find(name)) is not None:
        _groups.add(provider.limit_group(name))


def model(name: str) -> str:
    is_listed = name in price_list.models() or price_list.undated(name) in price_list.models()
    return name if is_listed or name in _models else OTHER


def group(name: str) -> str:
    return name if name in _groups or registry.is_group(name) else OTHER
