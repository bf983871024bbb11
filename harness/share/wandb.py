"""Log a finished run to Weights & Biases: scores as its summary, the board and the units as tables, the config.

W&B runs in a process of its own, with an environment of its own. "Offline" then truly means no network (the library
looks up its server's address even so), nothing is left outside the run's folder, and the calling process keeps no
threads, hooks or settings of it.
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

from harness.guards.secrets import scrubbed
from harness.results.provenance import redact
from harness.results.run import Results
from harness.typed_json import to_json
from harness.types import NeuroglossError, Summary

MODES = ("offline", "online")
_SERVER_VARIABLES = ("WANDB_BASE_URL", "WANDB_APP_URL")  # where a server of one's own is
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
class WandbTracker:
    """A tracker that logs a finished run to W&B.

    Attributes:
        mode: ``offline`` (files below the run's folder, for ``wandb sync`` later) or ``online``.
        project, entity, group, tags: where W&B files the run.
        api_key_env: the name of the environment variable that holds the key; ``online`` needs it.
    """

    mode: str = "offline"
    project: str = "neurogloss"
    entity: str | None = None
    group: str | None = None
    tags: list[str] = field(default_factory=list)
    api_key_env: str = "WANDB_API_KEY"

    def check(self) -> None:
        """Refuse, before any work, settings with which nothing could be logged.

        Raises:
            NeuroglossError: an unknown mode, no library, or no key.
        """
        if self.mode not in MODES:
            raise NeuroglossError(
                f"track.wandb.mode is {self.mode!r}; write track.wandb.mode=offline or track.wandb.mode=online."
            )
        try:
            metadata.version("wandb")
        except metadata.PackageNotFoundError:
            raise NeuroglossError(
                "wandb is not installed; install neurogloss[wandb], or write track=[] to run without it."
            ) from None
        if self.mode == "online" and not os.environ.get(self.api_key_env):
            raise NeuroglossError(
                f"the environment variable {self.api_key_env} is not set, and track.wandb.mode=online needs a W&B key "
                "in it; set it, or write track.wandb.mode=offline."
            )

    def begun(self, run_id: str, config: Mapping[str, Any]) -> None:
        """Do nothing: what is logged offline lies in the folder of the finished run."""

    def stage(self, name: str) -> None:
        """Do nothing."""

    def ended(self, results: Results, folder: Path) -> str | None:
        """Log ``results``, and return where: a URL, or a folder below ``folder``.

        ``folder`` must have its final name: an offline run refers to its own files by their full path.

        Raises:
            NeuroglossError: the settings do not hold (see :meth:`check`), or W&B refused or could not be reached.
        """
        self.check()
        with tempfile.TemporaryDirectory(prefix="neurogloss-wandb-", ignore_cleanup_errors=True) as cache:
            process = subprocess.run(
                [sys.executable, "-P", "-m", __name__],
                input=scrubbed(json.dumps(payload(results, self, folder), allow_nan=False)),
                env=_environment(self, folder, cache),
                capture_output=True,
                text=True,
                check=False,
            )
        if process.returncode != 0:
            reason = (process.stderr.strip().splitlines() or ["it said nothing"])[-1].rstrip(".")
            raise NeuroglossError(
                f"W&B did not take the run ({reason}); the results are whole in {folder}, and "
                "track.wandb.mode=offline needs no network."
            )
        return process.stdout.strip().splitlines()[-1]


# ------------------------------------------------------------------------------------------------------ what is logged


def payload(results: Results, tracker: WandbTracker, folder: Path) -> dict[str, Any]:
    """Return all that the logging process is handed, as plain JSON values."""
    return {
        "init": {
            "dir": str(folder.resolve()),
            "mode": tracker.mode,
            "project": tracker.project,
            "entity": tracker.entity,
            "group": tracker.group,
            "tags": tracker.tags,
            "name": results.run_id,
            "job_type": "evaluation",
            "config": {
                **redact(results.config),
                "task_digest": results.task.digest,
                "provenance": to_json(results.provenance),
            },
        },
        "summary": summary([row.summary for row in results.rows]),
        "tables": {"board": board_table(results), "units": unit_table(results)},
    }


def summary(summaries: Sequence[Summary]) -> dict[str, float | int | None]:
    """Return the board as flat figures: ``explainer/simulator/metric``, a mean, and ``.../low``, ``.../high`` of it."""
    return {f"{row.explainer}/{row.simulator}/{name}": value for row in summaries for name, value in _row_figures(row)}


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


def board_table(results: Results) -> dict[str, list[Any]]:
    """Return the board: one row for each explainer and simulator, one column for each figure of any of them."""
    infos = {info.name: info for info in results.explainers}
    summaries = [row.summary for row in results.rows]
    figures = [dict(_row_figures(row)) for row in summaries]
    names = list(dict.fromkeys(name for values in figures for name in values))
    data = [
        [
            row.explainer,
            infos[row.explainer].method,
            infos[row.explainer].model,
            str(row.role),
            row.simulator,
            row.units,
            row.scored,
            *(values.get(name) for name in names),
        ]
        for row, values in zip(summaries, figures, strict=True)
    ]
    return {"columns": ["explainer", "method", "model", "role", "simulator", "units", "scored", *names], "data": data}


def unit_table(results: Results) -> dict[str, list[Any]]:
    """Return every explanation with its scores; an empty cell is a score that could not be computed."""
    infos = {info.name: info for info in results.explainers}
    scored = [item for row in results.rows for item in row.scored]
    metrics = list(dict.fromkeys(name for item in scored for name in item.scores.values))
    data = [
        [
            item.explanation.explainer,
            infos[item.explanation.explainer].method,
            infos[item.explanation.explainer].model,
            item.simulator,
            str(item.unit),
            item.unit.group,
            item.explanation.text,
            str(item.explanation.outcome),
            *(_finite(item.scores.values.get(name)) for name in metrics),
        ]
        for item in scored
    ]
    columns = ["explainer", "method", "model", "simulator", "unit", "group", "explanation", "outcome", *metrics]
    return {"columns": columns, "data": data}


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


# ------------------------------------------------------------------------------------------------- the logging process


def _environment(tracker: WandbTracker, folder: Path, cache: str) -> dict[str, str]:
    """Return the caller's environment, with no setting of W&B in it but ours."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    variables |= {key: os.environ[key] for key in _SERVER_VARIABLES if key in os.environ}
    variables |= {
        "PYTHONPATH": os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path),
        "PYTHONIOENCODING": "utf-8",
        "WANDB_MODE": tracker.mode,
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_DATA_DIR": str(folder.resolve() / "wandb"),
        "WANDB_CACHE_DIR": cache,
    }
    if tracker.mode == "online":
        variables["WANDB_API_KEY"] = os.environ[tracker.api_key_env]
    return variables


def _log(logged: Mapping[str, Any]) -> str:
    """Log what :func:`payload` describes; runs in a process of its own."""
    import wandb  # noqa: PLC0415  # optional, slow to import, and only for this process

    try:
        run = wandb.init(**logged["init"], settings=wandb.Settings(**_QUIET, **_PATIENCE))
        run.log({name: wandb.Table(**table, allow_mixed_types=True) for name, table in logged["tables"].items()})
        run.summary.update(logged["summary"])
        run.finish()
    except (wandb.errors.Error, TimeoutError) as error:
        sys.exit(str(error).splitlines()[0])
    return run.url or str(Path(run.dir).parent)


if __name__ == "__main__":
    print(_log(json.load(sys.stdin)))
