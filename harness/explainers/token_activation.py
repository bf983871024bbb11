"""A language model shown the tokens of the train excerpts, each with its level (Bills et al., 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.explainers.cleaning import explanation_of
from harness.explainers.levels import repeated, shown
from harness.models.prompts import Prompt, load
from harness.types import Completion, CompletionPrompt, Evidence, Explanation, LanguageModel, Role

PROMPTS = Path(__file__).parent / "prompts"


@dataclass(eq=False)
class TokenActivation:
    """Asks ``model`` what a neuron fires on.

    Attributes:
        model: the language model that explains.
        prompt: the name of a prompt file in this room.
        max_tokens: limit of a reply.
        temperature: 0 takes the likeliest token each time.
        seed: of the sampling, where the temperature is above 0.
    """

    model: LanguageModel
    prompt: str = "token_activation-v1"
    max_tokens: int = 40
    temperature: float = 0.0
    seed: int = 0
    role: Role = field(default=Role.EXPLAINER, init=False)

    def __post_init__(self) -> None:
        self._prompt: Prompt = load(PROMPTS, self.prompt)
        self._lead_in = self._prompt.render("lead_in", {})

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        """One explanation for each neuron, in order; what became of each reply is its outcome."""
        replies = self.model.complete([self.request(known) for known in evidence])
        return [self._explanation(known, reply) for known, reply in zip(evidence, replies, strict=True)]

    def request(self, evidence: Evidence) -> CompletionPrompt:
        """What the model is asked about one neuron."""
        excerpts = shown(evidence.excerpts)
        return CompletionPrompt(
            messages=self._prompt.messages(
                {"excerpts": excerpts, "repeated": repeated(excerpts), "lead_in": self._lead_in}
            ),
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            seed=self.seed,
            prompt_version=self._prompt.version,
        )

    def _explanation(self, evidence: Evidence, reply: Completion) -> Explanation:
        text, outcome = explanation_of(reply, self._lead_in)
        return Explanation(
            neuron=evidence.neuron,
            explainer="",
            text=text,
            outcome=outcome,
            prompt_version=self._prompt.version,
            usage=reply.usage,
        )
