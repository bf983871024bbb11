"""A method of one's own, exactly as README.md writes it."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from harness import config, experiment, gallery, hydra_config
from harness.hydra_config import composed

README = (config.folder("conf").parent / "README.md").read_text()


def block(language: str, holds: str) -> str:
    """The block of code in README.md that holds a text."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    (found,) = (one for one in blocks if holds in one)
    return found


@pytest.fixture
def own_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a method whose two files stand where README.md puts them, in a copy."""
    conf = shutil.copytree(config.folder("conf"), tmp_path / "conf")
    (conf / "explainer" / "one_excerpt.yaml").write_text(block("yaml", "one_excerpt"))
    (tmp_path / "one_excerpt.py").write_text(block("python", "OneExcerpt"))
    spec = importlib.util.spec_from_file_location("harness.explainers.one_excerpt", tmp_path / "one_excerpt.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    for place in (config, hydra_config):
        monkeypatch.setattr(place, "folder", lambda name: tmp_path / name)
    return "one_excerpt"


def test_two_files_make_a_method(own_method: str, tiny_task: Path, tmp_path: Path) -> None:
    assert f"neurogloss run explainer={own_method}" in README
    assert own_method in gallery.options()
    chosen = [f"task.path={tiny_task}", f"output={tmp_path}", "simulator=token_overlap", "scores.ablation=false"]
    chosen += [f"explainer={own_method}", f"model@explainer.{own_method}.model=fake", "neurons.limit=2"]
    folder, found = experiment.run(experiment.prepare(composed("run", chosen)), chosen, lambda *_: None)
    assert found.explainers[0].prompt_version.startswith("highlight-v1+")
    assert [row["outcome"] for row in pq.read_table(folder / "explanations.parquet").to_pylist()] == ["ok", "ok"]
