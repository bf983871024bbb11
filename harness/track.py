"""Log a finished run to Weights & Biases: scores as its summary, the board and the neurons as tables, the config.

A tracker is a subscriber: it is handed results and nothing upstream knows of it. W&B runs in a process of its own, with
an environment of its own: "offline" then truly means no network (the library otherwise looks up its server's address
even so), nothing is left outside the run's folder, and the calling process keeps no threads, hooks or settings of it.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.provenance import redact
from harness.results import Results, to_json
from harness.types import NeuroglossError, ScoredExplanation, Summary

MODES = ("offline", "online")
_KEPT_VARIABLES = ("WANDB_BASE_URL", "WANDB_APP_URL")  # where a server of one's own is
_QUIET = {
    # W&B would otherwise record the host, the user, the program's path, the git remote and the packages by itself.
    "silent": True,
    "console": "off",
    "disable_git": True,
    "disable_code": True,
    "save_code": False,
    "symlink": False,
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}
_PATIENCE = {"init_timeout": 60.0, "finish_timeout": 600.0, "finish_timeout_raises": True}  # seconds, online


@dataclass(frozen=True)
class TrackSettings:
    """Whether and where a run is logged to W&B.

    Attributes:
        enabled: whether it is logged at all.
        mode: ``offline`` (files below the run's folder, for ``wandb sync`` later) or ``online``.
        project, entity, group, tags: where W&B files the run.
        api_key_env: the name of the environment variable that holds the key; ``online`` needs it.
    """

    enabled: bool = False
    mode: str = "offline"
    project: str = "neurogloss"
    entity: str | None = None
    group: str | None = None
    tags: list[str] = field(default_factory=list)
    api_key_env: str = "WANDB_API_KEY"


def check(settings: TrackSettings) -> None:
    """Refuse, before any work, settings with which :func:`track` could not log."""
    if not settings.enabled:
        return
    if settings.mode not in MODES:
        raise NeuroglossError(f"track.mode is {settings.mode!r}; write track.mode=offline or track.mode=online.")
    try:
        metadata.version("wandb")
    except metadata.PackageNotFoundError:
        raise NeuroglossError(
            "wandb is not installed; install neurogloss[wandb], or write track=none to run without it."
        ) from None
    if settings.mode == "online" and not os.environ.get(settings.api_key_env):
        raise NeuroglossError(
            f"the environment variable {settings.api_key_env} is not set, and track.mode=online needs a W&B key in it; "
            "set it, or write track.mode=offline."
        )


def track(results: Results, settings: TrackSettings, folder: Path) -> str | None:
    """Log ``results``; the return value says where: a URL, or a folder below ``folder``. None where tracking is off.

    Call it when ``folder`` has its final name: an offline run refers to its own files by their full path.

    Raises:
        NeuroglossError: the settings do not hold (see :func:`check`), or W&B refused or could not be reached.
    """
    check(settings)
    if not settings.enabled:
        return None
    with tempfile.TemporaryDirectory(prefix="neurogloss-wandb-", ignore_cleanup_errors=True) as cache:
        done = subprocess.run(
            [sys.executable, "-P", "-m", __name__],
            input=json.dumps(payload(results, settings, folder), allow_nan=False),
            env=_environment(settings, folder, cache),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1].rstrip(".")
        raise NeuroglossError(
            f"W&B did not take the run ({reason}); the results are whole in {folder}, and track.mode=offline needs no "
            "network."
        )
    return done.stdout.strip().splitlines()[-1]


# ------------------------------------------------------------------------------------------------------ what is logged


def payload(results: Results, settings: TrackSettings, folder: Path) -> dict[str, Any]:
    """All that the logging process is told, as plain JSON values."""
    return {
        "init": {
            "dir": str(folder.resolve()),
            "mode": settings.mode,
            "project": settings.project,
            "entity": settings.entity,
            "group": settings.group,
            "tags": settings.tags,
            "name": results.run_id,
            "job_type": "evaluation",
            "config": {
                **redact(results.config),
                "task_digest": results.task.digest,
                "provenance": to_json(results.provenance),
            },
        },
        "summary": summary(results.summaries),
        "tables": {"board": board_table(results.summaries), "neurons": neuron_table(results.scored)},
    }


def summary(summaries: Sequence[Summary]) -> dict[str, float | int | None]:
    """The board as flat figures: ``explainer/metric`` is a mean, ``.../low`` and ``.../high`` its interval."""
    return {f"{row.explainer}/{name}": value for row in summaries for name, value in _row_figures(row)}


def _row_figures(row: Summary) -> Iterator[tuple[str, float | int | None]]:
    for name, interval in row.metrics.items():
        yield name, _finite(interval.mean)
        yield f"{name}/low", _finite(interval.low)
        yield f"{name}/high", _finite(interval.high)
    usage = row.usage
    yield "coverage", row.coverage
    yield "degenerate", row.degenerate
    yield "missing_tokens", row.missing_tokens
    yield "tokens", usage.prompt_tokens + usage.completion_tokens
    yield "usd", usage.usd


def board_table(summaries: Sequence[Summary]) -> dict[str, list[Any]]:
    """The board: one row for each explainer, one column for each figure of any of them."""
    figures = [dict(_row_figures(row)) for row in summaries]
    names = list(dict.fromkeys(name for row in figures for name in row))
    data = [
        [row.explainer, str(row.role), row.simulator, row.neurons, row.scored, *(found.get(name) for name in names)]
        for row, found in zip(summaries, figures, strict=True)
    ]
    return {"columns": ["explainer", "role", "simulator", "neurons", "scored", *names], "data": data}


def neuron_table(scored: Mapping[str, Sequence[ScoredExplanation]]) -> dict[str, list[Any]]:
    """Every explanation with its scores; an empty cell is a score that could not be computed."""
    metrics = list(dict.fromkeys(name for some in scored.values() for one in some for name in one.scores.values))
    data = [
        [
            explainer,
            str(one.explanation.neuron),
            one.explanation.neuron.layer,
            one.explanation.text,
            str(one.explanation.outcome),
            *(_finite(one.scores.values.get(name)) for name in metrics),
        ]
        for explainer, some in scored.items()
        for one in some
    ]
    return {"columns": ["explainer", "neuron", "layer", "explanation", "outcome", *metrics], "data": data}


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


# ------------------------------------------------------------------------------------------------- the logging process


def _environment(settings: TrackSettings, folder: Path, cache: str) -> dict[str, str]:
    """The caller's environment, with no setting of W&B in it but ours."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    kept |= {key: os.environ[key] for key in _KEPT_VARIABLES if key in os.environ}
    kept |= {
        "PYTHONPATH": os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path),
        "PYTHONIOENCODING": "utf-8",
        "WANDB_MODE": settings.mode,
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_DATA_DIR": str(folder.resolve() / "wandb"),
        "WANDB_CACHE_DIR": cache,
    }
    if settings.mode == "online":
        kept["WANDB_API_KEY"] = os.environ[settings.api_key_env]
    return kept


def _log(told: Mapping[str, Any]) -> str:
    """Log what :func:`payload` describes; runs in a process of its own."""
    import wandb  # noqa: PLC0415  # optional, slow to import, and only for this process

    try:
        run = wandb.init(**told["init"], settings=wandb.Settings(**_QUIET, **_PATIENCE))
        run.log({name: wandb.Table(**table, allow_mixed_types=True) for name, table in told["tables"].items()})
        run.summary.update(told["summary"])
        run.finish()
    except (wandb.errors.Error, TimeoutError) as error:
        sys.exit(str(error).splitlines()[0])
    return run.url or str(Path(run.dir).parent)


if __name__ == "__main__":
    print(_log(json.load(sys.stdin)))
