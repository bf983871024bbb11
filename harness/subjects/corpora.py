"""The text that neurons are read on: documents of token ids, cut into excerpts of one length.

A corpus asks the subject for its tokenizer, and the sampled one for its text, so that one can be named in a config
before any model is loaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness.subjects.sampling import Sampling
from harness.types import NeuroglossError, Progress

Tokens = tuple[int, ...]


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

    def encode(self, text: str) -> Tokens:
        """Token ids of a text, with no token put before or after it."""
        ...

    def sample(self, prompts: Sequence[str], sampling: Sampling, progress: Progress) -> Iterator[tuple[int, Tokens]]:
        """The model's own continuation of each prompt: (index, token ids)."""
        ...


class Corpus(Protocol):
    """A source of documents."""

    def documents(self, model: TextModel, progress: Progress) -> Iterator[Document]:
        """Every document once, always the same ones in the same order."""
        ...


def passages(documents: Iterable[Document], length: int, token_text: Callable[[int], str]) -> Iterator[Passage]:
    """Cut documents into passages of ``length`` tokens; a shorter remainder is dropped, and what was seen before."""
    seen: set[bytes] = set()
    for document in documents:
        for first in range(0, len(document.token_ids) - length + 1, length):
            tokens = document.token_ids[first : first + length]
            hashed = hashlib.sha256("\x00".join(map(token_text, tokens)).encode("utf-8", "surrogatepass"))
            if (short := hashed.digest()[:16]) not in seen:
                seen.add(short)
                yield Passage(f"{document.source}:{first}", tokens, hashed.hexdigest())


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

    def documents(self, model: TextModel, progress: Progress) -> Iterator[Document]:
        """Every text as ``sampled-<number of its prompt>``; the prompt is no part of it."""
        for index, tokens in model.sample(self.prompts, self.sampling, progress):
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
        self.limit = documents

    def documents(self, model: TextModel, progress: Progress) -> Iterator[Document]:
        """Every document as ``<file>#<number>``.

        Raises:
            NeuroglossError: there is no such file, or it holds no text where it should; file and place are named.
        """
        return _encoded(islice(self._texts(), self.limit), model, progress, self.limit)

    def _texts(self) -> Iterator[tuple[str, str]]:
        root = Path(self.path).expanduser()
        found = sorted(path for path in root.rglob("*") if path.suffix in _READERS) if root.is_dir() else [root]
        if not found or not all(path.is_file() and path.suffix in _READERS for path in found):
            kinds = ", ".join(_READERS)
            raise NeuroglossError(f"{root} is neither a file ({kinds}) nor a folder with such files; set corpus.path.")
        for path in found:
            name = str(path.relative_to(root)) if root.is_dir() else path.name
            for number, text in enumerate(_entries(path, self.text_field)):
                if not isinstance(text, str):
                    raise NeuroglossError(
                        f"{path} has no text in {self.text_field!r} at entry {number}; set corpus.text_field."
                    )
                yield f"{name}#{number}", text


class HubDataset:
    """A dataset of the Hugging Face hub, streamed.

    Args:
        name: its name on the hub.
        split: which of its parts.
        revision: the commit to read; a branch can change under a task.
        config: which of its configurations, where it has several.
        text_field: the column that holds the text.
        documents: how many documents are read at most.
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
        self.name = name
        self.split = split
        self.revision = revision
        self.config = config
        self.text_field = text_field
        self.limit = documents

    def documents(self, model: TextModel, progress: Progress) -> Iterator[Document]:
        """Every document as ``<name>/<split>#<number>``."""
        return _encoded(islice(self._texts(), self.limit), model, progress, self.limit)

    def _texts(self) -> Iterator[tuple[str, str]]:
        import datasets  # noqa: PLC0415  # slow to import, and needed by this corpus alone

        try:
            rows = datasets.load_dataset(
                self.name, self.config, split=self.split, revision=self.revision, streaming=True
            )
            yield from self._rows(rows)
        except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
            raise NeuroglossError(
                f"the dataset {self.name} can not be read ({str(error).splitlines()[0]}); "
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
        raise NeuroglossError(f"{path} can not be read ({error.strerror or error}); check it and run again.") from error


def _read_text(path: Path, _: str) -> Iterator[object]:
    yield path.read_text(encoding="utf-8")


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
            f"{path} can not be read as Parquet with a column {field!r}; set corpus.text_field, or fetch it again."
        ) from error


_READERS: Mapping[str, Callable[[Path, str], Iterator[object]]] = {
    ".txt": _read_text,
    ".jsonl": _read_lines,
    ".parquet": _read_parquet,
}
