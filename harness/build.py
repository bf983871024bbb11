"""Config nodes become objects: each is checked against its class before any work, then built, children first.

Only classes of this package are ever built: a config, or a submission that holds one, cannot run other code.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hydra.utils import instantiate

from harness.types import NeuroglossError

PACKAGE = __name__.partition(".")[0]


def check(node: Mapping[str, Any], where: str) -> None:
    """Refuse a node whose class is not ours, or whose keys and types its constructor does not take.

    Args:
        node: a mapping with ``_target_``, nested nodes included.
        where: its key in the config, for the message.

    Raises:
        NeuroglossError: naming the key, and what to write instead.
    """
    built = _class_of(node, where)
    parameters = inspect.signature(built).parameters
    # A dataclass is asked itself: what it inherits is annotated with the names of the module that it inherits from.
    hints = typing.get_type_hints(built if dataclasses.is_dataclass(built) else built.__init__)
    for key, value in node.items():
        if not key.startswith("_"):
            _check_value(f"{where}.{key}", key, value, parameters, hints)
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in node:
            raise NeuroglossError(f"{where} needs {name}; add {where}.{name}=VALUE to the command.")


def assemble(node: Mapping[str, Any], wrap: Callable[[Any], Any] = lambda built: built) -> Any:
    """Build the object that a checked node names; ``wrap`` may replace each object as it is built."""
    children = {key: assemble(value, wrap) for key, value in node.items() if _is_node(value)}
    values = {key: value for key, value in node.items() if key not in children}
    # Built children are passed by hand: given as keywords, Hydra would turn a dataclass among them into a config.
    return wrap(instantiate(values, _partial_=True, _recursive_=False, _convert_="all")(**children))


def unknown_key(full: str, known: Iterable[str]) -> str:
    """A sentence for a config key that does not exist: what was probably meant, or what there is."""
    prefix, _, key = full.rpartition(".")
    names = sorted(name for name in known if not name.startswith("_"))
    close = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    meant = f"{prefix}.{close[0]}" if prefix and close else "".join(close)
    hint = f"did you mean {meant}?" if close else f"there are: {', '.join(names)}."
    return f"there is no config key {full}; {hint}"


def _is_node(value: object) -> bool:
    return isinstance(value, Mapping) and "_target_" in value


def _class_of(node: Mapping[str, Any], where: str) -> type[Any]:
    target = node.get("_target_")
    if not isinstance(target, str) or not target.startswith(f"{PACKAGE}."):
        raise NeuroglossError(f"{where}._target_ is {target!r}; only classes of {PACKAGE} can be built from a config.")
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError:
        found = None
    if not inspect.isclass(found):
        raise NeuroglossError(f"{where}._target_ names {target}, which is not a class of {PACKAGE}.")
    return found


def _check_value(where: str, key: str, value: object, parameters: Mapping[str, Any], hints: Mapping[str, Any]) -> None:
    if key not in parameters:
        raise NeuroglossError(unknown_key(where, parameters))
    if isinstance(value, Mapping) and _is_node(value):
        check(value, where)
    elif not _fits(value, hints.get(key, Any)):
        raise NeuroglossError(f"{where} is {value!r}, but {_words(hints[key])} is wanted there.")


def _fits(value: object, hint: Any) -> bool:
    """Whether a plain config value has a constructor's annotated type; a whole number will do for a number."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, option) for option in typing.get_args(hint))
    if origin is not None:
        return isinstance(value, Mapping if issubclass(origin, Mapping) else list)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint in (int, str, bool, type(None)):
        return type(value) is hint
    return hint is Any  # a protocol: only a node will do


def _words(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "null"}
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(option) for option in typing.get_args(hint))
    if origin is not None:
        return "a mapping" if issubclass(origin, Mapping) else "a list"
    return names.get(hint, f"a node that builds a {getattr(hint, '__name__', hint)}")
