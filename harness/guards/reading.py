"""Readers of files that others may have made: JSON and YAML, within bounds, and refused in one sentence.

What is returned is plain: mappings with texts as keys, lists, texts, numbers of 64 bits, true, false and null. No tag,
date, alias that multiplies, repeated key, nesting without end or number without end gets through.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from harness.guards.printing import shortened
from harness.types import NeuroglossError, utf8

MOST_BYTES = 1 << 26
"""Bytes of a file, unless its reader allows more."""
MOST_DEPTH = 64
"""Mappings and lists within each other."""
MOST_DIGITS = 19
"""Digits of a whole number."""
_MOST_INT = (1 << 63) - 1
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def text_of(path: Path, most: int = MOST_BYTES, form: str = "text") -> str:
    """Return the text of a regular file in UTF-8.

    Raises:
        NeuroglossError: it cannot be read, is too large, or holds something else.
    """
    return decoded(bytes_of(path, most, form), path, form)


def decoded(content: bytes, path: Path | str, form: str = "text") -> str:
    """Return the text of a file, or of a line, that has been read, without the byte order mark that may stand first.

    Raises:
        NeuroglossError: it is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NeuroglossError(f"{path} cannot be read as {form}: it is not UTF-8 ({error.reason}).") from error


def bytes_of(path: Path, most: int = MOST_BYTES, form: str = "a file") -> bytes:
    """Return the content of a regular file.

    Raises:
        NeuroglossError: it cannot be read, is a device or a pipe, or is too large.
    """
    with _regular(path, form) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise NeuroglossError(f"{path} cannot be read as {form}: it has more than {most:,} bytes.")
    return content


def lines_of(path: Path, most: int = MOST_BYTES, form: str = "lines") -> Iterator[bytes | None]:
    """Yield the lines of a regular file of any size, without their ends; None for one of more than ``most`` bytes.

    Raises:
        NeuroglossError: it cannot be read, or is a device or a pipe.
    """
    with _regular(path, form) as file:
        while line := file.readline(most + 1):
            is_whole = line.endswith(b"\n") or len(line) <= most
            end = line
            while not is_whole and end and not end.endswith(b"\n"):
                end = file.readline(most)
            yield line.rstrip(b"\r\n") if is_whole else None


@contextmanager
def _regular(path: Path, form: str) -> Iterator[BinaryIO]:
    """Yield a regular file that is open for reading; what goes wrong with it within the context is one sentence."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe without a writer would never open
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise NeuroglossError(f"{path} cannot be read as {form}: it is no regular file.")
            yield file
    except (OSError, ValueError) as error:  # ValueError: a zero byte in its name
        raise NeuroglossError(
            f"{path} cannot be read as {form}: {getattr(error, 'strerror', None) or error}."
        ) from error


# ---------------------------------------------------------------------------------------------------------------- JSON


def json_of(path: Path, most: int = MOST_BYTES) -> Any:
    """Return what a file of JSON holds.

    Raises:
        NeuroglossError: it cannot be read, is too large or no JSON.
    """
    return parsed_json(text_of(path, most, "JSON"), str(path))


def parsed_json(text: str, where: str, with_nan: bool = False) -> Any:
    """Return the value of a text in JSON; ``with_nan`` takes NaN and infinities too, as Python writes them.

    Raises:
        NeuroglossError: it is no JSON, has a key twice, a number that is too large, or too many levels.
    """
    try:
        document = json.loads(
            text,
            parse_constant=float if with_nan else _constant,
            parse_int=_whole_number,
            parse_float=_number,
            object_pairs_hook=_mapping,
        )
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else shortened(str(error))
        raise NeuroglossError(f"{where} cannot be read as JSON: {reason}.") from error
    _check_depth(document, where)
    return document


def _constant(name: str) -> None:
    raise ValueError(f"it holds {name}, which is not JSON")


def _whole_number(digits: str) -> int:
    if len(digits) > MOST_DIGITS or abs(int(digits)) > _MOST_INT:
        raise ValueError(f"it holds a whole number of {len(digits)} digits")
    return int(digits)


def _number(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"it holds the number {text[:40]}, which is too large")
    return number


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, and refuse a repeated key, of which only the last value would remain."""
    document = dict(pairs)
    if len(document) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands there twice")
    return document


