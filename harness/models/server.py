"""Any OpenAI-compatible server: OpenAI itself, vLLM, llama.cpp, Ollama, OpenRouter, Together, Azure, by its base URL.

Levels are read by one of three transports, which is part of the model's identity:

* ``prompt``: the log-probabilities of the prompt itself, all slots in one request: by ``api=completions`` a server
  echoes them; by ``api=chat`` vLLM gives them as ``prompt_logprobs``, with the model's chat template.
* ``generated``: the log-probabilities of what the model writes; one slot is one token, several are copied lines.
* ``text``: the numbers that the model writes, without probabilities; as JSON where the server holds it to a schema.

What a server can do is tried once, not believed: see :mod:`harness.models.capabilities`.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, Self, TypeVar
from urllib.parse import urlsplit

import aiohttp
import httpx2
import openai

from harness.models import slots, store, traffic, wire
from harness.models.capabilities import MOST_LEVELS, NO_ECHO, NO_LOGPROBS, NO_SCHEMA, NO_TRIAL, Capabilities, Probe
from harness.models.traffic import PutOff, Record, Rules
from harness.models.wire import CHAT, COMPLETIONS, LATER, Again, Answer
from harness.types import (
    Completion,
    CompletionPrompt,
    Identity,
    LevelReading,
    Message,
    NeuroglossError,
    Outcome,
    SlottedPrompt,
    Usage,
)

PROMPT, GENERATED, TEXT = "prompt", "generated", "text"
PROBLEMS = {PROMPT: NO_ECHO, GENERATED: NO_LOGPROBS, TEXT: NO_SCHEMA}

_NO_KEY = "none"  # the client wants one even where the server does not
_UNFINISHED = {"add_generation_prompt": False, "continue_final_message": True}  # vLLM's: the last turn is open
_TURN = 16  # tokens that a chat template puts around a turn, at most

Reply = TypeVar("Reply")
Prompt = TypeVar("Prompt", CompletionPrompt, SlottedPrompt)


@dataclass(frozen=True, slots=True)
class Job(Generic[Reply]):
    """One request: where it goes, what it holds, the most that it can cost, and how its answer is read."""

    api: str
    body: Mapping[str, Any]
    cost: Usage
    read: Callable[[Answer, Usage], Reply]


class ServerModel:
    """A :class:`harness.models.backend.Backend` over HTTP; nothing is sent until it is asked.

    Args:
        name: the model, as the server calls it.
        base_url: up to and including ``/v1`` or its like.
        api_key_env: the environment variable that holds the key; null for a server that wants none.
        revision: which version of the model the server runs, where that is known: a commit, a date, a file's digest.
        api: ``chat``, or ``completions`` for a base model.
        transport: ``prompt``, ``generated`` or ``text``.
        json_schema: for ``transport=text``: whether replies are held to a JSON schema.
        top_logprobs: how many of the likeliest tokens are asked for at each position; most servers give up to 20.
        max_tokens_field: ``max_tokens``, or ``max_completion_tokens`` where the server wants that.
        body: fields to add to every request; null leaves a field out that would be there. A limit of a reply's tokens
            that it sets is what a reply is taken to cost at most.
        answers_as: what the server calls the model in its replies, where that does not resemble ``name``.
        timeout: seconds from a request to the end of its reply.
        attempts: how often a request is sent before it is given up.
        concurrency: the most requests under way at once.
        requests_per_minute: the server's limit; null for none.
        tokens_per_minute: the server's limit, for prompts and replies together; null for none.
        tokenizer: whose tokens a prompt is counted in before it is sent: a local folder, a name on the hub, or
            ``embedded:smollm2-135m-instruct``; null counts bytes, which are more than any tokenizer's tokens.
        usd_per_million_prompt_tokens: the price of a million tokens of prompts.
        usd_per_million_completion_tokens: the price of a million tokens of replies.
    """

    def __init__(  # noqa: PLR0913  # one argument for each thing a config can say of a server
        self,
        name: str,
        *,
        base_url: str,
        api_key_env: str | None = None,
        revision: str | None = None,
        api: str = CHAT,
        transport: str = GENERATED,
        json_schema: bool = False,
        top_logprobs: int = 20,
        max_tokens_field: str = "max_tokens",
        body: Mapping[str, Any] | None = None,
        answers_as: str | None = None,
        timeout: float = 120.0,
        attempts: int = 8,
        concurrency: int = 32,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        tokenizer: str | None = None,
        usd_per_million_prompt_tokens: float = 0.0,
        usd_per_million_completion_tokens: float = 0.0,
    ) -> None:
        _one_of("model.api", api, (CHAT, COMPLETIONS))
        _one_of("model.transport", transport, (PROMPT, GENERATED, TEXT))
        _check_url(base_url)
        for what, value in (("timeout", timeout), ("attempts", attempts), ("concurrency", concurrency)):
            _above_zero(what, value)
        for what, limit in (("requests_per_minute", requests_per_minute), ("tokens_per_minute", tokens_per_minute)):
            if limit is not None:
                _above_zero(what, limit, ", or null for no limit")
        _check_body(body or {}, max_tokens_field)
        if json_schema and transport != TEXT:
            raise NeuroglossError("model.json_schema is for transport=text; write model.json_schema=false.")
        self.name = name
        self.base_url = base_url.rstrip("/")
        self.api_key_env = api_key_env
        self.revision = revision
        self.api = api
        self.transport = transport
        self.json_schema = json_schema
        self.top_logprobs = top_logprobs
        self.max_tokens_field = max_tokens_field
        self.body = dict(body or {})
        self.answers_as = answers_as
        self.rules = Rules(concurrency, attempts, timeout, requests_per_minute, tokens_per_minute)
        self.tokenizer = tokenizer
        self.usd_per_million_prompt_tokens = usd_per_million_prompt_tokens
        self.usd_per_million_completion_tokens = usd_per_million_completion_tokens
        self._known: Capabilities | None = None
        self._records: defaultdict[str, Record] = defaultdict(Record)
        self._again: Callable[[Usage], bool] = _always

    @cached_property
    def identity(self) -> Identity:
        """Which model on which server, by which transport; ``backend`` has a hash of all else that shapes a request."""
        asked = [self.json_schema, self.top_logprobs, self.max_tokens_field, self.body, slots.versions()]
        digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:8]
        return Identity(
            self.name,
            self.revision or "unstated",
            backend=f"openai {self.api}+{digest}",
            base_url=self.base_url,
            transport=self.transport,
        )

    def levels(self) -> int:
        """As many as the probe found to be one token each; all 11 where they are written out as text."""
        return self._able.levels

    def cost(self, prompt: CompletionPrompt | SlottedPrompt) -> Usage:
        """The most that asking ``prompt`` can cost: where no tokenizer is named, a token for each byte."""
        return self._completion(prompt).cost if isinstance(prompt, CompletionPrompt) else self._slotted(prompt).cost

    def complete(self, prompts: Sequence[CompletionPrompt]) -> Iterator[tuple[int, Completion]]:
        """Text, with a name for what became of each request; what was given up is ``failed``."""
        for one in self._deliver(prompts, self._completion, self._records[store.COMPLETIONS.name]):
            if isinstance(one.reply, Again | PutOff):
                yield one.index, Completion("", *_unanswered(one))
            else:
                yield one.index, replace(one.reply, usage=one.reply.usage + one.wasted)

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> Iterator[tuple[int, LevelReading]]:
        """Levels by the transport; a slot without one is missing, and a prompt that was given up is ``failed``."""
        able = self._able
        for prompt in prompts:
            if prompt.levels > able.levels:
                raise NeuroglossError(
                    f"{self._where} can read {able.levels} levels, not {prompt.levels}: its tokenizer splits others."
                )
        for one in self._deliver(prompts, self._slotted, self._records[store.LEVELS.name]):
            if isinstance(one.reply, Again | PutOff):
                yield one.index, missing(prompts[one.index], *_unanswered(one))
            else:
                yield one.index, replace(one.reply, usage=one.reply.usage + one.wasted)

    def heed(self, kind: str, stored: int, again: Callable[[Usage], bool]) -> None:
        """Take note of how many replies to questions of ``kind`` are known, and of whom to ask whether the budget bears
        one more attempt of a given cost."""
        self._records[kind].stored = stored
        self._again = again

    # --------------------------------------------------------------------------------------------------- capabilities

    def probe_cost(self, probe: Probe) -> Usage:
        """The most that ``probe`` can cost; nothing where it is not sent."""
        return self.cost(probe.prompt) if self._to_be_tried else Usage()

    def probe(self, probes: Sequence[Probe]) -> Iterator[tuple[int, Capabilities]]:
        """Try whether the server can do what the transport needs, and which levels are one token."""
        for index, probe in enumerate(probes):
            yield index, self._tried(probe)

    def knowing(self, known: Capabilities) -> Self:
        """The same model, with what a probe has found."""
        informed = copy.copy(self)
        informed._known = known
        return informed

    @property
    def _able(self) -> Capabilities:
        if self._known is None:
            self._known = dict(self.probe([Probe()]))[0]
        if self._known.problem:
            no_echo = self.api == CHAT and self._known.problem.startswith(NO_ECHO)
            other = ", or api=completions if it echoes prompts" if no_echo else ""
            raise NeuroglossError(f"{self._where}: {self._known.problem}{other}.")
        return self._known

    @property
    def _to_be_tried(self) -> bool:
        """Whether the transport needs more than text: any model can write numbers."""
        return self.transport != TEXT or self.json_schema

    def _tried(self, probe: Probe) -> Capabilities:
        if not self._to_be_tried:
            return Capabilities(MOST_LEVELS)
        try:
            (one,) = self._deliver([probe.prompt], lambda _: self._probe(probe), Record())
        except wire.Rejected as error:
            if error.anyhow or (error.status == httpx2.codes.NOT_FOUND and self.api == CHAT):
                raise
            return Capabilities(problem=f"{PROBLEMS[self.transport]} ({error})")
        if isinstance(one.reply, PutOff):
            raise NeuroglossError(f"{self._where} could not be tried out within the budget; raise it and run again.")
        if isinstance(one.reply, Again):
            if one.reply.remedy:
                raise NeuroglossError(f"{self._where} could not be tried out: it gives {one.reply.reason}; {LATER}.")
            return Capabilities(problem=f"{PROBLEMS[self.transport]} ({one.reply.reason})", usage=one.wasted)
        return replace(one.reply, usage=one.reply.usage + one.wasted)

    def _probe(self, probe: Probe) -> Job[Capabilities]:
        job = self._slotted(probe.prompt)
        return Job(job.api, job.body, job.cost, lambda answer, usage: self._judged(probe, answer, usage))

    def _judged(self, probe: Probe, answer: Answer, usage: Usage) -> Capabilities:
        found = self._found(probe, answer, usage)
        silent = answer.outcome is Outcome.REFUSED or (self.transport != PROMPT and not answer.text.strip())
        return replace(found, problem=f"{NO_TRIAL} ({answer.outcome.value})") if found.problem and silent else found

    def _found(self, probe: Probe, answer: Answer, usage: Usage) -> Capabilities:
        if self.transport == PROMPT:
            return probe.of_prompt(answer, usage)
        if self.transport == GENERATED:
            return probe.of_generated(answer, usage)
        return probe.of_json(answer, slots.spoken(probe.prompt, as_json=True).lines, usage)

    # ------------------------------------------------------------------------------------------------------- requests

    def _completion(self, prompt: CompletionPrompt) -> Job[Completion]:
        fields: dict[str, Any] = {"temperature": prompt.temperature}
        if prompt.temperature > 0.0:
            stream = hashlib.sha256(f"{prompt.seed} {prompt.repeat}".encode()).digest()[:4]
            fields |= {"top_p": prompt.top_p, "seed": int.from_bytes(stream) >> 1}
        if prompt.stop:
            fields["stop"] = list(prompt.stop)

        def read(answer: Answer, usage: Usage) -> Completion:
            return Completion(answer.text, answer.outcome, usage)

        return self._job(self.api, self._conversation(prompt.messages), prompt.max_tokens, fields, read)

    def _slotted(self, prompt: SlottedPrompt) -> Job[LevelReading]:
        if self.transport == PROMPT:
            return self._prefilled(prompt)
        if self.transport == TEXT:
            return self._written(prompt)
        return self._continued(prompt) if self.api == COMPLETIONS and len(prompt.parts) == 1 else self._spoken(prompt)

    def _prefilled(self, prompt: SlottedPrompt) -> Job[LevelReading]:
        """All slots from the log-probabilities of the prompt itself, which holds the assistant's turn."""
        text, _ = slots.turn(prompt)
        asked: dict[str, Any]
        if self.api == CHAT:
            conversation = wire.chat_body([*prompt.messages, Message("assistant", text)])
            asked = {"prompt_logprobs": self.top_logprobs, **_UNFINISHED}
        else:
            conversation = wire.text_body(prompt.messages, text)
            asked = {"echo": True, **self._logprobs(COMPLETIONS)}

        def read(answer: Answer, usage: Usage) -> LevelReading:
            if answer.prompt is None:
                _positions(answer)
            found = slots.positions_of_prompt(answer, prompt) or [None] * len(prompt.parts)
            return slots.reading(found, prompt.levels, usage)

        return self._job(self.api, conversation, 1, {"temperature": 0.0, **asked}, read)

    def _continued(self, prompt: SlottedPrompt) -> Job[LevelReading]:
        """A single slot, read as the token that follows the prompt."""
        fields = {"temperature": 0.0, **self._logprobs(COMPLETIONS)}

        def read(answer: Answer, usage: Usage) -> LevelReading:
            return _answered(prompt, answer, usage, slots.positions_of_lines(_positions(answer), [""]))

        return self._job(COMPLETIONS, wire.text_body(prompt.messages, prompt.parts[0]), 1, fields, read)

    def _spoken(self, prompt: SlottedPrompt) -> Job[LevelReading]:
        """Levels read where the model writes them, in a turn of its own."""
        asked = slots.spoken(prompt)
        most = 2 if len(prompt.parts) == 1 else asked.longest  # some tokenizers write a space apart
        fields = {"temperature": 0.0, **self._logprobs(self.api)}

        def read(answer: Answer, usage: Usage) -> LevelReading:
            return _answered(prompt, answer, usage, slots.positions_of_lines(_positions(answer), asked.lines))

        return self._job(self.api, self._conversation(asked.messages), most, fields, read)

    def _written(self, prompt: SlottedPrompt) -> Job[LevelReading]:
        """Levels as the numbers that the model writes."""
        asked = slots.spoken(prompt, self.json_schema)
        parse = slots.written_json if self.json_schema else slots.written
        fields: dict[str, Any] = {"temperature": 0.0}
        if self.json_schema:
            form = {"name": "levels", "strict": True, "schema": slots.schema(len(prompt.parts))}
            fields["response_format"] = {"type": "json_schema", "json_schema": form}

        def read(answer: Answer, usage: Usage) -> LevelReading:
            return _named(prompt, answer, parse(answer.text, asked.lines, prompt.levels, usage))

        return self._job(self.api, self._conversation(asked.messages), asked.longest, fields, read)

    def _conversation(self, messages: Sequence[Message]) -> dict[str, Any]:
        return wire.chat_body(messages) if self.api == CHAT else wire.text_body(messages)

    def _logprobs(self, api: str) -> dict[str, Any]:
        chat = {"logprobs": True, "top_logprobs": self.top_logprobs}
        return chat if api == CHAT else {"logprobs": self.top_logprobs}

    def _job(
        self,
        api: str,
        conversation: Mapping[str, Any],
        max_tokens: int,
        fields: Mapping[str, Any],
        read: Callable[[Answer, Usage], Reply],
    ) -> Job[Reply]:
        whole = {"model": self.name, **conversation, self.max_tokens_field: max_tokens, **fields, **self.body}
        body = {name: value for name, value in whole.items() if value is not None}
        texts = [one["content"] for one in conversation.get("messages", ())] or [conversation["prompt"]]
        prompt_tokens = sum(self._length(text) + _TURN for text in texts)
        most = max(body[name] for name in _limits(self.max_tokens_field) if name in body)
        return Job(api, body, self._priced(Usage(1, 0, prompt_tokens, most)), read)

    @cached_property
    def _length(self) -> Callable[[str], int]:
        """How many tokens a text has, or at most can have."""
        if self.tokenizer is None:
            return lambda text: len(text.encode())
        from harness import weights  # noqa: PLC0415  # it imports torch, which a server alone needs not

        tokenizer = weights.load_tokenizer(self.tokenizer)
        return lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])

    # -------------------------------------------------------------------------------------------------------- sending

    def _deliver(
        self, prompts: Sequence[Prompt], make: Callable[[Prompt], Job[Reply]], record: Record
    ) -> Iterator[traffic.Delivered[Reply]]:
        """Ask all prompts; those that begin alike go out together, so that the server's prefix cache holds them.

        Jobs are made as they are sent: thousands of prompts share their messages, thousands of bodies would not.
        """
        client = self._client()
        order = sorted(range(len(prompts)), key=lambda index: _beginning(prompts[index]))

        async def send(job: Job[Reply]) -> tuple[Reply, Usage]:
            return await self._send(client, job)

        delivered = traffic.deliver(
            (make(prompts[index]) for index in order),
            send,
            self.rules,
            where=self._where,
            tokens=lambda job: _tokens(job.cost),
            used=lambda came: _tokens(came[1]),
            again=lambda job: self._again(job.cost),
            record=record,
            close=client.close,
        )
        for one in delivered:
            reply = one.reply if isinstance(one.reply, Again | PutOff) else one.reply[0]
            yield traffic.Delivered(order[one.index], reply, one.wasted)

    async def _send(self, client: openai.AsyncOpenAI, job: Job[Reply]) -> tuple[Reply, Usage]:
        document = await self._post(client, job)
        if isinstance(document, Answer):
            return job.read(document, document.usage or job.cost), document.usage or job.cost
        try:
            self._check_model(document)
            answer = wire.answer(document, job.api)
            usage = self._priced(answer.usage) if answer.usage else job.cost
            return job.read(answer, usage), usage
        except Again as again:
            again.usage = self._priced(wire.usage_of(document) or Usage())
            raise

    async def _post(self, client: openai.AsyncOpenAI, job: Job[Reply]) -> object:
        """The reply's document, or an answer where an error is one."""
        try:
            return await client.post(wire.PATHS[job.api], cast_to=object, body=dict(job.body))
        except (openai.APIConnectionError, aiohttp.ClientError) as error:
            raise Again(f"no connection, or one that breaks off ({_first_cause(error)})", remedy=LATER) from error
        except openai.APIStatusError as error:
            refused = wire.refusal(error.status_code, error.body)
            if refused is not None:
                return refused
            raise wire.trouble(error.status_code, error.response.headers.get, error.body, self._where) from error
        except (ValueError, RecursionError) as error:
            raise Again(f"a reply that is no JSON ({error})", remedy=LATER) from error

    def _check_model(self, document: object) -> None:
        """Refuse the reply of another model: a name that neither holds the configured one nor is held by it."""
        said, wanted = wire.model_named(document).lower(), (self.answers_as or self.name).lower()
        if said and said not in wanted and wanted not in said:
            raise Again(
                f"replies of the model {wire.model_named(document)!r} in place of {self.name!r}",
                remedy="set model.answers_as to that name if it is the same model",
            )

    def _client(self) -> openai.AsyncOpenAI:
        key = _NO_KEY if self.api_key_env is None else os.environ.get(self.api_key_env, "")
        if not key:
            raise NeuroglossError(
                f"the environment variable {self.api_key_env}, which model.api_key_env names, is not set; put the key "
                f"of {self.base_url} into it."
            )
        if not all("!" <= character <= "~" for character in key):
            raise NeuroglossError(
                f"the key in the environment variable {self.api_key_env} holds a character that no key has, such as a "
                "space, a line end or a typographic quote; set it anew."
            )
        return openai.AsyncOpenAI(
            api_key=key,
            base_url=self.base_url,
            max_retries=0,
            timeout=None,  # a request has one time limit, and traffic keeps it
            organization="",
            project="",
            http_client=openai.DefaultAioHttpClient(
                timeout=None, limits=httpx2.Limits(max_connections=self.rules.concurrency)
            ),
        )

    @property
    def _where(self) -> str:
        return f"{self.name} at {self.base_url}"

    def _priced(self, usage: Usage) -> Usage:
        millions = usage.prompt_tokens * self.usd_per_million_prompt_tokens
        millions += usage.completion_tokens * self.usd_per_million_completion_tokens
        return replace(usage, usd=millions / 1e6)


