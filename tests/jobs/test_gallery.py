"""The page of explainers shows what was asked and answered, and nothing in it can break out of its fence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness import files
from harness.config import plugins
from harness.explainers.shared.asking import PROMPTS
from harness.jobs import gallery
from harness.models.prompts import load
from harness.tasks import units
from harness.types import NeuroglossError
from tests.fixtures import Command

ASKS_NO_MODEL = {
    *(
        "constant",
        "max_activation",
        "next_token_lookup",
        "oracle",
        "people",
        "random_words",
        "shuffled",
        "token_lookup",
    ),
    *("neuronpedia", "openai_file"),
}


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plugins that other tests have loaded bring methods of their own."""
    monkeypatch.setattr(plugins, "_LOADED", {})


@pytest.fixture
def overrides(tiny_task: Path, tiny_llama: Path, tmp_path: Path) -> list[str]:
    return [f"task.path={tiny_task}", "subject=transformers", f"subject.name={tiny_llama}", f"store={tmp_path / 's'}"]


def page(overrides: list[str], *methods: str, unit: str | None = None, models: tuple[str, ...] = ("fake",)) -> str:
    return gallery.build_page(overrides, unit, methods, lambda *_: None, models)


def test_each_method_is_shown_with_its_prompt_its_reply_and_its_source(overrides: list[str], tiny_task: Path) -> None:
    name = str(units.read_task(tiny_task).records[1].unit)
    text = page(overrides, "highlight", "logit_lens", "token_lookup", unit=name)
    assert f"One unit, {name} of tiny-v1" in text
    assert "Source: `harness/explainers/highlight.py`" in text
    assert "<<" in text
    assert "Likelier: " in text
    assert "This neuron fires on" in text
    assert text.count("Reply (ok") == 2
    assert "values by token, no text" in text


def test_every_explainer_runs_and_asks_what_it_is_there_to_ask(overrides: list[str]) -> None:
    text = page(overrides)
    by_row = sections(text)
    assert list(by_row) == [name if name in ASKS_NO_MODEL else f"{name} · fake" for name in gallery.options()]
    silent = {name for name, part in by_row.items() if "Not shown" in part}
    assert silent == {"neuronpedia", "openai_file", "shuffled"}
    asking = {name for name, part in by_row.items() if "### Question" in part}
    assert asking == set(by_row) - ASKS_NO_MODEL
    sources = re.findall(r"^.+ Source: `(.+)`\.$", text, re.MULTILINE)
    assert len(sources) == len(by_row)
    assert all((files.REPOSITORY / source).is_file() for source in sources)


def test_a_method_is_shown_with_each_model(overrides: list[str]) -> None:
    models = ["explainer_model=[fake]", "+model@explainer_model.other=fake", "explainer_model.other.name=other"]
    text = page([*overrides, *models], "summary", "constant", models=())
    assert list(sections(text)) == ["summary · fake", "summary · other", "constant"]
    assert "| [summary · other](#summary--other) |" in text


def test_what_cannot_be_shown_says_why(overrides: list[str]) -> None:
    text = page(overrides, "neuronpedia", "shuffled", "people", "oracle")
    assert "Not shown: it needs explainer.neuronpedia.path" in text
    assert "Not shown: shuffled explanations need at least two" in text
    assert "Explanation (not collected)" in text
    assert "values by place, no text" in text


@pytest.mark.slow
def test_unknown_names_and_units_are_refused(overrides: list[str]) -> None:
    with pytest.raises(NeuroglossError, match=r"did you mean explainer\.highlight\?"):
        page(overrides, "highlihgt")
    with pytest.raises(NeuroglossError, match="L9N9"):
        page(overrides, "constant", unit="L9N9")
    with pytest.raises(NeuroglossError, match="a task of puzzles"):
        page(["task=puzzles-v1", *overrides[3:]], "constant")
    with pytest.raises(NeuroglossError, match="there is no explainer_model called nobody"):
        page(overrides, "constant", models=("nobody",))


@pytest.mark.parametrize("text", ["plain", "```\nout", "a ````` b", "\ud800", ""])
def test_a_fence_is_longer_than_any_in_what_it_holds(text: str) -> None:
    opening, *lines, closing = gallery.fenced(text).split("\n")
    assert opening == f"{closing}text"
    assert closing not in "\n".join(lines)
    assert len(closing) >= 3


@pytest.mark.slow
def test_the_command_writes_the_page(neurogloss: Command, overrides: list[str], tmp_path: Path) -> None:
    target = tmp_path / "pages" / "explainers.md"
    words = ["--set", *overrides]
    status, out, err = neurogloss(
        *("explainers", "--only", "constant", "token_lookup", "constant", "--write", str(target), *words)
    )
    assert (status, "page:" in out) == (0, True), err
    assert target.read_text().count("## constant\n") == 1
    assert neurogloss("explainers", "--only", "constnat")[0] == 2
    status, out, err = neurogloss("explainers", "--only", "constant", "--write", str(tmp_path), *words)
    assert (status, "cannot be written" in err) == (2, True)


def test_methods_of_a_plugin_are_shown_too(overrides: list[str], tmp_path: Path) -> None:
    (tmp_path / "conf" / "explainer").mkdir(parents=True)
    (tmp_path / "conf" / "explainer" / "two.yaml").write_text("# Two.\ntwo: {use: explainer/constant, text: two}\n")
    (tmp_path / "my_plugin.py").write_text("")
    text = page([f"plugins=[{tmp_path / 'my_plugin.py'}]", *overrides], "two")
    assert "Two. Source: `harness/explainers/controls/constant.py`." in text


KEPT = files.shipped("conf").parent / "leaderboard" / "explainers.md"
"""The page of all methods that the repository keeps."""


def sections(page: str) -> dict[str, str]:
    return dict(part.split("\n", 1) for part in page.split("\n## ")[1:])


def test_the_page_that_is_kept_has_every_method_and_the_prompts_of_today() -> None:
    page_of_repository = KEPT.read_text()
    methods = [name.partition(" · ")[0] for name in sections(page_of_repository)]
    assert methods == gallery.options(), f"write it again: neurogloss explainers --write {KEPT}"
    prompts = set(re.findall(r"\b([a-z_]+-v\d+)\+[0-9a-f]{8}\b", page_of_repository))
    assert {load(PROMPTS, name).version for name in prompts} == set(
        re.findall(r"\b[a-z_]+-v\d+\+[0-9a-f]{8}\b", page_of_repository)
    )
    assert prompts == {path.stem for path in PROMPTS.glob("*.yaml")} - {"worked_neurons-v1"}  # a pool, not a prompt


@pytest.mark.slow
@pytest.mark.parametrize("name", ["highlight", "summary", "clusters", "token_space", "top_tokens", "max_activation"])
def test_the_page_that_is_kept_shows_what_is_shown_today(name: str, tmp_path: Path) -> None:
    ((_, today),) = sections(page([f"store={tmp_path / 's'}"], name)).items()
    (section,) = [part for row, part in sections(KEPT.read_text()).items() if row.partition(" · ")[0] == name]
    questions = re.findall(r"user:\n\n(`{3,})text\n(.*?)\n\1\n", today, re.DOTALL)
    assert questions or "Explanation (ok)" in today
    for _, question in questions or re.findall(r"(`{3,})text\n(.*?)\n\1\n", today, re.DOTALL):
        assert question in section
