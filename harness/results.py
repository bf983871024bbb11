"""What a run leaves behind: one versioned schema, and the folder that holds it.

A run is the folder ``runs/<task>-<run id>``, written whole or not at all:

* ``results.json``: :class:`Results` as strict JSON, where NaN is null and a neuron is ``L12N345``. The simulated
  and judged excerpts of each explanation, a lookup's table and the knots of a calibration are left out; they are in the
  tables beside it.
* ``explanations.parquet``: a row an explanation: its text or table, what became of it, its calibration, its cost.
* ``simulations.parquet``: a row a simulated excerpt: its tokens, and the real, simulated and calibrated value of each.
* ``judgements.parquet``: a row a case that a judge was put, in runs that have judges.
* ``scores.parquet``: a row an explanation and metric: its value, or the reason why it has none.
* ``board.md``: the board as it was printed.

The tables hold nothing that differs between a run that was resumed and one that never stopped. A missing number is
null.
``runs/latest`` points to the folder written last; ``runs/failures/`` holds a record of each run that failed.
"""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import functools
import hashlib
import json
import math
import os
import re
import shutil
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from harness.types import (
    Identity,
    Interval,
    Judged,
    NeuroglossError,
    NeuronId,
    Role,
    ScoredExplanation,
    SimulatedExcerpt,
    Standing,
    Summary,
    Usage,
    utf8,
)

SCHEMA_VERSION = 1
"""Grows when a field changes its meaning or goes. A new field has a default, by which older files are still read, and
readers pass over fields that they do not know: neither needs another version."""
TABLES = ("explanations.parquet", "simulations.parquet", "scores.parquet")
NEURONS = "neurons"
"""The kind of run that is described here; others say in their ``results.json`` what they are of."""
Scored = Mapping[str, tuple[ScoredExplanation, ...]]
"""Each explainer's scored explanations."""
Writer = Callable[[Path], None]
"""Adds files to the folder of a run before it appears; called with that folder."""


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """The task of a run: ``size`` neurons it holds, of which ``neurons`` were asked for."""

    name: str
    digest: str
    size: int
    neurons: tuple[NeuronId, ...]


@dataclass(frozen=True, slots=True)
class SimulatorInfo:
    """The simulator that explanations were scored by: ``identity`` is the model's, None where there is none (lookup).

    ``transport`` says how levels were read, ``levels`` how many of them there were. ``note`` is what a reader must know
    of it before trusting it; boards print it.
    """

    name: str
    identity: Identity | None = None
    transport: str = ""
    levels: int = 0
    prompt_version: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class JudgeInfo:
    """A judge of a run: ``identity`` is that of the model it asks."""

    name: str
    identity: Identity | None = None
    prompt_version: str = ""


@dataclass(frozen=True, slots=True)
class ExplainerInfo:
    """An explainer of a run: ``identity`` is that of the model it asks, None where it asks none.

    ``candidates`` is how many explanations it might try for a neuron, 0 where no model was asked; ``cleaning`` the
    version of what made explanations of the replies.
    """

    name: str
    role: Role
    identity: Identity | None = None
    prompt_version: str = ""
    candidates: int = 0
    cleaning: str = ""


