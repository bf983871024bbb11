"""The text that neurons are read on: documents of token ids, cut into excerpts of one length.

A corpus asks the subject for its tokenizer, and the sampled one for its text, so that one can be named in a config
before any model is loaded.
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

from harness.subjects.sampling import Sampling
from harness.subjects.written import WrittenText
from harness.types import NeuroglossError, Progress

Tokens = tuple[int, ...]
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Document:
    """Consecutive tokens from one place: ``source`` names it for good, so that an excerpt can be found again."""

    source: str
    token_ids: Tokens


@dataclass(frozen=True, slots=True)
class Passage:
    """Consecutive tokens of one document, as many as an excerpt has, not yet read on any neuron.

    ``digest`` is that of :class:`harness.types.Excerpt`: the hash of the token texts, by which two are the same.
    """

    source: str
    token_ids: Tokens
    digest: str


class TextModel(Protocol):
    """What a corpus asks of the subject."""

    @property
    def vocabulary(self) -> int:
        """How many token ids there are."""
        ...

    def encode(self, text: str) -> Tokens:
        """Token ids of a text, with no token put before or after it."""
        ...

    def sample(
        self, prompts: Sequence[str], sampling: Sampling, progress: Progress, known: Mapping[int, Tokens]
    ) -> Iterator[tuple[int, Tokens]]:
        """The model's own continuation of each prompt: (index, token ids); what is ``known`` is not written again."""
        ...


class Corpus(Protocol):
    """A source of documents."""

    def documents(self, model: TextModel, progress: Progress) -> Iterator[Document]:
        """Every document once, always the same ones in the same order."""
        ...


@dataclass(frozen=True)
class Cutting:
    """How documents become passages.

    Attributes:
        length: how many tokens a passage has.
        start: a token put before the text of each passage, as its first; none where it is None.
        across: whether a passage may go on in the next document; it then has the source of its first token.
    """

    length: int
    start: int | None = None
    across: bool = False


def passages(documents: Iterable[Document], cutting: Cutting, token_text: Callable[[int], str]) -> Iterator[Passage]:
    """Cut documents into passages; a remainder that is too short is dropped, and what was seen before."""
    lead = () if cutting.start is None else (cutting.start,)
    seen = Seen()
    for source, text in _pieces(documents, cutting.length - len(lead), cutting.across):
        tokens = lead + text
        hashed = hashlib.sha256("\x00".join(map(token_text, tokens)).encode("utf-8", "surrogatepass"))
        if seen.add(hashed.digest()):
            yield Passage(source, tokens, hashed.hexdigest())


def _pieces(documents: Iterable[Document], length: int, across: bool) -> Iterator[tuple[str, Tokens]]:
    """Every ``length`` tokens of each document, or of all of them one after another, and the source of the first."""
    source = ""
    rest: Tokens = ()
    for document in documents:
        first = 0
        if across and rest:
            first = length - len(rest)
            rest += document.token_ids[:first]
            if len(rest) < length:
                continue
            yield source, rest
        last = first + (len(document.token_ids) - first) // length * length
        for place in range(first, last, length):
            yield f"{document.source}:{place}", document.token_ids[place : place + length]
        source, rest = f"{document.source}:{last}", document.token_ids[last:]


class Seen:
    """Remembers which digests came before, in memory that does not grow: a Bloom filter (1970).

    What came before is always found. What did not is taken for known, and so left out of the corpus, once in 1e9 times
    after a million digests, once in 500 after ten million.
    """

    BITS = 27
    PROBES = 7

    def __init__(self) -> None:
        self._bits = bytearray(2 ** (self.BITS - 3))

    def add(self, digest: bytes) -> bool:
        """Remember a digest of at least 28 bytes that are as good as random; whether it is new is returned."""
        new = False
        for probe in range(self.PROBES):
            place = int.from_bytes(digest[4 * probe : 4 * probe + 4], "little") >> (32 - self.BITS)
            byte, bit = place >> 3, 1 << (place & 7)
            new |= not self._bits[byte] & bit
            self._bits[byte] |= bit
        return new


# ------------------------------------------------------------------------------------------------------------ sampled


