"""Prompts as versioned text files: ``<name>-v<k>.yaml`` in the ``prompts`` folder of the room that asks.

A file holds jinja2 templates (``system``, ``user``, and any further parts that its method renders) and ``examples``:
worked examples of our own wording, each a mapping of the variables that the templates name. The version of a prompt is
its file's name and a hash of its content, so that a changed file is a new version and a new key in the store.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined, Template, TemplateError, TemplateSyntaxError, UndefinedError

from harness.types import Message, NeuroglossError


def visible(token: str) -> str:
    r"""``token`` on one line: a backslash is doubled, and what does not print, spaces apart, is escaped as in Python.

    Tabs, newlines, other control characters, line separators and lone surrogates become ``\t``, ``\n``, ``\x00``,
    ``\u2028``; everything else stays as it is, so that different tokens never look the same.
    """
    return "".join(
        "\\\\" if character == "\\" else character if character.isprintable() else _escaped(character)
        for character in token
    )


def one_line(text: str) -> str:
    """``text`` with every run of white space made one space, so that it can stand on a line of a prompt."""
    return " ".join(text.split())


@dataclass(frozen=True, eq=False)
class Prompt:
    """A prompt file, read.

    Attributes:
        version: ``<name>-v<k>+<hash>``, part of the key of every reply that the prompt gets.
        parts: the templates by name; always ``system`` and ``user``.
        examples: the variables of each worked example.
    """

    version: str
    parts: Mapping[str, str]
    examples: tuple[Mapping[str, Any], ...]

    def render(self, part: str, variables: Mapping[str, Any]) -> str:
        """One template with ``variables`` filled in; a part or a variable that is missing is an error."""
        if part not in self.parts:
            raise NeuroglossError(f"prompt {self.version} has no part {part!r}; add it to the file.")
        try:
            return _compiled(self.parts[part]).render(variables)
        except UndefinedError as error:
            raise NeuroglossError(
                f"prompt {self.version}, part {part!r}: {error.message}; it can use {', '.join(sorted(variables))}."
            ) from error
        except TemplateError as error:
            raise NeuroglossError(f"prompt {self.version}, part {part!r} cannot be rendered: {error}.") from error

    def opening(
        self, variables: Mapping[str, Any], answer: Callable[[Mapping[str, Any]], str] | None = None
    ) -> tuple[Message, ...]:
        """The system message and the worked examples: what all requests of a run begin with, and so can share.

        ``answer`` writes the assistant's turn of an example; without it the part ``assistant`` does.
        """
        messages = [Message("system", self.render("system", variables))]
        for example in self.examples:
            known = {**variables, **example}
            reply = answer(known) if answer else self.render("assistant", known)
            messages += [Message("user", self.render("user", known)), Message("assistant", reply)]
        return tuple(messages)

    def messages(self, variables: Mapping[str, Any]) -> tuple[Message, ...]:
        """The whole conversation up to the reply: the opening, then the user's turn."""
        return (*self.opening(variables), Message("user", self.render("user", variables)))


def load(folder: Path, name: str) -> Prompt:
    """Read the prompt ``name`` (``<name>-v<k>``) in ``folder``; a file that cannot be used is a NeuroglossError."""
    path = folder / f"{name}.yaml"
    if not re.fullmatch(r"[a-z0-9_]+-v\d+", name) or not path.is_file():
        known = sorted(found.stem for found in folder.glob("*-v*.yaml"))
        raise NeuroglossError(f"there is no prompt {name!r} in {folder}; there are: {', '.join(known) or 'none'}.")
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise NeuroglossError(f"the prompt file {path} cannot be read: {one_line(str(error))}.") from error
    version = f"{name}+{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return Prompt(version, *_checked(content, path))


def _checked(content: object, path: Path) -> tuple[dict[str, str], tuple[Mapping[str, Any], ...]]:
    if not isinstance(content, dict):
        raise NeuroglossError(f"the prompt file {path} must be a mapping with the parts system and user.")
    parts = {str(key): value for key, value in content.items() if key != "examples"}
    for name in ("system", "user", *parts):
        if not isinstance(parts.get(name), str):
            raise NeuroglossError(f"the prompt file {path} needs a text for the part {name!r}.")
    for name, template in parts.items():
        try:
            _ENVIRONMENT.parse(template)
        except TemplateSyntaxError as error:
            raise NeuroglossError(f"{path}, part {name!r}, line {error.lineno}: {error.message}.") from error
    examples = content.get("examples") or []
    if not isinstance(examples, list) or not all(isinstance(example, dict) for example in examples):
        raise NeuroglossError(f"the examples in {path} must be a list of mappings.")
    return parts, tuple(examples)


@lru_cache(maxsize=256)
def _compiled(template: str) -> Template:
    """A template is rendered thousands of times in a run, and takes milliseconds to compile."""
    return _ENVIRONMENT.from_string(template)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _environment() -> Environment:
    environment = Environment(
        autoescape=False,  # prompts are plain text, not pages
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"visible": visible, "one_line": one_line}
    return environment


_ENVIRONMENT = _environment()
