"""Prompts as versioned text files: ``<name>-v<k>.yaml`` in the ``prompts`` folder of the package that uses them.

A plugin brings prompts of its own in its folders ``prompts``, which are searched after those of the package.

A file holds jinja2 templates (``system``, ``user``, and any further parts that its method renders) and ``examples``:
worked examples written for this project, each a mapping of template variables. The version of a prompt is the name of
its file and a hash of its content, so a changed file is a new version with new keys in the store.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined, Template, TemplateError, TemplateSyntaxError, UndefinedError

from harness.config import plugins
from harness.types import Message, NeuroglossError


def visible(token: str) -> str:
    r"""Return ``token`` on one line: backslashes are doubled, unprintable characters are escaped as in Python.

    Tabs, newlines, other control characters, line separators and lone surrogates become ``\t``, ``\n``, ``\x00``,
    ``\u2028``; all other characters, spaces included, stay, so that different tokens never look the same.
    """
    return "".join(
        "\\\\" if character == "\\" else character if character.isprintable() else _escaped(character)
        for character in token
    )


def one_line(text: str) -> str:
    """Return ``text`` with each run of white space replaced by one space, for use on a line of a prompt."""
    return " ".join(text.split())


@dataclass(frozen=True, eq=False)
class Prompt:
    """The content of a prompt file.

    Attributes:
        version: ``<name>-v<k>+<hash>``, part of the key of every reply to the prompt.
        parts: the templates by name; always ``system`` and ``user``.
        examples: the variables of each worked example.
    """

    version: str
    parts: Mapping[str, str]
    examples: tuple[Mapping[str, Any], ...]

    def render(self, name: str, variables: Mapping[str, Any]) -> str:
        """Return the template ``name`` with ``variables`` filled in.

        Raises:
            NeuroglossError: the template or a variable is missing.
        """
        if name not in self.parts:
            raise NeuroglossError(f"prompt {self.version} has no part {name!r}; add it to the file.")
        try:
            return _compiled(self.parts[name]).render(variables)
        except UndefinedError as error:
            raise NeuroglossError(
                f"prompt {self.version}, part {name!r}: {error.message}; it can use {', '.join(sorted(variables))}."
            ) from error
        except TemplateError as error:
            raise NeuroglossError(f"prompt {self.version}, part {name!r} cannot be rendered: {error}.") from error

    def opening(
        self, variables: Mapping[str, Any], answer: Callable[[Mapping[str, Any]], str] | None = None
    ) -> tuple[Message, ...]:
        """Return the system message and the worked examples, the common beginning of all requests of a run.

        Args:
            variables: the variables of the templates.
            answer: returns the assistant's turn of an example; None renders the part ``assistant``.
        """
        messages = [Message("system", self.render("system", variables))]
        for example in self.examples:
            values = {**variables, **example}
            reply = answer(values) if answer else self.render("assistant", values)
            messages += [Message("user", self.render("user", values)), Message("assistant", reply)]
        return tuple(messages)

    def messages(self, variables: Mapping[str, Any]) -> tuple[Message, ...]:
        """Return the conversation up to the reply: the opening, then the user's turn."""
        return (*self.opening(variables), Message("user", self.render("user", variables)))


def load(folder: Path, name: str) -> Prompt:
    """Read the prompt ``name``, of the form ``<name>-v<k>``, in ``folder`` or in those of the loaded plugins.

    Raises:
        NeuroglossError: the file is missing, cannot be read or is not a prompt.
    """
    path = _find([folder, *plugins.prompt_folders()], name)
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise NeuroglossError(f"the prompt file {path} cannot be read: {one_line(str(error))}.") from error
    version = f"{name}+{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return Prompt(version, *_checked(content, path))


def _find(folders: Sequence[Path], name: str) -> Path:
    """Return the file of a prompt in the first folder that has it."""
    paths = [folder / f"{name}.yaml" for folder in folders] if re.fullmatch(r"[a-z0-9_]+-v\d+", name) else []
    for path in paths:
        if path.is_file():
            return path
    places = " and ".join(map(str, folders))
    names = sorted({file.stem for folder in folders for file in folder.glob("*-v*.yaml")})
    raise NeuroglossError(f"there is no prompt {name!r} in {places}; there are: {', '.join(names) or 'none'}.")


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
    """Compile a template; cached, because it is rendered thousands of times and takes milliseconds to compile."""
    return _ENVIRONMENT.from_string(template)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _environment() -> Environment:
    environment = Environment(
        autoescape=False,  # prompts are plain text, not HTML
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"visible": visible, "one_line": one_line}
    return environment


_ENVIRONMENT = _environment()
