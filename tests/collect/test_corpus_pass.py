"""Collection finds what was planted: a neuron that fires on known tokens and nowhere else."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness import weights
from harness.collect.corpora import Document, TextModel
from harness.collect.corpus_pass import Share, blank, collect, collect_share
from harness.collect.sample import Listed, Stratified
from harness.collect.state import StateFile
from harness.subjects.transformers_subject import TransformersSubject
from harness.tasks.collected import Collection, CollectionSettings
from harness.types import Excerpt, ExcerptKind, NeuroglossError, Progress, Unit

PLANTED, SILENT = Unit("N", 0, 5), Unit("N", 0, 6)
FIRES_ON = (40, 41, 42)
SETTINGS = CollectionSettings(excerpt_tokens=8, leading=1, top=8, random=6, minimum_token_count=2, batch_size=5)


class Documents:
    """A corpus of random token ids, in which the planted tokens are rare."""

    def __init__(
        self, number: int = 40, length: int = 30, seed: int = 0, *, backwards: bool = False, shift: int = 0
    ) -> None:
        generator = np.random.default_rng(seed)
        common = [one for one in range(3, 200) if one not in FIRES_ON]
        made = generator.choice(common, (number, length))
        places = generator.random((number, length)) < 0.03
        made[places] = generator.choice(FIRES_ON, places.sum())
        found = [Document(f"d{row}", tuple(map(int, made[row]))) for row in range(number)]
        self.made = found[::-1] if backwards else found[-shift:] + found[:-shift] if shift else found

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


def collected(subject: TransformersSubject, corpus: Documents, ids: Sequence[Unit] = (PLANTED,)) -> Collection:
    return collect(subject, corpus, Listed([str(one) for one in ids]), SETTINGS)


@pytest.mark.slow
def test_the_planted_neuron_is_read_from_its_tokens(planted: TransformersSubject) -> None:
    (record,) = collected(planted, Documents()).records
    assert record.unit == PLANTED
    for excerpt in record.top + record.random:
        fires = [token in FIRES_ON for token in excerpt.token_ids]
        assert [value > 0.1 for value in excerpt.activations] == fires
    assert all(excerpt.maximum > 0.1 for excerpt in record.top)
    means = record.token_sums.means()
    assert set(list(means)[:3]) == {planted.token_text(token) for token in FIRES_ON}
    assert record.moments.fraction_active == pytest.approx(0.03, abs=0.02)


@pytest.mark.slow
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
    assert record.by_quantile == record.quantile_boundaries == ()


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
    ids = [PLANTED, Unit("N", 2, 1)]
    there, back = (collected(planted, Documents(backwards=way), ids) for way in (False, True))
    for one, other in zip(there.records, back.records, strict=True):
        assert [excerpt.source for excerpt in one.top] == [excerpt.source for excerpt in other.top]
        assert [excerpt.source for excerpt in one.random] == [excerpt.source for excerpt in other.random]
        assert one.token_sums.tokens == other.token_sums.tokens
        np.testing.assert_allclose(one.token_sums.sums, other.token_sums.sums, atol=1e-4)


def test_excerpts_by_quantile_lie_between_their_boundaries(planted: TransformersSubject) -> None:
    settings = dataclasses.replace(SETTINGS, quantile=5)
    found = collect(planted, Documents(), Listed([str(Unit("N", 2, 1))]), settings)
    (record,) = found.records
    assert len(record.by_quantile) == 5
    assert len(record.quantile_boundaries) == 4
    edges = [-np.inf, *record.quantile_boundaries, np.inf]
    for stratum, lower, upper in zip(record.by_quantile, edges[:-1], edges[1:], strict=True):
        assert all(lower <= excerpt.maximum < upper for excerpt in stratum)
        assert {excerpt.kind for excerpt in stratum} <= {ExcerptKind.QUANTILE}
    whole = sum(excerpt.weight for stratum in record.by_quantile for excerpt in stratum)
    assert whole == pytest.approx(found.excerpts)


def test_hard_excerpts_hold_tokens_of_the_neuron_and_leave_it_silent(planted: TransformersSubject) -> None:
    """Of a neuron that sees embeddings alone no token confuses; one above it fires by the text around a token."""
    found = collected(planted, Documents(), [Unit("N", 2, 1)])
    (record,) = found.records
    means = record.token_sums.means(2)

    def hardness(excerpt: Excerpt) -> float:
        return max((means.get(token, -np.inf) for token in excerpt.tokens[1:]), default=-np.inf)

    every = collect(planted, Documents(), Listed(["L2N1"]), dataclasses.replace(SETTINGS, random=found.excerpts - 8))
    maxima = [excerpt.maximum for excerpt in every.records[0].top + every.records[0].random]
    rest = [
        excerpt for excerpt in every.records[0].random if excerpt.source not in {one.source for one in record.random}
    ]
    frequent = sum(record.token_sums.sums) / sum(record.token_sums.counts)
    silent = [
        excerpt
        for excerpt in rest
        if (excerpt.maximum < np.median(maxima) or excerpt.maximum <= 0) and hardness(excerpt) > frequent
    ]
    assert [hardness(excerpt) for excerpt in record.hard] == sorted(map(hardness, silent), reverse=True)[:15]
    assert {excerpt.source for excerpt in record.hard} <= {excerpt.source for excerpt in silent}
    assert {excerpt.kind for excerpt in record.hard} == {ExcerptKind.HARD}
    assert {excerpt.weight for excerpt in record.hard} == {1.0}  # the pool is the whole corpus
    (none,) = collected(planted, Documents()).records
    assert none.hard == ()  # it fires wherever its tokens stand, and no other token is above the mean
    pool = dataclasses.replace(SETTINGS, hard_pool=50, hard=4)
    (record,) = collect(planted, Documents(), Listed(["L2N1"]), pool).records
    assert len(record.hard) == 4
    assert {excerpt.weight for excerpt in record.hard} <= {(found.excerpts - 14) / number for number in range(36, 45)}


class Twice(Documents):
    """A corpus that says everything twice, with another last token."""

    def documents(self, model: TextModel, progress: Progress) -> Iterator[Document]:
        for document in super().documents(model, progress):
            yield document
            yield Document(f"{document.source}-again", (*document.token_ids[:-1], 2))


def runs(excerpt: Excerpt) -> set[tuple[str, ...]]:
    return {excerpt.tokens[start : start + 8] for start in range(len(excerpt.tokens) - 7)}


def test_excerpts_of_a_pool_are_nowhere_nearly_the_same(planted: TransformersSubject) -> None:
    settings = dataclasses.replace(SETTINGS, excerpt_tokens=10, top=6, random=6)
    listed, corpus = Listed(["L2N1"]), Twice(length=30)
    for pool, are_apart in ((0, False), (24, True)):
        (record,) = collect(planted, corpus, listed, dataclasses.replace(settings, top_pool=pool)).records
        excerpts = [*record.top, *record.random]
        assert [len(record.top), len(record.random)] == [6, 6]
        assert len(set().union(*map(runs, excerpts))) == sum(map(len, map(runs, excerpts))) or not are_apart
        assert [excerpt.maximum for excerpt in record.top] == sorted((e.maximum for e in record.top), reverse=True)
        if not pool:
            as_they_are = record
    assert as_they_are.top[0] == record.top[0]
    assert {excerpt.source for excerpt in as_they_are.top} != {excerpt.source for excerpt in record.top}


def test_a_neuron_that_has_too_few_excerpts_apart_gives_way(planted: TransformersSubject) -> None:
    """The planted neuron fires in few documents, and each says everything twice."""
    settings = dataclasses.replace(SETTINGS, top=40, random=1, excerpt_tokens=10)
    corpus, listed = Twice(length=30), Listed([str(PLANTED)])
    assert len(collect(planted, corpus, listed, settings).records) == 1
    with pytest.raises(NeuroglossError, match=r"only 0 of 1 candidates in layer 0 \(L0N5\) fire on enough excerpts"):
        collect(planted, corpus, listed, dataclasses.replace(settings, top_pool=60))


def test_a_pool_smaller_than_what_is_taken_of_it_is_refused() -> None:
    with pytest.raises(NeuroglossError, match=r"^collect\.top_pool is 7 and collect\.top 8; raise collect\.top_pool"):
        dataclasses.replace(SETTINGS, top_pool=7)


def test_more_hard_excerpts_than_the_pool_holds_are_refused() -> None:
    with pytest.raises(
        NeuroglossError, match=r"^collect\.hard is 6 and collect\.hard_pool 5; hard excerpts are sought"
    ):
        CollectionSettings(hard=6, hard_pool=5)


def test_the_share_of_each_side_is_that_of_the_absolute_activation(planted: TransformersSubject) -> None:
    (record,) = collected(planted, Documents(), [Unit("N", 2, 1)]).records
    every = collect(planted, Documents(), Listed(["L2N1"]), dataclasses.replace(SETTINGS, random=112)).records[0]
    values = np.array([value for excerpt in every.top + every.random for value in excerpt.activations[1:]])
    assert record.moments.positive_share == pytest.approx(values.clip(0).sum() / np.abs(values).sum(), rel=1e-5)
    assert 0 < record.moments.positive_share < 1


def test_a_start_token_is_the_first_of_each_excerpt(
    planted: TransformersSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dataclasses.replace(SETTINGS, start_token=True)
    with pytest.raises(NeuroglossError, match=r"has no start token; set collect\.start_token=false"):
        collect(planted, Documents(), Listed([str(PLANTED)]), settings)
    monkeypatch.setattr(type(planted), "start_token", 7)
    (record,) = collect(planted, Documents(), Listed([str(PLANTED)]), settings).records
    assert {excerpt.token_ids[0] for excerpt in record.top + record.random} == {7}
    assert {int(excerpt.source.split(":")[1]) % 7 for excerpt in record.top} == {0}


def test_without_sums_by_token_there_are_none(planted: TransformersSubject) -> None:
    settings = dataclasses.replace(SETTINGS, token_sums=False)
    found = collect(planted, Documents(), Listed([str(PLANTED)]), settings)
    assert (found.distinct_tokens, found.records[0].token_sums.tokens, found.records[0].hard) == (0, (), ())
    assert found.records[0].moments == collected(planted, Documents()).records[0].moments


def test_sums_by_token_are_shared_and_leave_out_what_is_rare(planted: TransformersSubject) -> None:
    found = collected(planted, Documents(), [PLANTED, Unit("N", 2, 1)])
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
    assert [record.unit for record in found.records] == [PLANTED]
    assert found.rejected == (SILENT,)
    with pytest.raises(NeuroglossError, match=r"layer 0 .* fire on enough excerpts"):
        collected(planted, Documents(), [SILENT])


class CandidatesOf:
    """One neuron wanted of each group given."""

    def __init__(self, groups: list[tuple[Unit, ...]]) -> None:
        self.groups = groups

    def candidates(self, shape: tuple[int, int]) -> list[object]:
        from harness.collect.sample import Candidates

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
    assert [record.unit.place for record in found.records] == [0, 0, 1, 1, 2, 2]
    assert found.subject == subject.identity


def test_a_corpus_that_ends_early_is_refused(planted: TransformersSubject) -> None:
    with pytest.raises(NeuroglossError, match=r"ended after 120 of 121 excerpts .*lower collect.excerpts"):
        collect(planted, Documents(), Listed([str(PLANTED)]), dataclasses.replace(SETTINGS, excerpts=121))


def test_a_nearly_dead_neuron_gives_way(planted: TransformersSubject) -> None:
    groups = CandidatesOf([(PLANTED, Unit("N", 2, 1))])
    share = collected(planted, Documents()).records[0].moments.fraction_active
    for minimum, expected in ((share, PLANTED), (share + 1e-9, Unit("N", 2, 1))):
        settings = dataclasses.replace(SETTINGS, minimum_active=minimum)
        found = collect(planted, Documents(), groups, settings)
        assert [record.unit for record in found.records] == [expected]
        assert found.rejected == ((PLANTED,) if expected != PLANTED else ())


def test_a_task_says_every_setting_of_its_collection() -> None:
    assert SETTINGS.written == dataclasses.asdict(SETTINGS)
    assert SETTINGS.written["quantile"] == 0


# ------------------------------------------------------------------------------------------------------ several workers


def states(folder: Path, workers: int, every: int = 2) -> list[StateFile]:
    return [StateFile(folder / f"part-{number}.npz", "this collection", every) for number in range(workers)]


def same(one: Collection, other: Collection) -> bool:
    """Whether two collections agree to the last bit."""
    return repr(without_arrays(one)) == repr(without_arrays(other)) and all(
        np.array_equal(a.token_sums.sums, b.token_sums.sums)
        and np.array_equal(a.token_sums.counts, b.token_sums.counts)
        for a, b in zip(one.records, other.records, strict=True)
    )


def without_arrays(found: Collection) -> Collection:
    records = tuple(
        dataclasses.replace(record, token_sums=dataclasses.replace(record.token_sums, counts=None, sums=None))
        for record in found.records
    )
    return dataclasses.replace(found, records=records)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_any_number_of_workers_collect_the_same(planted: TransformersSubject, tmp_path: Path, workers: int) -> None:
    settings = dataclasses.replace(SETTINGS, quantile=3)
    sample = Stratified(2, 1, seed=3)
    parts = states(tmp_path, workers)
    found = [
        collect_share(planted, Documents(), sample, settings, states=parts, worker=worker)
        for worker in reversed(range(workers))
    ]
    assert found[:-1] == [None] * (workers - 1)
    assert found[-1] is not None
    assert same(found[-1], collect(planted, Documents(), sample, settings))
    again = collect_share(planted, None, sample, settings, states=parts)  # type: ignore[arg-type]  # nothing is read again
    assert again is not None
    assert same(again, found[-1])


class Stops(Documents):
    """A corpus that cannot be read to its end."""

    def documents(self, model: TextModel, progress: Progress) -> Iterator[Document]:
        yield from self.made[:29]
        raise NeuroglossError("the connection broke")


LISTED = Listed([str(PLANTED)])


def test_a_collection_that_was_stopped_reads_only_what_is_missing(planted: TransformersSubject, tmp_path: Path) -> None:
    sample = Listed([str(PLANTED), "L2N1"])
    whole = collect(planted, Documents(), sample, SETTINGS)

    with pytest.raises(NeuroglossError, match="the connection broke"):
        collect_share(planted, Stops(), sample, SETTINGS, states=states(tmp_path, 1))
    read: list[int] = []
    visit = planted.visit

    def counted(columns: object, sequences: Sequence[object], see: object) -> None:
        read.append(len(sequences))
        visit(columns, sequences, see)  # type: ignore[arg-type]

    planted.visit = counted  # type: ignore[method-assign]
    try:
        found = collect_share(planted, Documents(), sample, SETTINGS, states=states(tmp_path, 1))
    finally:
        del planted.visit  # type: ignore[method-assign]
    assert found is not None
    assert same(found, whole)
    assert sum(read) == 120 - 85  # of 87 excerpts that came, 17 batches of 5 were read


@pytest.mark.parametrize(
    "other",
    [{"backwards": True}, {"seed": 1}, {"number": 20}, {"shift": 1}],
    ids=["another order", "other text", "less of it", "something before it"],
)
def test_a_collection_does_not_go_on_with_another_text(
    planted: TransformersSubject, tmp_path: Path, other: dict[str, Any]
) -> None:
    with pytest.raises(NeuroglossError, match="the connection broke"):
        collect_share(planted, Stops(), LISTED, SETTINGS, states=states(tmp_path, 1))
    with pytest.raises(NeuroglossError, match=r"not the one that was read before.*delete .*part-0\.npz to begin anew"):
        collect_share(planted, Documents(**other), LISTED, SETTINGS, states=states(tmp_path, 1))
    longer = Documents()
    longer.made = [*longer.made, *Documents(seed=1).made]
    assert collect_share(planted, longer, LISTED, SETTINGS, states=states(tmp_path, 1)) is not None


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("changed", [0, 39])
def test_workers_that_read_other_texts_are_not_merged(
    planted: TransformersSubject, tmp_path: Path, last: int, changed: int
) -> None:
    """Whichever of them ends last, and whoever's batch it is that differs."""
    other = Documents()
    other.made[changed] = Document(other.made[changed].source, tuple(reversed(other.made[changed].token_ids)))
    texts = (Documents(), other)
    parts = states(tmp_path, 2)
    assert collect_share(planted, texts[1 - last], LISTED, SETTINGS, states=parts, worker=1 - last) is None
    with pytest.raises(NeuroglossError, match=r"was read from another text than .*give every worker the same corpus"):
        collect_share(planted, texts[last], LISTED, SETTINGS, states=parts, worker=last)


