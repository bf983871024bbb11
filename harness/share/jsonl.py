"""Follow runs in a file of JSON lines: when a run begins, at each stage and every few seconds of it, and at its end.

The last line of a run has its board, or the reason for which it failed.

Each line says when it was written, and of which run it is, so that several runs can share a file. A line is written by
one call to the system, at the end of the file, so that those of runs at the same time do not mix.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.guards.secrets import scrubbed
from harness.results.provenance import redact
from harness.results.run import Results
from harness.share.tracker import Moment
from harness.typed_json import to_json
from harness.types import NeuroglossError


@dataclass
class JsonlTracker:
    """A tracker that appends what happens to a run to a file.

    Attributes:
        file: where; it is made if there is none, and may hold other runs.
    """

    file: str
    _run_id: str = field(default="", init=False)

    def check(self) -> None:
        """Refuse, before any work, a file that cannot be written to.

        Raises:
            NeuroglossError: it cannot be opened.
        """
        self._append()

    def begun(self, run_id: str, config: Mapping[str, Any]) -> None:
        """Write that a run has begun, with its config.

        Raises:
            NeuroglossError: the config holds what looks like a secret, or the file cannot be written.
        """
        self._run_id = run_id
        self._append({"event": "begun", "config": to_json(redact(config), "config")})

    def stage(self, name: str) -> None:
        """Write that a stage has begun."""
        self._append({"event": "stage", "stage": name})

    def progressed(self, moment: Moment) -> None:
        """Write how far a stage is, what was spent, and the running mean of each row."""
        means = [
            {"explainer": row.explainer, "simulator": row.simulator, "mean": running.mean, "units": running.units}
            for row, running in moment.means.items()
        ]
        figures = to_json(replace(moment, means={}), "moment")
        self._append({"event": "progress", **figures, "means": means})

    def ended(self, results: Results, folder: Path) -> str | None:
        """Write the rows of the board, and return the file."""
        summaries = [to_json(row.summary, "summary") for row in results.rows]
        self._append({"event": "ended", "folder": str(folder), "rows": summaries})
        return self.file

    def failed(self, sentence: str) -> None:
        """Write why a run had to stop."""
        self._append({"event": "failed", "sentence": sentence})

    def _append(self, *events: Mapping[str, Any]) -> None:
        """Append events, each a line that is written in one piece; none only opens the file."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        try:
            path = Path(self.file).expanduser()
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab", buffering=0) as lines:
                for event in events:
                    line = {"time": now, "run_id": self._run_id, **event}
                    lines.write((scrubbed(json.dumps(line, allow_nan=False)) + "\n").encode("ascii"))
        except OSError as error:
            raise NeuroglossError(
                f"{self.file} cannot be written ({error.strerror or error}); set track.jsonl.file to another file."
            ) from error
