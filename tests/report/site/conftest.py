"""A run whose explainer writes something hostile, and a browser that complains of all that a page should not do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import cli

HOSTILE = '</script><script>document.title="owned"</script><img src=x onerror=document.title="owned">'


@pytest.fixture(scope="module")
def run_folder(tiny_task: Path, tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six units, whose fake explainer writes something hostile."""
    folder = tmp_path_factory.mktemp("site")
    chosen = [
        *(
            f"task.path={tiny_task}",
            f"task.name={tiny_task.name}",
            "subject=transformers",
            f"subject.name={tiny_llama}",
        ),
        *("explainer=[max_activation,token_activation,shuffled,token_lookup]", "explainer_model=[fake]"),
        *("explainer_model.fake.replies={neuron:'" + HOSTILE + "'}", "simulator=token_overlap"),
        *("scores=panel", "units.limit=6", "board.resamples=200", f"output={folder}"),
    ]
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", *chosen])
    assert not ended.value.code
    return (folder / "latest").resolve()


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[[Path], Any]]:
    """Opens a page from disk; a complaint of the console, or a request beyond the disk, fails the test."""
    context, complaints = browser.new_context(viewport={"width": 400, "height": 800}), []

    def open_page(path: Path) -> Any:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: request.url.startswith("file:") or complaints.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_page
    assert complaints == []
    context.close()
