"""A method of one's own lives in a plugin: its class, its prompt and its config, none of them among ours."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from harness.config import plugins, registry
from harness.config.compose import composed
from harness.explainers.shared import asking
from harness.jobs import gallery, run
from harness.models.prompts import load
from harness.results.run import read_run
from harness.types import NeuroglossError

METHOD = '''
from dataclasses import dataclass, replace

from harness.config.registry import register
from harness.explainers.highlight import Highlight


@register("explainer/one_excerpt")
@dataclass(eq=False)
class OneExcerpt(Highlight):
    """Explainer that is shown the strongest train excerpt alone."""

    prompt: str = "one_excerpt-v1"

    def variables(self, evidence):
        return super().variables(replace(evidence, excerpts=evidence.excerpts[:1]))
'''
CONFIG = """
one_excerpt:
  use: explainer/one_excerpt
"""
PROMPT = """
system: Say what a neuron fires on, from one excerpt.
lead_in: This neuron fires on
user: "{{ excerpts[0] }}\\n{{ lead_in }}"
assistant: "{{ lead_in }} {{ answer }}"
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a package with a method, its config and its prompt; nothing of it stays behind."""
    package = tmp_path / "packages" / "my_methods"
    for folder in (package / "conf" / "explainer", package / "prompts"):
        folder.mkdir(parents=True)
    (package / "__init__.py").write_text(METHOD)
    (package / "conf" / "explainer" / "one_excerpt.yaml").write_text(CONFIG)
    (package / "prompts" / "one_excerpt-v1.yaml").write_text(PROMPT)
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setattr(plugins, "_LOADED", {})
    monkeypatch.setattr(registry, "_REGISTERED", {})
    monkeypatch.delitem(sys.modules, package.name, raising=False)
    return package.name


@pytest.mark.slow
def test_a_method_with_its_own_prompt_runs_from_a_plugin(
    plugin: str, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = [*small, f"plugins=[{plugin}]", "explainer=one_excerpt", "units.limit=2"]
    folder = run.run(run.prepare(composed("run", chosen)), chosen, lambda *_: None).folder
    assert "one_excerpt" in gallery.options()
    (info,) = read_run(folder).explainers
    assert (info.name, info.method, info.model) == ("one_excerpt · fake", "one_excerpt", "fake")
    assert info.prompt_version.startswith("one_excerpt-v1+")
    assert [row["outcome"] for row in pq.read_table(folder / "explanations.parquet").to_pylist()] == ["ok", "ok"]


def test_nothing_of_a_plugin_is_there_unless_it_is_named(plugin: str, small: list[str]) -> None:
    with pytest.raises(NeuroglossError, match="one_excerpt"):
        run.prepare(composed("run", [*small, "explainer=one_excerpt"]))
    assert plugin not in sys.modules
    with pytest.raises(NeuroglossError, match="there is no prompt 'one_excerpt-v1'"):
        load(asking.PROMPTS, "one_excerpt-v1")


def test_our_prompts_come_before_those_of_plugins_and_all_are_named_if_one_is_missing(
    plugin: str, tmp_path: Path
) -> None:
    hidden = tmp_path / "packages" / plugin / "prompts" / "highlight-v2.yaml"
    hidden.write_text(PROMPT)
    ours = load(asking.PROMPTS, "highlight-v2").version
    plugins.load([plugin])
    assert load(asking.PROMPTS, "highlight-v2").version == ours
    assert load(asking.PROMPTS, "one_excerpt-v1").version.startswith("one_excerpt-v1+")
    with pytest.raises(NeuroglossError, match=r"there are: .*highlight-v2, .*one_excerpt-v1"):
        load(asking.PROMPTS, "missing-v1")
