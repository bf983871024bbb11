"""What messages advise exists: every dotted key in a sentence of the package is a key of a config."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import harness
from harness.config import registry
from harness.config.compose import SCHEMAS
from harness.files import shipped

CONF = shipped("conf")
KEY = re.compile(r"(?<![\w./@])((?:[a-z_{}]+\.)+[a-z_]+)(?=[ =,;:.')]|$)")
"""A dotted key; braces stand for what is filled in."""
NO_KEYS = {
    "yaml",
    "json",
    "jsonl",
    "md",
    "html",
    "js",
    "css",
    "svg",
    "parquet",
    "csv",
    "txt",
    "safetensors",
    "sqlite",
    "{}",
    "layers",
}
"""What a file's name ends in, what is filled in, and a list in the modules of a model."""
NODES = {"explainer_model": "model"}
"""A group whose options are those of another under their names."""
OPTIONS = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((CONF / "model").iterdir())}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_argument_of_a_model_is_a_key_of_its_config(name: str) -> None:
    """Messages name them, and only a key that stands in a config can be overridden as they say."""
    node = OPTIONS[name]
    arguments = set(inspect.signature(registry.resolve(node["use"], name)).parameters)
    assert arguments - set(node) == set()


def test_messages_name_only_keys_that_there_are(sentences: list[tuple[str, str]]) -> None:
    keys = {**settings_keys(), "of defaults": set()}
    for path in CONF.glob("*/*.yaml"):
        text = path.read_text(encoding="utf-8")
        keys.setdefault(path.parent.name, set()).update(leaves(yaml.safe_load(text)))
        keys["of defaults"].update(re.findall(r"@(?:[a-z_]+\.)*([a-z_]+\.[a-z_]+)", text))
    named = {(name, key) for name, text in sentences for key in KEY.findall(text)}
    assert len(named) > 50
    assert sorted((name, key) for name, key in named if is_unknown(key, keys)) == []


def test_messages_name_settings_of_models_with_their_place(sentences: list[tuple[str, str]]) -> None:
    """A setting alone is in no config: it is ``model.SETTING``, which becomes the key (:mod:`harness.config.keys`)."""
    settings = {setting for node in OPTIONS.values() for setting in node} - {"name"}
    bare = re.compile(rf"(?<![\w.@])({'|'.join(sorted(settings))})=(?!=)")
    assert [(name, text) for name, text in sentences if bare.search(text)] == []


def is_unknown(key: str, keys: Mapping[str, set[str]]) -> bool:
    """Whether a text has the form of a key of a group that has none of that name."""
    *places, last = key.split(".")
    groups = [NODES.get(place, place) for place in places]
    is_key = any(last in keys.get(group, ()) or f"{group}.{last}" in keys["of defaults"] for group in groups)
    return groups[0] in keys and last not in NO_KEYS and not is_key


@pytest.fixture(scope="module")
def sentences() -> list[tuple[str, str]]:
    """(file, text) of the texts of the package, docstrings left out."""
    paths = sorted(Path(harness.__file__).parent.rglob("*.py"))
    return [(path.name, text) for path in paths for text in texts_of(ast.parse(path.read_text(encoding="utf-8")))]


def texts_of(tree: ast.Module) -> Iterator[str]:
    """Yield the texts of a module, docstrings left out; braces stand for what is filled in."""
    nodes = list(ast.walk(tree))
    documented = [node for node in nodes if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    docstrings = {id(node.body[0].value) for node in documented if isinstance(node.body[0], ast.Expr)}
    parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    texts_elsewhere = docstrings | parts
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in texts_elsewhere:
            yield node.value


def settings_keys() -> dict[str, set[str]]:
    """Group of the settings of a command -> its keys."""
    keys: dict[str, set[str]] = {}
    for settings in SCHEMAS.values():
        for name, hint in typing.get_type_hints(settings).items():
            if dataclasses.is_dataclass(hint):
                keys.setdefault(name, set()).update(field.name for field in dataclasses.fields(hint))
    return keys


def leaves(node: Any) -> Iterator[str]:
    """Yield the keys of a config, nested ones included."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield str(key)
            yield from leaves(value)