@dataclass(frozen=True, slots=True)
class StageUsage:
    """What a stage asked of models: ``spent`` on fresh replies, ``saved`` by the replies that the store had."""

    spent: Usage = field(default_factory=Usage)
    saved: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that a run says about itself.

    Attributes:
        run_id: the hash of its config, whose first 12 digits are in its folder's name.
        created: when it ended, ISO 8601 in UTC.
        task: which neurons.
        subject: the model whose neurons they are.
        simulator: what the explanations were scored by (tables by ``lookup``, as their summary says).
        explainers: in the order of the config.
        summaries: one row of the board for each explainer.
        scored: each explainer's scored explanations, one for each neuron asked, or several by several people.
        seed: of everything random in the run.
        minimum_coverage: share of the neurons that must have a score for a row to be ranked.
        config: the resolved config.
        provenance: versions, commit and machine that made it.
        seconds: wall time of each stage.
        usage: what each stage asked of models.
        standing: the ranks of the summaries and their paired comparisons; None in runs that were made before there
            were any.
        judges: what was asked about excerpts, yes or no; none as a rule.
    """

    run_id: str
    created: str
    task: TaskInfo
    subject: Identity
    simulator: SimulatorInfo
    explainers: tuple[ExplainerInfo, ...]
    summaries: tuple[Summary, ...]
    scored: Mapping[str, tuple[ScoredExplanation, ...]]
    seed: int = 0
    minimum_coverage: float = 0.9
    config: Mapping[str, object] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    usage: Mapping[str, StageUsage] = field(default_factory=dict)
    standing: Standing | None = None
    judges: tuple[JudgeInfo, ...] = ()


# ---------------------------------------------------------------------------------------------------- write and read


def write_run(root: Path, results: Results, board_markdown: str, writers: Sequence[Writer] = ()) -> Path:
    """Write a run's folder under ``root``, whole or not at all, and point ``latest`` to it.

    The folder is built beside its place, brought to disk and renamed; one of the same run is replaced. A kill at any
    moment leaves the old folder or the new one: the old one set aside, at worst, where :func:`read_run` finds it.

    Args:
        root: the folder of all runs.
        results: what to write.
        board_markdown: the board.
        writers: called in turn with the unfinished folder, to add files of their own.

    Returns:
        The folder.

    Raises:
        NeuroglossError: it cannot be written; nothing half-written is left.
    """
    document = {"schema_version": SCHEMA_VERSION, **to_json(compact(results))}
    own = [partial(write_tables, tables=tables(results.scored))]
    return write_folder(root, results.task.name, results.run_id, document, board_markdown, [*own, *writers])


def write_folder(  # noqa: PLR0913, PLR0917  # one for each thing that every kind of run leaves
    root: Path, task: str, run_id: str, document: Mapping[str, object], board_markdown: str, writers: Sequence[Writer]
) -> Path:
    """Write the folder of a run of any kind: ``document`` as its ``results.json``, its board, and what ``writers`` add.

    Raises:
        NeuroglossError: it cannot be written; nothing half-written is left.
    """
    folder = root / safe_name(f"{task}-{run_id[:12]}")
    with _one_sentence(root), _unfinished(folder) as draft:
        _write_json(draft / "results.json", document)
        (draft / "board.md").write_text(board_markdown, encoding="utf-8", errors="replace")
        for writer in writers:
            writer(draft)
        _sync_tree(draft)
        _put(draft, folder)
        _point(root / "latest", folder.name)
        failure_path(root, run_id).unlink(missing_ok=True)
    return folder


def write_report(folder: Path, name: str, document: Mapping[str, object], page: str) -> None:
    """Write ``<name>.json`` and ``<name>.md`` into a folder, each whole, in place of earlier ones.

    Raises:
        NeuroglossError: they cannot be written.
    """
    with _one_sentence(folder):
        write_whole(folder / f"{name}.md", page.encode("utf-8", "replace"))
        write_whole(folder / f"{name}.json", _dump(document))


def write_tables(folder: Path, tables: Mapping[str, Table]) -> None:
    """Write Parquet tables, by the name of their file."""
    for name, (rows, schema) in tables.items():
        pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), folder / name)


def read_run(folder: Path) -> Results:
    """Read a run back: exactly what was written, but for what :func:`compact` leaves out, which is empty here.

    Raises:
        NeuroglossError: it is not a run, it is damaged, or another version of this package wrote it.
    """
    document = read_document(folder, NEURONS, SCHEMA_VERSION, TABLES)
    results: Results = from_json(Results, document, str(_present(folder) / "results.json"))
    return results


def read_document(folder: Path, kind: str, version: int, files: Sequence[str]) -> dict[str, Any]:
    """What ``results.json`` of a run says, once it is clear that it is a whole run of this kind and version.

    Raises:
        NeuroglossError: it is not a run, it is damaged, or it is of another kind or version.
    """
    document = read_json(_whole_run(folder, files) / "results.json")
    found = document.pop("kind", NEURONS), document.pop("schema_version", None)
    if found[0] != kind:
        raise NeuroglossError(f"{folder} is a run of {found[0]}, and a run of {kind} is wanted here.")
    if found[1] != version:
        raise NeuroglossError(
            f"{folder} has results of schema version {found[1]}, but this version reads {version}; "
            "read it with the neurogloss that wrote it, or run again."
        )
    return document


def kind_of(folder: Path) -> str:
    """What a run is of: ``neurons``, or what its ``results.json`` says instead.

    Raises:
        NeuroglossError: it is not a run.
    """
    return str(read_json(_whole_run(folder, ()) / "results.json").get("kind", NEURONS))


def _whole_run(folder: Path, files: Sequence[str]) -> Path:
    folder = _present(folder)
    missing = [name for name in ("results.json", *files) if not (folder / name).is_file()]
    if missing:
        raise NeuroglossError(f"{folder} is not a whole run: {missing[0]} is missing; give a folder under runs/.")
    return folder


def _present(folder: Path) -> Path:
    """The folder itself, or where it was set aside when its writer was killed."""
    return _aside(folder) if not folder.exists() and _aside(folder).exists() else folder


def write_failure(root: Path, run_id: str, sentence: str, config: Mapping[str, object]) -> Path:
    """Leave a record of a run that failed, so that one of many is not lost; a later success removes it.

    Args:
        root: the folder of all runs.
        run_id: the hash of its config.
        sentence: what went wrong.
        config: the resolved config.

    Raises:
        NeuroglossError: it cannot be written.
    """
    path = failure_path(root, run_id)
    record = {
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "sentence": sentence,
        "config": to_json(config),
    }
    with _one_sentence(root):
        write_whole(path, _dump(record))
    return path


def failure_path(root: Path, run_id: str) -> Path:
    """Where :func:`write_failure` leaves its record."""
    return root / "failures" / f"{safe_name(run_id)}.json"


def compact(results: Results) -> Results:
    """The results as ``results.json`` holds them: without simulated and judged excerpts, lookup tables and knots."""
    return dataclasses.replace(results, scored=compact_scores(results.scored))


def compact_scores(scored: Scored) -> dict[str, tuple[ScoredExplanation, ...]]:
    """Scored explanations without simulated and judged excerpts, lookup tables and knots."""
    return {name: tuple(map(_compact, some)) for name, some in scored.items()}


def _compact(item: ScoredExplanation) -> ScoredExplanation:
    return dataclasses.replace(
        item,
        simulated=(),
        judged=(),
        explanation=dataclasses.replace(item.explanation, table=None),
        calibration=item.calibration and dataclasses.replace(item.calibration, knots=()),
    )


# ----------------------------------------------------------------------- names and figures as files and pages show them


def safe_name(text: str) -> str:
    """``text`` as a file name: letters, digits, ``.``, ``_`` and ``-``, no leading dot, at most 80 characters.

    A name that had to be changed ends in a hash of the original, so that two names never share a file.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip(".-")[:80]
    if name and name == text:
        return name
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name[:71]}-{digest}" if name else digest


