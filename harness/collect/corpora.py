"""Corpora on which neurons are read: documents of token ids, cut into passages of one length.

A corpus receives the subject's tokenizer, and :class:`Sampled` its sampler, only when it is read. So a config can name
a corpus before any model is loaded.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Any, Protocol, TypeGuard

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness.collect.written import WrittenText
from harness.subjects.sampling import Sampling
from harness.types import NeuroglossError, Progress

Tokens = tuple[int, ...]
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Document:
    """Consecutive tokens from one place; ``source`` names the place permanently, so that an excerpt can be found
    again."""

    source: str
    token_ids: Tokens


@dataclass(frozen=True, slots=True)
class Passage:
    """Consecutive tokens of a document, as many as an excerpt has, without activations.

    ``digest`` equals that of :class:`harness.types.Excerpt`: the hash of the token texts, which identifies duplicates.
    """

    source: str
    token_ids: Tokens
    digest: str


class TextModel(Protocol):
    """Interface of a subject that a corpus uses."""

    @property
    def vocabulary(self) -> int:
        """Number of token ids."""
        ...

    def encode(self, text: str) -> Tokens:
        """Return the token ids of a text, without special tokens before or after it."""
        ...

    def sample(
        self, prompts: Sequence[str], sampling: Sampling, progress: Progress, known: Mapping[int, Tokens]
    ) -> Iterator[tuple[int, Tokens]]:
        """Yield the model's own continuation of each prompt as (index, token ids); ``known`` ones are not written
        again."""
        ...


class Corpus(Protocol):
    """Interface of a source of documents."""

    def documents(self, model: TextModel, progress: Progress) -> Iterator[Document]:
        """Yield each document once; every call yields the same documents in the same order."""
        ...


@dataclass(frozen=True)
class Cutting:
    """Settings by which documents are cut into passages.

    Attributes:
        length: number of tokens of a passage.
        start: token put before the text of each passage, counted in its length; None for none.
        across: whether a passage may continue in the next document; its source is then that of its first token.
    """

    length: int
    start: int | None = None
    across: bool = False


def passages(documents: Iterable[Document], cutting: Cutting, token_text: Callable[[int], str]) -> Iterator[Passage]:
    """Cut documents into passages; drop remainders that are too short, and duplicates."""
    start = () if cutting.start is None else (cutting.start,)
    digests = Seen()
    for source, text in _pieces(documents, cutting.length - len(start), cutting.across):
        tokens = start + text
        digest = hashlib.sha256("\x00".join(map(token_text, tokens)).encode("utf-8", "surrogatepass"))
        if digests.add(digest.digest()):
            yield Passage(source, tokens, digest.hexdigest())


def _pieces(documents: Iterable[Document], length: int, across: bool) -> Iterator[tuple[str, Tokens]]:
    """Yield every ``length`` tokens of each document, or of all of them concatenated, with the source of the first
    token."""
    source = ""
    remainder: Tokens = ()
    for document in documents:
        first = 0
        if across and remainder:
            first = length - len(remainder)
            remainder += document.token_ids[:first]
            if len(remainder) < length:
                continue
            yield source, remainder
        last = first + (len(document.token_ids) - first) // length * length
        for place in range(first, last, length):
            yield f"{document.source}:{place}", document.token_ids[place : place + length]
        source, remainder = f"{document.source}:{last}", document.token_ids[last:]


class Seen:
    """Set of digests in constant memory: a Bloom filter (Bloom, 1970).

    A digest that was added is always recognised. A new one is mistaken for a duplicate, and its passage is dropped,
    with probability 1e-9 after a million digests and 1/500 after ten million.
    """

    BITS = 27
    PROBES = 7

    def __init__(self) -> None:
        self._bits = bytearray(2 ** (self.BITS - 3))

    def add(self, digest: bytes) -> bool:
        """Add a digest of at least 28 uniformly random bytes, and return whether it is new."""
        is_new = False
        for probe in range(self.PROBES):
            place = int.from_bytes(digest[4 * probe : 4 * probe + 4], "little") >> (32 - self.BITS)
            byte, bit = place >> 3, 1 << (place & 7)
            is_new |= not self._bits[byte] & bit
            self._bits[byte] |= bit
        return is_new


# ------------------------------------------------------------------------------------------------------------ sampled


class Sampled:
    """Text that the subject itself writes on request: a corpus that needs no download.

    Args:
        openings: requests to write something: mappings of ``ask``, texts that contain ``{about}``, and ``about``, the
            texts to insert there. Every combination is a prompt; the prompts are shuffled and used in turn.
        documents: number of texts to write.
        document_tokens: largest number of tokens of a text.
        temperature: divisor of the logits.
        top_k: largest number of tokens that can be drawn.
        top_p: share of the probability that these must hold.
        seed: seed of the order of the prompts and of every draw.
        batch_size: number of texts written together; it changes the draws.
    """

    def __init__(  # noqa: PLR0913  # one argument for each key of the config
        self,
        openings: list[dict[str, Any]],
        *,
        documents: int = 1000,
        document_tokens: int = 256,
        temperature: float = 1.0,
        top_k: int = 200,
        top_p: float = 1.0,
        seed: int = 0,
        batch_size: int = 32,
    ) -> None:
        self.sampling = Sampling(document_tokens, temperature, top_k, top_p, seed, batch_size)
        requests = [ask.replace("{about}", about) for opening in openings for ask, about in _combinations(opening)]
        if not requests or documents < 1:
            raise NeuroglossError("the sampled corpus has no prompt to use; give openings, and documents above 0.")
        order = np.random.default_rng(seed).permutation(len(requests))
        self.prompts = [requests[order[index % len(requests)]] for index in range(documents)]
        self.written: WrittenText | None = None
        """File in which text is kept as it is written, so that a resumed collection does not write it again."""

    def documents(self, model: TextModel, progress: Progress) -> Iterator[Document]:
        """Yield each text as ``sampled-<number of its prompt>``, without the prompt."""
        written_texts = {} if self.written is None else self.written.read()
        texts = model.sample(self.prompts, self.sampling, progress, written_texts)
        for index, tokens in texts if self.written is None else self.written.adding(texts):
            yield Document(f"sampled-{index:05d}", tokens)


def _combinations(opening: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if set(opening) != {"ask", "about"}:
        raise NeuroglossError(f"an opening of the sampled corpus has {', '.join(opening)}; give it ask and about.")
    return product(opening["ask"], opening["about"])


# -------------------------------------------------------------------------------------------------------------- files


class TextFiles:
    """Text in files: each ``.txt`` file, line of ``.jsonl`` and row of ``.parquet`` is one document.

    A byte order mark is no part of the text, and empty lines of ``.jsonl`` are no documents.

    Args:
        path: a file, or a folder whose files of these kinds are read in the order of their names.
        text_field: key or column that holds the text.
        documents: largest number of documents to read.
    """

    def __init__(self, path: str, text_field: str = "text", documents: int | None = None) -> None:
        self.path = _existing(path)
        self.text_field = text_field
        self.limit = _checked(documents)

    def documents(self, model: TextModel, progress: Progress) -> Iterator[Document]:
        """Yield each document as ``<file>#<number>``.

        Raises:
            NeuroglossError: the file does not exist, or an entry holds no text; file and entry are named.
        """
        return _encoded(islice(self._texts(), self.limit), model, progress, self.limit)

    def _texts(self) -> Iterator[tuple[str, str]]:
        for name, path in _files(self.path, _READERS):
            for number, text in enumerate(_entries(path, self.text_field)):
                if not isinstance(text, str):
                    raise NeuroglossError(
                        f"{path} has no text in {self.text_field!r} at entry {number}; set corpus.text_field."
                    )
                yield f"{name}#{number}", text


class TokenFiles:
    """Text tokenised beforehand by the subject's own tokenizer: each row of a Parquet file is one document.

    Args:
        path: a ``.parquet`` file, or a folder whose files of this kind are read in the order of their names.
        ids_field: column that holds lists of token ids.
        documents: largest number of documents to read.
    """

    def __init__(self, path: str, ids_field: str = "input_ids", documents: int | None = None) -> None:
        self.path = _existing(path)
        self.ids_field = ids_field
        self.limit = _checked(documents)

    def documents(self, model: TextModel, progress: Progress) -> Iterator[Document]:
        """Yield each document as ``<file>#<number>``.

        Raises:
            NeuroglossError: the file or the column does not exist, or a row is not a list of the subject's token ids.
        """
        for count, (source, ids) in enumerate(islice(self._rows(model.vocabulary), self.limit), start=1):
            yield Document(source, ids)
            progress("reading text", count, self.limit or count)

    def _rows(self, vocabulary: int) -> Iterator[tuple[str, Tokens]]:
        for name, path in _files(self.path, {".parquet"}):
            for number, ids in enumerate(_entries(path, self.ids_field)):
                if not _are_ids(ids, vocabulary):
                    raise NeuroglossError(
                        f"{path} has no token ids from 0 to {vocabulary - 1} in {self.ids_field!r} at entry {number}; "
                        "set corpus.ids_field, or tokenise the text with the subject's own tokenizer."
                    )
                yield f"{name}#{number}", tuple(ids)


def _are_ids(value: object, vocabulary: int) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(
        isinstance(token_id, int) and 0 <= token_id < vocabulary for token_id in value
    )


class HubDataset:
    """Dataset of the Hugging Face hub, streamed.

    Args:
        name: name on the hub, or a folder with its files.
        split: split to read.
        revision: full commit hash to read, since a branch can change under a task; None for a folder.
        config: configuration to read, if the dataset has several.
        text_field: column that holds the text.
        documents: number of documents to read; fewer are an error. None reads the whole dataset.

    Raises:
        NeuroglossError: the dataset is on the hub and its revision is not pinned.
    """

    def __init__(  # noqa: PLR0913  # one argument for each key of the config
        self,
        name: str,
        *,
        split: str = "train",
        revision: str | None = None,
        config: str | None = None,
        text_field: str = "text",
        documents: int | None = None,
    ) -> None:
        if not Path(name).is_dir() and not _COMMIT.fullmatch(revision or ""):
            raise NeuroglossError(
                f"the dataset {name} has the revision {revision}, which can change; pin the full commit hash that its "
                "page on the hub shows: corpus.revision=HASH."
            )
        self.name = name
        self.split = split
        self.revision = revision
        self.config = config
        self.text_field = text_field
        self.limit = _checked(documents)

    def documents(self, model: TextModel, progress: Progress) -> Iterator[Document]:
        """Yield each document as ``<name>/<split>#<number>``.

        Raises:
            NeuroglossError: the dataset cannot be read, or has fewer than ``documents`` documents.
        """
        count = 0
        for document in _encoded(islice(self._texts(), self.limit), model, progress, self.limit):
            count += 1
            yield document
        if self.limit is not None and count < self.limit:
            raise NeuroglossError(
                f"the dataset {self.name} ended after {count} of {self.limit} documents; what was read is kept, so run "
                "again if the connection broke, otherwise lower corpus.documents."
            )

    def _texts(self) -> Iterator[tuple[str, str]]:
        import datasets  # noqa: PLC0415  # slow to import, and needed by this corpus alone

        try:
            rows = datasets.load_dataset(
                self.name, self.config, split=self.split, revision=self.revision, streaming=True
            )
            yield from self._rows(rows)
        except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
            raise NeuroglossError(
                f"the dataset {self.name} cannot be read ({_first_line(error)}); "
                "check its name, split and revision, and the network, and run again."
            ) from error

    def _rows(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
        for number, row in enumerate(rows):
            if not isinstance(row.get(self.text_field), str):
                raise NeuroglossError(
                    f"the dataset {self.name} has no text column {self.text_field!r}; it has {', '.join(row)}: "
                    "set corpus.text_field."
                )
            yield f"{self.name}/{self.split}#{number}", row[self.text_field]


def _checked(documents: int | None) -> int | None:
    """Return the limit on documents; refuse one below 1."""
    if documents is not None and documents < 1:
        raise NeuroglossError(f"corpus.documents is {documents}; write at least 1, or null to read every document.")
    return documents


def _first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type if the message is empty."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _existing(place: str) -> str:
    """Return a path, if there is something: a subject takes long to load before text is read."""
    if not Path(place).expanduser().exists():
        raise NeuroglossError(f"there is no file or folder {place}; set corpus.path.")
    return place


def _files(place: str, kinds: Collection[str]) -> Iterator[tuple[str, Path]]:
    """Yield the name and the path of a file, or of each file with one of the suffixes ``kinds`` in a folder, sorted by
    name."""
    root = Path(place).expanduser()
    paths = sorted(path for path in root.rglob("*") if path.suffix in kinds) if root.is_dir() else [root]
    if not paths or not all(path.is_file() and path.suffix in kinds for path in paths):
        raise NeuroglossError(
            f"{root} is neither a file ({', '.join(kinds)}) nor a folder with such files; set corpus.path."
        )
    for path in paths:
        yield (path.relative_to(root).as_posix() if root.is_dir() else path.name), path


def _encoded(
    texts: Iterable[tuple[str, str]], model: TextModel, progress: Progress, limit: int | None
) -> Iterator[Document]:
    for count, (source, text) in enumerate(texts, start=1):
        yield Document(source, model.encode(text))
        progress("reading text", count, limit or count)


def _entries(path: Path, field: str) -> Iterator[object]:
    """Yield the text field of each entry of a file."""
    try:
        yield from _READERS[path.suffix](path, field)
    except UnicodeDecodeError as error:
        raise NeuroglossError(f"{path} is not UTF-8 text ({error.reason}); convert it.") from error
    except OSError as error:
        raise NeuroglossError(f"{path} cannot be read ({error.strerror or error}); check it and run again.") from error


def _read_text(path: Path, _: str) -> Iterator[object]:
    yield path.read_bytes().decode("utf-8-sig")  # read_text would change line ends


def _read_lines(path: Path, field: str) -> Iterator[object]:
    with path.open(encoding="utf-8-sig") as lines:  # without the byte order mark that some programs put first
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield json.loads(line).get(field)
            except (ValueError, AttributeError, RecursionError) as error:
                raise NeuroglossError(f"line {number} of {path} is not a JSON object; correct or remove it.") from error


def _read_parquet(path: Path, field: str) -> Iterator[object]:
    try:
        for batch in pq.ParquetFile(path).iter_batches(columns=[field]):
            yield from batch.column(field).to_pylist()
    except (pa.ArrowInvalid, KeyError) as error:
        raise NeuroglossError(
            f"{path} cannot be read as Parquet with a column {field!r}; set corpus.text_field or corpus.ids_field, "
            "or fetch it again."
        ) from error


_READERS: Mapping[str, Callable[[Path, str], Iterator[object]]] = {
    ".txt": _read_text,
    ".jsonl": _read_lines,
    ".parquet": _read_parquet,
}
