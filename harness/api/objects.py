"""Objects of a program in a config: a node says which object it is, and this process has it.

A run is named by its config, which is plain values. So an object stands there by its class and by a digest of its
source and settings. Two objects whose source and plain settings are the same are the same to a run. A config that names
an object can be carried out again only by the program that has it.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.config.build import USE
from harness.config.registry import register
from harness.guards.printing import shortened
from harness.models.backend import Backend
from harness.types import Evidence, Explainer, Explanation, Knowing, NeuroglossError, Outcome, Role, Simulator

TextOf = Callable[[Evidence], str | None]
"""A function that explains one unit; nothing, or an empty text, where it has no explanation."""

PROTOCOLS: Mapping[str, tuple[type, ...]] = {
    "explainer": (Explainer, Knowing),
    "model": (Backend,),
    "simulator": (Simulator,),
}
"""What an object of each group must have."""

_OBJECTS: dict[str, Any] = {}
"""The objects of this process, by their digests."""


@register("simulator/python_object")
@register("model/python_object")
@register("explainer/python_object")
class PythonObject:
    """A node of a config that stands for an object of this process; building it gives that object.

    Args:
        kind: the module and name of its class or function.
        digest: of its source and its plain settings.
    """

    def __new__(cls, kind: str, digest: str) -> Any:
        """Return the object.

        Raises:
            NeuroglossError: this process does not have it.
        """
        if digest not in _OBJECTS:
            raise NeuroglossError(
                f"the config names {shortened(kind)}, an object of the program that made the run; give it to "
                "neurogloss.evaluate again."
            )
        return _OBJECTS[digest]


@dataclass(eq=False)
class FunctionExplainer:
    """Explainer that asks a function about each unit: ``function(evidence)`` returns the text of the explanation."""

    function: TextOf
    role: Role = field(default=Role.EXPLAINER, init=False)

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        """Return one explanation for each unit, in order; empty if the function returns no text.

        Raises:
            NeuroglossError: the function returned something else than a text.
        """
        return [self._explanation(item) for item in evidence]

    def _explanation(self, evidence: Evidence) -> Explanation:
        text = self.function(evidence)
        if text is not None and not isinstance(text, str):
            raise NeuroglossError(
                f"{kind_of(self.function)} returned {shortened(repr(text))} for {evidence.unit}; return the text of an "
                "explanation, or None where there is none."
            )
        has_words = bool(text and text.strip())
        return Explanation(evidence.unit, text or "", outcome=Outcome.OK if has_words else Outcome.EMPTY)


def node_of(group: str, value: object, where: str) -> dict[str, str]:
    """Return the node of a config that stands for an object, which this process keeps from now on.

    Args:
        group: ``explainer``, ``model`` or ``simulator``.
        value: an object with the methods of the group's protocol; for an explainer, a function of
            :class:`harness.types.Evidence` will do.
        where: what it was given as, for the message.

    Raises:
        NeuroglossError: it is none.
    """
    if inspect.isclass(value):
        raise NeuroglossError(f"{where} is the class {value.__qualname__}; give an object: {value.__qualname__}(...).")
    is_object = isinstance(value, PROTOCOLS[group])
    if not is_object and not (group == "explainer" and callable(value)):
        protocol = PROTOCOLS[group][0]
        wanted = f"an object with the methods of {protocol.__module__}.{protocol.__qualname__}"
        function = ", or a function of a unit's evidence that returns text" if group == "explainer" else ""
        raise NeuroglossError(f"{where} is {shortened(repr(value))}, but {wanted}{function} is wanted there.")
    digest = digest_of(value)
    _OBJECTS[digest] = value if is_object else FunctionExplainer(value)  # type: ignore[arg-type]
    return {USE: f"{group}/python_object", "kind": kind_of(value), "digest": digest}


def name_of(value: object) -> str:
    """Return the name that an object has by itself: that of a function, or of its class."""
    if isinstance(value, functools.partial):
        return name_of(value.func)
    return str(getattr(value, "__name__", type(value).__name__))


def kind_of(value: object) -> str:
    """Return the module and name of a function, or of the class of an object."""
    definition = _definition(value)
    return f"{definition.__module__}.{definition.__qualname__}"


def digest_of(value: object) -> str:
    """Return a digest of the source of an object and of its plain settings, 16 hexadecimal digits.

    What is not plain counts by its class alone, and so does source that Python does not have.
    """
    described = [kind_of(value), _source(value), _settings(value)]
    text = json.dumps(described, sort_keys=True, default=_described)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _definition(value: object) -> Any:
    """Return a function itself, or the class of an object."""
    return value if hasattr(value, "__qualname__") else type(value)


def _source(value: object) -> str:
    try:
        return inspect.getsource(_definition(value))
    except (OSError, TypeError):  # typed at a prompt, or compiled
        return ""


def _settings(value: object) -> dict[str, Any]:
    """Return what can differ between two objects of one source: attributes, defaults, and what a function encloses."""
    if isinstance(value, functools.partial):
        return {"function": value.func, "arguments": value.args, "keywords": value.keywords}
    if inspect.ismethod(value):
        return {"of": _settings(value.__self__), **_settings(value.__func__)}
    if inspect.isfunction(value):
        enclosed = inspect.getclosurevars(value).nonlocals
        return {"defaults": value.__defaults__, "keywords": value.__kwdefaults__, "enclosed": {**enclosed}}
    return {str(key): item for key, item in getattr(value, "__dict__", {}).items()}


def _described(value: object) -> Any:
    """Return what stands for a value that JSON does not have."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [kind_of(value), {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}]
    if isinstance(value, functools.partial) or inspect.isroutine(value):
        return [kind_of(value), _source(value), _settings(value)]
    if isinstance(value, np.ndarray | bytes):
        return hashlib.sha256(value if isinstance(value, bytes) else value.tobytes()).hexdigest()
    return sorted(map(repr, value)) if isinstance(value, set | frozenset) else kind_of(value)
