"""Tasks: neurons and excerpts frozen under a digest, so that every explainer of a board is measured on the same.

A task of neurons is a folder: ``task.yaml`` (what it is, how it was made, the digest of every file),
``records.parquet``, ``tokens.parquet``, ``sums.parquet``, ``README.md``, and ``quantiles.parquet`` where excerpts by
quantile were collected. It is written whole or not at all, and never changed after. The other kind of task is of
puzzles (:mod:`harness.puzzles.task`); :func:`read` reads either.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import jinja2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness import frozen
from harness.frozen import DESCRIPTION, restore
from harness.neuron_records import every_excerpt
from harness.puzzles import task as puzzles
from harness.types import (
    Evidence,
    Excerpt,
    ExcerptKind,
    Identity,
    Moments,
    NeuroglossError,
    NeuronId,
    NeuronRecord,
    PuzzleTask,
    Splits,
    Task,
    TokenSums,
)

if TYPE_CHECKING:  # reading a task needs no model
    from harness.subjects.collect import Collection

Item = TypeVar("Item")
KIND = "neurons"
RECORDS, TOKENS, SUMS, PAGE = "records.parquet", "tokens.parquet", "sums.parquet", "README.md"
QUANTILES = "quantiles.parquet"
_PAGE = Path(__file__).with_name("task_readme.md")


# ------------------------------------------------------------------------------------------------------------- splits


def split_record(record: NeuronRecord) -> Splits:
    """Deal a record's excerpts, interleaved, into four sets of equal size that share no excerpt (Bills et al., 2023).

    Top excerpts go in turn to train, calibration, valid and test; random ones to calibration, valid and test, after
    the top ones there. What does not go round evenly is left out.

    Raises:
        NeuroglossError: there are fewer than 4 top or 3 random excerpts.
    """
    top, random = distinct(record)
    if len(top) < 4 or len(random) < 3:
        raise NeuroglossError(
            f"neuron {record.neuron} has {len(top)} different top and {len(random)} other random excerpts; "
            "at least 4 and 3 are needed to deal them into splits."
        )
    train, *others = _dealt(top, 4)
    calibration, valid, test = (a + b for a, b in zip(others, _dealt(random, 3), strict=True))
    return Splits(train, calibration, valid, test)


def distinct(record: NeuronRecord) -> tuple[tuple[Excerpt, ...], tuple[Excerpt, ...]]:
    """Top and random excerpts, each text where it stands first: one that records of others repeat would be in two
    splits."""
    met: set[str] = set()

    def once(excerpts: Sequence[Excerpt]) -> tuple[Excerpt, ...]:
        found = []
        for one in excerpts:
            if one.digest not in met:
                found.append(one)
            met.add(one.digest)
        return tuple(found)

    return once(record.top), once(record.random)


def evidence(record: NeuronRecord) -> Evidence:
    """All that an explainer may know of a neuron: nothing of it comes from a valid or a test excerpt."""
    splits = split_record(record)
    hidden = (*splits.valid, *splits.test)
    activations = [value for excerpt in hidden for value in excerpt.activations[excerpt.scored]]
    if not record.moments.count:  # an imported record does not say over how much text its mean was taken
        return Evidence(record.neuron, splits.train, record.token_sums, _mean((*splits.train, *splits.calibration)))
    count = record.moments.count - len(activations)
    mean = (record.moments.mean * record.moments.count - sum(activations)) / count
    return Evidence(record.neuron, splits.train, record.token_sums.without(hidden), mean)


def _mean(excerpts: Iterable[Excerpt]) -> float:
    return float(np.mean([value for excerpt in excerpts for value in excerpt.activations[excerpt.scored]]))


def _dealt(excerpts: tuple[Excerpt, ...], ways: int) -> list[tuple[Excerpt, ...]]:
    """The excerpts, dealt in turn into so many splits; in its split each stands for all that the split was not dealt,
    so that weighted sums over one split, too, estimate sums over the whole corpus."""
    even = len(excerpts) // ways * ways
    share = len(excerpts) * ways / even
    weighted = [dataclasses.replace(one, weight=one.weight * share) for one in excerpts[:even]]
    return [tuple(weighted[first::ways]) for first in range(ways)]


# ------------------------------------------------------------------------------------------------------------ finding


def tasks_folder() -> Path:
    """Where the tasks are that ship: beside the package in its repository, else in the installed package."""
    package = Path(__file__).resolve().parent
    beside = package.parent / "tasks"
    return beside if (package.parent / "pyproject.toml").is_file() else package / "_data" / "tasks"


def roots() -> list[Path]:
    """Folders of tasks: of those that ship, and ``tasks`` in the working directory, where ``collect`` freezes new ones.

    A name that ships means what ships, whatever else has it.
    """
    shipped, own = tasks_folder(), Path("tasks")
    return [shipped] if own.resolve() == shipped.resolve() else [shipped, own]


def list_tasks(root: Path | None = None) -> list[str]:
    """The names of the tasks in a folder of tasks, by default in all; what is hidden there is still being written."""
    folders = roots() if root is None else [root]
    return sorted({path.parent.name for folder in folders for path in folder.glob(f"[!.]*/{DESCRIPTION}")})


def find_task(name: str, path: str | None = None) -> Path:
    """The folder of a task, or its file of puzzles: ``path`` where it is given, else the one of that name among the
    tasks.

    Raises:
        NeuroglossError: there is none; the sentence names those there are.
    """
    places = [root / name for root in roots()] if path is None else [Path(path).expanduser()]
    for place in places:
        if (place / DESCRIPTION).is_file() or (path is not None and place.suffix == ".json" and place.is_file()):
            return place
    known = f"there are: {', '.join(list_tasks()) or 'none'}" if path is None else f"it needs a {DESCRIPTION}"
    raise NeuroglossError(
        f"there is no task at {places[-1]}; {known}. Give another by task.path, or make one: neurogloss collect."
    )


def check_name(name: str) -> None:
    """Refuse a name that says no version, or that is no name of a folder everywhere."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*-v[1-9][0-9]*", name):
        raise NeuroglossError(f"name is {name!r}; a task is named like mine-v1, and a change of it mine-v2.")


