"""Plugins in a folder of their own, which leave nothing behind."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.config import plugins, registry

METHOD = """
from dataclasses import dataclass
from typing import Any
from collections.abc import Mapping

from harness.config.registry import register
from harness.explainers.highlight import Highlight
from harness.types import Evidence


@register("explainer/one_excerpt")
@dataclass(eq=False)
class OneExcerpt(Highlight):
    prompt: str = "highlight-v2"

    def variables(self, evidence: Evidence) -> Mapping[str, Any] | None:
        return None
"""
NODE = """# The strongest excerpt alone.
one_excerpt:
  use: explainer/one_excerpt
  candidates: ${asking.candidates}
"""


@pytest.fixture(autouse=True)
def unloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Forget after a test what its plugins have left in the process."""
    monkeypatch.setattr(plugins, "_LOADED", {})
    monkeypatch.setattr(registry, "_REGISTERED", {})
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path of Python, with a package ``own_methods``: a method, a config and a prompt."""
    folder = tmp_path / "own_methods"
    (folder / "conf" / "explainer").mkdir(parents=True)
    (folder / "deep" / "prompts").mkdir(parents=True)
    (folder / "__init__.py").write_text("from own_methods import method\n")
    (folder / "method.py").write_text(METHOD)
    (folder / "conf" / "explainer" / "one_excerpt.yaml").write_text(NODE)
    (folder / "deep" / "prompts" / "mine-v1.yaml").write_text("system: s\nuser: u\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


@pytest.fixture
def method_file(tmp_path: Path) -> Path:
    """A plugin that is a single file, with a config and a prompt beside it."""
    (tmp_path / "conf" / "explainer").mkdir(parents=True)
    (tmp_path / "prompts").mkdir()
    (tmp_path / "conf" / "explainer" / "one_excerpt.yaml").write_text(NODE)
    (tmp_path / "one_excerpt.py").write_text(METHOD)
    return tmp_path / "one_excerpt.py"


@pytest.fixture
def entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Install an entry point of a name, which names a module, for as long as a test runs."""

    def install(name: str, module: str) -> None:
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[{plugins.ENTRY_POINTS}]\n{name} = {module}\n")
        monkeypatch.syspath_prepend(str(tmp_path))

    return install
