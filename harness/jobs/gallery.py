"""A page of all explainers: what each shows of one real unit, what came back, its tokens and its source."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import jinja2
from omegaconf import DictConfig, OmegaConf, open_dict

from harness.config import build, compose, plugins, registry
from harness.config.settings import RunSettings
from harness.files import REPOSITORY, shipped
from harness.jobs.explainers import ExplainerNode, explainer_nodes
from harness.jobs.tools import Remembering, build_explainer
from harness.models.backend import Backend
from harness.models.meter import Meter
from harness.models.store import Store
from harness.scorers.ablation import AskedSubject
from harness.tasks import catalog
from harness.tasks.splits import deal, evidence
from harness.text import markdown
from harness.types import (
    Completion,
    CompletionPrompt,
    Explanation,
    Identity,
    Knowing,
    LanguageModel,
    LevelReading,
    NeuroglossError,
    Progress,
    Record,
    Role,
    SlottedPrompt,
    Subject,
    Task,
    Truth,
    utf8,
)

_PAGE = Path(__file__).with_name("gallery.md.j2")


@dataclass(frozen=True, eq=False)
class Exchange:
    """A question to a model, and its answer."""

    prompt: CompletionPrompt
    reply: Completion


@dataclass(frozen=True, eq=False)
class View:
    """A method on a unit.

    Attributes:
        name: of its row on a board.
        about: what its config says of it.
        source: its file.
        role: what its rows stand for; None if it could not be built.
        exchanges: with the model that it asks.
        explanation: what it made of them.
        why_not: why there is none; empty if there is.
    """

    name: str
    about: str
    source: str
    role: Role | None = None
    exchanges: tuple[Exchange, ...] = ()
    explanation: Explanation | None = None
    why_not: str = ""


@dataclass(frozen=True, eq=False)
class WatchedModel:
    """A language model whose exchanges are noted."""

    model: LanguageModel
    exchanges: list[Exchange]

    @property
    def identity(self) -> Identity:
        """That of the model."""
        return self.model.identity

    def levels(self) -> int:
        """Return how many levels the model reads."""
        return self.model.levels()

    def complete(self, prompts: Sequence[CompletionPrompt]) -> list[Completion]:
        """Return the model's answers, and note them."""
        replies = self.model.complete(prompts)
        self.exchanges.extend(map(Exchange, prompts, replies))
        return replies

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> list[LevelReading]:
        """Return the model's readings."""
        return self.model.read_levels(prompts)


@dataclass(frozen=True, eq=False)
class Watching:
    """Asks by way of the store, and notes what models are asked."""

    remembering: Remembering
    exchanges: list[Exchange] = field(default_factory=list)

    def model(self, backend: Backend) -> LanguageModel:
        """Return a model whose exchanges are noted."""
        return WatchedModel(self.remembering.model(backend), self.exchanges)

    def subject(self, subject: Subject) -> AskedSubject:
        """Return a subject that answers from the store where it can."""
        return self.remembering.subject(subject)


def options() -> list[str]:
    """Return the names of all methods: of ``conf/``, and of the plugins that are loaded."""
    return sorted({path.stem for path in _files("*")})


def _files(name: str) -> Iterator[Path]:
    """Yield the configs of methods of that name."""
    for folder in (shipped("conf"), *plugins.conf_folders()):
        yield from (folder / "explainer").glob(f"{name}.yaml")


