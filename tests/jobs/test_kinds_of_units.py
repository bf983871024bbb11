"""Units of every kind are collected, explained, simulated, scored and ablated by the same two commands."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from harness.config import build
from harness.config.compose import composed
from harness.config.tasks import UNITS
from harness.jobs import collection
from harness.results.run import read_run
from tests.fixtures import TEXT

Command = Callable[..., tuple[int, str, str]]


def direction(folder: Path) -> list[str]:
    vectors = torch.randn(2, 32, generator=torch.Generator().manual_seed(0))
    save_file({"first": vectors[0].clone(), "second": vectors[1].clone()}, folder / "directions.safetensors")
    return [f"subject.unit.path={folder / 'directions.safetensors'}", "subject.unit.layer=1", "sample.per_layer=2"]


def group(folder: Path) -> list[str]:
    (folder / "groups.yaml").write_text(
        "pair: {units: {L1N3: 0.5, L2N7: -0.2}}\nheads: {units: {L0H1: 1.0, L1H3: 2.0}}"
    )
    return [f"subject.unit.path={folder / 'groups.yaml'}"]


def latent(folder: Path) -> list[str]:
    """A dictionary that fits whatever it reads: each coordinate and its negative, at most 40 of the 64 at a time."""
    both = torch.cat([torch.eye(32), -torch.eye(32)])
    tensors = {"W_enc": both.T.contiguous(), "W_dec": both, "b_enc": torch.zeros(64), "b_dec": torch.zeros(32)}
    save_file(tensors, folder / "sae_weights.safetensors")
    config = {"architecture": "topk", "k": 40, "metadata": {"hook_name": "blocks.1.hook_resid_post"}}
    (folder / "cfg.json").write_text(json.dumps(config))
    return [f"subject.unit.path={folder}", "sample.per_layer=2"]


KINDS: dict[str, tuple[Callable[[Path], list[str]], set[str]]] = {
    "neuron_side": (lambda _: ["subject.unit.side=+"], {"N+"}),
    "head": (lambda _: [], {"H"}),
    "direction": (direction, {"direction"}),
    "group": (group, {"circuit"}),
    "latent": (latent, {"S"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_collected_and_run(
    kind: str, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, neurogloss: Command
) -> None:
    """The second command is the one that the first one ends with."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)
    prepare, kinds = KINDS[kind]
    settings = ("excerpt_tokens=16", "top=8", "random=6", "minimum_token_count=1")
    status, out, err = neurogloss(
        *("collect", f"unit={kind}", *prepare(tmp_path), "name=mine-v1"),
        *("subject=transformers", f"subject.name={tiny_llama}", "corpus=text_files", "corpus.path=text.txt"),
        *(f"collect.{setting}" for setting in settings),
    )
    assert status == 0, err
    (line,) = [line for line in (out + err).splitlines() if line.startswith("next: neurogloss ")]
    words = shlex.split(line)[2:]
    assert (f"unit={kind}" in words) == (f"unit/{kind}" not in UNITS)  # a task says what the model alone defines
    words += ["explainer=[max_activation,shuffled]", "simulator=token_overlap", "board.resamples=200"]
    status, out, err = neurogloss(*words)
    assert status == 0, err
    results = read_run(Path("runs/latest"))
    assert {unit.kind for unit in results.task.units} == kinds
    (row,) = [row for row in results.rows if row.summary.explainer == "max_activation"]
    assert {"correlation", "ablation"} <= set(row.summary.metrics)
    assert [item.unit for item in row.scored] == list(results.task.units)


@pytest.mark.slow
def test_what_defines_the_units_is_pinned_by_the_task(tiny_llama: Path, tmp_path: Path) -> None:
    """By the revision of its subject: another file of directions, or another site, is another subject."""
    words = ["unit=direction", *direction(tmp_path), "subject=transformers", f"subject.name={tiny_llama}"]
    words += ["corpus=text_files", f"corpus.path={tmp_path}", "name=mine-v1", f"output={tmp_path}"]
    revisions = set()
    for override in ("subject.unit.layer=1", "subject.unit.layer=2", "subject.unit.site=mlp_output"):
        plan = collection.prepare(composed("collect", [*words, override]))
        revisions.add(build.assemble(plan.settings.subject).identity.revision)
    assert len(revisions) == 3
