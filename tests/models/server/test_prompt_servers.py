"""The same prompts read in this process, and by small servers of ours over the same model, give the same levels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from harness import weights
from harness.models.local.model import LocalModel
from harness.models.server.capabilities import NO_ECHO
from harness.models.server.model import ServerModel
from harness.types import LevelReading, Message, NeuroglossError, SlottedPrompt

TOLERANCE = 1e-5  # float32 sums in another order; servers send log-probabilities as decimal numbers
WORDS = (" The", " harbour", " lay", "\\n", " 10", " é", "☂☂", " boats", ",", " <|im_end|> and")


def slotted(about: str, words: tuple[str, ...], levels: int = 11) -> SlottedPrompt:
    parts = [("\n" if number else "") + word + "\t" for number, word in enumerate(words)]
    worked = (Message("user", "It fires on crates"), Message("assistant", "crates\t10\nand\t0"))
    messages = (Message("system", "Write levels."), *worked, Message("user", f"It fires on {about}"))
    return SlottedPrompt(messages, tuple(parts), "-", levels)


SPACED = {f" {level}" for level in range(11)}
PROMPTS = [slotted("boats", WORDS), slotted("boats and rain", WORDS[2:]), slotted("rain", WORDS[:1])]


class Served:
    """A model behind the replies of an echoing server, and of vLLM; ``most`` is how many likeliest tokens it gives."""

    def __init__(self, folder: Path, most: int) -> None:
        self.loaded = weights.load(str(folder), dtype="float32")
        self.tokenizer, self.most = weights.load_tokenizer(str(folder)), most

    def scores(self, ids: list[int]) -> torch.Tensor:
        """Log-probabilities of each token but the first, given those before it [tokens - 1, vocabulary]."""
        with torch.inference_mode():
            return self.loaded.model(input_ids=torch.tensor([ids])).logits[0, :-1].double().log_softmax(-1)

    def likeliest(self, ids: list[int]) -> list[dict[int, float]]:
        """For each token but the first: itself, then the likeliest ones.

        Levels with a space before them are left out: those are added on servers, and not read in this process.
        """
        rows = self.scores(ids).clone()
        spaced = [token for token in range(rows.shape[-1]) if self.word(token) in SPACED]
        rows[:, spaced] = -9999.0
        tops = rows.topk(min(self.most, rows.shape[-1]), -1).indices.tolist()
        return [
            {token: float(row[token]) for token in (own, *top)}
            for own, row, top in zip(ids[1:], rows, tops, strict=True)
        ]

    def word(self, token: int) -> str:
        return str(self.tokenizer.decode([token]))

    def echo(self, body: dict[str, Any]) -> dict[str, Any]:
        ids = [*self.tokenizer(body["prompt"], split_special_tokens=True)["input_ids"], 40]
        rows = self.likeliest(ids)
        tops = [{self.word(token): value for token, value in row.items()} for row in rows]
        own = [row[token] for token, row in zip(ids[1:], rows, strict=True)]
        tokens = [self.word(token) for token in ids]
        logprobs = {"tokens": tokens, "token_logprobs": [None, *own], "top_logprobs": [None, *tops]}
        choice = {"text": self.tokenizer.decode(ids), "finish_reason": "length", "logprobs": logprobs}
        return {"model": "tiny", "choices": [choice], "usage": {"prompt_tokens": len(ids) - 1, "completion_tokens": 1}}

    def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        assert (body["add_generation_prompt"], body["continue_final_message"]) == (False, True)
        *before, last = body["messages"]
        opening = self.tokenizer.apply_chat_template(before, tokenize=False, add_generation_prompt=True)
        text = opening + last["content"]
        rows = self.likeliest(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        named = [
            {
                str(token): {"logprob": value, "rank": 1, "decoded_token": self.word(token)}
                for token, value in row.items()
            }
            for row in rows
        ]
        message = {"role": "assistant", "content": "x"}
        choice = {"index": 0, "message": message, "finish_reason": "length", "logprobs": None}
        return {"model": "tiny", "choices": [choice], "prompt_logprobs": [None, *named]}


def read(folder: Path, url: str, api: str, prompts: list[SlottedPrompt]) -> list[tuple[LevelReading, LevelReading]]:
    """Each prompt as it is read in this process and from the server."""
    local = LocalModel(str(folder), dtype="float32", chat=api == "chat")
    server = ServerModel("tiny", base_url=url, api=api, transport="prompt", top_logprobs=512)
    assert local.levels() == server.levels() == 11
    here, there = dict(local.read_levels(prompts)), dict(server.read_levels(prompts))
    return [(here[index], there[index]) for index in range(len(prompts))]


@pytest.mark.slow
@pytest.mark.parametrize("api", ["completions", "chat"])
def test_a_server_over_the_same_model_reads_the_same_levels(
    loopback: Any, act: Any, tiny_llama: Path, api: str
) -> None:
    served = Served(tiny_llama, most=512)
    loopback.script = lambda path, body: act(served.echo(body) if path == "/completions" else served.chat(body))
    # in this process an excerpt cannot end a turn; on a server with a template nothing hinders it
    prompts = PROMPTS if api == "completions" else [slotted("boats", WORDS[:-1]), *PROMPTS[2:]]
    for here, there in read(tiny_llama, loopback.url, api, prompts):
        assert there.seen == here.seen == (11,) * len(here.seen)
        for slot, probabilities in enumerate(here.probabilities):
            assert there.probabilities[slot] == pytest.approx(probabilities, abs=TOLERANCE)
        assert there.mass == pytest.approx(here.mass, abs=TOLERANCE)
    assert {path for path, _ in loopback.asked} == {"/completions" if api == "completions" else "/chat/completions"}


@pytest.mark.slow
def test_levels_that_are_not_among_the_likeliest_are_not_seen(loopback: Any, act: Any, tiny_llama: Path) -> None:
    served = Served(tiny_llama, most=5)
    loopback.script = lambda path, body: act(served.chat(body))
    server = ServerModel("tiny", base_url=loopback.url, transport="prompt", top_logprobs=5)
    server._capabilities = Known
    ((_, few),) = server.read_levels([PROMPTS[0]])
    served.most = 512
    ((_, all_of_them),) = server.read_levels([PROMPTS[0]])
    assert max(few.seen) <= 5 < min(all_of_them.seen)
    assert all(mass <= whole + 1e-9 for mass, whole in zip(few.mass, all_of_them.mass, strict=True))


class Known:
    """What a probe would have found."""

    levels, problem = 11, ""


def _silent(served: Served, body: dict[str, Any]) -> dict[str, Any]:
    return served.chat(body) | {"prompt_logprobs": None}


def _short(served: Served, body: dict[str, Any]) -> dict[str, Any]:
    whole = served.chat(body)
    return whole | {"prompt_logprobs": whole["prompt_logprobs"][:-1]}


@pytest.mark.parametrize("reply", [_silent, _short])
def test_a_server_that_ignores_prompt_logprobs_is_found_out(
    loopback: Any, act: Any, tiny_llama: Path, reply: Callable[[Served, dict[str, Any]], dict[str, Any]]
) -> None:
    served = Served(tiny_llama, most=20)
    loopback.script = lambda path, body: act(reply(served, body))
    with pytest.raises(NeuroglossError, match=f"{NO_ECHO}, or model.api=completions"):
        ServerModel("tiny", base_url=loopback.url, transport="prompt").levels()
