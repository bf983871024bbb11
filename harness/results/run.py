"""What a run leaves behind: one versioned schema, and the folder that holds it.

A run is the folder ``runs/<task>-<run id>``, written whole or not at all:

* ``results.json``: :class:`Results` as strict JSON, where NaN is null and a unit is ``L12N345``. The scored
  explanations of its rows are left out; they are in the tables beside it (:mod:`harness.results.tables`).
* ``board.md``: the board as it was printed.

``runs/latest`` points to the folder written last; ``runs/failures/`` holds a record of each run that failed.
"""

from __future__ import annotations

import dataclasses
import errno
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from harness.files import point, put, safe_name, set_aside, sync_tree, unfinished, write_whole
from harness.guards.secrets import scrubbed
from harness.results.stored import read_scored
from harness.results.tables import TABLES, TableWriter
from harness.results.vocabulary import ExplainerInfo, ResultRow, StageUsage, TaskInfo, TruthSummary
from harness.typed_json import MOST_BYTES, dump, from_json, read_json, to_json
from harness.types import (
    Identity,
    NeuroglossError,
    Role,
    RowKey,
    ScoredExplanation,
    ScorerInfo,
    SimulatorInfo,
    Standing,
    Summary,
)

SCHEMA_VERSION = 2
"""Grows when a field changes its meaning or goes. A new field has a default, by which older files are still read, and
readers pass over fields that they do not know: neither needs another version."""
Writer = Callable[[Path], None]
"""Adds files to the folder of a run before it appears; called with that folder."""


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that a run says about itself.

    Attributes:
        run_id: the hash of its config, whose first 12 digits are in its folder's name.
        created: when it ended, ISO 8601 in UTC.
        task: which units.
        subject: the model whose units they are; None for puzzles.
        simulators: what explanations were scored by, the run's own first (tables are scored by ``lookup``).
        explainers: in the order of the config; the explanations that came with units last.
        scorers: what the scores are by.
        rows: of the board: an explainer, the simulator that scored it, and its scored explanations.
        standings: for each simulator, the ranks of its rows and their paired comparisons.
        truths: how each simulator does on units whose explanation is known; empty if there are none.
        seed: of everything random in the run.
        resamples: bootstrap resamples behind each interval, rank and p-value.
        minimum_coverage: share of the units that must have a score for a row to be ranked.
        config: the resolved config.
        provenance: versions, commit and machine that made it.
        seconds: wall time of each stage.
        usage: what each stage asked of models.
    """

    run_id: str
    created: str
    task: TaskInfo
    subject: Identity | None
    simulators: tuple[SimulatorInfo, ...]
    explainers: tuple[ExplainerInfo, ...]
    scorers: tuple[ScorerInfo, ...]
    rows: tuple[ResultRow, ...]
    standings: tuple[Standing, ...] = ()
    truths: tuple[TruthSummary, ...] = ()
    seed: int = 0
    resamples: int = 9999
    minimum_coverage: float = 0.9
    config: Mapping[str, object] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    usage: Mapping[str, StageUsage] = field(default_factory=dict)

    @property
    def simulator(self) -> SimulatorInfo:
        """The run's own simulator, by which explainers are ranked."""
        return self.simulators[0]

    @property
    def summaries(self) -> tuple[Summary, ...]:
        """The summaries of all rows but those of the explanations that came with units."""
        return tuple(row.summary for row in self.rows if row.summary.role is not Role.TOLD)

    @property
    def scored(self) -> dict[RowKey, tuple[ScoredExplanation, ...]]:
        """The scored explanations of each row."""
        return {row.key: row.scored for row in self.rows}


# ---------------------------------------------------------------------------------------------------- write and read


@contextmanager
def writing_tables(root: Path) -> Iterator[Tables]:
    """Yield what writes the tables of a run while it goes on; they are gone at the end but for what was taken away.

    Args:
        root: the folder of all runs.

    Raises:
        NeuroglossError: they cannot be written.
    """
    with ExitStack() as stack:
        with _one_sentence(root):
            writer = TableWriter(stack.enter_context(unfinished(root / "tables")))
        yield Tables(root, writer)


