"""Config nodes become objects: each is checked against its class before any work, then built, children first.

A node is a mapping that names its class by ``use: GROUP/NAME`` (:mod:`harness.config.registry`); its other keys are the
arguments of that class. A config, or a submission that holds one, cannot name other code.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from harness.config import keys, registry
from harness.guards.printing import shortened
from harness.types import NeuroglossError

USE = "use"
"""The key by which a node names its class."""

NO_DEFAULT = inspect.Parameter.empty
"""The default of an argument that a node must give."""

PLAIN = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "null"}
"""The plain types of arguments, in words."""

GROUPS = {
    "AskedSubject": "subject",
    "Explainer": "explainer",
    "LanguageModel": "model",
    "OpenSubject": "subject",
    "ReadSubject": "subject",
    "Scorer": "scorer",
    "Simulator": "simulator",
    "Subject": "subject",
    "UnitKind": "unit",
    "Writer": "writer",
}
"""The group of the classes that have a protocol."""

_MODELS = ("model/", "subject/")
"""The groups whose messages name settings as :mod:`harness.config.keys` describes."""


def is_node(value: object) -> bool:
    """Return whether a config value is a node."""
    return isinstance(value, Mapping) and USE in value


def class_of(node: object, where: str, group: str = "") -> type[Any]:
    """Return the class that a node names.

    Args:
        node: a mapping with ``use``.
        where: its key in the config, for the message.
        group: the group that the class must be of; any where it is empty.

    Raises:
        NeuroglossError: it is no node, or names no class of the group.
    """
    if not isinstance(node, Mapping):
        raise NeuroglossError(
            f"{where} is {shortened(repr(node))}, but a mapping with {USE}: {group or 'GROUP'}/NAME is wanted there."
        )
    name = node.get(USE)
    if not isinstance(name, str):
        raise NeuroglossError(
            f"{where} names no class; add +{where}.{USE}={group or 'GROUP'}/NAME, or leave it out with ~{where}."
        )
    if group and name in registry.names() and not name.startswith(f"{group}/"):
        options = ", ".join(registry.names(group))
        raise NeuroglossError(f"{where}.{USE} is {shortened(repr(name))}, which is no {group}; there are: {options}.")
    return registry.resolve(name, where)


def parameters(cls: type[Any]) -> dict[str, inspect.Parameter]:
    """Return the arguments that a class takes by name."""
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    signature = inspect.signature(cls).parameters
    return {name: parameter for name, parameter in signature.items() if parameter.kind not in variadic}


def check(node: Mapping[str, Any], where: str, group: str = "") -> None:
    """Refuse a node whose class does not exist, or whose keys and types its constructor does not take.

    Args:
        node: a mapping with ``use``, nested nodes included.
        where: its key in the config, for the message.
        group: the group that its class must be of; any where it is empty.

    Raises:
        NeuroglossError: naming the key, and what to write instead.
    """
    cls = class_of(node, where, group)
    arguments, hints = parameters(cls), _hints(cls, where)
    for key, value in node.items():
        if key != USE and key not in arguments and (str(key).startswith("_") or not _takes_any(cls)):
            raise NeuroglossError(unknown_key(f"{where}.{key}", arguments))
        if key != USE:
            check_value(f"{where}.{key}", value, hints.get(key, Any))
    for name, parameter in arguments.items():
        if parameter.default is NO_DEFAULT and name not in node:
            raise NeuroglossError(f"{where} needs {name}; add +{where}.{name}=VALUE to the command.")


def assemble(
    node: Mapping[str, Any], where: str = "the node", wrap: Callable[[Any, str], Any] = lambda instance, _: instance
) -> Any:
    """Build the object that a node names.

    Nothing else in the package builds what a config names, and nothing is built that :func:`check` refuses.

    Args:
        node: a mapping with ``use``, nested nodes included.
        where: its key in the config, for the message.
        wrap: may replace each object as it is built; it is given the object and its key.

    Raises:
        NeuroglossError: a node is refused, by :func:`check` or by its class.
    """
    check(node, where)
    return _assembled(node, where, wrap)


def _assembled(node: Mapping[str, Any], where: str, wrap: Callable[[Any, str], Any]) -> Any:
    arguments = {
        key: _assembled(value, f"{where}.{key}", wrap) if is_node(value) else value
        for key, value in node.items()
        if key != USE
    }
    with keys.named(where if str(node[USE]).startswith(_MODELS) else ""):
        instance = class_of(node, where)(**arguments)
    return wrap(instance, where)


def unknown_key(full: str, names: Iterable[str]) -> str:
    """Return a sentence on a config key that does not exist: what was probably meant, or the keys that exist."""
    prefix, _, key = full.rpartition(".")
    options = sorted(names)
    if not options:
        return f"there is no config key {full}."
    nearest = registry.nearest(key, options)
    if nearest:
        return f"there is no config key {full}; did you mean {f'{prefix}.' if prefix else ''}{nearest}?"
    return f"there is no config key {full}; there are: {', '.join(options)}."


def _hints(cls: type[Any], where: str) -> dict[str, Any]:
    """Return the annotated types of a constructor's arguments."""
    try:
        # A dataclass is asked itself: its inherited fields are annotated with names of the module of its base class.
        return typing.get_type_hints(cls if dataclasses.is_dataclass(cls) else cls.__init__)
    except NameError as error:
        raise NeuroglossError(
            f"{where}: the annotations of {cls.__qualname__} cannot be read ({error}); import that name in "
            f"{cls.__module__} at run time."
        ) from error


