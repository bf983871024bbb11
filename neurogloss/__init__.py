"""neurogloss by the name under which it is installed: ``from neurogloss import weights`` is ``harness.weights``.

The modules have one name, which begins with ``harness``; what is imported from here is the same object.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import harness


def __getattr__(name: str) -> ModuleType:
    """Return a module of the package.

    Raises:
        AttributeError: it has none of that name.
    """
    if name not in __dir__():
        raise AttributeError(f"neurogloss has no {name!r}; it has {', '.join(__dir__())}")
    return importlib.import_module(f"harness.{name}")


def __dir__() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(harness.__path__) if module.name != "__main__")
