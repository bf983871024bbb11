"""neurogloss by the name under which it is installed: ``neurogloss.evaluate`` makes a run.

The modules have one name, which begins with ``harness``; what is imported from here is the same object:
``from neurogloss import weights`` is ``harness.weights``.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

import harness

if TYPE_CHECKING:
    from harness.api import Results, evaluate
    from harness.types import NeuroglossError

__all__ = ["NeuroglossError", "Results", "evaluate"]

_MODULES = {"NeuroglossError": "harness.types", "Results": "harness.api", "evaluate": "harness.api"}
"""Where each name comes from; it is imported when it is first asked for."""


def __getattr__(name: str) -> Any:
    """Return what a program works with, or a module of the package.

    Raises:
        AttributeError: it has none of that name.
    """
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    if name not in __dir__():
        raise AttributeError(f"neurogloss has no {name!r}; it has {', '.join(__dir__())}")
    return importlib.import_module(f"harness.{name}")


def __dir__() -> list[str]:
    modules = (module.name for module in pkgutil.iter_modules(harness.__path__) if module.name != "__main__")
    return sorted([*_MODULES, *modules])
