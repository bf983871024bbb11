"""Figures of generated texts, by hand; quantiles, stretches and lists of words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.scores.generated import (
    FIGURES,
    Peaks,
    Scale,
    figures,
    is_list,
    scale_of,
    stretches,
    weighted_quantile,
)
from harness.types import Excerpt, ExcerptKind

PEAKS = Peaks(fitting=(4.0, 3.0, 1.0, 4.0), near=(2.0, 0.0), corpus=(1.0, 0.0, 0.0, 3.0))
numbers = st.lists(st.integers(-40, 40).map(float), min_size=1, max_size=8).map(tuple)


def excerpt(
    *activations: float, kind: ExcerptKind = ExcerptKind.RANDOM, weight: float = 1.0, leading: int = 0
) -> Excerpt:
    tokens = tuple(f"t{place}" for place in range(len(activations)))
    return Excerpt(tokens, (), activations, kind, weight=weight, leading=leading)


def test_figures_by_hand() -> None:
    values, missing = figures(PEAKS, Scale(maximum=8.0, percentile=3.0))
    assert values == pytest.approx(
        {
            "generated": 7 / 8,  # of eight pairs one is the wrong way round
            "generated_auprc": 0.75 + 0.25 * 2 / 3,  # both groups weigh the same
            "generated_mad": (3.0 - 1.0) / 8,
            "generated_corpus": (4 + 4 + 3.5 + 2.5) / 16,
            "generated_corpus_auprc": 0.5 + 0.25 * 3 / 4 + 0.25 * 2 / 3,
            "generated_corpus_mad": (3.0 - 1.0) / 8,
            "generated_share": 0.5,  # a text at the percentile is not above it
        }
    )
    assert missing == {}
    assert {*values, "generated_listed"} == set(FIGURES)


def test_a_unit_that_separates_the_texts_has_all_of_it_and_one_that_does_not_has_half() -> None:
    apart, _ = figures(Peaks((5.0, 6.0), (1.0, 2.0), (0.0, 0.0, 4.0)), Scale(6.0, 4.5))
    assert [apart[name] for name in FIGURES if name.endswith(("generated", "corpus", "auprc", "share"))] == [1.0] * 5
    constant, _ = figures(Peaks((5.0,) * 3, (5.0,) * 2, (5.0,) * 7), Scale(6.0, 4.5))
    halves = [constant[name] for name in ("generated", "generated_corpus", "generated_corpus_auprc")]
    assert halves == pytest.approx([0.5] * 3)
    assert constant["generated_mad"] == 0.0


@given(fitting=numbers, near=numbers, corpus=numbers, factor=st.integers(1, 64))
def test_figures_do_not_depend_on_the_unit_of_activations(
    fitting: tuple[float, ...], near: tuple[float, ...], corpus: tuple[float, ...], factor: int
) -> None:
    groups = [tuple(value * factor for value in group) for group in (fitting, near, corpus)]
    first, _ = figures(Peaks(fitting, near, corpus), Scale(4.0, 2.0))
    scaled, _ = figures(Peaks(*groups), Scale(4.0 * factor, 2.0 * factor))
    assert scaled == pytest.approx(first)
    reverse, _ = figures(Peaks(near, fitting, corpus), Scale(4.0, 2.0))
    assert reverse["generated"] == pytest.approx(1 - first["generated"])
    assert reverse["generated_mad"] == pytest.approx(-first["generated_mad"])


def test_what_cannot_be_computed_is_missing_with_its_reason() -> None:
    values, missing = figures(Peaks((1.0,), (0.0,), ()), Scale(0.0, 0.0))
    assert set(values) == {"generated", "generated_auprc", "generated_share"}
    assert missing == {
        "generated_mad": "the unit is nowhere above 0",
        **dict.fromkeys(
            ("generated_corpus", "generated_corpus_auprc", "generated_corpus_mad"),
            "there are no random excerpts of the corpus",
        ),
    }


def test_the_percentile_is_that_of_the_whole_corpus_and_not_of_what_was_kept() -> None:
    top = [excerpt(9.0, kind=ExcerptKind.TOP), excerpt(8.0, kind=ExcerptKind.TOP)]
    random = [excerpt(1.0, weight=500.0), excerpt(2.0, weight=500.0)]
    assert scale_of([*top, *random]) == Scale(9.0, 2.0)  # the two top ones are 0.2 % of the corpus
    assert scale_of([*top, excerpt(1.0, weight=50.0)]) == Scale(9.0, 9.0)  # 8 stands above 98.1 %, not above 99 %
    assert scale_of([*top, *random], (0.1, 0.5, 4.0, 7.0)) == Scale(9.0, 4.0)


@given(values=numbers, share=st.floats(0.01, 1.0))
def test_a_quantile_of_equal_weights_is_numpys_inverted_distribution(values: tuple[float, ...], share: float) -> None:
    weights = np.full(len(values), 3.0)
    expected = np.quantile(values, share, method="inverted_cdf")
    assert weighted_quantile(np.array(values), weights, share) == expected


def test_stretches_are_of_one_length_and_leave_out_leading_positions() -> None:
    long = excerpt(99.0, 1.0, 5.0, 2.0, 3.0, 7.0, leading=1)
    assert stretches([long], 2) == (5.0, 3.0)  # the 7 stands at an end that is too short
    assert stretches([long, excerpt(4.0, 1.0)], 5) == (7.0, 4.0)
    assert stretches([excerpt(99.0, leading=1)], 3) == ()


def test_a_list_of_the_explanations_words_is_no_sentence() -> None:
    explanation = 'colours such as "red", dogs and other animals'
    assert is_list("Colours and animals, such as dogs", explanation)
    assert is_list("colour, animal, the dogs", explanation)
    assert not is_list("The dogs barked all night.", explanation)
    assert not is_list("a red one", explanation)  # no word of four letters