def plain(text: str) -> str:
    """``text`` for one line of a terminal or a page: control characters, by which it could drive one, become U+FFFD."""
    line = re.sub(r"\s+", " ", text).strip()
    return "".join(character if character.isprintable() else "\ufffd" for character in line)


_MARKUP = re.compile(
    r"""[^\w\s.,:;/%()=+'\u0080-\U0010ffff-]     # all that can be markup or HTML
    | (?<!\w)_ | _(?!\w) | ^[-+=]               # emphasis, not the underscore of a name; a list or a heading
    | /(?=/) | (?<=/)/ | (?<=www)\.             # what would make a link of an address""",
    re.VERBOSE | re.IGNORECASE,
)


def markdown(text: str) -> str:
    """``text`` for one cell or line of Markdown, in which nothing of it is markup: specials are escaped."""
    return _MARKUP.sub(r"\\\g<0>", plain(text))


def figure(value: float) -> str:
    """A score for a table, in at most 7 characters: three decimals where they fit; a dash where there is none."""
    if math.isnan(value):
        return "–"
    for bound, form in ((10.0, ".3f"), (1000.0, ".1f"), (1e6, ".0f")):
        if abs(value) < bound:
            return format(value, form)
    return format(value, ".0e")


def span(interval: Interval) -> str:
    """The ends of an interval for a table; a dash where they are undefined."""
    return "–" if math.isnan(interval.low) else f"{figure(interval.low)} to {figure(interval.high)}"


