"""Client of any OpenAI-compatible server: OpenAI, vLLM, llama.cpp, Ollama, OpenRouter, Together, Azure.

Levels are read by one of three transports, which is part of the model's identity:

* ``prompt``: the log-probabilities of the prompt itself, all slots in one request. With ``api=completions`` the server
  echoes them; with ``api=chat`` vLLM returns them as ``prompt_logprobs``, with the model's chat template. Each prompt
  is computed whole, as no server keeps log-probabilities of what prompts share; a server whose log-probabilities change
  with what was asked before (vLLM with prefix caching, its default) is refused.
* ``generated``: the log-probabilities of the model's reply; one slot is one token, several slots are copied lines.
* ``text``: the numbers in the model's reply, without probabilities; as JSON if the server enforces a schema. A block of
  reasoning before them is skipped; ``body`` must then leave it room, by its ``max_tokens``.

The abilities of a server are tested with small requests: see :mod:`harness.models.server.capabilities`.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import ipaddress
import json
import logging
import os
import ssl
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, Generic, Self, TypeVar
from urllib.parse import urlsplit

import aiohttp
import httpx2
import openai

from harness.guards import secrets
from harness.guards.printing import plain, shortened
from harness.models import store
from harness.models.server import bounds, slots, traffic, wire
from harness.models.server.capabilities import (
    MOST_LEVELS,
    NO_ECHO,
    NO_LOGPROBS,
    NO_SCHEMA,
    NO_TRIAL,
    ORDER,
    Capabilities,
    Probe,
    rejected,
)
from harness.models.server.traffic import History, Postponed, Rules
from harness.models.server.wire import CHAT, COMPLETIONS, LATER, Answer, FailedAttempt
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

_OTHER_PROMPT = "use model.transport=generated, which reads what the model writes"
_NO_KEY = "none"  # the client requires a key even if the server does not
_UNFINISHED = {"add_generation_prompt": False, "continue_final_message": True}  # fields of vLLM: continue the last turn
_MARK = 8  # hexadecimal digits at the beginning of a probe, by which it is new to the server
_TURN = 16  # upper bound on the tokens that a chat template adds to a turn

_STRANGERS = 2  # replies of another model, before any of the right one, that stop a run

_log = logging.getLogger(__name__)
Reply = TypeVar("Reply")
Prompt = TypeVar("Prompt", CompletionPrompt, SlottedPrompt)


@dataclass(frozen=True, slots=True)
class Job(Generic[Reply]):
    """One request: its API, its body, the most that it can cost, and the function that reads its answer."""

    api: str
    body: Mapping[str, Any]
    cost: Usage
    read: Callable[[Answer, Usage], Reply]


class ServerModel:
    """A :class:`harness.models.backend.Backend` over HTTP; creating it sends nothing.

    Args:
        name: the model's name on the server.
        base_url: the address up to and including ``/v1`` or its equivalent.
        api_key_env: the environment variable that holds the key; null if the server needs no key.
        revision: the version of the model on the server, if known: a commit, a date, a file's digest.
        api: ``chat``, or ``completions`` for a base model.
        transport: ``prompt``, ``generated`` or ``text``.
        json_schema: for ``transport=text``: whether the server holds replies to a JSON schema.
        top_logprobs: number of likeliest tokens requested at each position; most servers give up to 20.
        max_tokens_field: ``max_tokens``, or ``max_completion_tokens`` if the server requires that name.
        body: fields to add to every request; null removes a default field. If it limits the tokens of a reply, that
            limit is the most that a reply is assumed to cost.
        answers_as: the model's name in the server's replies, if it does not resemble ``name``.
        timeout: seconds from a request to the end of its reply.
        attempts: number of attempts at a request before it fails.
        concurrency: the most requests in flight at once.
        requests_per_minute: the server's limit; null for none.
        tokens_per_minute: the server's limit, for prompts and replies together; null for none.
        tokenizer: the tokenizer that counts a prompt's tokens before it is sent: a local folder, a name on the hub, or
            ``embedded:smollm2-135m-instruct``; null counts bytes, an upper bound for any tokenizer.
        usd_per_million_prompt_tokens: the price of a million prompt tokens; None if nobody said it, and it counts as 0.
        usd_per_million_completion_tokens: the price of a million reply tokens; likewise.
        batch_price: the share of these prices that a request in a batch file costs.
    """

    def __init__(  # noqa: PLR0913  # one argument for each field of the config of a server
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
        usd_per_million_prompt_tokens: float | None = None,
        usd_per_million_completion_tokens: float | None = None,
        batch_price: float = 0.5,
    ) -> None:
        _check_choice("model.api", api, (CHAT, COMPLETIONS))
        _check_choice("model.transport", transport, (PROMPT, GENERATED, TEXT))
        _check_url(base_url)
        secrets.watch(api_key_env)
        if api_key_env is not None:
            _warn_of_plain_http(base_url)
        for setting, value in (("timeout", timeout), ("attempts", attempts), ("concurrency", concurrency)):
            _check_positive(setting, value)
        for setting, limit in (("requests_per_minute", requests_per_minute), ("tokens_per_minute", tokens_per_minute)):
            if limit is not None:
                _check_positive(setting, limit, ", or null for no limit")
        _check_body(body or {}, max_tokens_field)
        if not 0.0 <= batch_price <= 1.0:
            raise NeuroglossError(f"model.batch_price is {batch_price}; write a share of the prices, from 0 to 1.")
        if json_schema and transport != TEXT:
            raise NeuroglossError("model.json_schema is for model.transport=text; write model.json_schema=false.")
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
        self.batch_price = batch_price
        self._has_answered = False
        self._strangers = 0
        self._capabilities: Capabilities | None = None
        self._histories: defaultdict[str, History] = defaultdict(History)
        self._reserve: Callable[[Usage], bool] = _always

    @cached_property
    def identity(self) -> Identity:
        """Model, server and transport; ``backend`` holds a hash of all other settings that shape a request."""
        settings = [self.json_schema, self.top_logprobs, self.max_tokens_field, self.body, slots.versions()]
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
        return Identity(
            self.name,
            self.revision or "unstated",
            backend=f"openai {self.api}+{digest}",
            base_url=self.base_url,
            transport=self.transport,
        )

    def levels(self) -> int:
        """Return the number of levels that the probe found to be single tokens; 11 for ``transport=text``."""
        return self._usable_capabilities.levels

    def cost(self, prompt: CompletionPrompt | SlottedPrompt) -> Usage:
        """Return the most that ``prompt`` can cost; without a tokenizer, each byte counts as a token."""
        return self.job(prompt).cost

    def complete(self, prompts: Sequence[CompletionPrompt]) -> Iterator[tuple[int, Completion]]:
        """Yield the index and completion of each prompt; the outcome is ``failed`` if every attempt failed."""
        for delivery in self._deliver(prompts, self._completion, self._histories[store.COMPLETIONS.name]):
            if isinstance(delivery.reply, FailedAttempt | Postponed):
                yield delivery.index, Completion("", *_unanswered(delivery))
            else:
                yield delivery.index, replace(delivery.reply, usage=delivery.reply.usage + delivery.wasted)

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> Iterator[tuple[int, LevelReading]]:
        """Yield the index and reading of each prompt; the outcome is ``failed`` if every attempt failed.

        Raises:
            NeuroglossError: a prompt needs more levels than the server can read.
        """
        capabilities = self._usable_capabilities
        for prompt in prompts:
            if prompt.levels > capabilities.levels:
                raise NeuroglossError(
                    f"{self._where} can read {capabilities.levels} levels, not {prompt.levels}: its tokenizer splits "
                    "the highest level into several tokens."
                )
        for delivery in self._deliver(prompts, self._slotted, self._histories[store.LEVELS.name]):
            if isinstance(delivery.reply, FailedAttempt | Postponed):
                yield delivery.index, missing(prompts[delivery.index], *_unanswered(delivery))
            else:
                yield delivery.index, replace(delivery.reply, usage=delivery.reply.usage + delivery.wasted)

    def prepare(self, kind: str, stored_replies: int, reserve: Callable[[Usage], bool]) -> None:
        """Note how many replies to requests of ``kind`` are stored, and the function that reserves the budget for one
        more attempt."""
        self._histories[kind].stored_replies = stored_replies
        self._reserve = reserve

    # -------------------------------------------------------------------------------------- requests that others send

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that make this model again."""
        return {name: getattr(self.rules if hasattr(self.rules, name) else self, name) for name in _arguments()}

    def batched(self) -> Self:
        """Return a copy of this model with the prices of requests in a batch file."""
        model = copy.copy(self)
        for name in ("usd_per_million_prompt_tokens", "usd_per_million_completion_tokens"):
            price = getattr(self, name)
            setattr(model, name, None if price is None else price * self.batch_price)
        return model

    def job(self, request: CompletionPrompt | SlottedPrompt | Probe) -> Job[Any]:
        """Return the HTTP request for a completion, a reading, or a trial of the server.

        Raises:
            NeuroglossError: the trial takes several requests, each after the reply to the one before.
        """
        if isinstance(request, CompletionPrompt):
            return self._completion(request)
        if isinstance(request, SlottedPrompt):
            return self._slotted(request)
        if self.transport == PROMPT:
            raise NeuroglossError(
                f"{self._where} reads log-probabilities of prompts, which is tried out first by three requests, one "
                "after another: ask it live about one unit (neurogloss run units.limit=1), or use "
                "model.transport=generated."
            )
        job = self._slotted(request.prompt)
        return Job(job.api, job.body, job.cost, lambda answer, usage: self._read_probe(request, answer, usage))

    def read(self, job: Job[Reply], status: int, body: object) -> tuple[Reply, Usage]:
        """Read the response to a request that was sent elsewhere, by the checks of one that was sent from here.

        Raises:
            FailedAttempt: the response cannot be used; another one may be.
            NeuroglossError: it cannot be used, and no other will be.
        """
        if status < httpx2.codes.MULTIPLE_CHOICES:
            return self._reply(job, body)
        refusal = wire.refusal(status, body)
        if refusal is None:
            raise wire.trouble(status, lambda _: None, body, self._where)
        return self._reply(job, refusal)

    # --------------------------------------------------------------------------------------------------- capabilities

    def probe_cost(self, probe: Probe) -> Usage:
        """Return the most that ``probe`` can cost; nothing if it is not needed."""
        if not self._needs_probe:
            return Usage()
        if self.transport != PROMPT:
            return self.cost(probe.prompt)
        marked = probe.marked("f" * _MARK)
        return self.cost(marked.prompt) + self.cost(marked.sibling) + self.cost(marked.prompt)

    def probe(self, probes: Sequence[Probe]) -> Iterator[tuple[int, Capabilities]]:
        """Test whether the server supports the transport, and which levels are single tokens."""
        for index, probe in enumerate(probes):
            yield index, self._run_probe(probe)

    def with_capabilities(self, capabilities: Capabilities) -> Self:
        """Return a copy of this model that uses the result of a probe."""
        model = copy.copy(self)
        model._capabilities = capabilities
        return model

    @property
    def _usable_capabilities(self) -> Capabilities:
        """The result of the probe; an error if the server cannot use the transport."""
        if self._capabilities is None:
            self._capabilities = dict(self.probe([Probe()]))[0]
        if self._capabilities.problem:
            no_echo = self.api == CHAT and self._capabilities.problem.startswith(NO_ECHO)
            alternative = ", or model.api=completions if it echoes prompts" if no_echo else ""
            raise NeuroglossError(f"{self._where}: {self._capabilities.problem}{alternative}.")
        return self._capabilities

    @property
    def _needs_probe(self) -> bool:
        """True unless the transport needs plain text alone, which any model can write."""
        return self.transport != TEXT or self.json_schema

    def _run_probe(self, probe: Probe) -> Capabilities:
        if not self._needs_probe:
            return Capabilities(MOST_LEVELS)
        if self.transport != PROMPT:
            return self._trial(probe)[0]
        return self._trial_of_order(probe.marked(os.urandom(_MARK // 2).hex()))

    def _trial_of_order(self, probe: Probe) -> Capabilities:
        """Test the server by a prompt, its sibling, and the prompt again, whose log-probabilities must be the same."""
        capabilities, answer = self._trial(probe)
        usage = capabilities.usage
        for next_probe in (replace(probe, prompt=probe.sibling), probe):
            if capabilities.problem:
                break
            capabilities, next_answer = self._trial(next_probe)
            usage += capabilities.usage
        if not capabilities.problem and _of_prompt(answer) != _of_prompt(next_answer):
            return Capabilities(problem=ORDER, usage=usage)
        return replace(capabilities, usage=usage)

    def _trial(self, probe: Probe) -> tuple[Capabilities, Answer]:
        """Send the prompt of a probe; return what the answer shows, and the answer, which is empty if there is none."""
        no_answer = Answer("", Outcome.FAILED)
        try:
            (delivery,) = self._deliver([probe.prompt], lambda _: self._probe(probe), History())
        except wire.Rejected as error:
            if error.anyhow or (error.status == httpx2.codes.NOT_FOUND and self.api == CHAT):
                raise
            problem = PROBLEMS[self.transport]
            return rejected(problem, error.complaint, self.top_logprobs, error), no_answer
        if isinstance(delivery.reply, Postponed):
            raise NeuroglossError(f"{self._where} could not be tried out within the budget; raise it and run again.")
        if isinstance(delivery.reply, FailedAttempt):
            reason = delivery.reply.reason
            if delivery.reply.remedy:
                raise NeuroglossError(
                    f"{self._where} could not be tried out: it gives {reason}; {delivery.reply.remedy}."
                )
            return Capabilities(problem=f"{PROBLEMS[self.transport]} ({reason})", usage=delivery.wasted), no_answer
        capabilities, answer = delivery.reply
        return replace(capabilities, usage=capabilities.usage + delivery.wasted), answer

    def _probe(self, probe: Probe) -> Job[tuple[Capabilities, Answer]]:
        job = self._slotted(probe.prompt)
        return Job(job.api, job.body, job.cost, lambda answer, usage: (self._read_probe(probe, answer, usage), answer))

    def _read_probe(self, probe: Probe, answer: Answer, usage: Usage) -> Capabilities:
        capabilities = self._probe_result(probe, answer, usage)
        silent = answer.outcome is Outcome.REFUSED or (self.transport != PROMPT and not answer.text.strip())
        if capabilities.problem and silent:
            return replace(capabilities, problem=f"{NO_TRIAL} ({answer.outcome.value})")
        return capabilities

    def _probe_result(self, probe: Probe, answer: Answer, usage: Usage) -> Capabilities:
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
        """Build a request that reads all slots from the log-probabilities of the prompt, assistant's turn included."""
        text, _ = slots.turn(prompt)
        fields: dict[str, Any]
        if self.api == CHAT:
            conversation = wire.chat_body([*prompt.messages, Message("assistant", text)])
            fields = {"prompt_logprobs": self.top_logprobs, **_UNFINISHED}
        else:
            conversation = wire.text_body(prompt.messages, text)
            fields = {"echo": True, **self._logprobs(COMPLETIONS)}

        def read(answer: Answer, usage: Usage) -> LevelReading:
            if answer.prompt is None:
                _positions(answer)
            positions = slots.positions_of_prompt(answer, prompt)
            if positions is None and answer.outcome is not Outcome.REFUSED:
                raise FailedAttempt("log-probabilities of another prompt, or of a part of it", remedy=_OTHER_PROMPT)
            return slots.reading(positions or [None] * len(prompt.parts), prompt.levels, usage)

        return self._job(self.api, conversation, 1, {"temperature": 0.0, **fields}, read)

    def _continued(self, prompt: SlottedPrompt) -> Job[LevelReading]:
        """Build a request that reads a single slot as the token after the prompt."""
        fields = {"temperature": 0.0, **self._logprobs(COMPLETIONS)}

        def read(answer: Answer, usage: Usage) -> LevelReading:
            return _reading_at(prompt, answer, usage, slots.positions_of_lines(_positions(answer), [""]))

        return self._job(COMPLETIONS, wire.text_body(prompt.messages, prompt.parts[0]), 1, fields, read)

    def _spoken(self, prompt: SlottedPrompt) -> Job[LevelReading]:
        """Build a request that reads the levels from the log-probabilities of the model's own turn."""
        question = slots.spoken(prompt)
        max_tokens = 2 if len(prompt.parts) == 1 else question.longest  # some tokenizers write a space as a token
        fields = {"temperature": 0.0, **self._logprobs(self.api)}

        def read(answer: Answer, usage: Usage) -> LevelReading:
            return _reading_at(prompt, answer, usage, slots.positions_of_lines(_positions(answer), question.lines))

        return self._job(self.api, self._conversation(question.messages), max_tokens, fields, read)

    def _written(self, prompt: SlottedPrompt) -> Job[LevelReading]:
        """Build a request that reads the levels as numbers in the model's reply."""
        question = slots.spoken(prompt, self.json_schema)
        parse = slots.written_json if self.json_schema else slots.written
        fields: dict[str, Any] = {"temperature": 0.0}
        if self.json_schema:
            form = {"name": "levels", "strict": True, "schema": slots.schema(len(prompt.parts))}
            fields["response_format"] = {"type": "json_schema", "json_schema": form}

        def read(answer: Answer, usage: Usage) -> LevelReading:
            return _or_missing(prompt, answer, parse(answer.text, question.lines, prompt.levels, usage))

        return self._job(self.api, self._conversation(question.messages), question.longest, fields, read)

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
        settings = {"model": self.name, **conversation, self.max_tokens_field: max_tokens, **fields, **self.body}
        body = {name: value for name, value in settings.items() if value is not None}
        texts = [message["content"] for message in conversation.get("messages", ())] or [conversation["prompt"]]
        prompt_tokens = sum(self._length(text) + _TURN for text in texts)
        reply_tokens = max(body[name] for name in _limits(self.max_tokens_field) if name in body)
        return Job(api, body, self._priced(Usage(1, 0, prompt_tokens, reply_tokens)), read)

    @cached_property
    def _length(self) -> Callable[[str], int]:
        """Function that counts the tokens of a text, or an upper bound of them."""
        if self.tokenizer is None:
            return lambda text: len(text.encode())
        from harness import weights  # noqa: PLC0415  # it imports torch, which servers without a tokenizer do not need

        tokenizer = weights.load_tokenizer(self.tokenizer)
        return lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])

    # -------------------------------------------------------------------------------------------------------- sending

    def _deliver(
        self, prompts: Sequence[Prompt], make: Callable[[Prompt], Job[Reply]], history: History
    ) -> Iterator[traffic.Delivered[Reply]]:
        """Send all prompts, sorted by their beginnings, so that the server's prefix cache serves neighbours.

        It serves none with ``transport=prompt``: for the log-probabilities of a prompt a server computes all of it.

        Jobs are made as they are sent: prompts share their messages, but bodies do not, and would fill the memory.
        """
        client = self._client()
        order = sorted(range(len(prompts)), key=lambda index: _texts(prompts[index]))

        async def send(job: Job[Reply]) -> tuple[Reply, Usage]:
            return await self._send(client, job)

        deliveries = traffic.deliver(
            (make(prompts[index]) for index in order),
            send,
            self.rules,
            where=self._where,
            tokens=lambda job: _tokens(job.cost),
            reply_tokens=lambda reply_and_usage: _tokens(reply_and_usage[1]),
            reserve=lambda job: self._reserve(job.cost),
            history=history,
            close=client.close,
        )
        for delivery in deliveries:
            reply = delivery.reply if isinstance(delivery.reply, FailedAttempt | Postponed) else delivery.reply[0]
            yield traffic.Delivered(order[delivery.index], reply, delivery.wasted)

    async def _send(self, client: openai.AsyncOpenAI, job: Job[Reply]) -> tuple[Reply, Usage]:
        return self._reply(job, await self._post(client, job))

    def _reply(self, job: Job[Reply], document: object) -> tuple[Reply, Usage]:
        """Read the decoded reply to a request, or the refusal of the model's provider; return its price with it."""
        if isinstance(document, Answer):
            return job.read(document, document.usage or job.cost), document.usage or job.cost
        try:
            self._check_model(document)
            answer = wire.answer(document, job.api)
            usage = self._priced(answer.usage) if answer.usage else job.cost
            return job.read(answer, usage), usage
        except FailedAttempt as failure:
            failure.usage = self._priced(wire.usage_of(document) or Usage())
            raise

    async def _post(self, client: openai.AsyncOpenAI, job: Job[Reply]) -> object:
        """Return the decoded reply, or an answer if the error is a refusal of the model's provider."""
        try:
            return await client.post(wire.PATHS[job.api], cast_to=object, body=dict(job.body))
        except (openai.APIConnectionError, aiohttp.ClientError) as error:
            cause = _first_cause(error)
            if isinstance(cause, bounds.BoundError):
                raise FailedAttempt(str(cause), remedy="check model.base_url") from error
            reason = f"no connection, or one that breaks off ({type(cause).__name__})"
            raise FailedAttempt(reason, remedy=f"is the server up, and model.base_url right? {LATER}") from error
        except openai.APIStatusError as error:
            refusal = wire.refusal(error.status_code, error.body)
            if refusal is not None:
                return refusal
            raise wire.trouble(error.status_code, error.response.headers.get, error.body, self._where) from error
        except (ValueError, RecursionError) as error:
            raise FailedAttempt(f"a reply that is no JSON ({error})", remedy=LATER) from error

    def _check_model(self, document: object) -> None:
        """Refuse the reply of another model; at once where only such replies have come, for each of them may be billed.

        A router may send one reply to another model, so it takes two.
        """
        actual = wire.model_named(document)
        if not actual or bounds.is_name_of(actual, self.answers_as or self.name):
            self._has_answered = True
            return
        reason = f"replies of the model {shortened(repr(actual))} in place of {self.name!r}"
        remedy = "set model.answers_as to that name if it is the same model"
        self._strangers += 1
        if self._strangers >= _STRANGERS and not self._has_answered:
            raise NeuroglossError(f"{self._where} gives {reason}, {self._strangers} times in a row; {remedy}.")
        raise FailedAttempt(reason, remedy=remedy)

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
            timeout=None,  # the one time limit of a request is enforced in traffic
            organization="",
            project="",
            http_client=openai.DefaultAioHttpClient(
                verify=_certificates(),
                timeout=None,
                limits=httpx2.Limits(max_connections=self.rules.concurrency),
                follow_redirects=False,  # a prompt goes to the host that the config names, and to no other
                headers=bounds.HEADERS,
                event_hooks={"response": [bounds.bounded]},
            ),
        )

    @property
    def _where(self) -> str:
        return f"{self.name} at {self.base_url}"

    def _priced(self, usage: Usage) -> Usage:
        millions = usage.prompt_tokens * (self.usd_per_million_prompt_tokens or 0.0)
        millions += usage.completion_tokens * (self.usd_per_million_completion_tokens or 0.0)
        return replace(usage, usd=millions / 1e6)


