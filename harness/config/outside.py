"""Configs that come out of data: what of them may be built, and what only the user may name.

A run records its config, and so does a task. Whoever made them may have written anything there. Such a config is plain
values, checked against the settings and the constructors like any other; beyond that, an argument by which an object
reaches a host, a file, a secret or code (:data:`harness.config.registry.REACHES_OUTSIDE`) holds its default, or what
the user has repeated on the command line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from harness.config import build, registry, sentences
from harness.guards.printing import shortened
from harness.types import NeuroglossError

EMBEDDED = "embedded:"
"""The beginning of the names of what ships with a package, which may be named by anybody."""

_KEY = re.compile(r"[^\W_][^\x00-\x1f\x7f]*")
"""A key of a config: it does not begin with ``_``, as the keys do by which Hydra instantiates."""


@dataclass(frozen=True)
class Permission:
    """What the user has repeated of a config that comes out of data.

    Attributes:
        values: dotted key, or the end of one -> the value that may stand there.
        prefix: of the overrides that add to it, such as ``+allow.``.
        option: of the command that takes them, if it is not composed of overrides.
    """

    values: Mapping[str, object]
    prefix: str = ""
    option: str = ""

    @classmethod
    def of(cls, allow: Mapping[str, Any]) -> Self:
        """Return what ``allow`` of a config permits, which nests as the config does that it is about."""
        return cls(dict(_leaves(allow, "")), prefix="+allow.")


def check(config: Mapping[str, Any], source: object, permitted: Permission) -> None:
    """Refuse a config out of data that would reach outside by more than the user has repeated.

    Args:
        config: settings by their keys, nodes included.
        source: the run or the task that holds it, for the message.
        permitted: what the user has repeated.

    Raises:
        NeuroglossError: a key or a text has a form that means something to a config language, or a value reaches
            outside; the sentence says what to add to the command.
    """
    _check_plain(config, "", source)
    values = dict(_reaching(config, ""))
    reaching = [(key, value) for key, value in values.items() if not _is_repeated(key, value, permitted.values)]
    if reaching:
        shortest = [(key, value) for key, value in reaching if not _is_repeated(key, value, values, but=key)]
        overrides = [sentences.override(f"{permitted.prefix}{key}", value) for key, value in shortest]
        words = " ".join([*filter(None, [permitted.option]), *overrides])
        key, value = reaching[0]
        raise NeuroglossError(
            f"{source} names what only you may name, such as {shortened(key)}={shortened(str(value))}: it reaches a "
            f"host, a file, a secret or code; if you trust that, add to the command: {shortened(words, 1000)}"
        )


def _is_repeated(key: str, value: object, values: Mapping[str, object], but: str = "") -> bool:
    """Return whether a value stands under its key, or under the end of it: ``subject.name`` for ``a.subject.name``."""
    steps = key.split(".")
    ends = {".".join(steps[number:]) for number in range(len(steps))} - {but}
    return any(end in values and _same(values[end], value) for end in ends)


def _same(first: object, second: object) -> bool:
    """Return whether two values are equal and of one type: 1 is not true."""
    return type(first) is type(second) and first == second


def _leaves(value: object, where: str) -> Iterator[tuple[str, object]]:
    """Yield each dotted key with its value, mappings gone through."""
    if not isinstance(value, Mapping):
        yield where, value
        return
    for key, item in value.items():
        yield from _leaves(item, f"{where}.{key}".lstrip("."))


def _check_plain(value: object, where: str, source: object) -> None:
    """Refuse keys and texts that a config language would resolve or instantiate."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str) or not _KEY.fullmatch(key) or "${" in key:
                raise NeuroglossError(
                    f"{source} has the key {shortened(f'{where}.{key}'.lstrip('.'))}, and no config has such a key."
                )
            _check_plain(item, f"{where}.{key}".lstrip("."), source)
    elif isinstance(value, list):
        for item in value:
            _check_plain(item, where, source)
    elif isinstance(value, str) and "${" in value:
        raise NeuroglossError(
            f"{source} has {shortened(where)}={shortened(value)}: what is recorded is resolved, so nothing of it "
            "may hold ${."
        )


def _reaching(value: object, where: str, default: object = None, reaches: bool = False) -> Iterator[tuple[str, object]]:
    """Yield each value that reaches outside, with its dotted key; a list is one value."""
    if isinstance(value, Mapping):
        defaults, is_node = _defaults(value), build.is_node(value)
        for key, item in value.items():
            reaches_there = (reaches and not is_node) or registry.reaches_outside(key)
            yield from _reaching(item, f"{where}.{key}".lstrip("."), defaults.get(key), reaches_there)
    elif isinstance(value, list) and not reaches:
        for number, item in enumerate(value):
            yield from _reaching(item, f"{where}.{number}")
    elif reaches and not _is_harmless(value, default):
        yield where, value


def _defaults(node: Mapping[str, Any]) -> dict[str, object]:
    """Return the defaults of the arguments of a node; none of a plain mapping, or of a class that does not exist."""
    if not build.is_node(node) or node[build.USE] not in registry.names():
        return {}
    arguments = build.parameters(registry.resolve(node[build.USE], "a node"))
    return {name: argument.default for name, argument in arguments.items()}


def _is_harmless(value: object, default: object) -> bool:
    if value in (None, False, "", []) or _same(value, default):
        return True
    return isinstance(value, str) and value.startswith(EMBEDDED)
