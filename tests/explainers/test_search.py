"""Searching explainers: conclusions of reasoning, clusters of meanings, and explanations that are put to the test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from harness.explainers.chain_of_thought import ChainOfThought
from harness.explainers.clusters import Clusters, profiles
from harness.explainers.highlight import Highlight
from harness.explainers.max_activation import MaxActivation
from harness.explainers.revision import Revision
from harness.explainers.shared.trial import SentenceResult, parse_sentences, run_sentences
from harness.types import Candidate, Completion, Explainer, NeuroglossError, Outcome, Unit, Usage

LEAD_IN = "In short, this neuron fires on"

# ----------------------------------------------------------------------------------------------------- chain of thought


def test_the_conclusion_is_kept_and_the_reasoning_is_not(scripted, planted) -> None:
    reasons = f"They are hot. {LEAD_IN} perhaps? No.\n" * 200
    model = scripted(f'{reasons}{LEAD_IN} places of fire (a "kiln")')
    told = ChainOfThought(model).explain([planted])[0]
    assert (told.text, told.outcome) == ('places of fire (a "kiln")', Outcome.OK)
    question = model.asked[0]
    assert "the<< kiln>> and the<< forge>> (both)" in question.messages[-1].content
    assert LEAD_IN in question.messages[0].content
    assert LEAD_IN in question.messages[2].content
    assert question.max_tokens == 300


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (Completion("They are hot, that is all."), Outcome.EMPTY),
        (Completion("They are", Outcome.TRUNCATED), Outcome.TRUNCATED),
        (Completion(f"{LEAD_IN} places of", Outcome.TRUNCATED), Outcome.TRUNCATED),
        (Completion(LEAD_IN), Outcome.EMPTY),
        (Completion(f"{LEAD_IN} " + "fire " * 1000), Outcome.TRUNCATED),
        (Completion("", Outcome.FAILED), Outcome.FAILED),
    ],
)
def test_reasoning_without_a_conclusion_is_no_explanation(scripted, planted, reply, outcome: Outcome) -> None:
    assert ChainOfThought(scripted(reply)).explain([planted])[0].outcome is outcome


# ----------------------------------------------------------------------------------------------------- clusters


def test_a_neuron_that_means_two_things_is_explained_twice(scripted, evidence, excerpt) -> None:
    texts = [
        excerpt((" Kiln", 5.0), (" hot", 0.0)),
        excerpt((" lamb", 9.0), (" ran", 1.0)),
        excerpt(("a", 0.0), (" kiln", 6.0)),
        excerpt((" lamb", 7.0), (" sat", 0.0)),
    ]
    model = scripted("sheep", "ovens")
    known = evidence(excerpts=tuple(texts))
    told = Clusters(Highlight(model)).explain([known])[0]
    assert (told.text, told.usage.requests) == ("sheep; or ovens", 2)
    first, second = (request.messages[-1].content for request in model.asked)
    assert ("<< lamb>>" in first, "iln>>" in first) == (True, False)
    assert ("<< lamb>>" in second, "<< Kiln>>" in second, "<< kiln>>" in second) == (False, True, True)


def test_clusters_share_out_the_excerpts_that_fire(evidence, excerpt) -> None:
    firing = [excerpt((f"t{n}", 1.0 + n), ("x", 0.0)) for n in range(5)]
    texts = (*firing, excerpt(("x", 0.0), ("y", -1.0)))
    known = evidence(excerpts=texts)
    for most in (1, 2, 3, 9):
        parts = Clusters(MaxActivation(), clusters=most).split(known)
        assert len(parts) == min(most, 5)
        assert sorted(one.maximum for part in parts for one in part.excerpts) == [1.0, 2.0, 3.0, 4.0, 5.0]
        assert [part.excerpts[0].maximum for part in parts] == sorted(
            (p.excerpts[0].maximum for p in parts), reverse=True
        )
    assert len(Clusters(MaxActivation()).split(evidence(excerpts=texts[-2:]))) == 1


def test_a_neuron_that_says_one_thing_says_it_once(planted, evidence, excerpt) -> None:
    same = tuple(excerpt((f"w{n}", 0.0), (" kiln", 5.0 + n)) for n in range(4))
    assert len(Clusters(MaxActivation()).split(evidence(excerpts=same))) == 1
    assert Clusters(MaxActivation(1)).explain([planted])[0].text == 'the token " ember"; or the token " kiln"'


def test_what_fires_too_little_to_be_seen_is_like_nothing_else() -> None:
    found = profiles([(("a", 5), ("b", 0)), (("A ", 5),), (("c", 0),), (("d", 0),)])
    assert (found[0] == found[1]).all()
    assert not (found[2] * found[3]).any()
    assert found.any(axis=1).all()


@pytest.mark.parametrize("change", [{"clusters": 0}, {"cut": 0.0}, {"cut": 1.5}])
def test_clusters_of_nothing_are_refused(change) -> None:
    with pytest.raises(NeuroglossError, match="1 or more"):
        Clusters(MaxActivation(), **change)


# ----------------------------------------------------------------------------------------------------- revision


class Oven:
    """A subject whose tokens are words, and whose neuron fires on "kiln" alone."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def encode(self, text: str) -> tuple[int, ...]:
        pieces = [f" {word}" if n else word for n, word in enumerate(text.split())]
        self.words += [piece for piece in pieces if piece not in self.words]
        return tuple(self.words.index(piece) for piece in pieces)

    def token_text(self, token_id: int) -> str:
        return self.words[token_id]

    def activations(self, neuron: Unit, sequences: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
        return [np.array([8.0 * (self.words[i].strip() == "kiln") for i in ids]) for ids in sequences]


SENTENCES = "Here:\nyes: The old kiln glowed\nYes: He made bread \nno: A cold morning\nno:\nmaybe: so"


def test_counterexamples_reach_the_model_with_what_happened(scripted, planted) -> None:
    model = scripted("hot things", SENTENCES, "This neuron fires on kilns")
    told = Revision(Highlight(model), model, Oven(), rounds=1).explain([planted])[0]
    assert (told.text, told.outcome, told.usage) == ("kilns", Outcome.OK, Usage(3, 0, 30, 15))
    first, ask, revise = model.asked
    assert ask.messages[-1].content == "The neuron fires on hot things"
    assert revise.messages[-1].content == (
        "Explanation: hot things\n"
        "Should fire, fired: The old<< kiln>> glowed\n"
        "Should fire, was silent: He made bread\n"
        "Should not fire, was silent: A cold morning\n"
        "This neuron fires on"
    )
    versions = [first.prompt_version, ask.prompt_version, revise.prompt_version]
    assert told.prompt_version == " ".join(versions)
    assert isinstance(Revision(MaxActivation(), model, Oven()), Explainer)


def test_each_round_begins_where_the_last_one_ended(scripted, planted) -> None:
    model = scripted(SENTENCES, "kilns", SENTENCES, "old kilns")
    told = Revision(MaxActivation(1), model, Oven(), rounds=2).explain([planted])[0]
    assert told.text == "old kilns"
    asked = [request.messages[-1].content for request in model.asked]
    assert asked[0] == 'The neuron fires on the token " ember"'
    assert asked[2] == "The neuron fires on kilns"
    assert asked[3].startswith("Explanation: kilns\n")


@pytest.mark.parametrize("replies", [("I would rather not.",), (SENTENCES, ""), (Completion("", Outcome.FAILED),)])
def test_what_cannot_be_revised_stays_as_it_was(scripted, planted, replies) -> None:
    told = Revision(MaxActivation(1), scripted(*replies), Oven(), rounds=1).explain([planted])[0]
    assert (told.text, told.outcome) == ('the token " ember"', Outcome.OK)
    assert told.usage.requests == sum(not isinstance(reply, Completion) for reply in replies)


def test_what_was_never_explained_is_not_tested(scripted, planted) -> None:
    model = scripted(Completion("", Outcome.REFUSED))
    told = Revision(Highlight(model), model, Oven()).explain([planted])[0]
    assert (told.outcome, len(model.asked)) == (Outcome.REFUSED, 1)


def test_every_candidate_is_revised_by_itself(scripted, planted) -> None:
    model = scripted("a", "b", SENTENCES, "nothing to see", "kilns")
    first = Highlight(model, candidates=2, temperature=1.0)
    told = Revision(first, model, Oven(), rounds=1, temperature=1.0).explain([planted])[0]
    assert told.candidates == (Candidate("kilns"), Candidate("b"))
    assert told.text == "kilns"
    assert [request.repeat for request in model.asked] == [0, 1, 0, 1, 0]


def test_sentences_are_read_from_their_lines_alone() -> None:
    found = parse_sentences(Completion(SENTENCES))
    assert found == [(True, "The old kiln glowed"), (True, "He made bread"), (False, "A cold morning")]
    assert parse_sentences(None) == parse_sentences(Completion("no sentence: yes")) == []


def test_sentences_are_shown_on_the_scale_of_the_excerpts(planted) -> None:
    sentences = [(True, "my kiln << kiln"), (False, "kiln"), (False, "kiln and kiln " + "x " * 99)]
    found = run_sentences(Oven(), planted, sentences)
    assert found[0] == SentenceResult(True, 8, r"my<< kiln>> \<\<<< kiln>>")
    assert len(found) == 2, "one word alone is a leading position"
    assert found[1].text.startswith("kiln and<< kiln>> x")
    assert found[1].text.count(" x") == 61
    assert run_sentences(Oven(), planted, []) == []


def test_a_search_without_steps_is_refused(scripted) -> None:
    for change in ({"rounds": 0}, {"sentences": 0}, {"max_tokens": 0}, {"max_sentences_tokens": -1}):
        with pytest.raises(NeuroglossError, match="1 or more"):
            Revision(MaxActivation(), scripted(), Oven(), **change)
