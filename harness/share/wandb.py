"""Follow a run in Weights & Biases: its progress, costs and running means, and at its end tables, plots and artefacts.

W&B runs in a process of its own (:mod:`harness.share.wandb_process`), with an environment of its own. "Offline" then
truly means no network (the library looks up its server's address even so), nothing is left outside the folder of runs,
the calling process keeps no threads, hooks or settings of it, and a run is finished though its process is killed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from harness.files import safe_name
from harness.guards.secrets import scrubbed
from harness.results.provenance import redact
from harness.results.run import Results
from harness.share import wandb_contents as contents
from harness.share.tracker import Moment
from harness.types import NeuroglossError

MODES = ("offline", "online")
_PROCESS = "harness.share.wandb_process"
_SERVER_VARIABLES = ("WANDB_BASE_URL", "WANDB_APP_URL")  # where a server of one's own is


@dataclass
class WandbTracker:
    """A tracker that logs a run to W&B, as it goes on and at its end.

    Attributes:
        folder: the folder of runs; W&B's files are in ``wandb/`` below it.
        mode: ``offline`` (files, for ``wandb sync`` later) or ``online``.
        project, entity, group, tags: where W&B files the run; a sweep is a group if ``group`` is None.
        heat_maps: explanations of the table of units that have one; each is a file.
        api_key_env: the name of the environment variable that holds the key; ``online`` needs it.
    """

    folder: str
    mode: str = "offline"
    project: str = "neurogloss"
    entity: str | None = None
    group: str | None = None
    tags: list[str] = field(default_factory=list)
    heat_maps: int = 100
    api_key_env: str = "WANDB_API_KEY"
    _logging: LoggingProcess | None = field(default=None, init=False)

    def check(self) -> None:
        """Refuse, before any work, settings with which nothing could be logged.

        Raises:
            NeuroglossError: an unknown mode, a number below 0, no library, or no key.
        """
        if self.mode not in MODES:
            raise NeuroglossError(
                f"track.wandb.mode is {self.mode!r}; write track.wandb.mode=offline or track.wandb.mode=online."
            )
        if self.heat_maps < 0:
            raise NeuroglossError(f"track.wandb.heat_maps is {self.heat_maps}; write 0 or more.")
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
        """Begin a run of W&B, or go on with the one of this id; online it is waited for.

        Raises:
            NeuroglossError: the settings do not hold (see :meth:`check`), the config holds what looks like a secret, or
                W&B refused or could not be reached.
        """
        self.check()
        begin = self._begin(run_id, config)
        self._logging = LoggingProcess(_environment(self))
        self._logging.send({"begin": begin})
        if self.mode == "online" and not self._logging.reply():
            raise self._refused("nothing was asked of a model")

    def stage(self, name: str) -> None:
        """Log the name of a stage that has begun."""
        self._send({"log": {"run/stage": name}})

    def progressed(self, moment: Moment) -> None:
        """Log how far a run is, what it has cost, and the mean of each row so far."""
        self._send({"log": contents.figures(moment)})

    def ended(self, results: Results, folder: Path) -> str | None:
        """Log ``results``, and return where: a URL, or the folder of the offline run.

        ``folder`` must have its final name: an artefact refers to its files by their full path.

        Raises:
            NeuroglossError: W&B refused or could not be reached; the results are whole.
        """
        self._send({"end": self._end(results, folder)})
        place = self._finished()
        if place is None:
            raise self._refused(f"the results are whole in {folder}")
        return place

    def failed(self, sentence: str) -> None:
        """Finish the run as one that has failed.

        Raises:
            NeuroglossError: W&B refused or could not be reached.
        """
        self._send({"failed": scrubbed(sentence)})
        if self._logging is not None and self._finished() is None:
            raise self._refused("the failure is not recorded there")

    def _begin(self, run_id: str, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return what begins a run."""
        public = redact(config)
        folder = Path(self.folder).expanduser().resolve()
        task = public.get("task")
        name = str(task.get("name")) if isinstance(task, Mapping) else "run"
        init = {
            "dir": str(folder),
            "mode": self.mode,
            "id": run_id,
            "resume": "allow",
            "project": self.project,
            "entity": self.entity,
            "group": self.group,
            "tags": self.tags,
            "name": safe_name(f"{name}-{run_id[:12]}"),
            "job_type": "evaluation",
            "config": public,
            "allow_val_change": True,  # a run that is resumed may write elsewhere
        }
        return {"init": init, "journal": str(folder / "wandb" / f"{safe_name(run_id)}.jsonl")}

    def _end(self, results: Results, folder: Path) -> dict[str, Any]:
        """Return what is logged at the end."""
        files = sorted(str(path.resolve()) for path in folder.glob("*") if path.is_file())
        return {
            "config": redact(contents.origin(results)),
            "summary": contents.summary([row.summary for row in results.rows]),
            "tables": {
                "board": contents.board_table(results),
                "units": contents.unit_table(results, contents.heat_maps_of(results, folder, self.heat_maps)),
            },
            "html": contents.HEAT_MAP,
            "plots": contents.plots(results),
            "task": contents.task_artifact(results),
            "results": {
                "name": safe_name(f"{results.task.name}-{results.run_id[:12]}"),
                "metadata": {"run_id": results.run_id, "task_digest": results.task.digest},
                "files": files,
            },
        }

    def _send(self, value: Mapping[str, Any]) -> None:
        if self._logging is not None:
            self._logging.send(value)

    def _finished(self) -> str | None:
        """Wait for the end of the logging process, and return where the run is; None if it was refused."""
        assert self._logging is not None
        return self._logging.finished()

    def _refused(self, state: str) -> NeuroglossError:
        assert self._logging is not None
        reason = self._logging.reason()
        self._logging = None
        return NeuroglossError(
            f"W&B did not take the run ({reason}); {state}, and track.wandb.mode=offline needs no network."
        )


