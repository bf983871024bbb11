"""Conversations as tokens: the scaffold of a chat template, and the texts of the messages between its pieces.

Scaffold and texts are tokenized separately. In the scaffold a control token is a control token; in a text it is plain
text, so that an excerpt that contains ``<|im_end|>`` cannot end a turn. A text is tokenized cell by cell; a cell ends
after each tab. So a slot after a tab is at the end of a token in every tokenizer, and the tokens before it do not
depend on the slots before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from jinja2 import TemplateError

from harness.types import HIGHEST_LEVEL, Message, NeuroglossError, SlottedPrompt

MOST_LEVELS = HIGHEST_LEVEL + 1

_ANCHORS = ("\n", "|", "0")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt as token ids, and the positions after which a level is read (none for a completion)."""

    ids: list[int]
    slots: list[int]


class Renderer:
    """A renderer of conversations for one tokenizer.

    Args:
        tokenizer: a tokenizer of transformers.
        name: the model's name, for error messages.
        chat: whether to use the tokenizer's chat template, if it has one.
    """

    def __init__(self, tokenizer: Any, name: str, chat: bool = True) -> None:
        self.tokenizer = tokenizer
        self._name = name
        self._templated = chat and bool(getattr(tokenizer, "chat_template", None))
        self._scaffold = lru_cache(maxsize=1024)(self._new_scaffold)
        self._takes = lru_cache(maxsize=1024)(self._takes_roles)
        self._encoded = lru_cache(maxsize=1 << 16)(self._encode)

    def completion(self, messages: Sequence[Message]) -> Rendered:
        """Return a conversation up to the beginning of the assistant's turn."""
        return Rendered(self._opening(messages), [])

    def slotted(self, prompt: SlottedPrompt) -> Rendered:
        """Return a conversation with the assistant's turn up to its last slot."""
        ids, slots, placeholder = self._opening(prompt.messages), [], ""
        for text in prompt.parts:
            ids += self._text(placeholder + text)
            slots.append(len(ids) - 1)
            placeholder = prompt.placeholder
        return Rendered(ids, slots)

    @cached_property
    def level_tokens(self) -> tuple[int, ...]:
        """The token id of each level, as it is tokenized after other text [10 or 11].

        There are 11 if the tokenizer writes each of 0..10 as one token, else 10, for 0..9.

        Raises:
            NeuroglossError: the tokenizer does not write each digit as one token.
        """
        encoded = [self._text(str(level)) for level in range(MOST_LEVELS)]
        levels = MOST_LEVELS if len(encoded[-1]) == 1 else MOST_LEVELS - 1
        tokens = tuple(ids[0] for ids in encoded[:levels] if len(ids) == 1)
        if len(set(tokens)) != levels:
            raise NeuroglossError(
                f"the tokenizer of {self._name} does not write each digit as one token, so no level can be read from "
                "one position; choose another model for the simulator."
            )
        return tokens

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of a reply, without control tokens."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def _opening(self, messages: Sequence[Message]) -> list[int]:
        messages = self._taken(messages)
        pieces = self._scaffold(tuple(message.role for message in messages))
        ids = list(pieces[0])
        for message, piece in zip(messages, pieces[1:], strict=True):
            ids += self._text(message.content)
            ids += piece
        return ids

    def _taken(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return a conversation as the chat template takes it: one without a system role gets the system's text at the
        head of the first user turn, as llama.cpp does."""
        is_system_first = [message.role for message in messages[:2]] == ["system", "user"]
        if not is_system_first or self._takes(tuple(message.role for message in messages)):
            return messages
        system, user, *others = messages
        return [Message("user", f"{system.content}\n\n{user.content}"), *others]

    def _text(self, text: str) -> list[int]:
        return [token for cell in re.findall(r"[^\t]*\t|[^\t]+", text) for token in self._encoded(cell, False)]

    # ----------------------------------------------------------------------------------------------------- the scaffold

    def _new_scaffold(self, roles: tuple[str, ...]) -> list[tuple[int, ...]]:
        """Return the tokens before, between and after the texts of a conversation with these roles [messages + 1]."""
        if self._templated:
            start, *pieces = self._template_pieces(roles)
            return [tuple(self._ids(start, True)), *(self._encoded(piece, True) for piece in pieces)]
        ends = ["\n" if role == "user" else "\n\n" for role in roles]
        return [self._start, *(self._encoded(end, False) for end in ends)]

    def _takes_roles(self, roles: tuple[str, ...]) -> bool:
        """Return whether the chat template takes a conversation of these roles; without a template any is taken."""
        if not self._templated:
            return True
        try:
            self._template_pieces(roles)
        except NeuroglossError:
            return False
        return True

    def _template_pieces(self, roles: tuple[str, ...]) -> list[str]:
        """Return the pieces of the chat template around the messages [messages + 1]: it is filled with marks and cut.

        Raises:
            NeuroglossError: the template refuses, omits or repeats a message.
        """
        marks = [f"\ue000{at}\ue001" for at in range(len(roles))]
        messages = [{"role": role, "content": mark} for role, mark in zip(roles, marks, strict=True)]
        try:
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except TemplateError as error:
            raise NeuroglossError(
                f"the chat template of {self._name} refuses a conversation of {', '.join(roles)} ({error}); "
                "set model.chat=false."
            ) from error
        pieces = re.split(r"\ue000(\d+)\ue001", text)
        if pieces[1::2] != [str(at) for at in range(len(roles))]:
            raise NeuroglossError(
                f"the chat template of {self._name} leaves out or repeats a message of {', '.join(roles)}; "
                "set model.chat=false."
            )
        return pieces[::2]

    @cached_property
    def _start(self) -> tuple[int, ...]:
        """The token ids that the tokenizer puts before any text: its start token, or none."""
        start = self.tokenizer.bos_token_id
        return (start,) if start is not None and self.tokenizer("0")["input_ids"][:1] == [start] else ()

    # ----------------------------------------------------------------------------------------------------------- tokens

    def _encode(self, text: str, control: bool) -> tuple[int, ...]:
        """Return the tokens of text that follows other text; only with ``control`` may it contain control tokens.

        Raises:
            NeuroglossError: the text joins with every tried text before it into one token.
        """
        if not self._marks_beginnings:
            return tuple(self._ids(text, control))
        for anchor in _ANCHORS:
            anchor_ids, joined_ids = self._ids(anchor, control), self._ids(anchor + text, control)
            if joined_ids[: len(anchor_ids)] == anchor_ids:
                return tuple(joined_ids[len(anchor_ids) :])
        raise NeuroglossError(f"the tokenizer of {self._name} cannot continue a text with {text[:40]!r}.")

    @cached_property
    def _marks_beginnings(self) -> bool:
        """True if the tokenizer encodes text at the beginning in another way than after other text (SentencePiece)."""
        alone, continued = self._ids("0", False), self._ids("|0", False)
        return continued[-len(alone) :] != alone

    def _ids(self, text: str, control: bool) -> list[int]:
        valid = text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate cannot be encoded
        encoding = self.tokenizer(valid, add_special_tokens=False, split_special_tokens=not control)
        return list(encoding["input_ids"])