def missing(prompt: SlottedPrompt, outcome: Outcome, usage: Usage) -> LevelReading:
    """A reading without a level in any slot, and why."""
    count, nothing = len(prompt.parts), float("nan")
    return LevelReading(((nothing,) * prompt.levels,) * count, (nothing,) * count, (0,) * count, outcome, usage)


def _positions(answer: Answer) -> Sequence[wire.Position]:
    """The log-probabilities that were asked for; a refusal, and a reply without text, has none to read."""
    if answer.positions is None and answer.outcome in (Outcome.OK, Outcome.TRUNCATED):
        raise Again("a reply without log-probabilities")
    return answer.positions or ()


def _answered(
    prompt: SlottedPrompt, answer: Answer, usage: Usage, found: Sequence[wire.Position | None]
) -> LevelReading:
    return _named(prompt, answer, slots.reading(found, prompt.levels, usage))


def _named(prompt: SlottedPrompt, answer: Answer, reading: LevelReading) -> LevelReading:
    """``reading``, or where no slot of it has a level, what became of the request."""
    return reading if any(reading.seen) else missing(prompt, answer.outcome, reading.usage)


def _unanswered(one: traffic.Delivered[Any]) -> tuple[Outcome, Usage]:
    """The outcome of a request without a reply, and what it cost: given up, or put off until it can be paid."""
    if isinstance(one.reply, PutOff):
        return Outcome.NOT_COLLECTED, one.wasted
    return Outcome.FAILED, one.wasted + Usage(1)