class LoggingProcess:
    """A process that logs a run, and is spoken to in lines of JSON.

    It stands outside the group of the terminal's processes, so that Ctrl-C does not end it before the run is finished.

    Args:
        environment: its variables.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._cache = tempfile.TemporaryDirectory(prefix="neurogloss-wandb-", ignore_cleanup_errors=True)
        self._errors: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  # as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", _PROCESS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**environment, "WANDB_CACHE_DIR": self._cache.name},
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )

    def send(self, value: Mapping[str, Any]) -> None:
        """Send a value; one that has ended is not spoken to any more, and says why at its end."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(scrubbed(json.dumps(value, allow_nan=False)) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._process.wait()

    def reply(self) -> str:
        """Return the next line that it says, empty if it has ended."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def finished(self) -> str | None:
        """Wait for its end, and return the last line that it said; None if it has failed."""
        try:
            output, _ = self._process.communicate()
        except BrokenPipeError:
            output = ""
            self._process.wait()
        self._cache.cleanup()
        lines = output.strip().splitlines()
        return lines[-1] if self._process.returncode == 0 and lines else None

    def reason(self) -> str:
        """Return the last line of its complaints."""
        self._process.wait()
        self._errors.seek(0)
        return (self._errors.read().strip().splitlines() or ["it said nothing"])[-1].rstrip(".")


def _environment(tracker: WandbTracker) -> dict[str, str]:
    """Return the caller's environment, with no setting of W&B in it but ours."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    variables |= {key: os.environ[key] for key in _SERVER_VARIABLES if key in os.environ}
    variables |= {
        "PYTHONPATH": os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path),
        "PYTHONIOENCODING": "utf-8",
        "WANDB_MODE": tracker.mode,
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_DATA_DIR": str(Path(tracker.folder).expanduser().resolve() / "wandb"),
    }
    if tracker.mode == "online":
        variables["WANDB_API_KEY"] = os.environ[tracker.api_key_env]
    return variables