class Sampled:
    """Text that the subject itself writes when it is asked to: a corpus that needs no download.

    Args:
        openings: requests to write something: each a mapping of ``ask``, texts with ``{about}`` in them, and ``about``,
            what to put there. Every combination is a prompt; they are shuffled and used in turn.
        documents: how many texts are written.
        document_tokens: the most that a text may have.
        temperature: what logits are divided by.
        top_k: how many tokens are drawn from at most.
        top_p: the share of the probability that they must hold.
        seed: decides the order of the prompts and every draw.
        batch_size: how many texts are written together; it enters what is drawn.
    """

    def __init__(  # noqa: PLR0913  # one argument for each thing a config can say of a corpus
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
        asked = [ask.replace("{about}", about) for one in openings for ask, about in _combinations(one)]
        if not asked or documents < 1:
            raise NeuroglossError("the sampled corpus has nothing to ask for; give openings, and documents above 0.")
        order = np.random.default_rng(seed).permutation(len(asked))
        self.prompts = [asked[order[index % len(asked)]] for index in range(documents)]
        self.written: WrittenText | None = None
        """Where the text is kept as it is written, so that a collection that was killed has no more of it written."""

    def documents(self, model: TextModel, progress: Progress) -> Iterator[Document]:
        """Every text as ``sampled-<number of its prompt>``; the prompt is no part of it."""
        known = {} if self.written is None else self.written.read()
        texts = model.sample(self.prompts, self.sampling, progress, known)
        for index, tokens in texts if self.written is None else self.written.adding(texts):
            yield Document(f"sampled-{index:05d}", tokens)


def _combinations(opening: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if set(opening) != {"ask", "about"}:
        raise NeuroglossError(f"an opening of the sampled corpus has {', '.join(opening)}; give it ask and about.")
    return product(opening["ask"], opening["about"])


# -------------------------------------------------------------------------------------------------------------- files


class TextFiles:
    """Text in files: a ``.txt`` file is one document, a line of ``.jsonl`` and a row of ``.parquet`` is one each.

    Args:
        path: a file, or a folder of which every such file is read, in the order of their names.
        text_field: the key, or the column, that holds the text.
        documents: how many documents are read at most.
    """

    def __init__(self, path: str, text_field: str = "text", documents: int | None = None) -> None:
        self.path = path
        self.text_field = text_field
        self.limit = _checked(documents)

    def documents(self, model: TextModel, progress: Progress) -> Iterator[Document]:
        """Every document as ``<file>#<number>``.

        Raises:
            NeuroglossError: there is no such file, or it holds no text where it should; file and place are named.
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
    """Text that was tokenised before, by the subject's own tokenizer: each row of a Parquet file is one document.

    Args:
        path: a ``.parquet`` file, or a folder of which every such file is read, in the order of their names.
        ids_field: the column that holds a list of token ids.
        documents: how many documents are read at most.
    """

    def __init__(self, path: str, ids_field: str = "input_ids", documents: int | None = None) -> None:
        self.path = path
        self.ids_field = ids_field
        self.limit = _checked(documents)

    def documents(self, model: TextModel, progress: Progress) -> Iterator[Document]:
        """Every document as ``<file>#<number>``.

        Raises:
            NeuroglossError: there is no such file or column, or a row is no list of token ids that the subject has.
        """
        for done, (source, ids) in enumerate(islice(self._rows(model.vocabulary), self.limit), start=1):
            yield Document(source, ids)
            progress("reading text", done, self.limit or done)

    def _rows(self, vocabulary: int) -> Iterator[tuple[str, Tokens]]:
        for name, path in _files(self.path, {".parquet"}):
            for number, ids in enumerate(_entries(path, self.ids_field)):
                if not _are_ids(ids, vocabulary):
                    raise NeuroglossError(
                        f"{path} has no token ids from 0 to {vocabulary - 1} in {self.ids_field!r} at entry {number}; "
                        "set corpus.ids_field, or tokenise the text with the subject's own tokenizer."
                    )
                yield f"{name}#{number}", tuple(ids)


def _are_ids(found: object, vocabulary: int) -> TypeGuard[list[int]]:
    return isinstance(found, list) and all(isinstance(one, int) and 0 <= one < vocabulary for one in found)


class HubDataset:
    """A dataset of the Hugging Face hub, streamed.

    Args:
        name: its name on the hub, or a folder with its files.
        split: which of its parts.
        revision: the full commit hash to read: a branch can change under a task. A folder has none.
        config: which of its configurations, where it has several.
        text_field: the column that holds the text.
        documents: how many documents are read; an error where the dataset has fewer. None reads all there are.

    Raises:
        NeuroglossError: the dataset is on the hub and its revision is not pinned.
    """

    def __init__(  # noqa: PLR0913  # one argument for each thing a config can say of a dataset
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
        """Every document as ``<name>/<split>#<number>``.

        Raises:
            NeuroglossError: it cannot be read, or ends before ``documents`` were read.
        """
        found = 0
        for document in _encoded(islice(self._texts(), self.limit), model, progress, self.limit):
            found += 1
            yield document
        if self.limit is not None and found < self.limit:
            raise NeuroglossError(
                f"the dataset {self.name} ended after {found} of {self.limit} documents; what was read is kept, so run "
                "again if the connection broke, else lower corpus.documents."
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
    """How many documents are read at most; refused where that is none."""
    if documents is not None and documents < 1:
        raise NeuroglossError(f"corpus.documents is {documents}; write at least 1, or null to read all there are.")
    return documents


def _first_line(error: Exception) -> str:
    """The first line of what an error says, or its kind where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _files(place: str, kinds: Collection[str]) -> Iterator[tuple[str, Path]]:
    """Each file of some kinds at a place, a file or a folder, in the order of their names, and what it is called."""
    root = Path(place).expanduser()
    found = sorted(path for path in root.rglob("*") if path.suffix in kinds) if root.is_dir() else [root]
    if not found or not all(path.is_file() and path.suffix in kinds for path in found):
        raise NeuroglossError(
            f"{root} is neither a file ({', '.join(kinds)}) nor a folder with such files; set corpus.path."
        )
    for path in found:
        yield (path.relative_to(root).as_posix() if root.is_dir() else path.name), path


def _encoded(
    texts: Iterable[tuple[str, str]], model: TextModel, progress: Progress, limit: int | None
) -> Iterator[Document]:
    for done, (source, text) in enumerate(texts, start=1):
        yield Document(source, model.encode(text))
        progress("reading text", done, limit or done)


def _entries(path: Path, field: str) -> Iterator[object]:
    """What stands in the text field of each entry of a file."""
    try:
        yield from _READERS[path.suffix](path, field)
    except UnicodeDecodeError as error:
        raise NeuroglossError(f"{path} is not UTF-8 text ({error.reason}); convert it.") from error
    except OSError as error:
        raise NeuroglossError(f"{path} cannot be read ({error.strerror or error}); check it and run again.") from error


def _read_text(path: Path, _: str) -> Iterator[object]:
    yield path.read_bytes().decode("utf-8")  # reading it as text would make one of all kinds of line ends


def _read_lines(path: Path, field: str) -> Iterator[object]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield json.loads(line).get(field)
            except (ValueError, AttributeError) as error:
                raise NeuroglossError(f"line {number} of {path} is not a JSON object; mend it or remove it.") from error


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