def check_free(name: str) -> None:
    """Refuse the name of a task that ships: by its name that one would be found, wherever the other is."""
    if name in list_tasks(tasks_folder()):
        raise NeuroglossError(
            f"name is {name!r}, as that of a task that ships, and a task is never changed; choose a new name."
        )


def select(
    task: Task,
    layers: Sequence[int] | None = None,
    neurons: Sequence[str] | None = None,
    limit: int | None = None,
) -> list[NeuronRecord]:
    """Some of a task's records, in the order of the task.

    Args:
        task: where they are.
        layers: keep only neurons of these layers.
        neurons: keep only these neurons, each as ``L12N345``.
        limit: keep at most so many of what is left, spread evenly over it (and so over the layers).

    Raises:
        NeuroglossError: the task has no such layer or neuron, or nothing is left.
    """
    records = list(task.records)
    if layers is not None:
        _check_known("layer", sorted(set(layers)), sorted({record.neuron.layer for record in records}), task)
        records = [record for record in records if record.neuron.layer in layers]
    if neurons is not None:
        wanted = [NeuronId.parse(text) for text in neurons]
        _check_known("neuron", wanted, [record.neuron for record in task.records], task)
        records = [record for record in records if record.neuron in wanted]
    if limit is not None:
        records = spread(records, limit)
    if not records:
        raise NeuroglossError(f"no neuron of {task.name} is left; widen neurons.layers, neurons.ids or neurons.limit.")
    return records


def spread(items: Sequence[Item], limit: int) -> list[Item]:
    """At most ``limit`` of some items, in order, spread evenly over them."""
    kept = min(limit, len(items))
    return [items[int((place + 0.5) * len(items) / kept)] for place in range(kept)]