def _takes_any(cls: type[Any]) -> bool:
    kinds = [parameter.kind for parameter in inspect.signature(cls).parameters.values()]
    return inspect.Parameter.VAR_KEYWORD in kinds


def check_value(where: str, value: object, hint: Any) -> None:
    """Refuse a value that has not the annotated type of its argument; a node is checked like any other.

    Raises:
        NeuroglossError: naming the key, and what is wanted there.
    """
    if isinstance(value, Mapping) and is_node(value) and _takes_node(hint):
        check(value, where, _group_of(hint))
    elif not _fits(value, hint):
        raise NeuroglossError(f"{where} is {shortened(repr(value))}, but {_words(hint)} is wanted there.")


def _group_of(hint: Any) -> str:
    """Return the group that an object must be of by the protocol of its argument; empty if that says nothing."""
    groups = {GROUPS.get(getattr(option, "__name__", ""), "") for option in typing.get_args(hint) or (hint,)}
    return max(groups)


def _takes_node(hint: Any) -> bool:
    """Return whether an argument can be an object: one of plain values is never built from a node."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(map(_takes_node, typing.get_args(hint)))
    return hint is Any or not (hint in PLAIN or typing.get_origin(hint) is typing.Literal or _is_container(hint))


def _fits(value: object, hint: Any) -> bool:
    """Return whether a plain config value has a constructor's annotated type; a whole number is a number too."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, option) for option in inner)
    if origin is typing.Literal:
        return value in inner
    if _is_container(hint):
        return isinstance(value, Mapping if issubclass(origin or hint, Mapping) else list) and _all_fit(value, inner)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return hint is Any or (hint in PLAIN and type(value) is hint)  # of a protocol only a node will do


def _all_fit(values: Any, hints: tuple[Any, ...]) -> bool:
    """Return whether the items of a list, or the keys and values of a mapping, have the types that are annotated."""
    if isinstance(values, Mapping):
        return len(hints) != 2 or all(_fits(key, hints[0]) and _fits(item, hints[1]) for key, item in values.items())
    if not hints or hints[-1] is Ellipsis or len(hints) == 1:
        return all(_fits(item, hints[0]) for item in values) if hints else True
    return len(hints) == len(values) and all(map(_fits, values, hints))


def _is_container(hint: Any) -> bool:
    container = typing.get_origin(hint) or hint
    return inspect.isclass(container) and issubclass(container, Collection) and container is not str


def _words(hint: Any) -> str:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(option) for option in inner)
    if origin is typing.Literal:
        return " or ".join(map(str, inner))
    if _is_container(hint):
        return "a mapping" if issubclass(origin or hint, Mapping) else "a list"
    name = str(getattr(hint, "__name__", hint))
    return PLAIN.get(hint, f"a node that builds {'an' if name[0] in 'AEIOU' else 'a'} {name}")
