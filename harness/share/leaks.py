"""The guard before anything is published: no secret and no path of this machine in what would be sent.

Texts of the corpus and of models may hold the paths and the made-up keys of strangers. There the values of this
machine's secrets are looked for, and its own folders; everywhere else any path from a root, and whatever looks like a
secret, is refused as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from harness.guards import secrets
from harness.guards.parquet import check_groups
from harness.guards.printing import shortened as printable
from harness.results.provenance import looks_secret
from harness.typed_json import read_json
from harness.types import NeuroglossError

TEXTS = frozenset({"text", "tokens", "table_tokens"})
"""Columns of what the corpus or a model wrote; the tokens of a list are read as one text."""
_PATH = re.compile(
    r"""(?<![\w./\\~<-])(?:                   # not within an address, a name or a tag
        file://(?:/[\w.@+-]+)+
      | (?:~[\w.-]*)?(?:/[\w.@+-]+){2,}/?     # /data/models, ~/models/x
      | ~/[\w.@+-]+                           # ~/models
      | [A-Za-z]:[\\/][\w.@+-]+(?:[\\/][\w.@+-]+)*
      | \\\\[\w.-]+(?:\\[\w.$-]+)+            # a share of another machine
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Leak:
    """A secret or a local path: the file, the field in it, and what it holds, in words that do not repeat a secret."""

    file: str
    field: str
    what: str


def refuse(folder: Path) -> None:
    """Refuse a folder in which any file holds a secret or a path of this machine.

    Raises:
        NeuroglossError: it does; the first place is named, with the number of the others.
    """
    leaks = list(leaks_in(folder))
    if leaks:
        more = f" ({len(leaks) - 1} further places)" if len(leaks) > 1 else ""
        raise NeuroglossError(
            f"{leaks[0].file}, {leaks[0].field} holds {leaks[0].what}{more}, so nothing was published; {_ADVICE}."
        )


_ADVICE = (
    "name keys by their environment variables, and models, tasks and files by paths relative to where you work, or "
    "publish such paths as .../NAME (--shorten-paths, publish.shorten_paths=true)"
)


def leaks_in(folder: Path) -> Iterator[Leak]:
    """Yield every leak in the JSON, Markdown and Parquet files below a folder; a file of another kind is one itself."""
    machine = _Machine.here()
    for path in sorted(path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or path.suffix not in _READERS:
            yield Leak(name, "the file itself", "what no dataset of ours has")
        else:
            yield from (Leak(name, field, what) for field, what in _READERS[path.suffix](path, machine))


def in_document(value: Any) -> Iterator[tuple[str, str]]:
    """Yield the place of each leak in a JSON value, keys included, and what it is."""
    return _in_document(value, "", _Machine.here())


@dataclass(frozen=True)
class _Machine:
    """What is this machine's own: each form of a secret, with the name of its variable, and folders of its user."""

    secrets: Mapping[str, str]
    folders: Sequence[str]

    @classmethod
    def here(cls) -> _Machine:
        """Return what the environment and the file system say; the home and the working folder lie below two others."""
        variables = {form: name for secret, name in secrets.values().items() for form in secrets.forms(secret)}
        folders = dict.fromkeys((Path.home(), Path.cwd()))
        return cls(variables, [str(folder) for folder in folders if len(folder.parts) > 2])


def shortened(value: Any) -> Any:
    """Return a JSON value, keys included, in which each path of a machine is ``.../NAME``."""
    if isinstance(value, Mapping):
        return {_shortened(str(key)): shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shortened(item) for item in value]
    return _shortened(value) if isinstance(value, str) else value


def _shortened(text: str) -> str:
    if _is_path(text):
        return _ending(text)
    return _PATH.sub(lambda match: _ending(match[0]), text)


def _ending(path: str) -> str:
    return f".../{PureWindowsPath(path).name or PurePosixPath(path).name}"


def _is_path(text: str) -> bool:
    """Return whether a whole value is a path from a root, with spaces or of a single part, that is on this machine."""
    return text.startswith(("/", "~/")) and "\n" not in text and len(text) > 1 and Path(text).expanduser().exists()


# -------------------------------------------------------------------------------------------------------------- values


def _in_document(value: Any, where: str, machine: _Machine) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from ((f"a key of {where or 'the document'}", what) for what in _in_value(str(key), machine))
            yield from _in_document(item, f"{where}.{key}" if where else str(key), machine)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _in_document(item, f"{where}[{index}]", machine)
    elif value is not None and not isinstance(value, bool):
        yield from ((where, what) for what in _in_value(str(value), machine))


def _in_value(text: str, machine: _Machine) -> Iterator[str]:
    """Yield what leaks in a value that neither the corpus nor a model wrote."""
    variable = next((name for form, name in machine.secrets.items() if form in text), None)
    if variable is not None:
        yield _of_variable(variable)
    elif looks_secret(text):
        yield "what looks like a secret"
    path = text if _is_path(text) else next((match[0] for match in _PATH.finditer(text)), None)
    if path is not None:
        yield f"the local path {printable(path, 60)}"


def _of_variable(variable: str) -> str:
    return f"the value of the environment variable {variable}, a secret"


# --------------------------------------------------------------------------------------------------------------- files


def _in_json(path: Path, machine: _Machine) -> Iterator[tuple[str, str]]:
    yield from _in_document(read_json(path), "", machine)


def _in_markdown(path: Path, machine: _Machine) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        yield from ((f"line {number}", what) for what in _in_value(line, machine))


def _in_parquet(path: Path, machine: _Machine) -> Iterator[tuple[str, str]]:
    """Yield each column that leaks, by its path in the schema, and what, once."""
    leaks: dict[tuple[str, str], None] = {}
    check_groups(path)
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=256):
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                leaks |= dict.fromkeys((f"column {where}", what) for where, what in _in_column(column, name, machine))
    yield from leaks


def _in_column(column: pa.Array, where: str, machine: _Machine) -> Iterator[tuple[str, str]]:
    kind = column.type
    is_text = where.rpartition(".")[2] in TEXTS
    if pa.types.is_struct(kind):
        for field, values in zip(kind, column.flatten(), strict=True):
            yield from _in_column(values, f"{where}.{field.name}", machine)
    elif pa.types.is_list(kind):
        values = pc.binary_join(column, "") if is_text else column.flatten()
        yield from _in_column(values, where, machine)
    elif pa.types.is_string(kind) and is_text:
        yield from ((where, what) for what in _in_texts(column, machine))
    elif pa.types.is_string(kind):
        texts = column.unique().drop_null().to_pylist()
        yield from ((where, what) for text in texts for what in _in_value(text, machine))


def _in_texts(column: pa.Array, machine: _Machine) -> Iterator[str]:
    """Yield the leaks of texts by others: the values of secrets, and the folders of this machine's user."""
    yield from (_of_variable(name) for form, name in machine.secrets.items() if _stands_in(form, column))
    yield from (f"the local path {printable(folder, 60)}" for folder in machine.folders if _stands_in(folder, column))


def _stands_in(text: str, column: pa.Array) -> bool:
    return bool(pc.any(pc.match_substring(column, text)).as_py())


_READERS = {".json": _in_json, ".md": _in_markdown, ".parquet": _in_parquet}