KILLED = """
import os, sys
from pathlib import Path
from harness.collect import state
from harness.collect.corpus_pass import collect_share
from harness.tasks.collected import CollectionSettings
from harness.collect.sample import Stratified
from harness.subjects.transformers_subject import TransformersSubject
sys.path.insert(0, {tests!r})
from test_corpus_pass import Documents, SETTINGS, states

save, times = state.StateFile.save, 0
def killing(self, *what):
    global times
    times += 1
    if times == {times}:
        os.fsync = lambda _: os._exit(9)  # killed while the state is half written
    save(self, *what)
state.StateFile.save = killing
found = collect_share(
    TransformersSubject({model!r}), Documents(), Stratified(1, 0), SETTINGS, states=states(Path({folder!r}), 1)
)
"""


@pytest.mark.slow
def test_a_killed_collection_goes_on_and_ends_the_same(tiny_gpt2: Path, tmp_path: Path) -> None:
    script = KILLED.format(tests=str(Path(__file__).parent), model=str(tiny_gpt2), folder=str(tmp_path), times=4)
    ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert ended.returncode == 9, ended.stderr
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".npz", ".tmp"]
    subject = TransformersSubject(str(tiny_gpt2))
    part = blank(subject, Stratified(1, 0).candidates(subject.units), SETTINGS)
    (state,) = states(tmp_path, 1)
    assert state.restore(part) is None
    assert part.read == 3 * 2 * 5
    found = collect_share(subject, Documents(), Stratified(1, 0), SETTINGS, states=[state])
    assert found is not None
    assert same(found, collect(subject, Documents(), Stratified(1, 0), SETTINGS))
    assert state.restore(blank(subject, Stratified(1, 0).candidates(subject.units), SETTINGS)) is not None


