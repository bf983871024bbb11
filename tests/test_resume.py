"""A run that is killed at any moment goes on from there: nothing is asked twice, and the results are the same."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

KILLS = 3
TABLES = ("explanations.parquet", "simulations.parquet", "scores.parquet")


def command(tiny_task: Path, tiny_llama: Path, output: Path, log: Path) -> list[str]:
    fakes = [
        f"model@{where}=fake {where}.log={log} {where}.delay=0.03".split()
        for where in ("explainer.token_activation.model", "simulator.model")
    ]
    return [
        *(sys.executable, "-m", "harness.cli", "run"),
        *(f"task.name={tiny_task.name}", f"task.path={tiny_task}", "subject=transformers"),
        *(f"subject.name={tiny_llama}", "explainer=[token_activation,shuffled,token_lookup]"),
        *(one for fake in fakes for one in fake),
        *("scores.resamples=200", f"output={output}"),
    ]


def asked(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []


def stored(path: Path) -> set[str]:
    if not path.exists():
        return set()
    with sqlite3.connect(path) as connection:
        return {key for (key,) in connection.execute("SELECT key FROM replies")}


@pytest.mark.parametrize("seed", [20260101])
def test_a_killed_run_resumes(seed: int, tiny_task: Path, tiny_llama: Path, tmp_path: Path) -> None:
    moments = random.Random(seed)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    log = tmp_path / "log"
    subprocess.run(command(tiny_task, tiny_llama, whole, tmp_path / "other_log"), check=True, capture_output=True)

    for _ in range(KILLS):
        before = len(asked(log))
        process = subprocess.Popen(command(tiny_task, tiny_llama, killed, log), stdout=subprocess.DEVNULL)
        while len(asked(log)) < before + 1 and process.poll() is None:
            time.sleep(0.01)
        time.sleep(moments.uniform(0.05, 1.0))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the run ended before it was killed: make it longer"
        kept, so_far = stored(killed / "store.sqlite"), len(asked(log))
        assert len(kept & set(asked(log))) >= so_far - KILLS
        assert not (killed / "latest").exists()

    done = subprocess.run(command(tiny_task, tiny_llama, killed, log), check=True, capture_output=True, text=True)
    assert "token_activation" in done.stdout
    repeated = len(asked(log)) - len(set(asked(log)))
    assert repeated <= KILLS, "only the reply that was under way at a kill may be asked for again"
    assert not set(asked(log)[so_far:]) & kept
    assert sorted(set(asked(log))) == sorted(set(asked(tmp_path / "other_log")))
    for name in TABLES:
        assert (killed / "latest" / name).read_bytes() == (whole / "latest" / name).read_bytes()
