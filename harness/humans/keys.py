"""The key of a study: which participant of Prolific has which random id, in a file apart from all answers."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from pathlib import Path

from harness.humans.store import BUSY_SECONDS, explained


class KeyFile:
    """Which Prolific participant has which random id: kept apart from answers, readable by its owner alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            self._connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS prolific (participant TEXT PRIMARY KEY, annotator TEXT NOT NULL, "
                "study TEXT NOT NULL, session TEXT NOT NULL) STRICT"
            )
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def annotator(self, participant: str, study: str, session: str) -> str:
        """Return the random id of a participant, always the same; the first session is kept beside it."""
        with self._lock, explained(self.path), self._connection:
            row = (participant, secrets.token_hex(8), study, session)
            self._connection.execute("INSERT OR IGNORE INTO prolific VALUES (?, ?, ?, ?)", row)
            query = "SELECT annotator FROM prolific WHERE participant = ?"
            return str(self._connection.execute(query, (participant,)).fetchone()[0])


def key_path(store: Path) -> Path:
    """Return where the key file of a study's file is."""
    return store.with_name(f"{store.stem}.key.sqlite")