def _check_known(what: str, wanted: Iterable[object], known: Sequence[object], task: Task) -> None:
    unknown = [one for one in wanted if one not in known]
    if unknown:
        some = ", ".join(map(str, known[:8])) + (", ..." if len(known) > 8 else "")
        raise NeuroglossError(f"task {task.name} has no {what} {unknown[0]}; it has {some}.")


# ------------------------------------------------------------------------------------------------------------ reading


def read(place: Path) -> Task | PuzzleTask:
    """Read a task of either kind, from its folder, or a task of puzzles from one file in their public format.

    Raises:
        NeuroglossError: as :func:`read_task`, or the task is of a kind that this version does not know.
    """
    if place.is_file():
        return puzzles.read_file(place)
    return _READERS[kind(place)](place)


def kind(place: Path) -> str:
    """What a task is of, neurons or puzzles, without reading all of it.

    Raises:
        NeuroglossError: its description is damaged, or names a kind that this version does not know.
    """
    found = puzzles.KIND if place.is_file() else frozen.read(place).get("kind", KIND)
    if found not in _READERS:
        raise NeuroglossError(
            f"{place} holds {found}, and this version reads {', '.join(_READERS)}; update neurogloss."
        )
    return str(found)


def read_task(folder: Path) -> Task:
    """Read a task of neurons and check that it is the one that was published.

    Raises:
        NeuroglossError: a file is missing, cut short or changed, or a record is not what the task says it is; the
            sentence names the file, or the neuron, and what to do.
    """
    described = frozen.read(folder)
    try:
        frozen.check_files(folder, described)
        texts = dict(zip(*_columns(folder / TOKENS, "id", "text"), strict=True))
        rows = pq.read_table(folder / RECORDS).to_pylist()
        sums = pq.read_table(folder / SUMS)
        quantiles = _quantiles(folder, described, texts)
        records = tuple(_records(described, rows, texts, sums, quantiles))
        if "imported" in described:  # then token ids are numbers of the task's own
            records = tuple(
                _changed(one, lambda excerpt: dataclasses.replace(excerpt, token_ids=())) for one in records
            )
        identity = Identity(**described["subject"])
    except (KeyError, TypeError, ValueError, OSError, pa.ArrowException) as error:
        raise NeuroglossError(f"{folder} is not laid out as a task ({error!r}); {restore(folder)}") from error
    return Task(
        name=described["name"],
        digest=described["digest"],
        subject=identity,
        records=records,
        excerpt_tokens=described["excerpt_tokens"],
        leading=described["leading"],
        description=described["description"],
    )


_READERS: Mapping[str, Callable[[Path], Task | PuzzleTask]] = {KIND: read_task, puzzles.KIND: puzzles.read}


Strata = dict[str, list[list[Excerpt]]]


def _quantiles(folder: Path, described: Mapping[str, Any], texts: Mapping[int, str]) -> Strata:
    """Neuron -> excerpts of each stratum, for a task that has such."""
    boundaries = described.get("quantile_boundaries", {})
    numbers = {name: len(cuts) + 1 for name, cuts in boundaries.items()} | described.get("strata", {})
    found: Strata = {name: [[] for _ in range(number)] for name, number in numbers.items()}
    for row in pq.read_table(folder / QUANTILES).to_pylist() if boundaries else []:
        _check_row(row, described["excerpt_tokens"])
        found[row["neuron"]][row["stratum"]].append(_excerpt(row, texts, described["leading"]))
    return found