@cache
def _arguments() -> tuple[str, ...]:
    """Return the names of the arguments that make a model; cached, because each request of a batch file asks."""
    return tuple(inspect.signature(ServerModel).parameters)


def missing(prompt: SlottedPrompt, outcome: Outcome, usage: Usage) -> LevelReading:
    """Return a reading in which every slot is missing (NaN), with its outcome and usage."""
    slot_count, nan = len(prompt.parts), float("nan")
    shares = ((nan,) * prompt.levels,) * slot_count
    return LevelReading(shares, (nan,) * slot_count, (0,) * slot_count, outcome, usage)


def _positions(answer: Answer) -> Sequence[wire.Position]:
    """Return the log-probabilities of a reply; none for a refusal or a reply without text."""
    if answer.positions is None and answer.outcome in (Outcome.OK, Outcome.TRUNCATED):
        raise FailedAttempt("a reply without log-probabilities")
    return answer.positions or ()


def _of_prompt(answer: Answer) -> Sequence[wire.Position]:
    """Return the log-probabilities of the prompt of a trial, and of the token after it where the server echoes."""
    return answer.prompt or answer.positions or ()


def _reading_at(
    prompt: SlottedPrompt, answer: Answer, usage: Usage, positions: Sequence[wire.Position | None]
) -> LevelReading:
    return _or_missing(prompt, answer, slots.reading(positions, prompt.levels, usage))


