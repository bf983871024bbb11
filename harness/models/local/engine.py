"""A causal language model of transformers, run over token trees: every shared prefix is computed once.

A trial decides if a model's attention can be replaced (:mod:`harness.models.local.attention`): a few short sequences
are computed in both ways. If the results differ, every sequence is computed alone and in full by the model's own code.
So is a sequence that is longer than the model's attention window.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, pairwise
from typing import Any, Protocol

import numpy as np
import torch

from harness.models.local import attention, tree
from harness.models.local.attention import DecodePass, KeysAndValues, KeyValueCache, Pass, TreePass, Unsupported
from harness.models.local.tree import Pack, TokenTree
from harness.types import NeuroglossError

Ids = Sequence[int]
Scores = tuple[torch.Tensor, torch.Tensor]
"""Logits of requested tokens [places, tokens] and the log-sum-exp over the whole vocabulary [places], float32."""

_ROWS = 256  # hidden states unembedded at a time: with a vocabulary of 50,000, 25 MB of logits in bfloat16
_SMALLEST = 64  # tokens in a pass; if even these exceed memory, the weights themselves are too large
_CACHE_BYTES = 1 << 29  # keys and values of sequences that are continued together


class Decoder(Protocol):
    """A batch of sequences that are continued together, token by token."""

    logits: torch.Tensor
    """Logits of the next token of each sequence [sequences, vocabulary], float32."""

    def step(self, tokens: Ids) -> None:
        """Append one token to each sequence and compute the next logits."""
        ...

    def keep(self, rows: Ids) -> None:
        """Continue only the sequences with these row numbers."""
        ...


class Engine:
    """Runs a model over many sequences.

    Args:
        model: a causal language model of transformers, in evaluation mode; its attention is replaced.
        pack_tokens: number of tokens in one pass through the model; halved whenever memory runs out.
        group_tokens: number of these tokens whose attention is computed together.

    Attributes:
        computed: number of tokens that the model has computed so far.
        shares: whether shared prefixes are computed once.
    """

    def __init__(self, model: Any, pack_tokens: int = 1024, group_tokens: int = 128) -> None:
        self.model = model
        self.pack_tokens = pack_tokens
        self.group_tokens = group_tokens
        self.computed = 0
        self.device: torch.device = model.device
        self.dtype: torch.dtype = model.dtype
        self._own_attention: str = model.config._attn_implementation  # transformers has no public name for it
        self._window = _window(model.config)
        self._head = model.get_output_embeddings()
        self.shares = self._sharing_is_exact()
        self.computed = 0

    @property
    def context(self) -> int:
        """The largest number of tokens in a sequence; 2^30 if the model states no limit."""
        return int(getattr(self.model.config, "max_position_embeddings", None) or 1 << 30)

    def read(self, sequences: Sequence[Ids], places: Sequence[Ids], tokens: Ids) -> Iterator[tuple[int, Scores]]:
        """Yield next-token scores at requested places of each sequence.

        Args:
            sequences: token ids [sequences][tokens], none empty.
            places: for each sequence the positions after which the next token is scored.
            tokens: ids of the tokens whose logits are returned.

        Yields:
            (index of a sequence, its scores), as soon as they are computed, in any order.
        """
        alone = [index for index, ids in enumerate(sequences) if not self._can_share(len(ids))]
        together = [index for index, ids in enumerate(sequences) if self._can_share(len(ids))]
        for index in alone:
            yield index, self.read_alone(sequences[index], places[index], tokens)
        while together:
            token_tree = tree.build([sequences[i] for i in together], [places[i] for i in together])
            finished = set()
            try:
                for index, scores in self._read_tree(token_tree, tokens):
                    yield together[index], scores
                    finished.add(index)
            except RuntimeError as error:
                self.halve(error)
            together = [index for place, index in enumerate(together) if place not in finished]

    def halve(self, error: RuntimeError) -> None:
        """Halve the number of tokens in a pass if ``error`` says that memory ran out; raise any other ``error`` again.

        Raises:
            NeuroglossError: memory ran out although the passes are small already.
        """
        if not out_of_memory(error):
            raise error
        if self.pack_tokens < 2 * _SMALLEST:
            raise NeuroglossError(
                f"{self.device} has too little memory for this model, even with {self.pack_tokens} tokens in a pass; "
                "choose a smaller model, a smaller model.dtype or another model.device."
            ) from error
        self.pack_tokens //= 2

    @torch.inference_mode()
    def read_alone(self, ids: Ids, places: Ids, tokens: Ids) -> Scores:
        """Return the scores of one sequence, computed by the model's own code: the reference for :meth:`read`."""
        self._use(self._own_attention)
        self.computed += len(ids)
        positions = torch.tensor(places, device=self.device)
        sequence = torch.tensor([ids], device=self.device)
        if "logits_to_keep" in inspect.signature(self.model.forward).parameters:
            logits = self.model(input_ids=sequence, use_cache=False, logits_to_keep=positions).logits[0]
        else:
            logits = self.model(input_ids=sequence, use_cache=False).logits[0, positions]
        return logits[:, list(tokens)].float().cpu(), logits.float().logsumexp(-1).cpu()

    @torch.inference_mode()
    def run_alone(self, ids: Ids, cache: Any) -> Any:
        """Return the output of the model's own code for the next tokens of one sequence, whose past is in ``cache``."""
        self._use(self._own_attention)
        self.computed += len(ids)
        return self.model(input_ids=torch.tensor([ids], device=self.device), past_key_values=cache, use_cache=True)

    def batches(self, sequences: Sequence[Ids], room: int) -> list[list[int]]:
        """Return indices of sequences to continue together by up to ``room`` tokens [batches][sequences].

        The sequences of a batch have similar lengths, and their keys and values fit a fixed amount of memory.
        """
        order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
        batches: list[list[int]] = []
        for index in order:
            tokens = (len(batches[-1]) + 1) * (len(sequences[index]) + room) if batches else 0
            if not batches or not self.shares or tokens * self._bytes_per_token > _CACHE_BYTES:
                batches.append([])
            batches[-1].append(index)
        return batches

    def start(self, sequences: Sequence[Ids], room: int) -> Decoder:
        """Return a decoder that continues the sequences of one batch by up to ``room`` tokens each."""
        if len(sequences) == 1 and not self._can_share(len(sequences[0]) + room):
            return _Alone(self, sequences[0])
        return _Together(self, sequences, room)

    # --------------------------------------------------------------------------------------------------------- one pass

    @torch.inference_mode()
    def run(self, tokens: torch.Tensor, positions: torch.Tensor, one_pass: Pass) -> torch.Tensor:
        """Return the last hidden states [batch, tokens, hidden] of one pass over new tokens [batch, tokens]."""
        self._use(attention.NAME)
        self.computed += tokens.numel()
        output = self.model.base_model(
            input_ids=tokens,
            position_ids=positions,
            attention_mask=torch.zeros(1, 1, 1, 1, device=self.device),  # transformers keeps a 4-d mask
            use_cache=False,
            **{attention.KEYWORD: one_pass},
        )
        return output.last_hidden_state  # type: ignore[no-any-return]

    @torch.inference_mode()
    def unembed(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return logits [places, vocabulary] of hidden states [places, hidden], in the model's precision."""
        return self._head(hidden)  # type: ignore[no-any-return]

    def passes(
        self, token_tree: TokenTree, sinks: Callable[[Pack], list[tuple[torch.Tensor, attention.Sink]]] | None = None
    ) -> Iterator[tuple[Pack, torch.Tensor]]:
        """Compute a tree pack by pack.

        Args:
            token_tree: the tree to compute.
            sinks: returns for a pack the places whose keys and values are handed on, each with its receiver.

        Yields:
            (pack, its last hidden states [nodes, hidden]).
        """
        path: dict[int, KeysAndValues] = {}
        all_packs = tree.packs(token_tree, self.pack_tokens, self.group_tokens)
        for pack, following in pairwise(chain(all_packs, [None])):
            assert pack is not None
            next_path: dict[int, KeysAndValues] = {}
            pack_sinks = list(sinks(pack)) if sinks else []
            if following is not None and len(following.path):
                pack_sinks.append((self.tensor(pack.place(following.path)), _into(next_path)))
            one_pass = TreePass(pack, path, pack_sinks, self.device, self.dtype)
            nodes = slice(pack.start, pack.stop)
            hidden = self.run(
                self.tensor(token_tree.tokens[None, nodes]), self.tensor(token_tree.depth[None, nodes]), one_pass
            )
            yield pack, hidden[0]
            path = next_path

    def tensor(self, values: tree.IntArray) -> torch.Tensor:
        """Return integers as a tensor on the model's device."""
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def _read_tree(self, token_tree: TokenTree, tokens: Ids) -> Iterator[tuple[int, Scores]]:
        bounds = np.cumsum([0, *map(len, token_tree.marks)])
        nodes = np.concatenate(token_tree.marks)
        order, by_end = np.argsort(nodes, kind="stable"), np.argsort(token_tree.ends, kind="stable")
        logits, totals = torch.empty(len(nodes), len(tokens)), torch.empty(len(nodes))
        for pack, hidden in self.passes(token_tree):
            in_pack = order[np.searchsorted(nodes[order], pack.start) : np.searchsorted(nodes[order], pack.stop)]
            for chunk in np.array_split(in_pack, -(-len(in_pack) // _ROWS) or 1):
                places = torch.from_numpy(chunk)
                logits[places], totals[places] = self._scores(hidden[self.tensor(nodes[chunk] - pack.start)], tokens)
            ends = token_tree.ends[by_end]
            for index in by_end[np.searchsorted(ends, pack.start) : np.searchsorted(ends, pack.stop)]:
                rows = slice(bounds[index], bounds[index + 1])
                yield int(index), (logits[rows].clone(), totals[rows].clone())

    @torch.inference_mode()
    def _scores(self, hidden: torch.Tensor, tokens: Ids) -> Scores:
        """Return the scores of hidden states [places, hidden].

        Logits of the requested tokens are computed in float32: bfloat16 rounds them by up to 1/8, which would change
        probabilities by several percent. The sum over the other tokens tolerates this rounding.
        """
        columns = list(tokens)
        other_logits = self.unembed(hidden)
        other_logits[:, columns] = -torch.inf
        weight = self._head.weight[columns].float()
        logits = (hidden.float()[:, None] * weight).sum(-1)
        if getattr(self._head, "bias", None) is not None:
            logits += self._head.bias[columns].float()
        totals = torch.logaddexp(other_logits.float().logsumexp(-1), logits.logsumexp(-1))
        return logits.cpu(), totals.cpu()

    # -------------------------------------------------------------------------------------------- what the model allows

    def _can_share(self, length: int) -> bool:
        return self.shares and length <= self._window

    def _use(self, implementation: str) -> None:
        if self.model.config._attn_implementation != implementation:
            self.model.set_attn_implementation(implementation)

    @property
    def _bytes_per_token(self) -> int:
        config = self.model.config
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return int(2 * config.num_hidden_layers * heads * size * self.dtype.itemsize)

    def _sharing_is_exact(self) -> bool:
        """Return whether a small tree, cut into several packs and groups, gives the scores of each sequence alone."""
        vocabulary = int(self.model.config.vocab_size)
        ids = np.random.default_rng(0).integers(vocabulary, size=40).tolist()
        sequences = [ids[:16], [*ids[:10], *ids[20:26]], [*ids[:10], *ids[20:23], *ids[30:36]]]
        places, tokens = [[4, 15], [12, 15], [15, 18]], range(min(64, vocabulary))
        pack, group = self.pack_tokens, self.group_tokens
        self.pack_tokens, self.group_tokens = 11, 5
        self.shares, self._window, window = True, 1 << 30, self._window
        try:
            shared = dict(self.read(sequences, places, tokens))
        except (Unsupported, RuntimeError, TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
            warnings.warn(_slow(self.model, f"{type(error).__name__}: {error}"), stacklevel=2)
            return False
        finally:
            self.pack_tokens, self.group_tokens, self._window = pack, group, window
        alone = [self.read_alone(ids, at, tokens) for ids, at in zip(sequences, places, strict=True)]
        gap = max(_difference(shared[index], scores) for index, scores in enumerate(alone))
        if exact := gap < (1e-3 if self.dtype == torch.float32 else 0.1):
            return exact
        warnings.warn(_slow(self.model, f"its log-probabilities differ by {gap:.2g} of their spread"), stacklevel=2)
        return False


class _Together:
    """A :class:`Decoder` that computes shared prefixes of its sequences once.

    A single sequence is duplicated: a matrix product of one row is summed in another order than one of several rows.
    """

    def __init__(self, engine: Engine, sequences: Sequence[Ids], room: int) -> None:
        self._twin = len(sequences) == 1
        sequences = [*sequences, *sequences] if self._twin else sequences
        self.logits = torch.empty(0)
        self._engine = engine
        self._cache = KeyValueCache([len(ids) for ids in sequences], room, engine.device)
        token_tree = tree.build(sequences)
        last_states: dict[int, torch.Tensor] = {}

        def sinks(pack: Pack) -> list[tuple[torch.Tensor, attention.Sink]]:
            rows = np.flatnonzero((token_tree.ends >= pack.start) & (token_tree.ends < pack.stop))
            paths = [token_tree.path(int(token_tree.ends[row])) for row in rows]
            return [
                (engine.tensor(pack.place(path)), self._cache.row(int(row)))
                for row, path in zip(rows, paths, strict=True)
            ]

        for pack, hidden in engine.passes(token_tree, sinks):
            rows = np.flatnonzero((token_tree.ends >= pack.start) & (token_tree.ends < pack.stop))
            last_states |= {int(row): hidden[int(token_tree.ends[row]) - pack.start] for row in rows}
        self._unembed(torch.stack([last_states[row] for row in range(len(sequences))]))

    def step(self, tokens: Ids) -> None:
        """See :class:`Decoder`."""
        row = [*tokens, *tokens] if self._twin else tokens
        new = torch.tensor(row, device=self._engine.device)[:, None]
        hidden = self._engine.run(new, self._cache.lengths[:, None], DecodePass(self._cache))
        self._cache.lengths = self._cache.lengths + 1
        self._unembed(hidden[:, 0])

    def keep(self, rows: Ids) -> None:
        """See :class:`Decoder`."""
        self._twin = len(rows) == 1
        self._cache.select(torch.tensor([*rows, *rows] if self._twin else rows, device=self._engine.device))
        self.logits = self.logits[list(rows)]

    def _unembed(self, hidden: torch.Tensor) -> None:
        logits = self._engine.unembed(hidden).float().cpu()
        self.logits = logits[:1] if self._twin else logits


class _Alone:
    """A :class:`Decoder` of one sequence that uses the model's own code and cache."""

    def __init__(self, engine: Engine, ids: Ids) -> None:
        self._engine = engine
        self._cache: Any = None
        self._run(ids)

    def step(self, tokens: Ids) -> None:
        """See :class:`Decoder`."""
        self._run(tokens)

    def keep(self, rows: Ids) -> None:
        """Do nothing: the only row stays."""

    def _run(self, ids: Ids) -> None:
        output = self._engine.run_alone(ids, self._cache)
        self._cache = output.past_key_values
        self.logits = output.logits[:, -1].float().cpu()


def out_of_memory(error: RuntimeError) -> bool:
    """Return whether memory ran out: torch has an error class for accelerators, and only a message for the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def _into(layers: dict[int, KeysAndValues]) -> attention.Sink:
    def write(layer: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        layers[layer] = (keys, values)

    return write


def _window(config: Any) -> int:
    """Return the smallest attention window (tokens) that a config names, 2^30 if it names none."""
    windows = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size", "window_size")]
    enabled = getattr(config, "use_sliding_window", True)
    return min((window for window in windows if isinstance(window, int) and enabled), default=1 << 30)


def _difference(first: Scores, second: Scores) -> float:
    """Return the root mean square difference of two log-probability readings over the second's standard deviation."""
    values, reference = (logits - totals[:, None] for logits, totals in (first, second))
    return float((values - reference).square().mean().sqrt() / reference.std())


def _slow(model: Any, why: str) -> str:
    return f"{type(model).__name__} cannot share the beginnings of prompts ({why}); computing each alone is slower."
