"""Prompts as versioned text files: ``<name>-v<k>.yaml`` in the ``prompts`` folder of the package that uses them.

A plugin brings prompts of its own in its folders ``prompts``, which are searched after those of the package.

A file holds jinja2 templates (``system``, ``user``, and any further parts that its method renders) and ``examples``:
worked examples written for this project, each a mapping of template variables, or ``{pool: NAME-v1, deal: 3}``, another
file whose entries a method deals out as it sees fit. The version of a prompt is the name of its file and a hash of its
content and of its pool, so a changed file is a new version with new keys in the store.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeGuard

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
        pool: the entries of the pool, out of which examples are dealt instead; empty if there is none.
        deal: how many of them each conversation has.
    """

    version: str
    parts: Mapping[str, str]
    examples: tuple[Mapping[str, Any], ...] = ()
    pool: tuple[Mapping[str, Any], ...] = ()
    deal: int = 0

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
        self,
        variables: Mapping[str, Any],
        answer: Callable[[Mapping[str, Any]], str] | None = None,
        examples: Sequence[Mapping[str, Any]] = (),
    ) -> tuple[Message, ...]:
        """Return the system message and the worked examples: the common beginning of all requests of a run, unless
        examples are dealt.

        Args:
            variables: the variables of the templates.
            answer: returns the assistant's turn of an example; None renders the part ``assistant``.
            examples: the variables of each worked example, dealt from a pool, where the prompt has none of its own.
        """
        messages = [Message("system", self.render("system", variables))]
        for example in (*self.examples, *examples):
            values = {**variables, **example}
            reply = answer(values) if answer else self.render("assistant", values)
            messages += [Message("user", self.render("user", values)), Message("assistant", reply)]
        return tuple(messages)

    def messages(self, variables: Mapping[str, Any], examples: Sequence[Mapping[str, Any]] = ()) -> tuple[Message, ...]:
        """Return the conversation up to the reply: the opening, then the user's turn."""
        return (*self.opening(variables, examples=examples), Message("user", self.render("user", variables)))


def load(folder: Path, name: str) -> Prompt:
    """Read the prompt ``name``, of the form ``<name>-v<k>``, in ``folder`` or in those of the loaded plugins.

    Raises:
        NeuroglossError: the file is missing, cannot be read or is not a prompt.
    """
    folders = [folder, *plugins.prompt_folders()]
    path = _find(folders, name)
    text, content = _read(path)
    parts, examples = _checked(content, path)
    if not isinstance(examples, Mapping):
        return Prompt(_version(name, text), parts, examples=examples)
    pool_path = _find(folders, str(examples["pool"]))
    pool_text, pool = _read(pool_path)
    if not _are_mappings(pool) or not 1 <= examples["deal"] <= len(pool):
        raise NeuroglossError(
            f"{path}: examples.deal is {examples['deal']}; the pool {pool_path} must be a list of that many mappings, "
            "or more."
        )
    return Prompt(_version(name, text + pool_text), parts, pool=tuple(pool), deal=examples["deal"])


def _read(path: Path) -> tuple[str, Any]:
    """Return a file's text, and its content as YAML."""
    try:
        text = path.read_text(encoding="utf-8")
        return text, _content(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise NeuroglossError(f"the prompt file {path} cannot be read: {one_line(str(error))}.") from error


@lru_cache(maxsize=64)
def _content(text: str) -> Any:
    """Return the content of a file; cached, because methods share pools whose many lines take long to read."""
    return yaml.safe_load(text)


def _version(name: str, text: str) -> str:
    return f"{name}+{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _find(folders: Sequence[Path], name: str) -> Path:
    """Return the file of a prompt in the first folder that has it."""
    paths = [folder / f"{name}.yaml" for folder in folders] if re.fullmatch(r"[a-z0-9_]+-v\d+", name) else []
    for path in paths:
        if path.is_file():
            return path
    places = " and ".join(map(str, folders))
    names = sorted({file.stem for folder in folders for file in folder.glob("*-v*.yaml")})
    raise NeuroglossError(f"there is no prompt {name!r} in {places}; there are: {', '.join(names) or 'none'}.")


def _checked(content: object, path: Path) -> tuple[dict[str, str], tuple[Mapping[str, Any], ...] | Mapping[str, Any]]:
    if not isinstance(content, dict):
        raise NeuroglossError(f"the prompt file {path} must be a mapping with the parts system and user.")
    parts = {str(key): value for key, value in content.items() if key != "examples"}
    for name in ("system", "user", *parts):
        if not isinstance(parts.get(name), str):
            raise NeuroglossError(f"the prompt file {path} needs a text for the part {name!r}.")
    for name, template in parts.items():
        try:
            _compiled(template)
        except TemplateSyntaxError as error:
            raise NeuroglossError(f"{path}, part {name!r}, line {error.lineno}: {error.message}.") from error
    examples = content.get("examples") or []
    if isinstance(examples, dict) and set(examples) == {"pool", "deal"} and type(examples["deal"]) is int:
        return parts, examples
    if not _are_mappings(examples):
        raise NeuroglossError(f"the examples in {path} must be a list of mappings, or have the keys pool and deal.")
    return parts, tuple(examples)


def _are_mappings(items: object) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(items, list) and all(isinstance(item, dict) for item in items)


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