def _or_missing(prompt: SlottedPrompt, answer: Answer, reading: LevelReading) -> LevelReading:
    """Return ``reading``, or a missing one with the outcome of ``answer`` if no slot has a level."""
    return reading if any(reading.seen) else missing(prompt, answer.outcome, reading.usage)


def _unanswered(delivery: traffic.Delivered[Any]) -> tuple[Outcome, Usage]:
    """Return the outcome and the cost of a request without a reply: failed, or postponed for the budget."""
    if isinstance(delivery.reply, Postponed):
        return Outcome.NOT_COLLECTED, delivery.wasted
    return Outcome.FAILED, delivery.wasted + Usage(1)


def _texts(prompt: CompletionPrompt | SlottedPrompt) -> tuple[str, ...]:
    """Return the texts of a prompt, a sort key that puts prompts with the same beginning together."""
    texts = tuple(message.content for message in prompt.messages)
    return texts + prompt.parts if isinstance(prompt, SlottedPrompt) else texts


def _first_cause(error: BaseException) -> BaseException:
    """Return the root cause: the client mislabels some of aiohttp's errors."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _tokens(usage: Usage) -> int:
    return usage.prompt_tokens + usage.completion_tokens


def _always(_: Usage) -> bool:
    return True


def _check_choice(key: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise NeuroglossError(f"{key} is {value!r}; write one of {', '.join(choices)}.")


def _check_positive(setting: str, value: float, alternative: str = "") -> None:
    if not value > 0:  # also true of NaN
        raise NeuroglossError(f"model.{setting} is {value}; write more than 0{alternative}.")


def _check_url(url: str) -> None:
    """Refuse a text that is not the address of a server."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # an unclosed bracket, an invalid port
        valid = False
    if not valid or any(character.isspace() for character in url):
        raise NeuroglossError(f"model.base_url is {url!r}; write an address such as http://localhost:8000/v1.")
    for path in wire.PATHS.values():  # the longer one first
        if parts.path.rstrip("/").endswith(path):
            base = url.rstrip("/").removesuffix(path)
            raise NeuroglossError(f"model.base_url is {url!r}, to which {path} is added; write {base}.")