@dataclass(frozen=True, eq=False)
class Tables:
    """The tables of a run that are being written, in a folder of their own beside the runs.

    Attributes:
        root: the folder of all runs.
        writer: of the tables.
    """

    root: Path
    writer: TableWriter

    def write(self, explainers: Sequence[ExplainerInfo], scored: Mapping[RowKey, Sequence[ScoredExplanation]]) -> None:
        """Write the scored explanations of some units.

        Raises:
            NeuroglossError: they cannot be written.
        """
        with _one_sentence(self.root):
            self.writer.write(explainers, scored)

    def move(self, folder: Path) -> None:
        """Finish the tables, and move them into the folder of the run."""
        self.writer.close()
        for path in self.writer.folder.iterdir():
            path.rename(folder / path.name)


def write_run(
    root: Path, results: Results, board_markdown: str, writers: Sequence[Writer] = (), tables: Writer | None = None
) -> Path:
    """Write a run's folder under ``root``, whole or not at all, and point ``latest`` to it.

    The folder is built beside its place, brought to disk and renamed; one of the same run is replaced. A kill at any
    moment leaves the old folder or the new one: the old one set aside, at worst, where :func:`read_run` finds it.

    Args:
        root: the folder of all runs.
        results: what to write.
        board_markdown: the board.
        writers: called in turn with the unfinished folder, to add files of their own.
        tables: adds the tables; None to write those of ``results``.

    Returns:
        The folder.

    Raises:
        NeuroglossError: it cannot be written; nothing half-written is left.
    """
    folder = root / safe_name(f"{results.task.name}-{results.run_id[:12]}")
    document = {"schema_version": SCHEMA_VERSION, **to_json(without_scored(results))}
    with _one_sentence(root), unfinished(folder) as draft:
        (draft / "results.json").write_bytes(dump(document))
        (draft / "board.md").write_text(board_markdown, encoding="utf-8", errors="replace")
        for writer in (tables or _tables_of(results), *writers):
            writer(draft)
        _keep_others(folder, draft)
        sync_tree(draft)
        put(draft, folder)
        point(root / "latest", folder.name)
        failure_path(root, results.run_id).unlink(missing_ok=True)
    return folder


def _tables_of(results: Results) -> Writer:
    """Return what writes the tables of results, explanation by explanation."""

    def write(folder: Path) -> None:
        with TableWriter(folder) as writer:
            writer.write(results.explainers, results.scored)

    return write


_OURS = {"results.json", "board.md", "audit.json", "audit.md", "dataset", *TABLES, "judgements.parquet"}
"""What a run may have written into its folder, which a new one of the same run replaces."""


