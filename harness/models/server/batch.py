"""Batch files: requests to a server as lines of JSON, which its provider answers within a day for a part of the price.

The format is that of OpenAI (https://developers.openai.com/api/docs/guides/batch), which ``vllm run-batch`` takes too.
A line is ``{"custom_id", "method", "url", "body"}``, and its answer ``{"custom_id", "response": {"status_code",
"body"}, "error"}``. The body is the one that :class:`ServerModel` would post itself, and ``custom_id`` is the key under
which the store will hold the reply. What was written is kept beside the store, so that an answer is read by the very
checks of a live reply, and an answer to anything else is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Generic, Self, TypeVar

from harness.files import whole_file
from harness.guards import reading, secrets
from harness.guards.printing import shortened
from harness.models import store
from harness.models.meter import Meter
from harness.models.server.capabilities import Capabilities, Probe
from harness.models.server.model import Job, ServerModel, missing
from harness.models.server.wire import PATHS, FailedAttempt
from harness.models.store import Kind, Store, key_of
from harness.typed_json import from_json, to_json
from harness.types import (
    Completion,
    CompletionPrompt,
    Identity,
    LevelReading,
    NeuroglossError,
    Outcome,
    SlottedPrompt,
    Usage,
)

MOST_REQUESTS = 50_000
"""Requests in a file."""
MOST_BYTES = 200_000_000
"""Bytes of a file of requests."""
MOST_LINE = 1 << 26
"""Bytes of an answer: as many as of a live reply."""

_STATUSES = range(200, 600)
_KINDS: dict[str, tuple[Kind[Any], type[Any]]] = {
    store.COMPLETIONS.name: (store.COMPLETIONS, CompletionPrompt),
    store.LEVELS.name: (store.LEVELS, SlottedPrompt),
    store.CAPABILITIES.name: (store.CAPABILITIES, Probe),
}
"""Kinds of requests, and the dataclass of each."""

Reply = TypeVar("Reply")
Request = TypeVar("Request", CompletionPrompt, SlottedPrompt, Probe)


# ------------------------------------------------------------------------------------------------------------- records


@dataclass(frozen=True)
class Question(Generic[Reply]):
    """A request that is written to a file: the model at its price in a batch, the kind of reply, and what is asked."""

    model: ServerModel
    kind: Kind[Reply]
    request: CompletionPrompt | SlottedPrompt | Probe

    @cached_property
    def key(self) -> str:
        """The key of its reply in the store."""
        return key_of(self.model.identity, self.kind.name, self.request)

    @cached_property
    def job(self) -> Job[Reply]:
        """What the model would send."""
        return self.model.job(self.request)

    @property
    def line(self) -> bytes:
        """Its line in a file.

        Raises:
            NeuroglossError: the line holds a secret of the environment.
        """
        url = f"/v1{PATHS[self.job.api]}"
        text = json.dumps({"custom_id": self.key, "method": "POST", "url": url, "body": self.job.body})
        variable = secrets.variable_in(text)
        if variable is not None:
            raise NeuroglossError(
                f"a request to {self.model.name} holds what stands in the environment variable {variable}, and no "
                "secret is written to a file; take it out of the prompt, or unset the variable."
            )
        return text.encode("ascii") + b"\n"


class Questions:
    """The requests that were written to files, by the keys of their replies, in a file beside the store of replies."""

    def __init__(self, replies: Path) -> None:
        is_file = str(replies) != ":memory:"
        self._records = Store(replies.with_name(f"{replies.stem}.requests{replies.suffix}") if is_file else replies)
        self._models: dict[str, ServerModel] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._records.close()

    def __contains__(self, key: str) -> bool:
        return any(self._records.get_many([key]))

    def keep(self, question: Question[Any]) -> None:
        """Keep a request; of one that was written before, the model's settings are those of now."""
        content = [question.model.settings, question.kind.name, to_json(question.request, "a request")]
        self._records.replace(question.key, json.dumps(content))

    def find(self, key: str) -> Question[Any] | None:
        """Return the request of a key; None if no such request was written.

        Raises:
            NeuroglossError: it is not what was written, or by another version of the program.
        """
        text = dict(self._records.get_many([key])).get(key)
        if text is None:
            return None
        try:
            settings, name, request = json.loads(text)
            kind, dataclass_of_request = _KINDS[name]
            question = Question(self._model(settings), kind, from_json(dataclass_of_request, request, "a request"))
        except (ValueError, TypeError, LookupError):
            question = None
        if question is None or question.key != key:
            raise NeuroglossError(
                f"the request {key[:12]} was written by another version of this program, which asks otherwise; write "
                "the batch again."
            )
        return question

    def _model(self, settings: Mapping[str, Any]) -> ServerModel:
        """Return a model, one for all requests with its settings: it remembers which names its replies gave."""
        text = json.dumps(settings, sort_keys=True)
        if text not in self._models:
            self._models[text] = ServerModel(**settings)
        return self._models[text]


