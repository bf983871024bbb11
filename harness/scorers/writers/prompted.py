"""The prompted writer: a language model is asked for a numbered list of texts that fit, and for one of near misses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.models.prompts import Prompt, load
from harness.models.replies import without_reasoning
from harness.scorers.judging import PROMPTS
from harness.scorers.writing import Writing, distinct
from harness.types import Completion, CompletionPrompt, Identity, LanguageModel, NeuroglossError, Outcome

_ITEM = re.compile(r"\s*\(?\d{1,3}[.):]\)?\s+(\S.*)")
_REFUSAL = re.compile(
    r"\s*(i['’]?m sorry|i am sorry|sorry\b|i apologi[sz]e\b|as an? (ai|language model)\b"
    r"|(unfortunately,? )?i (can ?not|can['’]t)\b)",
    re.IGNORECASE,
)
_AROUND = {'"': '"', "“": "”", "'": "'", "*": "*"}
_SHORTEST = 2  # words of a text


@dataclass(eq=False)
class PromptedWriter:
    """Writer that asks a language model, which should be none of the explainers that are compared.

    Attributes:
        model: the language model that writes.
        prompt: the name of a file in ``prompts/`` with the parts system, user and assistant.
        tokens_of_each: the largest number of tokens of a text.
        temperature: of the sampling.
        seed: of the sampling; unused at temperature 0.
    """

    model: LanguageModel
    prompt: str = "writer-v1"
    tokens_of_each: int = 40
    temperature: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.tokens_of_each < 1 or self.temperature < 0:
            raise NeuroglossError(
                f"scores.generated.writer has tokens_of_each={self.tokens_of_each} and temperature={self.temperature}; "
                "write at least 1 and 0."
            )
        self._prompt: Prompt = load(PROMPTS, self.prompt)

    @property
    def identity(self) -> Identity | None:
        """The model that writes."""
        return self.model.identity

    @property
    def version(self) -> str:
        """The version of the prompt."""
        return self._prompt.version

    def write(self, explanations: Sequence[str], count: int) -> list[Writing]:
        """Return the texts of each explanation, in order; all are asked for in one call, two requests each."""
        requests = [self._request(explanation, count, fits) for explanation in explanations for fits in (True, False)]
        replies = self.model.complete(requests) if requests else []
        examples = {text.casefold() for example in self._prompt.examples for text in example["texts"]}
        return [_writing(*pair, count, examples) for pair in zip(replies[::2], replies[1::2], strict=True)]

    def _request(self, explanation: str, count: int, fits: bool) -> CompletionPrompt:
        variables = {"explanation": explanation, "count": count, "fits": fits}
        return CompletionPrompt(
            self._prompt.messages(variables),
            max_tokens=self.tokens_of_each * count,
            temperature=self.temperature,
            seed=self.seed,
            prompt_version=self._prompt.version,
        )


def _writing(fitting: Completion, near: Completion, count: int, examples: set[str]) -> Writing:
    problems = [problem for reply in (fitting, near) if (problem := _problem(reply))]
    if problems:
        return Writing(problem=problems[0])
    lists = [[text for text in items(reply) if text.casefold() not in examples] for reply in (fitting, near)]
    shared = {text.casefold() for text in lists[0]} & {text.casefold() for text in lists[1]}
    first, second = (distinct((text for text in texts if text.casefold() not in shared), count) for texts in lists)
    return Writing(first, second)


def _problem(reply: Completion) -> str:
    """Return why a reply has no texts; empty if it has some."""
    if reply.outcome not in (Outcome.OK, Outcome.TRUNCATED):
        return f"the writer gave no texts (outcome: {reply.outcome})"
    if items(reply):
        return ""
    refuses = _REFUSAL.match(without_reasoning(reply.text).lstrip())
    return f"the writer {'refused' if refuses else 'wrote no numbered list'}"


def items(reply: Completion) -> list[str]:
    """Return the texts of a numbered list, each on a line, without quotation marks or stars around it.

    Lines without a number are passed over, and so is the last item of a truncated reply.
    """
    matches = [_ITEM.fullmatch(line) for line in without_reasoning(reply.text).splitlines()]
    texts = [_bare(match[1].strip()) for match in matches if match]
    complete = texts[:-1] if reply.outcome is Outcome.TRUNCATED else texts
    return [text for text in complete if len(text.split()) >= _SHORTEST]


def _bare(text: str) -> str:
    """Return a text without pairs of marks around all of it."""
    while len(text) > 2 and _AROUND.get(text[0]) == text[-1]:
        text = text[1:-1].strip()
    return text
