"""Settings that nothing would use are refused before any work, by their key."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config.compose import composed
from harness.jobs.run import prepare
from harness.types import NeuroglossError

OFFLINE = ("explainer=[max_activation]", "simulator=token_overlap", "scores=[panel]")
SERVER = (
    "explainer=[summary]",
    "simulator=token_overlap",
    "explainer_model=server",
    "explainer_model.server.name=x",
    "explainer_model.server.base_url=http://localhost:1/v1",
)
PRICE = "explainer_model.server.usd_per_million"


@pytest.mark.parametrize(
    ("overrides", "answer"),
    [
        ((*OFFLINE, "human=table", "human.file=people.csv"), "add people to explainer=[...], or leave human=table out"),
        ((*OFFLINE, "output={file}"), "is a file; name a folder"),
        (
            (*SERVER, "budget.usd=1"),
            f"prices of explainer_model.server are unknown; set {PRICE}_prompt_tokens and {PRICE}_completion_tokens",
        ),
    ],
)
def test_what_nothing_would_use_is_refused(overrides: tuple[str, ...], answer: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(NeuroglossError) as refusal:
        prepare(composed("run", [text.replace("{file}", str(tmp_path / "file")) for text in overrides]))
    assert answer in str(refusal.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ("explainer=[people]", *OFFLINE[1:], "human=table", "human.file={file}.csv"),
        (*SERVER, "budget.usd=1", f"{PRICE}_prompt_tokens=0", f"{PRICE}_completion_tokens=0.5"),
        (*SERVER, "budget.tokens=1000"),
    ],
)
def test_what_is_used_is_taken(overrides: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "file.csv").write_text("neuron,text,annotator\n")
    assert prepare(composed("run", [text.replace("{file}", str(tmp_path / "file")) for text in overrides])).run_id