def _beginning(prompt: CompletionPrompt | SlottedPrompt) -> tuple[str, ...]:
    """The texts of a prompt, by which those that begin alike stand together."""
    texts = tuple(message.content for message in prompt.messages)
    return texts + prompt.parts if isinstance(prompt, SlottedPrompt) else texts


def _first_cause(error: BaseException) -> str:
    """The name of what went wrong first: the client's own names for it are wrong for some of aiohttp's errors."""
    while error.__cause__ is not None:
        error = error.__cause__
    return type(error).__name__


def _tokens(usage: Usage) -> int:
    return usage.prompt_tokens + usage.completion_tokens


def _always(_: Usage) -> bool:
    return True


def _one_of(where: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise NeuroglossError(f"{where} is {value!r}; write one of {', '.join(known)}.")


def _above_zero(what: str, value: float, otherwise: str = "") -> None:
    if not value > 0:  # NaN is not
        raise NeuroglossError(f"model.{what} is {value}; write more than 0{otherwise}.")


def _check_url(url: str) -> None:
    """Refuse what is no address of a server."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # brackets that do not close, a port that is none
        good = False
    if not good or any(character.isspace() for character in url):
        raise NeuroglossError(f"model.base_url is {url!r}; write an address such as http://localhost:8000/v1.")


def _limits(max_tokens_field: str) -> tuple[str, ...]:
    """The fields of a request that limit the tokens of its reply."""
    return (max_tokens_field, "max_tokens", "max_completion_tokens")


def _check_body(body: Mapping[str, Any], max_tokens_field: str) -> None:
    """Refuse fields by which a reply could cost any amount, or several replies be paid of which one is read."""
    limits = {name: body[name] for name in _limits(max_tokens_field) if name in body}
    given = {name: value for name, value in limits.items() if value is not None}
    for name, value in given.items():
        if type(value) is not int or value < 1:
            raise NeuroglossError(f"model.body.{name} is {value!r}; write a whole number above 0.")
    if max_tokens_field in limits and not given:
        raise NeuroglossError(
            f"model.body leaves out {max_tokens_field}, without which a reply has no limit; give it a number, or set "
            "model.max_tokens_field to the name that the server wants."
        )
    for name in ("n", "best_of"):
        if body.get(name) not in (None, 1):
            raise NeuroglossError(
                f"model.body.{name} is {body[name]!r}; leave it out: one reply is read, all are paid."
            )
