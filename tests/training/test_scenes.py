"""Scenes: every mark stands on the words of its slot, and the marks alone tell where a kind applies."""

from __future__ import annotations

import random

import pytest

from harness.training.scenes import GROUPS, Kind, Mark, Scene, Scenes, joined, levels

UNKNOWN = -1


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return Scenes()


def read(scene: Scene, kind: Kind, ends: list[int]) -> list[int]:
    return list(levels(scene, kind, ends, full=10, unknown=UNKNOWN))


def test_every_template_can_be_filled_and_its_marks_stand_on_text(scenes: Scenes) -> None:
    chance = random.Random(0)
    for group in GROUPS:
        for template in scenes.templates[group]:
            scene = scenes.filled(template, chance)
            assert all(0 <= mark.start < mark.end <= len(scene.string) for mark in scene.marks), template
            assert group == "code" or not set("{}") & set(scene.string), template


def test_every_kind_is_marked_in_some_template_and_near_to_kinds_of_its_group(scenes: Scenes) -> None:
    for (group, tag), kind in scenes.kinds.items():
        assert scenes.with_tag[group, tag], (group, tag)
        assert kind.say
        assert all((group, near) in scenes.kinds for near in kind.near)
        assert kind.near


def test_a_filled_slot_has_its_own_tag_and_what_it_stands_for(scenes: Scenes) -> None:
    scene = scenes.filled("{city} and {var#a:assigned} {var#a:used} {{x}} {'is':verb}", random.Random(1))
    place, first, second, verb = scene.marks
    assert {"city", "place", "name"} <= place.tags
    assert scene.string[first.start : first.end] == scene.string[second.start : second.end]
    assert "assigned" in first.tags
    assert "assigned" not in second.tags
    assert scene.string[verb.start : verb.end] == "is"
    assert "{x}" in scene.string


def test_a_text_holds_what_is_wanted(scenes: Scenes) -> None:
    chance = random.Random(2)
    for group, tag in scenes.kinds:
        assert scenes.scene(group, [tag], chance, 60).words(tag), (group, tag)


def test_marks_move_with_their_scene() -> None:
    first, second = (
        Scene("At noon", (Mark(3, 7, frozenset({"time"})),)),
        Scene("He ran", (Mark(3, 6, frozenset({"verb"})),)),
    )
    scene = joined([first, second], " ")
    assert scene.string == "At noon He ran"
    assert (scene.words("time"), scene.words("verb")) == (["noon"], ["ran"])


def test_a_token_fires_from_the_end_of_the_first_word_of_a_mark() -> None:
    scene = Scene("in New York now", (Mark(3, 11, frozenset({"city"})),))
    kind = Kind("prose", "city", ("cities",), ())
    assert read(scene, kind, [2, 4, 6, 11, 15]) == [0, UNKNOWN, 10, 10, 0]


def test_white_space_is_marked_where_the_mark_is_white_space() -> None:
    scene = Scene("x:\n    y", (Mark(3, 7, frozenset({"indent"})),))
    assert read(scene, Kind("code", "indent", ("indentation",), ()), [2, 3, 7, 8]) == [0, 0, 10, 0]


def test_open_words_are_not_asked_about_and_another_sense_is_silent() -> None:
    scene = Scene(
        "I like it like that, like you", (Mark(2, 6, frozenset({"like_verb"})), Mark(10, 14, frozenset({"like_such"})))
    )
    kind = Kind("senses", "like_verb", ("like",), (), ambiguous=frozenset({"like"}))
    ends = [1, 6, 9, 14, 19, 20, 25, 29]
    assert read(scene, kind, ends) == [0, 10, 0, 0, 0, 0, UNKNOWN, 0]
    opened = Kind("senses", "like_verb", ("like",), (), open=frozenset({"like"}))
    assert read(scene, opened, ends) == [0, 10, 0, UNKNOWN, 0, 0, UNKNOWN, 0]
