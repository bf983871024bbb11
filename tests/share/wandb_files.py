"""What W&B writes of an offline run, read back: its file is a LevelDB log of its own protobufs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Logged:
    """An offline run: what began it, each step of its history, its summary and config, what it used and made."""

    path: Path
    run: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: list[Any] = field(default_factory=list)
    exit_code: int | None = None

    def table(self, name: str) -> dict[str, Any]:
        """A table that was logged."""
        (media,) = (self.path.parent / "files" / "media" / "table").glob(f"{name}_*.table.json")
        table: dict[str, Any] = json.loads(media.read_text(encoding="utf-8"))
        return table

    def heat_maps(self) -> list[str]:
        """The heat maps of the table of units, each once."""
        (units,) = (item for item in self.artifacts if item.type == "run_table" and item.name.endswith("-units"))
        paths = [entry.local_path for entry in units.manifest.contents if entry.path.endswith(".html")]
        return [Path(path).read_text(encoding="utf-8") for path in paths]


def runs(folder: Path) -> list[Logged]:
    """The offline runs below a folder of runs, those that go on or were killed included."""
    return [_read(path) for path in sorted(folder.glob("wandb/offline-run-*/*.wandb"))]


def _read(path: Path) -> Logged:
    logged = Logged(path)
    for record in records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            logged.run = record.run
            logged.config |= items(record.run.config.update)
        elif kind == "config":
            logged.config |= items(record.config.update)
        elif kind == "history":
            logged.history.append(items(record.history.item))
        elif kind == "summary":
            logged.summary |= items(record.summary.update)
        elif kind == "artifact":
            logged.artifacts.append(record.artifact)
        elif kind == "exit":
            logged.exit_code = record.exit.exit_code
    return logged


def records(path: Path) -> Iterator[Any]:
    """The records of a .wandb file: a LevelDB log (blocks of 32 KiB, chunks of checksum, length, type) of protobufs."""
    from wandb.proto import wandb_internal_pb2

    content, position, parts = path.read_bytes(), 7, b""
    assert content[:4] == b":W&B"
    while position < len(content):
        if 32768 - position % 32768 < 7:  # no room for a chunk's header: the block's end is padding
            position += 32768 - position % 32768
            continue
        length, kind = int.from_bytes(content[position + 4 : position + 6], "little"), content[position + 6]
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def items(updates: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in updates}