def test_a_worker_has_a_number_below_that_of_workers() -> None:
    for worker, workers in ((2, 2), (-1, 2), (0, 0)):
        with pytest.raises(NeuroglossError, match="numbered from 0 to workers - 1"):
            Share(worker, workers)


@pytest.mark.parametrize("wrong", [{"leading": 8}, {"leading": -1}, {"top": 0}, {"random": 0}, {"batch_size": 0}])
def test_settings_without_meaning_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(NeuroglossError, match=r"collect\.(leading|top)"):
        dataclasses.replace(SETTINGS, **wrong)


@pytest.mark.parametrize("last", [0, 1])
def test_workers_on_other_threads_collect_the_same_whoever_ends_last(
    planted: TransformersSubject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    for worker in (1 - last, last):
        monkeypatch.setattr(torch, "get_num_threads", lambda worker=worker: 3 + worker)
        found = collect_share(planted, Documents(), LISTED, SETTINGS, states=states(tmp_path, 2), worker=worker)
    assert found is not None
    assert found.threads == 4


def test_excerpts_that_could_never_be_enough_are_refused() -> None:
    assert dataclasses.replace(SETTINGS, excerpts=14).excerpts == 14
    with pytest.raises(NeuroglossError, match=r"collect\.excerpts is 13, and a neuron needs 8 top and 6 random ones"):
        dataclasses.replace(SETTINGS, excerpts=13)


def test_a_token_that_the_subject_does_not_have_is_refused(
    planted: TransformersSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planted, "token_text", str)
    corpus = Documents()
    corpus.made[7] = Document("d7", (3,) * 7 + (planted.vocabulary,))
    with pytest.raises(NeuroglossError, match=rf"d7:0 has token id {planted.vocabulary}, outside the"):
        collected(planted, corpus)


def test_a_machine_without_room_for_sums_by_token_is_told_what_to_write(
    planted: TransformersSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("harness.collect.sketch.ExactSums", full)
    with pytest.raises(NeuroglossError, match=r"room in memory for 1 neurons .* write collect\.token_sums=false"):
        collected(planted, Documents())