def _records(
    described: Mapping[str, Any],
    rows: Iterable[Mapping[str, Any]],
    texts: Mapping[int, str],
    sums: pa.Table,
    quantiles: Strata,
) -> Iterator[NeuronRecord]:
    excerpts: dict[str, list[Excerpt]] = {}
    for row in rows:
        _check_row(row, described["excerpt_tokens"])
        excerpts.setdefault(row["neuron"], []).append(_excerpt(row, texts, described["leading"]))
    tokens, counts = tuple(sums["text"].to_pylist()), sums["count"].to_numpy()
    for name, moments in described["neurons"].items():
        yield NeuronRecord(
            neuron=NeuronId.parse(name),
            top=tuple(one for one in excerpts[name] if one.kind is ExcerptKind.TOP),
            random=tuple(one for one in excerpts[name] if one.kind is ExcerptKind.RANDOM),
            moments=Moments(**moments),
            token_sums=TokenSums(tokens, counts, sums[name].to_numpy().astype(np.float64)),
            by_quantile=tuple(map(tuple, quantiles.get(name, []))),
            quantile_boundaries=tuple(described.get("quantile_boundaries", {}).get(name, [])),
        )


def _excerpt(row: Mapping[str, Any], texts: Mapping[int, str], leading: int) -> Excerpt:
    return Excerpt(
        tokens=tuple(texts[one] for one in row["token_ids"]),
        token_ids=tuple(row["token_ids"]),
        activations=tuple(row["activations"]),
        kind=ExcerptKind(row["kind"]),
        weight=row["weight"],
        source=row["source"],
        leading=leading,
    )


def _check_row(row: Mapping[str, Any], length: int) -> None:
    """Refuse an excerpt of another length than the task's, and one with an activation that is not a finite number."""
    neuron = NeuronId.parse(row["neuron"])
    if not len(row["token_ids"]) == len(row["activations"]) == length:
        raise NeuroglossError(
            f"excerpt {row['source']} of neuron {neuron} has {len(row['token_ids'])} tokens and "
            f"{len(row['activations'])} activations, and the task's excerpts have {length}; collect it again."
        )
    if not np.isfinite(row["activations"]).all():
        raise NeuroglossError(
            f"excerpt {row['source']} of layer {neuron.layer}, neuron {neuron.index} holds an activation that is not "
            "a finite number; collect it again with the subject in float32."
        )


def _columns(path: Path, *names: str) -> list[list[Any]]:
    table = pq.read_table(path, columns=list(names))
    return [table[name].to_pylist() for name in names]


# ---------------------------------------------------------------------------------------------------------- comparing

ROUNDING = 1e-4
"""What two collections may differ by: of a neuron's largest activation, or of a statistic relative to its scale."""


def compare(known: Task, again: Task) -> str:
    """How well a task agrees with the same one collected again.

    Returns:
        A sentence.

    Raises:
        NeuroglossError: other neurons or excerpts came out, or their figures differ by more than rounding.
    """
    if again.digest == known.digest:
        return f"{known.name}: collects to the same digest, {known.digest}"
    largest = 0.0
    if [one.neuron for one in known.records] != [one.neuron for one in again.records]:
        raise NeuroglossError(f"{known.name} collects to other neurons: {_OTHERWISE}")
    for one, other in zip(known.records, again.records, strict=True):
        if [len(every_excerpt(one)), len(one.top)] != [len(every_excerpt(other)), len(other.top)]:
            raise NeuroglossError(
                f"{known.name} collects to another number of excerpts of neuron {one.neuron}: {_OTHERWISE}"
            )
        for mine, theirs in zip(every_excerpt(one), every_excerpt(other), strict=True):
            if dataclasses.replace(mine, activations=theirs.activations) != theirs:
                raise NeuroglossError(
                    f"{known.name} collects to another excerpt of neuron {one.neuron}, {theirs.source} in place of "
                    f"{mine.source}: {_OTHERWISE}"
                )
        largest = max(largest, *_differences(one, other))
        if largest > ROUNDING:
            raise NeuroglossError(f"{known.name} collects to other figures of neuron {one.neuron}: {_OTHERWISE}")
    return (
        f"{known.name}: collects to the same neurons and excerpts; activations, moments and sums agree to "
        f"{largest:.1e} of their scale, as far as rounding goes on another processor or with other versions"
    )


