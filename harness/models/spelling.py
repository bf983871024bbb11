"""The spelling of words, which tokens hide: a tokenizer gives a word as one number, whatever its letters are.

A language model has learned the letters of the commonest tokens in passing, and a small one of few. So
explanations that speak of letters ("words that end in y", "numbers of four digits") are read with an input of their
own: of each token the characters of the word that it belongs to, up to the end of the token, as single characters,
pairs, first and last ones, and their number. Explanations are spelled the same way as texts, so that a letter that is
named can be found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise

import torch
from torch import nn

_SYMBOLS = 37
"""26 letters, in any case, 10 digits, and all else that a word is made of."""
_KINDS = 28
"""The same with all digits as one: what pairs are made of."""
_ENDS = 3
"""How many first and how many last characters are known by their place."""
_LONGEST = 16
"""A longer word counts as one of so many characters."""
_READ = 32
"""Characters of a word that are read: what goes on longer (a hash, a chain of letters) is not spelled to its end."""
FEATURES = 2 * _SYMBOLS + _KINDS**2 + 2 * _ENDS * _SYMBOLS + _LONGEST + 3


class Spelling(nn.Module):
    """A vector for each token, of the characters of its word up to the token's end; it begins as zero everywhere.

    Args:
        pieces: the text of each token of the vocabulary.
        hidden: width of the embeddings of what a word is made of.
        width: of the vectors.
    """

    def __init__(self, pieces: Sequence[str], hidden: int, width: int) -> None:
        super().__init__()
        self.pieces = pieces
        self.embedded = nn.Parameter(torch.randn(FEATURES, hidden) / 5)  # a word has about 25 features
        self.out = nn.Parameter(torch.zeros(width, hidden))

    def forward(self, sequences: Sequence[Sequence[int]]) -> torch.Tensor:
        """Vectors [sequences, longest, width]; zero where no word ends, and after a sequence's end."""
        longest = max(map(len, sequences))
        found = [features(word) for one in sequences for word in [*self._words(one), *[""] * (longest - len(one))]]
        first = [0, *accumulate(map(len, found))][:-1]
        device = self.embedded.device
        bags = nn.functional.embedding_bag(
            torch.tensor([feature for some in found for feature in some], dtype=torch.long, device=device),
            self.embedded,
            torch.tensor(first, device=device),
            mode="sum",
        )
        vectors = nn.functional.linear(nn.functional.gelu(bags), self.out)
        return vectors.view(len(sequences), longest, -1)

    def _words(self, ids: Sequence[int]) -> Iterator[str]:
        """Of each token the word that it belongs to, as far as it has been read; empty where the token ends none."""
        word = ""
        for one in ids:
            end = _word_end(self.pieces[one])
            word = (word + end if end == self.pieces[one] else end)[:_READ]
            yield word


@lru_cache(maxsize=2**16)
def _word_end(piece: str) -> str:
    """The letters and digits at the end of a piece of text."""
    breaks = [place for place, one in enumerate(piece) if not one.isalnum()]
    return piece[breaks[-1] + 1 :] if breaks else piece


@lru_cache(maxsize=2**16)
def features(word: str) -> tuple[int, ...]:
    """What a word is made of, as numbers below :data:`FEATURES`; one stands there as often as it occurs."""
    if not word:
        return ()
    symbols = [_symbol(one) for one in word.lower()]
    kinds = [one if one < 26 else 26 if one < _SYMBOLS - 1 else 27 for one in symbols]
    shape = (word[0].isupper(), word.isupper() and len(word) > 1, any(one.isupper() for one in word[1:]))
    ends = [*symbols[:_ENDS], *[None] * (_ENDS - len(symbols)), *symbols[::-1][:_ENDS]]
    groups: list[tuple[int, list[int]]] = [
        (_SYMBOLS, symbols),
        (_SYMBOLS, sorted({one for one in symbols if symbols.count(one) > 1})),
        (_KINDS**2, [one * _KINDS + other for one, other in pairwise(kinds)]),
        (2 * _ENDS * _SYMBOLS, [place * _SYMBOLS + one for place, one in enumerate(ends) if one is not None]),
        (_LONGEST, [min(len(symbols), _LONGEST) - 1]),
        (3, [number for number, holds in enumerate(shape) if holds]),
    ]
    starts = accumulate((size for size, _ in groups), initial=0)
    return tuple(start + one for start, (_, some) in zip(starts, groups, strict=False) for one in some)


def _symbol(character: str) -> int:
    if "a" <= character <= "z":
        return ord(character) - ord("a")
    return 26 + int(character) if "0" <= character <= "9" else _SYMBOLS - 1