# ------------------------------------------------------------------------------------------------- values as plain JSON


def to_json(value: object, where: str = "results") -> Any:
    """A value of this package as what strict JSON holds: NaN becomes null, a neuron its name, a tuple a list.

    Raises:
        NeuroglossError: something in it is not a value of ours, or infinite; its place is named.
    """
    if isinstance(value, NeuronId | Enum):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [item.name for item in dataclasses.fields(value)]
        return {name: to_json(getattr(value, name), f"{where}.{name}") for name in names}
    if isinstance(value, Mapping):
        return {str(key): to_json(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, float) and math.isnan(value):
        return None
    if (isinstance(value, float) and math.isinf(value)) or not isinstance(value, str | float | int | None):
        raise NeuroglossError(f"{where} is {value!r} ({type(value).__name__}), which cannot be written as JSON.")
    return value


def from_json(kind: Any, value: Any, where: str) -> Any:
    """What :func:`to_json` wrote, as a ``kind`` again; keys that ``kind`` does not know are passed over.

    Args:
        kind: a dataclass, or any type of its fields.
        value: the parsed JSON.
        where: how errors name the place.

    Raises:
        NeuroglossError: a key is missing or a value is of another type; its place is named.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return None if value is None else from_json(arguments[0], value, where)
    if origin is tuple:
        _expect(list, value, where)
        return tuple(from_json(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        _expect(dict, value, where)
        return {key: from_json(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    return value if kind is object else _simple(kind, value, where)


def _simple(kind: Any, value: Any, where: str) -> Any:
    """A value of a type that takes no arguments."""
    if kind is NeuronId or issubclass(kind, Enum):
        _expect(str, value, where)
        return _neuron(value, where) if kind is NeuronId else _member(kind, value, where)
    if dataclasses.is_dataclass(kind):
        return _fields(kind, value, where)
    if kind is float:
        value = math.nan if value is None else value
        _expect(float | int, value, where)
        return float(value)
    _expect(kind, value, where)
    return value


def _fields(kind: Any, value: Any, where: str) -> Any:
    """A dataclass from a mapping of its fields; those with a default may be absent."""
    _expect(dict, value, where)
    needed = [item.name for item in dataclasses.fields(kind) if item.default is item.default_factory]
    absent = [name for name in needed if name not in value]
    if absent:
        raise NeuroglossError(f"{where} lacks {absent[0]}; the file is damaged or was written by something else.")
    hints = _hints(kind)
    return kind(**{name: from_json(hints[name], value[name], f"{where}.{name}") for name in hints if name in value})


def _expect(kind: Any, value: object, where: str) -> None:
    """Refuse a value of another type; true and false are not numbers."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise NeuroglossError(f"{where} is {value!r:.80}, not {_named(kind)}; the file is damaged.")


def _named(kind: Any) -> str:
    names = {str: "a text", int: "a whole number", bool: "true or false", list: "a list", dict: "a mapping"}
    return names.get(kind, "a number")


def _neuron(value: str, where: str) -> NeuronId:
    """A neuron in the one spelling that we write, so that no file names one twice."""
    neuron = NeuronId.parse(value)
    if str(neuron) != value:
        raise NeuroglossError(f"{where} is {value!r:.80}; write {neuron}.")
    return neuron


def _member(kind: type[Enum], value: str, where: str) -> Enum:
    try:
        return kind(value)
    except ValueError as error:
        known = ", ".join(str(item) for item in kind)
        raise NeuroglossError(f"{where} is {value!r:.80}; it can be {known}.") from error


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def read_json(path: Path) -> dict[str, Any]:
    """The mapping that a strict JSON file holds.

    Raises:
        NeuroglossError: it cannot be read, is not JSON, or holds something else.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"), parse_constant=_not_json)
    except (OSError, ValueError, RecursionError) as error:
        raise NeuroglossError(f"{path} cannot be read as JSON ({error}); restore it or make it again.") from error
    _expect(dict, document, str(path))
    return typing.cast("dict[str, Any]", document)


def _not_json(name: str) -> None:
    raise ValueError(f"it holds {name}, which is not JSON")


def _dump(document: object) -> bytes:
    # ASCII, because a reply may hold a lone surrogate, which UTF-8 cannot.
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode("ascii")


# ------------------------------------------------------------------------------------------------------------- tables


def columns(**types: pa.DataType) -> pa.Schema:
    """The columns of a table, by name."""
    return pa.schema(list(types.items()))


TEXT, FLOAT, INT, BOOL = pa.string(), pa.float64(), pa.int64(), pa.bool_()
_WHICH = {"explainer": TEXT, "neuron": TEXT, "layer": INT, "index": INT, "annotator": TEXT}

_EXPLANATIONS = columns(
    **_WHICH,
    text=TEXT,
    table_key=TEXT,
    table_tokens=pa.list_(TEXT),
    table_values=pa.list_(FLOAT),
    default=FLOAT,
    outcome=TEXT,
    prompt_version=TEXT,
    prompt_tokens=INT,
    completion_tokens=INT,
    usd=FLOAT,
    calibration=TEXT,
    slope=FLOAT,
    intercept=FLOAT,
    clipped=BOOL,
    candidates=pa.list_(pa.struct({"text": TEXT, "outcome": TEXT, "score": FLOAT})),
    shown=pa.list_(TEXT),
    knots_simulated=pa.list_(FLOAT),
    knots_real=pa.list_(FLOAT),
)
_SIMULATIONS = columns(
    **_WHICH,
    split=TEXT,
    kind=TEXT,
    source=TEXT,
    weight=FLOAT,
    leading=INT,
    tokens=pa.list_(TEXT),
    real=pa.list_(FLOAT),
    simulated=pa.list_(FLOAT),
    calibrated=pa.list_(FLOAT),
    mass=pa.list_(FLOAT),
    units=TEXT,
    outcome=TEXT,
)
_JUDGEMENTS = columns(
    **_WHICH,
    judge=TEXT,
    kind=TEXT,
    source=TEXT,
    tokens=pa.list_(TEXT),
    marked=pa.list_(INT),
    truth=BOOL,
    probability=FLOAT,
    outcome=TEXT,
)
_SCORES = columns(**_WHICH, metric=TEXT, value=FLOAT, degenerate=BOOL, reason=TEXT)

Rows = Iterator[dict[str, object]]


Table = tuple[Rows, pa.Schema]
"""The rows of a table, and its columns."""


def tables(scored: Scored) -> dict[str, Table]:
    """The tables of scored explanations, by the name of their file."""
    every = [(name, item) for name, some in scored.items() for item in some]
    rows = (_judgement_row(name, item, one) for name, item in every for one in item.judged)
    judged = {"judgements.parquet": (rows, _JUDGEMENTS)} if any(item.judged for _, item in every) else {}
    return judged | {
        "explanations.parquet": ((_explanation_row(name, item) for name, item in every), _EXPLANATIONS),
        "simulations.parquet": (
            (_simulation_row(name, item, part) for name, item in every for part in item.simulated),
            _SIMULATIONS,
        ),
        "scores.parquet": ((row for name, item in every for row in _score_rows(name, item)), _SCORES),
    }


def _which(explainer: str, item: ScoredExplanation) -> dict[str, object]:
    neuron = item.explanation.neuron
    return {
        "explainer": utf8(explainer),
        "neuron": str(neuron),
        "layer": neuron.layer,
        "index": neuron.index,
        "annotator": utf8(item.explanation.annotator),
    }


def _explanation_row(explainer: str, item: ScoredExplanation) -> dict[str, object]:
    explanation, usage, line = item.explanation, item.explanation.usage, item.calibration
    table = explanation.table
    return {
        **_which(explainer, item),
        "text": utf8(explanation.text),
        "table_key": None if table is None else explanation.table_key.value,
        "table_tokens": None if table is None else [utf8(token) for token in table],
        "table_values": None if table is None else [number(value) for value in table.values()],
        "default": explanation.default,
        "outcome": explanation.outcome.value,
        "prompt_version": explanation.prompt_version,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "usd": usage.usd,
        "calibration": line and line.method.value,
        "slope": line and number(line.slope),
        "intercept": line and number(line.intercept),
        "clipped": line and line.clipped,
        "candidates": [
            {"text": utf8(one.text), "outcome": one.outcome.value, "score": one.score} for one in explanation.candidates
        ],
        "shown": [utf8(source) for source in explanation.shown],
        "knots_simulated": line and [knot[0] for knot in line.knots],
        "knots_real": line and [knot[1] for knot in line.knots],
    }


def _simulation_row(explainer: str, item: ScoredExplanation, part: SimulatedExcerpt) -> dict[str, object]:
    excerpt, simulation = part.excerpt, part.simulation
    return {
        **_which(explainer, item),
        "split": part.split,
        "kind": excerpt.kind.value,
        "source": utf8(excerpt.source),
        "weight": excerpt.weight,
        "leading": excerpt.leading,
        "tokens": [utf8(token) for token in excerpt.tokens],
        "real": list(excerpt.activations),
        "simulated": [number(value) for value in simulation.expected],
        "calibrated": [number(value) for value in part.calibrated],
        "mass": None if simulation.mass is None else [number(value) for value in simulation.mass],
        "units": simulation.units,
        "outcome": simulation.outcome.value,
    }


def _judgement_row(explainer: str, item: ScoredExplanation, one: Judged) -> dict[str, object]:
    return {
        **_which(explainer, item),
        "judge": one.judge,
        "kind": one.excerpt.kind.value,
        "source": utf8(one.excerpt.source),
        "tokens": [utf8(token) for token in one.excerpt.tokens],
        "marked": list(one.marked),
        "truth": one.truth,
        "probability": number(one.judgement.probability),
        "outcome": one.judgement.outcome.value,
    }


def _score_rows(explainer: str, item: ScoredExplanation) -> Rows:
    which, scores = _which(explainer, item), item.scores
    for metric, value in scores.values.items():
        yield {**which, "metric": metric, "value": value, "degenerate": metric in scores.degenerate}
    for metric, reason in scores.missing.items():
        yield {**which, "metric": metric, "degenerate": False, "reason": reason}


def number(value: float) -> float | None:
    """A number for a table; null where it is missing."""
    return None if math.isnan(value) else value


# ------------------------------------------------------------------------------------------- files, whole or not at all


def write_whole(path: Path, content: bytes) -> None:
    """Write a file by way of a temporary one in the same folder, so that it is never seen half-written.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    _sync(path.parent)


def _write_json(path: Path, document: object) -> None:
    path.write_bytes(_dump(document))


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


@contextmanager
def _unfinished(folder: Path) -> Iterator[Path]:
    """A new folder beside ``folder`` to build in, removed on any failure; remains of killed writers are swept away.

    Each writer holds a lock on its own unfinished folder, which the system lets go when the writer dies.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for remains in folder.parent.glob(f".{folder.name}.*.tmp"):
        _sweep(remains)
    draft = folder.with_name(f".{folder.name}.{os.urandom(4).hex()}.tmp")
    draft.mkdir()
    lock = os.open(draft, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield draft
    finally:
        os.close(lock)
        if draft.exists():
            shutil.rmtree(draft)


def _sweep(remains: Path) -> None:
    """Remove an unfinished folder whose writer is gone."""
    try:
        lock = os.open(remains, os.O_RDONLY)
    except FileNotFoundError:  # another writer swept it first
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(remains)
    except BlockingIOError:
        pass  # its writer is alive
    finally:
        os.close(lock)


def _put(draft: Path, folder: Path) -> None:
    """Rename ``draft`` to ``folder``; a folder that is there is set aside first, and removed last."""
    aside = _aside(folder)
    if aside.exists() and not folder.exists():  # a writer was killed between its two renames
        aside.rename(folder)
    if aside.exists():
        shutil.rmtree(aside)
    if folder.exists():
        folder.rename(aside)
    draft.rename(folder)
    _sync(folder.parent)
    if aside.exists():
        shutil.rmtree(aside)


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def _point(link: Path, target: str) -> None:
    """Make ``link`` a symbolic link to ``target``, in one step."""
    draft = link.with_name(f".{link.name}.{os.getpid()}.tmp")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    try:
        draft.replace(link)
    finally:
        draft.unlink(missing_ok=True)


def _sync_tree(folder: Path) -> None:
    """Bring every file below ``folder``, and the folders themselves, to disk."""
    for path in sorted(folder.rglob("*")):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