@cache
def _certificates() -> ssl.SSLContext:
    """Return the certificates that are trusted; reading them takes as long as many requests, so it is done once."""
    return httpx2.create_ssl_context()


@cache
def _warn_of_plain_http(url: str) -> None:
    """Warn, once, that a key would travel for all to read."""
    parts = urlsplit(url)
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        _log.warning("the key goes to %s over plain http, where others can read it; write https.", plain(url))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _limits(max_tokens_field: str) -> tuple[str, ...]:
    """Return the fields of a request that limit the tokens of its reply."""
    return (max_tokens_field, "max_tokens", "max_completion_tokens")


def _check_body(body: Mapping[str, Any], max_tokens_field: str) -> None:
    """Refuse fields that leave the cost of a reply unlimited or request several replies."""
    limits = {name: body[name] for name in _limits(max_tokens_field) if name in body}
    set_limits = {name: value for name, value in limits.items() if value is not None}
    for name, value in set_limits.items():
        if type(value) is not int or value < 1:
            raise NeuroglossError(f"model.body.{name} is {value!r}; write a whole number above 0.")
    if max_tokens_field in limits and not set_limits:
        raise NeuroglossError(
            f"model.body leaves out {max_tokens_field}, without which a reply has no limit; give it a number, or set "
            "model.max_tokens_field to the name that the server wants."
        )
    for name in ("n", "best_of"):
        if body.get(name) not in (None, 1):
            raise NeuroglossError(
                f"model.body.{name} is {body[name]!r}; leave it out: one reply is read, all are paid."
            )
