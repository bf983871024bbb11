"""A run that is killed at any moment goes on from there: nothing is asked twice, and the results are the same."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.config.compose import composed
from harness.jobs import run

KILLS = int(os.environ.get("NEUROGLOSS_KILLS", "1"))
"""How often the run is killed; 30 take minutes."""
DELAY = 0.03 * max(1.0, KILLS / 4)
"""Seconds for a reply: a run that is killed more often must not end before."""
TABLES = ("explanations.parquet", "simulations.parquet", "scores.parquet")


def overrides(tiny_task: Path, tiny_llama: Path, output: Path, log: Path) -> list[str]:
    models = ("explainer_model.fake", "simulator.all_at_once.model")
    return [
        *(f"task.name={tiny_task.name}", f"task.path={tiny_task}", "subject=transformers"),
        *(f"subject.name={tiny_llama}", "explainer=[token_activation,shuffled,token_lookup]"),
        *("explainer_model=fake", "simulator=all_at_once", "model@simulator.all_at_once.model=fake"),
        *(f"{model}.{setting}" for model in models for setting in (f"log={log}", f"delay={DELAY}")),
        *("board.resamples=200", f"output={output}"),
    ]


def finish(words: list[str]) -> None:
    run.run(run.prepare(composed("run", words)), words, lambda *_: None)


def logged(log: Path) -> list[str]:
    """The keys of the prompts that the models were asked, in order."""
    return log.read_text().split() if log.exists() else []


def stored(path: Path) -> set[str]:
    if not path.exists():
        return set()
    with sqlite3.connect(path) as connection:
        return {key for (key,) in connection.execute("SELECT key FROM replies")}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [20260101])
def test_a_killed_run_resumes(seed: int, tiny_task: Path, tiny_llama: Path, tmp_path: Path) -> None:
    moments = random.Random(seed)
    uninterrupted, killed = tmp_path / "whole", tmp_path / "killed"
    log = tmp_path / "log"
    finish(overrides(tiny_task, tiny_llama, uninterrupted, tmp_path / "other_log"))
    words = overrides(tiny_task, tiny_llama, killed, log)

    for _ in range(KILLS):
        count = len(logged(log))
        process = subprocess.Popen([sys.executable, "-m", "harness", "run", *words], stdout=subprocess.DEVNULL)
        while len(logged(log)) < count + 1 and process.poll() is None:
            time.sleep(0.01)
        time.sleep(moments.uniform(0.05, 1.0))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the run ended before it was killed: make it longer"
        replies, so_far = stored(killed / "store.sqlite"), len(logged(log))
        assert len(replies & set(logged(log))) >= so_far - KILLS
        assert not (killed / "latest").exists()

    finish(words)
    duplicates = len(logged(log)) - len(set(logged(log)))
    assert duplicates <= KILLS, "only the reply that was under way at a kill may be asked for again"
    assert not set(logged(log)[so_far:]) & replies
    assert sorted(set(logged(log))) == sorted(set(logged(tmp_path / "other_log")))
    for name in TABLES:
        assert (killed / "latest" / name).read_bytes() == (uninterrupted / "latest" / name).read_bytes()