def _check_depth(document: object, where: str) -> None:
    """Refuse nesting that functions which call themselves could not go through."""
    level, depth = [document], 0
    while level:
        if depth > MOST_DEPTH:
            raise NeuroglossError(f"{where} is nested too deeply: more than {MOST_DEPTH} levels.")
        level = [item for value in level for item in _items(value) if isinstance(item, dict | list)]
        depth += 1


def _items(value: object) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


# ---------------------------------------------------------------------------------------------------------------- YAML


def yaml_of(path: Path, most: int = MOST_BYTES) -> Any:
    """Return what a file of YAML holds.

    Raises:
        NeuroglossError: it cannot be read, is too large, no YAML, or holds what JSON could not; the place is named.
    """
    return parsed_yaml(text_of(path, most, "YAML"), str(path))


def parsed_yaml(text: str, where: str) -> Any:
    """Return the value of a text in YAML.

    Raises:
        NeuroglossError: it is no YAML, or holds what JSON could not.
    """
    try:
        _check_events(text, where)
        document = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise NeuroglossError(f"{where} cannot be read as YAML: {shortened(str(error), 200)}.") from error
    room = [len(text) + 1]
    _check_yaml(document, where, 0, room)
    return document


def _check_events(text: str, where: str) -> None:
    """Refuse what must not be made into values.

    Those are tags, deep nesting (the compiled reader knows no limit of recursion), and keys that stand twice, of which
    only the last value would remain.
    """
    depth, keys = 0, _Keys(where)
    for event in yaml.parse(text, Loader=_Loader):
        keys.see(event)
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise NeuroglossError(f"{where} has the tag {shortened(str(tag))}, and no file of ours has tags.")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_DEPTH:
            raise NeuroglossError(f"{where} is nested too deeply: more than {MOST_DEPTH} levels.")


class _Keys:
    """The keys of the mappings that are open while the events of a text in YAML go by."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._open: list[tuple[set[str], list[bool]] | None] = []

    def see(self, event: yaml.Event) -> None:
        """Take note of an event.

        Raises:
            NeuroglossError: it is a key that the mapping has already.
        """
        if isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
        elif isinstance(event, yaml.NodeEvent):
            self._see_node(event)
        if isinstance(event, yaml.CollectionStartEvent):
            self._open.append((set(), [True]) if isinstance(event, yaml.MappingStartEvent) else None)

    def _see_node(self, event: yaml.NodeEvent) -> None:
        if not self._open or self._open[-1] is None:
            return
        keys, is_key = self._open[-1]
        if is_key[0] and isinstance(event, yaml.ScalarEvent):
            if event.value in keys:
                raise NeuroglossError(f"{self._where} has the key {shortened(event.value)} twice; keep one.")
            keys.add(event.value)
        is_key[0] = not is_key[0]


def _check_yaml(value: object, where: str, depth: int, room: list[int]) -> None:
    """Refuse values that JSON has not; ``room`` counts down, for aliases make more values than the text has letters."""
    room[0] -= 1
    if room[0] < 0 or depth > MOST_DEPTH:
        raise NeuroglossError(f"{where.partition(':')[0]} repeats itself by aliases without end.")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or utf8(key) != key:
                raise NeuroglossError(f"{where} has the key {shortened(repr(key))}, which is no text; quote it.")
            _check_yaml(
                item, f"{where}: {shortened(key)}" if depth == 0 else f"{where}.{shortened(key)}", depth + 1, room
            )
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _check_yaml(item, f"{where}[{number}]", depth + 1, room)
    elif not _is_plain(value):
        raise NeuroglossError(
            f"{where} is {_described(value)}, and a text, a number of 64 bits, true, "
            "false or null is wanted; put a text in quotes."
        )


def _described(value: object) -> str:
    if isinstance(value, int):  # one of thousands of digits cannot even be written
        return "a whole number of more than 64 bits"
    return f"{shortened(repr(value))} ({type(value).__name__})"


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return utf8(value) == value
    if isinstance(value, int):  # true and false are
        return abs(value) <= _MOST_INT
    return value is None or isinstance(value, float)