# ------------------------------------------------------------------------------------------------------------- writing


@dataclass
class BatchFile:
    """A file of requests to one model.

    Attributes:
        path: the file.
        model: the name of the model that is asked.
        base_url: where it is.
        url: the path of the API, the same for all requests of a file.
        requests: how many there are.
        size: bytes.
        cost: the most that their replies can cost.
    """

    path: Path
    model: str
    base_url: str
    url: str
    requests: int = 0
    size: int = 0
    cost: Usage = field(default_factory=Usage)


class Outbox:
    """Files of requests, which appear when the context ends well: as many as their limits and the models take.

    Args:
        path: the first file; the others end in -2, -3 and so on.
        questions: is told of every request before it stands in a file.
        meter: refuses requests that the budget does not allow.

    Raises:
        NeuroglossError: a file is there already, or cannot be written.
    """

    def __init__(self, path: Path, questions: Questions, meter: Meter) -> None:
        self.files: list[BatchFile] = []
        self.kinds: dict[str, int] = {}
        self.repeated = 0
        self._path = path
        self._questions = questions
        self._meter = meter
        self._keys: set[str] = set()
        self._open: dict[tuple[str, str, str], tuple[BatchFile, BinaryIO]] = {}
        self._drafts = ExitStack()
        self._check_free(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._drafts.__exit__(kind, error, trace)
        except OSError as problem:
            raise self._unwritable(problem) from problem

    def add(self, question: Question[Any]) -> None:
        """Write a request, unless these files have it already."""
        if question.key in self._keys:
            return
        if not self._meter.commit([question.job.cost]):
            raise self._meter.refuse(question.kind.name, 1)
        self._meter.spend(question.job.cost)
        self._keys.add(question.key)
        self.kinds[question.kind.name] = self.kinds.get(question.kind.name, 0) + 1
        self.repeated += question.key in self._questions
        self._questions.keep(question)
        line = question.line
        try:
            batch, file = self._place(question, len(line))
            file.write(line)
        except OSError as error:
            raise self._unwritable(error) from error
        batch.requests += 1
        batch.size += len(line)
        batch.cost += question.job.cost

    def _place(self, question: Question[Any], size: int) -> tuple[BatchFile, BinaryIO]:
        """Return the file for a request of so many bytes; a new one where there is none with room for it."""
        series = question.model.name, question.model.base_url, f"/v1{PATHS[question.job.api]}"
        batch, file = self._open.get(series, (None, None))
        if batch and file and batch.requests < MOST_REQUESTS and batch.size + size <= MOST_BYTES:
            return batch, file
        number = len(self.files) + 1
        path = self._path if number == 1 else self._path.with_stem(f"{self._path.stem}-{number}")
        self._check_free(path)
        self._open[series] = BatchFile(path, *series), self._drafts.enter_context(whole_file(path))
        self.files.append(self._open[series][0])
        return self._open[series]

    def _check_free(self, path: Path) -> None:
        if path.exists():
            raise NeuroglossError(
                f"{path} is there already, and its requests may have been sent; name another file, or remove it."
            )

    def _unwritable(self, error: OSError) -> NeuroglossError:
        return NeuroglossError(f"{self._path} cannot be written ({error.strerror or error}); name another file.")


class BatchModel:
    """A :class:`harness.types.LanguageModel` that answers from the store, and writes what the store cannot answer."""

    def __init__(self, model: ServerModel, replies: Store, outbox: Outbox) -> None:
        self._model = model.batched()
        self._replies = replies
        self._outbox = outbox

    @property
    def identity(self) -> Identity:
        """The model that will answer, and its transport."""
        return self._model.identity

    def levels(self) -> int:
        """Return how many levels the server reads; the fewest until its trial is answered."""
        return (self._capabilities or Capabilities()).levels

    def complete(self, prompts: Sequence[CompletionPrompt]) -> list[Completion]:
        """Return the stored reply to each prompt, in order; without one its outcome is ``not collected``."""
        replies = self._stored(store.COMPLETIONS, prompts)
        return [reply or Completion("", Outcome.NOT_COLLECTED) for reply in replies]

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> list[LevelReading]:
        """Return the stored reading of each prompt, in order; without one its outcome is ``not collected``.

        Nothing is written before the trial of the server is answered, which tells how many levels are asked for.
        """
        readings = self._stored(store.LEVELS, prompts) if self._capabilities else [None] * len(prompts)
        return [
            reply or missing(prompt, Outcome.NOT_COLLECTED, Usage())
            for prompt, reply in zip(prompts, readings, strict=True)
        ]

    @cached_property
    def _capabilities(self) -> Capabilities | None:
        """What the server can do; None until its trial is answered."""
        probe = Probe()
        if self._model.probe_cost(probe) == Usage():
            return next(capabilities for _, capabilities in self._model.probe([probe]))
        (capabilities,) = self._stored(store.CAPABILITIES, [probe])
        return capabilities

    def _stored(self, kind: Kind[Reply], requests: Sequence[Request]) -> list[Reply | None]:
        """Return the stored reply to each request, in order; what has none is written."""
        keys = [key_of(self.identity, kind.name, request) for request in requests]
        replies = store.stored_replies(self._replies, kind, set(keys))
        for key, request in zip(keys, requests, strict=True):
            if key not in replies:
                self._outbox.add(Question(self._model, kind, request))  # one at a time: bodies would fill the memory
        return [kind.from_store(replies[key]) if key in replies else None for key in keys]


# ------------------------------------------------------------------------------------------------------------- reading


@dataclass
class Receipt:
    """What has come of lines of answers.

    Attributes:
        stored: replies that are new to the store.
        repeated: replies that it had already.
        problems: a sentence for each line without a reply that can be used.
        cost: of the new replies.
        wasted: of the others, as far as they state it.
    """

    stored: int = 0
    repeated: int = 0
    problems: list[str] = field(default_factory=list)
    cost: Usage = field(default_factory=Usage)
    wasted: Usage = field(default_factory=Usage)


def receive(files: Sequence[Path], questions: Questions, replies: Store) -> Receipt:
    """Store the replies that files of answers hold, each by the checks of a live reply.

    Raises:
        NeuroglossError: a file or the store cannot be used; what was read before is stored.
    """
    receipt = Receipt()
    places: dict[str, str] = {}
    for path in files:
        for where, line in _numbered(path):
            try:
                question, reply, usage = _answer(where, line, questions, places)
            except NeuroglossError as error:
                receipt.problems.append(str(error))
                continue
            except FailedAttempt as error:
                receipt.problems.append(f"{where} holds {error.reason}{f'; {error.remedy}' if error.remedy else ''}.")
                receipt.wasted += error.usage
                continue
            places[question.key] = where
            if any(replies.get_many([question.key])):
                receipt.repeated += 1
                continue
            store.keep(replies, question.kind, question.key, reply)
            receipt.stored += 1
            receipt.cost += usage
    return receipt


def _numbered(path: Path) -> Iterator[tuple[str, bytes | None]]:
    """Yield each line of a file that is not blank, with its place."""
    for number, line in enumerate(reading.lines_of(path, MOST_LINE), start=1):
        if line is None or line.strip():
            yield f"{path}, line {number}", line


def _answer(
    where: str, line: bytes | None, questions: Questions, places: Mapping[str, str]
) -> tuple[Question[Any], Any, Usage]:
    """Return the request that a line answers, its reply and its cost.

    Args:
        where: the place of the line.
        line: without its end; None if it is too long.
        questions: that were written.
        places: those of the lines that were read before and hold a reply, by its key.

    Raises:
        NeuroglossError: the line answers no request that was written, or one again, or is no reply.
        FailedAttempt: the reply cannot be used.
    """
    document = _document(where, line)
    key = document.get("custom_id")
    question = questions.find(key) if isinstance(key, str) else None
    if question is None:
        raise NeuroglossError(
            f"{where} has the custom_id {shortened(repr(key), 70)}, which is of no request that was written for this "
            "store; see --store."
        )
    if question.key in places:
        raise NeuroglossError(f"{where} answers the request of {places[question.key]} again, and the first is kept.")
    status, body = _response(where, document)
    try:
        reply, usage = question.model.read(question.job, status, body)
    except NeuroglossError as error:
        raise NeuroglossError(f"{where}: {error}") from error
    if not question.kind.final(reply):
        reason = reply.problem if isinstance(reply, Capabilities) else reply.outcome.value
        raise NeuroglossError(f"{where}: {question.model.name} at {question.model.base_url}: {reason}.")
    return question, reply, usage


def _document(where: str, line: bytes | None) -> Mapping[str, Any]:
    if line is None:
        raise NeuroglossError(f"{where} has more than {MOST_LINE:,} bytes, and no reply is as long.")
    document = reading.parsed_json(reading.decoded(line, where, "JSON"), where)
    if not isinstance(document, dict):
        raise NeuroglossError(f"{where} is no JSON object; a file of answers has one on each line.")
    return document


def _response(where: str, document: Mapping[str, Any]) -> tuple[int, object]:
    """Return the status and the body of the response on a line.

    Raises:
        NeuroglossError: the request has failed without a response, or there is none.
    """
    response, error = document.get("response"), document.get("error")
    body = response.get("body") if isinstance(response, dict) else None
    status = response.get("status_code") if isinstance(response, dict) else None
    if error and not body:
        message = error.get("message", error) if isinstance(error, dict) else error
        raise NeuroglossError(f"{where}: the request has failed ({shortened(secrets.scrubbed(str(message)), 200)}).")
    if type(status) is not int or status not in _STATUSES:
        raise NeuroglossError(f"{where} has no response with a status code; it is no line of a file of answers.")
    return status, body
