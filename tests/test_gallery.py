"""The page of explainers shows what was asked and answered, and nothing in it can break out of its fence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness import cli, config, gallery, tasks
from harness.explainers.asking import PROMPTS
from harness.models.prompts import load
from harness.types import NeuroglossError


def page(tiny_task: Path, tiny_llama: Path, store: Path, *names: str, neuron: str | None = None) -> str:
    overrides = [f"task.path={tiny_task}", "subject=transformers", f"subject.name={tiny_llama}", f"store={store}"]
    return gallery.build_page(overrides, neuron, names, lambda *_: None, "fake")


def test_each_method_is_shown_with_its_prompt_its_reply_and_its_source(tiny_task, tiny_llama, tmp_path: Path) -> None:
    record = tasks.select(tasks.read_task(tiny_task))[1]
    name = str(record.neuron)
    text = page(tiny_task, tiny_llama, tmp_path / "s", "highlight", "logit_lens", "token_lookup", neuron=name)
    assert f"One neuron, {name} of tiny-v1" in text
    assert "Source: `harness/explainers/highlight.py`" in text
    assert "<<" in text
    assert "Likelier: " in text
    assert "This neuron fires on" in text
    assert text.count("Reply (ok") == 2
    assert "values by token, no text" in text


def test_every_explainer_runs_and_asks_what_it_is_there_to_ask(tiny_task, tiny_llama, tmp_path: Path) -> None:
    text = page(tiny_task, tiny_llama, tmp_path / "s", *gallery.options())
    found = sections(text)
    assert list(found) == gallery.options()
    silent = {name for name, part in found.items() if "Not shown" in part}
    assert silent == {"neuronpedia", "openai_file", "shuffled"}
    asking = {name for name, part in found.items() if "### Question" in part}
    assert asking == set(found) - silent - {
        *("constant", "max_activation", "next_token_lookup", "oracle", "people", "random_words", "token_lookup")
    }
    sources = re.findall(r"^.+ Source: `(.+)`\.$", text, re.MULTILINE)
    assert len(sources) == len(found)
    assert all((Path(gallery.__file__).parents[1] / source).is_file() for source in sources)


def test_what_cannot_be_shown_says_why(tiny_task, tiny_llama, tmp_path: Path) -> None:
    text = page(tiny_task, tiny_llama, tmp_path / "s", "neuronpedia", "shuffled", "people", "oracle")
    assert "Not shown: it needs explainer.neuronpedia.path" in text
    assert "Not shown: shuffled explanations need at least two neurons" in text
    assert "Explanation (not collected)" in text
    assert "values by place, no text" in text


def test_unknown_names_and_neurons_are_refused(tiny_task, tiny_llama, tmp_path: Path) -> None:
    with pytest.raises(NeuroglossError, match=r"did you mean explainer\.highlight\?"):
        gallery.build_page([], None, ["highlihgt"], lambda *_: None)
    with pytest.raises(NeuroglossError, match="L9N9"):
        page(tiny_task, tiny_llama, tmp_path / "s", "constant", neuron="L9N9")
    with pytest.raises(NeuroglossError, match="a task of puzzles"):
        gallery.build_page(["task=puzzles-v1", f"store={tmp_path / 's'}"], None, ["constant"], lambda *_: None)


@pytest.mark.parametrize("text", ["plain", "```\nout", "a ````` b", "\ud800", ""])
def test_a_fence_is_longer_than_any_in_what_it_holds(text: str) -> None:
    opening, *lines, closing = gallery.fenced(text).split("\n")
    assert opening == f"{closing}text"
    assert closing not in "\n".join(lines)
    assert len(closing) >= 3


def test_the_command_writes_the_page(tiny_task, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "pages" / "explainers.md"
    settings = ["--set", f"task.path={tiny_task}", f"store={tmp_path / 's'}"]
    with pytest.raises(SystemExit) as ended:
        cli.main(["explainers", "--only", "constant", "token_lookup", "constant", "--write", str(target), *settings])
    assert ended.value.code == 0
    assert "page:" in capsys.readouterr().out
    assert "## constant" in target.read_text()
    assert target.read_text().count("## constant\n") == 1
    for wrong in (["--only", "constnat"], ["--only", "constant", "--write", str(tmp_path), *settings]):
        with pytest.raises(SystemExit) as ended:
            cli.main(["explainers", *wrong])
        assert ended.value.code == 2
    assert "cannot be written" in capsys.readouterr().err


KEPT = config.folder("conf").parent / "leaderboard" / "explainers.md"
"""The page of all methods that the repository keeps."""


def sections(page: str) -> dict[str, str]:
    return dict(part.split("\n", 1) for part in page.split("\n## ")[1:])


def test_the_page_that_is_kept_has_every_method_and_the_prompts_of_today() -> None:
    kept = KEPT.read_text()
    assert list(sections(kept)) == gallery.options(), "write it again: neurogloss explainers --write " + str(KEPT)
    found = re.findall(r"\b([a-z_]+-v\d+)\+[0-9a-f]{8}\b", kept)
    assert {version for name in set(found) for version in [load(PROMPTS, name).version]} == set(
        re.findall(r"\b[a-z_]+-v\d+\+[0-9a-f]{8}\b", kept)
    )
    assert set(found) == {path.stem for path in PROMPTS.glob("*.yaml")}


@pytest.mark.parametrize("name", ["highlight", "summary", "clusters", "token_space", "top_tokens", "max_activation"])
def test_the_page_that_is_kept_shows_what_is_shown_today(name: str, tmp_path: Path) -> None:
    today = sections(gallery.build_page([f"store={tmp_path / 's'}"], None, [name], lambda *_: None, "fake"))[name]
    users = re.findall(r"user:\n\n(`{3,})text\n(.*?)\n\1\n", today, re.DOTALL)
    assert users or "Explanation (ok)" in today
    for _, question in users or re.findall(r"(`{3,})text\n(.*?)\n\1\n", today, re.DOTALL):
        assert question in sections(KEPT.read_text())[name]