def build_page(
    overrides: Sequence[str],
    unit: str | None,
    methods: Sequence[str],
    progress: Progress,
    models: Sequence[str] = (),
) -> str:
    """Return the page in Markdown.

    Args:
        overrides: of the run's config, which says the task, the subject and the store.
        unit: of the task; None for its first.
        methods: their names; all if there are none.
        progress: is told of each method that is done.
        models: of ``conf/explainer_model``, each asked by every method; those of the config if there are none.

    Raises:
        NeuroglossError: there is no such method, model or unit, the task is one of puzzles, or a model stopped it.
    """
    words = [*overrides, *([f"explainer_model=[{','.join(models)}]"] if models else [])]
    compose.composed("run", words)  # loads the plugins that the overrides name
    methods = list(dict.fromkeys(methods)) or options()
    for method in methods:
        if method not in options():
            raise NeuroglossError(build.unknown_key(f"explainer.{method}", options()))
    config = compose.composed("run", [*words, f"explainer=[{','.join(methods)}]"])
    incomplete = _take_out_incomplete(config)
    settings: RunSettings = compose.settings_from(RunSettings, compose.plain(config))
    task = catalog.read(catalog.find_task(settings.task.name, settings.task.path))
    if not isinstance(task, Task):
        raise NeuroglossError(f"{task.name} is a task of puzzles, and a unit is needed; choose a task of units.")
    record = record_of(task, unit)
    views_by_method = _views(settings, record, progress)
    return page(task, record, [view for method in methods for view in (views_by_method | incomplete)[method]])


def _views(settings: RunSettings, record: Record, progress: Progress) -> dict[str, list[View]]:
    """Return the views of a unit by every method of a run: one for each model that a method asks."""
    views: dict[str, list[View]] = {}
    nodes = explainer_nodes(settings)
    subject: Subject = build.assemble(settings.subject, "subject")
    with Store(settings.store) as store:
        remembering = Remembering(store, Meter())
        for count, node in enumerate(nodes, start=1):
            views.setdefault(node.method, []).append(view_of(node, record, subject, remembering))
            progress("explainers", count, len(nodes))
    return views


def _take_out_incomplete(config: DictConfig) -> dict[str, list[View]]:
    """Take the methods that leave a key open out of a config, and return a view of each that names the key."""
    views = {}
    for method, node in list(config.explainer.items()):
        for key in sorted(OmegaConf.missing_keys(node))[:1]:
            views[method] = [View(method, _about(method), _source(node[build.USE]), why_not=f"it needs {key}")]
    with open_dict(config):
        for method in views:
            del config.explainer[method]
    return views


def record_of(task: Task, unit: str | None) -> Record:
    """Return the unit of that name, or the task's first.

    Raises:
        NeuroglossError: the task has no such unit.
    """
    return deal(task.records[0]) if unit is None else catalog.records(task, units=[unit])[0]


def view_of(node: ExplainerNode, record: Record, subject: Subject, remembering: Remembering) -> View:
    """Return an explainer on a unit.

    Args:
        node: which.
        record: the unit.
        subject: for what looks into it.
        remembering: asks models by way of the store.
    """
    asking = Watching(remembering)
    explainer = build_explainer(node, subject, asking).explainer
    silent = View(node.name, _about(node.method), _source(node.node[build.USE]), explainer.role)
    try:
        if isinstance(explainer, Knowing):
            explanations = explainer.recall([Truth(record.unit, record.splits.valid, record.told)])
        else:
            explanations = explainer.explain([evidence(record)])
    except NeuroglossError as error:
        return replace(silent, why_not=str(error))
    return replace(silent, exchanges=tuple(asking.exchanges), explanation=explanations[0])


def _about(method: str) -> str:
    """Return the first line of the config of a method."""
    (path, *_) = _files(method)
    return path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def _source(short_name: str) -> str:
    """Return the file of a class, from the repository on if it is ours."""
    file = Path(inspect.getfile(registry.resolve(short_name, "explainer"))).resolve()
    return str(file.relative_to(REPOSITORY)) if file.is_relative_to(REPOSITORY) else file.name


def page(task: Task, record: Record, views: Sequence[View]) -> str:
    """Return the page in Markdown; every text of a model or a corpus stands in a fence that nothing in it can end."""
    environment = jinja2.Environment(
        autoescape=False,  # Markdown, not HTML: what is not ours stands in fences
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"fenced": fenced, "cell": markdown, "anchor": anchor}
    template = environment.from_string(_PAGE.read_text(encoding="utf-8"))
    return template.render(task=task, unit=record.unit, views=views)


def fenced(text: str) -> str:
    """Return ``text`` as a block of code; what is no text for a file, as a lone surrogate, becomes U+FFFD."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}text\n{utf8(text)}\n{fence}"


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
