"""The spelling of words, which token ids hide: a tokenizer gives a word as one number, whatever its letters are.

A small language model knows the letters of few tokens. So explanations about letters ("words that end in y", "numbers
of four digits") get an additional input: for each token the characters of its word, up to the end of the token. They
are encoded as single characters, pairs, first and last characters, and their number. Explanations are spelled in the
same way as texts, so that the network can match a letter in both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise

import torch
from torch import nn

_SYMBOLS = 37
"""26 letters, ignoring case, 10 digits, and one symbol for every other character of a word."""
_KINDS = 28
"""Kinds of characters in pairs: as the symbols, with one kind for all digits."""
_ENDS = 3
"""Number of first characters, and of last ones, that are encoded with their position."""
_LONGEST = 16
"""Longest word length that is encoded; a longer word counts as one of this length."""
_READ = 32
"""Number of first characters of a word that are spelled; a hash may be much longer."""
FEATURES = 2 * _SYMBOLS + _KINDS**2 + 2 * _ENDS * _SYMBOLS + _LONGEST + 3


class Spelling(nn.Module):
    """A vector for each token, from the characters of its word up to the token's end; all are initialised to zero.

    Args:
        pieces: the text of each token of the vocabulary.
        hidden: width of the embeddings of the features.
        width: width of the vectors.
    """

    def __init__(self, pieces: Sequence[str], hidden: int, width: int) -> None:
        super().__init__()
        self.pieces = pieces
        self.embedded = nn.Parameter(torch.randn(FEATURES, hidden) / 5)  # a word has about 25 features
        self.out = nn.Parameter(torch.zeros(width, hidden))

    def forward(self, sequences: Sequence[Sequence[int]]) -> torch.Tensor:
        """Return vectors [sequences, longest, width]; 0 if the token ends no word, and past a sequence's end."""
        return self.vectors(spelled(sequences, self.pieces), len(sequences))

    def vectors(self, spellings: Spellings, sequences: int) -> torch.Tensor:
        """Return the vectors [sequences, longest, width] of spellings."""
        device = self.embedded.device
        bags = nn.functional.embedding_bag(
            spellings.features.to(device), self.embedded, spellings.offsets.to(device), mode="sum"
        )
        vectors = nn.functional.linear(nn.functional.gelu(bags), self.out)
        return vectors.view(sequences, -1, self.out.shape[0])


@dataclass(frozen=True, eq=False)
class Spellings:
    """Features of the words of padded sequences, one after the other, and where those of each token begin."""

    features: torch.Tensor
    offsets: torch.Tensor


def spelled(sequences: Sequence[Sequence[int]], pieces: Sequence[str]) -> Spellings:
    """Return the spellings of token ids, each sequence padded to the longest; ``pieces`` are the texts of tokens."""
    longest = max(map(len, sequences))
    padded = [[*_words(tokens, pieces), *[""] * (longest - len(tokens))] for tokens in sequences]
    word_features = [features(word) for words in padded for word in words]
    offsets = [0, *accumulate(map(len, word_features))][:-1]
    return Spellings(
        torch.tensor([feature for group in word_features for feature in group], dtype=torch.long),
        torch.tensor(offsets),
    )


def _words(ids: Sequence[int], pieces: Sequence[str]) -> Iterator[str]:
    """Yield for each token its word up to the token's end; empty if the token ends with no letter or digit."""
    word = ""
    for token_id in ids:
        end = _word_end(pieces[token_id])
        word = (word + end if end == pieces[token_id] else end)[:_READ]
        yield word


@lru_cache(maxsize=2**16)
def _word_end(piece: str) -> str:
    """Return the letters and digits at the end of a piece of text."""
    breaks = [place for place, character in enumerate(piece) if not character.isalnum()]
    return piece[breaks[-1] + 1 :] if breaks else piece


@lru_cache(maxsize=2**16)
def features(word: str) -> tuple[int, ...]:
    """Return the features of a word, as numbers below :data:`FEATURES`; a feature is repeated as often as it occurs."""
    if not word:
        return ()
    symbols = [_symbol(character) for character in word.lower()]
    kinds = [_kind(symbol) for symbol in symbols]
    shape = (word[0].isupper(), word.isupper() and len(word) > 1, any(character.isupper() for character in word[1:]))
    ends = [*symbols[:_ENDS], *[None] * (_ENDS - len(symbols)), *symbols[::-1][:_ENDS]]
    groups: list[tuple[int, list[int]]] = [
        (_SYMBOLS, symbols),
        (_SYMBOLS, sorted({symbol for symbol in symbols if symbols.count(symbol) > 1})),
        (_KINDS**2, [left * _KINDS + right for left, right in pairwise(kinds)]),
        (2 * _ENDS * _SYMBOLS, [place * _SYMBOLS + symbol for place, symbol in enumerate(ends) if symbol is not None]),
        (_LONGEST, [min(len(symbols), _LONGEST) - 1]),
        (3, [number for number, holds in enumerate(shape) if holds]),
    ]
    starts = accumulate((size for size, _ in groups), initial=0)
    return tuple(start + number for start, (_, numbers) in zip(starts, groups, strict=False) for number in numbers)


def _symbol(character: str) -> int:
    if "a" <= character <= "z":
        return ord(character) - ord("a")
    return 26 + int(character) if "0" <= character <= "9" else _SYMBOLS - 1


def _kind(symbol: int) -> int:
    if symbol < 26:
        return symbol
    return 26 if symbol < _SYMBOLS - 1 else 27
