"""germline: a small language model, grown generation by generation on its owner's own machine."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from germline.api import Generation, Lineage, answer

__version__ = "0.1.0"
__all__ = ["Generation", "Lineage", "__version__", "answer"]


def __getattr__(name: str) -> Any:
    """The library is loaded when it is used: `germline --help` and `verify_lineage` do without."""
    if name in __all__:
        return getattr(import_module("germline.api"), name)
    raise AttributeError(f"module 'germline' has no attribute {name!r}")
