"""The process that logs a run to Weights & Biases: it reads one JSON value a line, and ends where they end.

The first line begins a run, ``{"begin": ...}``; ``{"log": ...}`` adds figures; ``{"end": ...}`` or ``{"failed": ...}``
is the last. Where the lines end without one of these, their writer was killed, and the run is finished as failed.

W&B itself resumes no offline run. So what was logged is kept in a journal beside it until the run has ended: whoever
resumes it logs that again first, and removes the folders of earlier attempts at the end. What stays is one run.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

KILLED = "the process of the run was killed"
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
    "host": "",
}
_PATIENCE = {"init_timeout": 60.0, "finish_timeout": 600.0, "finish_timeout_raises": True}  # seconds, online
_WAIT = 120.0
"""Seconds for which the logging process of a killed run may go on, before the one that resumes the run gives up."""
_MOMENT = 0.1


def main(lines: Iterable[str], replies: IO[str]) -> None:
    """Log what the lines say; reply with a line when the run has begun, and with its place at the end."""
    import wandb  # noqa: PLC0415  # optional, slow to import, and only for this process

    values = map(json.loads, lines)
    begin = next(values)["begin"]
    try:
        with _journal(Path(begin["journal"])) as journal:
            earlier = _folders(begin)
            run = wandb.init(**begin["init"], settings=wandb.Settings(**_QUIET, **_PATIENCE))
            for pattern in ("run/*", "so_far/*"):
                run.define_metric(pattern, summary="none")
            print("begun", file=replies, flush=True)
            for figures in _earlier(journal) if begin["init"]["mode"] == "offline" else ():
                run.log(figures)
            ended = _follow(run, values, journal)
            place = run.url or str(Path(run.dir).parent)
            if ended:
                Path(begin["journal"]).unlink()
                for folder in earlier:
                    shutil.rmtree(folder)
    except (wandb.errors.Error, TimeoutError) as error:
        sys.exit(str(error).splitlines()[0])
    print(place, file=replies, flush=True)


def _follow(run: Any, values: Iterator[Mapping[str, Any]], journal: IO[str]) -> bool:
    """Log figures until the run has ended, and finish it; return whether it came to its end."""
    for value in values:
        if "log" in value:
            journal.write(json.dumps(value["log"]) + "\n")
            journal.flush()
            run.log(value["log"])
        elif "failed" in value:
            return _stop(run, value["failed"])
        else:
            _log_end(run, value["end"])
            run.finish(exit_code=0)
            return True
    return _stop(run, KILLED)


def _stop(run: Any, sentence: str) -> bool:
    run.summary["failed"] = sentence
    run.finish(exit_code=1)
    return False


def _log_end(run: Any, end: Mapping[str, Any]) -> None:
    """Log all that is known at the end of a run: tables, plots, artefacts and the summary."""
    import wandb  # noqa: PLC0415  # as above

    run.config.update(end["config"], allow_val_change=True)
    tables = {name: _table(table, end["html"]) for name, table in end["tables"].items()}
    run.log(tables | {name: _plot(plot) for name, plot in end["plots"].items()})
    task = wandb.Artifact(end["task"]["name"], type="task", metadata=end["task"]["content"])
    with task.new_file("task.json") as file:
        json.dump(end["task"]["content"], file, sort_keys=True)
    # Public `use_artifact` refuses to work offline, though the file of an offline run has a place for what it uses.
    run._log_artifact(task, is_user_created=True, use_after_commit=True)
    results = wandb.Artifact(end["results"]["name"], type="results", metadata=end["results"]["metadata"])
    for path in end["results"]["files"]:
        results.add_file(path, policy="mutable")  # which copies nothing
    run.log_artifact(results)
    run.summary.update(end["summary"])


def _table(table: Mapping[str, Any], html: str) -> Any:
    """Return a table of W&B, in which the column ``html`` is shown as such."""
    import wandb  # noqa: PLC0415  # as above

    columns = table["columns"]
    place = columns.index(html) if html in columns else None
    data = [
        [wandb.Html(cell, inject=False) if index == place and cell else cell for index, cell in enumerate(row)]
        for row in table["data"]
    ]
    return wandb.Table(columns=columns, data=data, allow_mixed_types=True)


def _plot(plot: Mapping[str, Any]) -> Any:
    import wandb  # noqa: PLC0415  # as above

    table = wandb.Table(**plot["table"], allow_mixed_types=True)
    if plot["stroke"]:
        return wandb.plot.line(table, plot["x"], plot["y"], stroke=plot["stroke"], title=plot["title"])
    return wandb.plot.scatter(table, plot["x"], plot["y"], title=plot["title"])


# ---------------------------------------------------------------------------------------------------- earlier attempts


@contextmanager
def _journal(path: Path) -> Iterator[IO[str]]:
    """Open the journal of a run, which only one process may follow at a time.

    Raises:
        TimeoutError: another one goes on following it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + _WAIT
    while True:
        with path.open("a+", encoding="utf-8") as journal:
            if _locked(journal) and path.exists():
                yield journal
                return
        if time.monotonic() > deadline:
            raise TimeoutError(f"another process follows run {path.stem}")
        time.sleep(_MOMENT)


def _locked(journal: IO[str]) -> bool:
    try:
        fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _earlier(journal: IO[str]) -> list[dict[str, Any]]:
    """Return what attempts that were killed have logged; a line that was cut off ends what is read."""
    journal.seek(0)
    lines = journal.read().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _folders(begin: Mapping[str, Any]) -> list[Path]:
    """Return the folders of offline attempts at the same run."""
    return sorted(Path(begin["journal"]).parent.glob(f"offline-run-*-{begin['init']['id']}"))


if __name__ == "__main__":
    main(sys.stdin, sys.stdout)
