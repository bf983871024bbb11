"""Collection finds what was planted: a neuron that fires on known tokens and nowhere else."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from harness import weights
from harness.subjects.collect import Collection, CollectionSettings, collect
from harness.subjects.corpora import Document, TextModel
from harness.subjects.neurons import Listed, Stratified
from harness.subjects.transformers_subject import TransformersSubject
from harness.types import ExcerptKind, NeuroglossError, NeuronId, Progress

PLANTED, SILENT = NeuronId(0, 5), NeuronId(0, 6)
FIRES_ON = (40, 41, 42)
SETTINGS = CollectionSettings(excerpt_tokens=8, leading=1, top=8, random=6, minimum_token_count=2, batch_size=5)


class Documents:
    """A corpus of random token ids, in which the planted tokens are rare."""

    def __init__(self, number: int = 40, length: int = 30, seed: int = 0, backwards: bool = False) -> None:
        generator = np.random.default_rng(seed)
        common = [one for one in range(3, 200) if one not in FIRES_ON]
        made = generator.choice(common, (number, length))
        places = generator.random((number, length)) < 0.03
        made[places] = generator.choice(FIRES_ON, places.sum())
        found = [Document(f"d{row}", tuple(map(int, made[row]))) for row in range(number)]
        self.made = found[::-1] if backwards else found

    def documents(self, model: TextModel, progress: Progress) -> Iterator[Document]:
        return iter(self.made)


@pytest.fixture(scope="module")
def planted(tiny_gpt2: Path) -> TransformersSubject:
    """GPT-2 whose first layer sees embeddings alone; one neuron of it fires on ``FIRES_ON``, and one never."""
    loaded = weights.load(str(tiny_gpt2))
    transformer = loaded.model.transformer
    generator = torch.Generator().manual_seed(0)
    transformer.wte.weight.copy_(torch.randn(transformer.wte.weight.shape, generator=generator) * 0.1)
    transformer.wte.weight[:, 0] = -1.0
    transformer.wte.weight[list(FIRES_ON), 0] = torch.tensor([2.0, 3.0, 4.0])
    transformer.wpe.weight.zero_()
    block = transformer.h[0]
    block.attn.c_proj.weight.zero_()
    block.attn.c_proj.bias.zero_()
    block.mlp.c_fc.weight[:, [PLANTED.index, SILENT.index]] = 0.0
    block.mlp.c_fc.weight[0, PLANTED.index] = 5.0
    block.mlp.c_fc.bias[SILENT.index] = -1.0
    subject = TransformersSubject(str(tiny_gpt2), batch_size=4)
    subject.__dict__["_loaded"] = loaded
    return subject


def collected(subject: TransformersSubject, corpus: Documents, ids: Sequence[NeuronId] = (PLANTED,)) -> Collection:
    return collect(subject, corpus, Listed([str(one) for one in ids]), SETTINGS)


def test_the_planted_neuron_is_read_from_its_tokens(planted: TransformersSubject) -> None:
    (record,) = collected(planted, Documents()).records
    assert record.neuron == PLANTED
    for excerpt in record.top + record.random:
        fires = [token in FIRES_ON for token in excerpt.token_ids]
        assert [value > 0.1 for value in excerpt.activations] == fires
    assert all(excerpt.maximum > 0.1 for excerpt in record.top)
    means = record.token_sums.means()
    assert set(list(means)[:3]) == {planted.token_text(token) for token in FIRES_ON}
    assert record.moments.fraction_active == pytest.approx(0.03, abs=0.02)


def test_top_and_random_are_what_they_say(planted: TransformersSubject) -> None:
    found = collected(planted, Documents())
    (record,) = found.records
    assert [len(record.top), len(record.random)] == [8, 6]
    assert found.excerpts == 40 * (30 // 8)
    maxima = [excerpt.maximum for excerpt in record.top]
    assert maxima == sorted(maxima, reverse=True)
    assert min(maxima) >= max(excerpt.maximum for excerpt in record.random)
    assert len({excerpt.digest for excerpt in record.top + record.random}) == 14
    assert {excerpt.weight for excerpt in record.top} == {1.0}
    assert {excerpt.weight for excerpt in record.random} == {(found.excerpts - 8) / 6}
    assert {excerpt.kind for excerpt in record.random} == {ExcerptKind.RANDOM}
    assert {excerpt.leading for excerpt in record.top + record.random} == {1}


def test_an_excerpt_stands_where_it_says(planted: TransformersSubject) -> None:
    corpus = Documents()
    (record,) = collected(planted, corpus).records
    texts = {document.source: document.token_ids for document in corpus.made}
    for excerpt in record.top + record.random:
        name, first = excerpt.source.split(":")
        assert texts[name][int(first) : int(first) + 8] == excerpt.token_ids
        assert excerpt.tokens == tuple(map(planted.token_text, excerpt.token_ids))
        np.testing.assert_allclose(
            excerpt.activations, planted.activations(PLANTED, [excerpt.token_ids])[0], rtol=1e-4, atol=1e-5
        )


def test_the_order_of_the_corpus_does_not_matter(planted: TransformersSubject) -> None:
    ids = [PLANTED, NeuronId(2, 1)]
    there, back = (collected(planted, Documents(backwards=way), ids) for way in (False, True))
    for one, other in zip(there.records, back.records, strict=True):
        assert [excerpt.source for excerpt in one.top] == [excerpt.source for excerpt in other.top]
        assert [excerpt.source for excerpt in one.random] == [excerpt.source for excerpt in other.random]
        assert one.token_sums.tokens == other.token_sums.tokens
        np.testing.assert_allclose(one.token_sums.sums, other.token_sums.sums, atol=1e-4)


def test_sums_by_token_are_shared_and_leave_out_what_is_rare(planted: TransformersSubject) -> None:
    found = collected(planted, Documents(), [PLANTED, NeuronId(2, 1)])
    first, second = (record.token_sums for record in found.records)
    assert first.tokens is second.tokens
    assert first.counts is second.counts
    assert first.counts.min() >= 2
    assert len(first.tokens) <= found.distinct_tokens
    assert list(first.tokens) == sorted(set(first.tokens))


def test_tokens_of_one_text_are_one_token(planted: TransformersSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planted, "token_text", lambda token: "�" if token in FIRES_ON else str(token))
    (record,) = collected(planted, Documents()).records
    place = record.token_sums.tokens.index("�")
    planted_positions = sum(
        token in FIRES_ON
        for document in Documents().made
        for first in range(0, 24, 8)
        for token in document.token_ids[first + 1 : first + 8]
    )
    assert record.token_sums.counts[place] == planted_positions


def test_a_silent_neuron_gives_way_and_is_counted(planted: TransformersSubject) -> None:
    silent = CandidatesOf([(SILENT, PLANTED)])
    found = collect(planted, Documents(), silent, SETTINGS)
    assert [record.neuron for record in found.records] == [PLANTED]
    assert found.rejected == (SILENT,)
    with pytest.raises(NeuroglossError, match=r"layer 0 .* fire on enough excerpts"):
        collected(planted, Documents(), [SILENT])


class CandidatesOf:
    """One neuron wanted of each group given."""

    def __init__(self, groups: list[tuple[NeuronId, ...]]) -> None:
        self.groups = groups

    def candidates(self, shape: tuple[int, int]) -> list[object]:
        from harness.subjects.neurons import Candidates

        return [Candidates(1, group) for group in self.groups]


def test_a_corpus_that_is_too_small_is_refused(planted: TransformersSubject) -> None:
    with pytest.raises(NeuroglossError, match=r"gives 9 distinct excerpts of 8 tokens.*8 top and 6 random"):
        collected(planted, Documents(number=3))
    with pytest.raises(NeuroglossError, match="gives 0 distinct excerpts"):
        collected(planted, Documents(length=7))


def test_no_more_excerpts_are_read_than_asked_for(planted: TransformersSubject) -> None:
    told: list[tuple[str, int, int]] = []
    settings = dataclasses.replace(SETTINGS, excerpts=33)
    found = collect(planted, Documents(), Listed([str(PLANTED)]), settings, lambda *one: told.append(one))
    assert found.excerpts == 33
    assert told[0] == ("reading activations", 5, 33)
    assert told[-1] == ("reading activations", 33, 33)


def test_every_family_is_collected(subject: TransformersSubject) -> None:
    found = collect(subject, Documents(), Stratified(2, 2, seed=3), SETTINGS)
    assert [record.neuron.layer for record in found.records] == [0, 0, 1, 1, 2, 2]
    assert found.subject == subject.identity


@pytest.mark.parametrize("wrong", [{"leading": 8}, {"leading": -1}, {"top": 0}, {"random": 0}, {"batch_size": 0}])
def test_settings_without_meaning_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(NeuroglossError, match=r"collect\.(leading|top)"):
        dataclasses.replace(SETTINGS, **wrong)