_OTHERWISE = "its corpus, its subject or the code has changed; task.yaml says with which versions it was made."


def _differences(one: NeuronRecord, other: NeuronRecord) -> Iterator[float]:
    """How far two records with the same excerpts are apart: activations, moments, sums by token."""
    pairs = zip(every_excerpt(one), every_excerpt(other), strict=True)
    apart = max(float(np.abs(np.subtract(a.activations, b.activations)).max()) for a, b in pairs)
    scale = max(abs(one.moments.maximum), one.moments.variance**0.5) or 1.0
    yield apart / scale
    for name, value in dataclasses.asdict(one.moments).items():
        unit = scale if name in ("mean", "maximum") else max(abs(value), 1e-30)
        yield abs(getattr(other.moments, name) - value) / unit
    mine, theirs = one.token_sums, other.token_sums
    if mine.tokens != theirs.tokens or not np.array_equal(mine.counts, theirs.counts):
        yield np.inf
    elif mine.tokens:
        yield float((np.abs(mine.sums - theirs.sums) / (mine.counts * scale)).max())


# ------------------------------------------------------------------------------------------------------------ writing


def write_task(
    folder: Path,
    collection: Collection,
    description: str = "",
    made: Mapping[str, object] | None = None,
    imported: Mapping[str, object] | None = None,
) -> Task:
    """Freeze a collection as the task named like ``folder``, whole or not at all.

    Args:
        folder: the task's own folder, ``tasks/<name>-v<k>``; it must not exist.
        collection: what :func:`harness.subjects.collect.collect` gave.
        description: a sentence for people.
        made: how it was made, as plain values: the config and the package versions. A time or a commit in it would give
            the same task another digest.
        imported: where the records were not collected but imported, from what; their excerpts have no token ids then.

    Returns:
        The task as it is read back.

    Raises:
        frozen.ExistsError: the folder exists.
        NeuroglossError: an excerpt is not as long as the others, or the disk is full; nothing is left behind.
    """
    described = _description(folder.name, collection, description, made or {})
    if imported is not None:
        described["imported"] = dict(imported)
        collection = dataclasses.replace(collection, records=_numbered(collection.records))
    with frozen.whole(folder) as draft:
        _write_parquet(draft / RECORDS, _records_table(collection.records, collection.settings.excerpt_tokens))
        _write_parquet(draft / TOKENS, _tokens_table(collection.records))
        _write_parquet(draft / SUMS, _sums_table(collection.records))
        (draft / PAGE).write_text(_page(described), encoding="utf-8", newline="\n")
        files: tuple[str, ...] = (RECORDS, TOKENS, SUMS, PAGE)
        if "quantile_boundaries" in described:
            _write_parquet(draft / QUANTILES, _quantiles_table(collection.records, collection.settings.excerpt_tokens))
            files += (QUANTILES,)
        frozen.seal(draft, described, files)
        task = read_task(draft)  # what cannot be read back is not frozen
    return task


def _numbered(records: Sequence[NeuronRecord]) -> tuple[NeuronRecord, ...]:
    """Records whose excerpts have token ids of their own: the number of each text among all texts, sorted."""
    texts = {token for record in records for excerpt in every_excerpt(record) for token in excerpt.tokens}
    ids = {text: number for number, text in enumerate(sorted(texts))}
    return tuple(
        _changed(record, lambda one: dataclasses.replace(one, token_ids=tuple(ids[text] for text in one.tokens)))
        for record in records
    )


def _changed(record: NeuronRecord, change: Callable[[Excerpt], Excerpt]) -> NeuronRecord:
    """A record with each of its excerpts changed."""
    return dataclasses.replace(
        record,
        top=tuple(map(change, record.top)),
        random=tuple(map(change, record.random)),
        by_quantile=tuple(tuple(map(change, stratum)) for stratum in record.by_quantile),
    )