def _keep_others(folder: Path, draft: Path) -> None:
    """Copy into the folder that takes its place what somebody else has put into the folder of a run."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name in _OURS or (draft / path.name).exists():
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, draft / path.name, symlinks=True)
        else:
            shutil.copy2(path, draft / path.name, follow_symlinks=False)


def write_report(folder: Path, name: str, document: Mapping[str, object], page: str) -> None:
    """Write ``<name>.json`` and ``<name>.md`` into a folder, each whole, in place of earlier ones.

    Raises:
        NeuroglossError: they cannot be written.
    """
    with _one_sentence(folder):
        write_whole(folder / f"{name}.md", page.encode("utf-8", "replace"))
        write_whole(folder / f"{name}.json", dump(document))


def read_run(folder: Path) -> Results:
    """Read a run back: exactly what was written, but for what :func:`compact` leaves out, which is empty here.

    How many replies the store had is not known of each explanation any more.

    Raises:
        NeuroglossError: it is not a run, it is damaged, or another version of this package wrote it.
    """
    folder = _present(folder)
    results, scored = read_summaries(folder), read_scored(folder)
    rows = tuple(dataclasses.replace(row, scored=scored.get(row.key, ())) for row in results.rows)
    return dataclasses.replace(results, rows=rows)


def read_summaries(folder: Path) -> Results:
    """Read a run without the scored explanations of its rows, of which there may be many.

    Raises:
        NeuroglossError: as :func:`read_run`.
    """
    folder = _present(folder)
    missing = [name for name in ("results.json", *TABLES) if not (folder / name).is_file()]
    if missing:
        raise NeuroglossError(f"{folder} is not a whole run: {missing[0]} is missing; give a folder under runs/.")
    return read_results(folder / "results.json")


def read_run_or_entry(path: Path, most: int = MOST_BYTES) -> Results:
    """Read a run, by its folder or its ``results.json``, or the file of an entry, of at most so many bytes.

    Raises:
        NeuroglossError: as :func:`read_run`.
    """
    if path.is_file() and path.name != "results.json":
        return read_results(path, most)
    return read_run(path.parent if path.is_file() else path)


def read_results(path: Path, most: int = MOST_BYTES) -> Results:
    """Read the ``results.json`` of a run, which has no scored explanations, or an entry, of at most so many bytes.

    Raises:
        NeuroglossError: it is damaged, or another version of this package wrote it.
    """
    document = read_json(path, most)
    version = document.pop("schema_version", None)
    if version != SCHEMA_VERSION:
        raise NeuroglossError(
            f"{path} has results of schema version {version}, but this version reads {SCHEMA_VERSION}; "
            "read it with the neurogloss that wrote it, or run again."
        )
    results: Results = from_json(Results, document, str(path))
    return results


def _present(folder: Path) -> Path:
    """Return the folder itself, or where it was set aside when its writer was killed."""
    return set_aside(folder) if not folder.exists() and set_aside(folder).exists() else folder


def write_failure(root: Path, run_id: str, sentence: str, config: Mapping[str, object], traceback: str = "") -> Path:
    """Leave a record of a run that failed, so that one of many is not lost; a later success removes it.

    Args:
        root: the folder of all runs.
        run_id: the hash of its config.
        sentence: what went wrong.
        config: the resolved config.
        traceback: of an error that nobody foresaw.

    Raises:
        NeuroglossError: it cannot be written.
    """
    path = failure_path(root, run_id)
    record = {
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "sentence": scrubbed(sentence),
        "traceback": scrubbed(traceback),
        "config": to_json(config),
    }
    with _one_sentence(root):
        write_whole(path, dump(record))
    return path


def failure_path(root: Path, run_id: str) -> Path:
    """Return where :func:`write_failure` leaves its record."""
    return root / "failures" / f"{safe_name(run_id)}.json"


def without_scored(results: Results) -> Results:
    """Return the results as ``results.json`` holds them."""
    return dataclasses.replace(results, rows=tuple(dataclasses.replace(row, scored=()) for row in results.rows))


def compact(results: Results) -> Results:
    """Return the results as entries hold them, see :func:`compact_item`."""
    rows = tuple(dataclasses.replace(row, scored=tuple(map(compact_item, row.scored))) for row in results.rows)
    return dataclasses.replace(results, rows=rows)


def compact_item(item: ScoredExplanation) -> ScoredExplanation:
    """Return a scored explanation without excerpts, judged cases, its lookup table and its knots."""
    return dataclasses.replace(
        item,
        simulated=(),
        judged=(),
        explanation=dataclasses.replace(item.explanation, table=None),
        calibration=item.calibration and dataclasses.replace(item.calibration, knots=()),
    )


@contextmanager
def _one_sentence(root: Path) -> Iterator[None]:
    """Turn a failure of the disk into a sentence for the user."""
    try:
        yield
    except OSError as error:
        advice = "free some space" if error.errno == errno.ENOSPC else "check that folder, or set output=FOLDER"
        raise NeuroglossError(
            f"the run cannot be written to {root} ({error.strerror or error}); {advice} and run again: "
            "what was paid for is in the store."
        ) from error