def _description(name: str, collection: Collection, description: str, made: Mapping[str, object]) -> dict[str, Any]:
    """All of ``task.yaml`` but the digests, which need the files."""
    settings = collection.settings
    top, random = settings.top // 4, settings.random // 3
    stratified = [one for one in collection.records if one.by_quantile or one.quantile_boundaries]
    boundaries = {str(one.neuron): list(one.quantile_boundaries) for one in stratified}
    strata = {  # imported records may have strata of which nobody knows the boundaries, or boundaries alone
        str(one.neuron): len(one.by_quantile)
        for one in stratified
        if len(one.by_quantile) != len(one.quantile_boundaries) + 1
    }
    return {
        "schema": frozen.SCHEMA,
        "name": name,
        "description": description,
        "subject": dataclasses.asdict(collection.subject),
        "excerpt_tokens": settings.excerpt_tokens,
        "leading": settings.leading,
        "splits": {
            "train": {"top": top, "random": 0},
            **{split: {"top": top, "random": random} for split in ("calibration", "valid", "test")},
        },
        "collection": settings.written,
        "corpus": {"excerpts": collection.excerpts, "distinct_tokens": collection.distinct_tokens},
        "threads": collection.threads,
        "made": dict(made),
        "neurons": {str(record.neuron): dataclasses.asdict(record.moments) for record in collection.records},
        "rejected": [str(neuron) for neuron in collection.rejected],
        **({"quantile_boundaries": boundaries} if boundaries else {}),
        **({"strata": strata} if strata else {}),
    }


_COLUMNS = {
    "neuron": pa.string(),
    "kind": pa.string(),
    "weight": pa.float64(),
    "source": pa.string(),
    "token_ids": pa.list_(pa.int32()),
    "activations": pa.list_(pa.float32()),
}


def _records_table(records: Sequence[NeuronRecord], length: int) -> pa.Table:
    rows = [_row(record.neuron, excerpt, length) for record in records for excerpt in record.top + record.random]
    return pa.Table.from_pylist(rows, schema=pa.schema(_COLUMNS))


def _quantiles_table(records: Sequence[NeuronRecord], length: int) -> pa.Table:
    rows = [
        {**_row(record.neuron, excerpt, length), "stratum": stratum}
        for record in records
        for stratum, excerpts in enumerate(record.by_quantile)
        for excerpt in excerpts
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema({**_COLUMNS, "stratum": pa.int32()}))


def _row(neuron: NeuronId, excerpt: Excerpt, length: int) -> dict[str, Any]:
    row = {
        "neuron": str(neuron),
        "kind": str(excerpt.kind),
        "weight": excerpt.weight,
        "source": excerpt.source,
        "token_ids": excerpt.token_ids,
        "activations": excerpt.activations,
    }
    _check_row(row, length)
    return row


def _tokens_table(records: Sequence[NeuronRecord]) -> pa.Table:
    texts = {
        token_id: text
        for record in records
        for excerpt in every_excerpt(record)
        for token_id, text in zip(excerpt.token_ids, excerpt.tokens, strict=True)
    }
    ids = sorted(texts)
    return pa.table({"id": pa.array(ids, pa.int32()), "text": pa.array([texts[one] for one in ids], pa.string())})


def _sums_table(records: Sequence[NeuronRecord]) -> pa.Table:
    shared = records[0].token_sums
    sums = {str(record.neuron): record.token_sums.sums.astype(np.float32) for record in records}
    return pa.table({"text": pa.array(shared.tokens, pa.string()), "count": shared.counts, **sums})


def _write_parquet(path: Path, table: pa.Table) -> None:
    pq.write_table(table, path, compression="zstd", compression_level=19)


def _page(described: Mapping[str, Any]) -> str:
    layers = sorted({NeuronId.parse(name).layer for name in described["neurons"]})
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, autoescape=False)
    page = environment.from_string(_PAGE.read_text(encoding="utf-8"))
    return page.render(task=described, layers=f"{layers[0]} to {layers[-1]}") + "\n"
