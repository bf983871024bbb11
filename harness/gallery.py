"""A page of all explainers: what each shows of one real neuron, what came back, its tokens and its source."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
from omegaconf import OmegaConf

from harness import build, config, instruments, tasks
from harness.config import RunSettings
from harness.hydra_config import composed
from harness.models.backend import StoredModel
from harness.models.meter import Meter
from harness.models.store import Store
from harness.results import markdown
from harness.types import (
    Completion,
    CompletionPrompt,
    Explainer,
    Explanation,
    Identity,
    Knowing,
    LanguageModel,
    LevelReading,
    NeuroglossError,
    NeuronRecord,
    Progress,
    Role,
    SlottedPrompt,
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
class Shown:
    """A method on one neuron: its ``explanation`` and the ``exchanges`` behind it, or, in ``why_not``, why there are
    none; ``source`` is its file, ``about`` what its config says of it."""

    name: str
    source: str
    about: str
    role: Role | None = None
    exchanges: tuple[Exchange, ...] = ()
    explanation: Explanation | None = None
    why_not: str = ""


class Watched:
    """A language model that keeps what it was asked, and what it answered."""

    def __init__(self, model: LanguageModel, exchanges: list[Exchange]) -> None:
        self._model = model
        self._exchanges = exchanges

    @property
    def identity(self) -> Identity:
        """That of the model."""
        return self._model.identity

    def levels(self) -> int:
        """As many as the model reads."""
        return self._model.levels()

    def complete(self, prompts: Sequence[CompletionPrompt]) -> list[Completion]:
        """The model's answers."""
        replies = self._model.complete(prompts)
        self._exchanges += map(Exchange, prompts, replies)
        return replies

    def read_levels(self, prompts: Sequence[SlottedPrompt]) -> list[LevelReading]:
        """The model's readings."""
        return self._model.read_levels(prompts)


def options() -> list[str]:
    """The names of all explainers that ``conf/`` has."""
    return sorted(path.stem for path in (config.folder("conf") / "explainer").glob("*.yaml"))


def build_page(
    overrides: Sequence[str], neuron: str | None, names: Sequence[str], progress: Progress, model: str | None = None
) -> str:
    """The page in Markdown.

    Args:
        overrides: of the run's config, which says the task, the subject and the store.
        neuron: of the task; None for its first.
        names: of the explainers.
        progress: told of each explainer that is done.
        model: of ``conf/model/``, asked by every explainer; None for the one that each names.

    Raises:
        NeuroglossError: there is no such explainer or neuron, the task is one of puzzles, or a model stopped it.
    """
    unknown = sorted(set(names) - set(options()))
    if unknown:
        raise NeuroglossError(build.unknown_key(f"explainer.{unknown[0]}", options()))
    settings: RunSettings = config.settings_from(RunSettings, config.plain(composed("run", overrides)))
    task = tasks.read(tasks.find_task(settings.task.name, settings.task.path))
    if not isinstance(task, Task):
        raise NeuroglossError(f"{task.name} is a task of puzzles, and a neuron is wanted; choose a task of neurons.")
    record, shown = neuron_of(task, neuron), []
    with Store(settings.store) as store:
        wrap = instruments.sharing(build.assemble(settings.subject), instruments.remembering(store, Meter()))
        for done, name in enumerate(names, start=1):
            chosen = [f"model@{place}={model}" for place in places(name, "model", overrides)] if model else []
            shown.append(show(name, [*overrides, *chosen], record, wrap))
            progress("explainers", done, len(names))
    return page(task, record, shown)


def places(name: str, key: str, overrides: Sequence[str] = ()) -> list[str]:
    """Where the config of the explainer of that name says ``key``, itself or in an explainer within it."""
    node = OmegaConf.to_container(composed("run", [*overrides, f"explainer={name}"]).explainer[name])
    return list(_places(node, key, f"explainer.{name}"))


def _places(node: object, key: str, where: str) -> Iterator[str]:
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from [f"{where}.{name}"] if name == key else _places(value, key, f"{where}.{name}")


def neuron_of(task: Task, name: str | None) -> NeuronRecord:
    """The neuron of that name, or the task's first.

    Raises:
        NeuroglossError: the task has no such neuron.
    """
    return tasks.select(task, neurons=[name])[0] if name is not None else task.records[0]


def show(name: str, overrides: Sequence[str], record: NeuronRecord, wrap: Callable[[Any], Any]) -> Shown:
    """One explainer of ``conf/`` on one neuron.

    Args:
        name: of its file.
        overrides: of the run's config that it is a part of.
        record: the neuron.
        wrap: as for :func:`harness.build.assemble`; makes a language model of each backend.
    """
    found = composed("run", [*overrides, f"explainer={name}"]).explainer[name]
    source = found["_target_"].rpartition(".")[0].replace(".", "/") + ".py"
    about = (config.folder("conf") / "explainer" / f"{name}.yaml").read_text().partition("\n")[0].lstrip("# ")
    shown = Shown(name, source, about)
    missing = sorted(OmegaConf.missing_keys(found))
    if missing:
        return replace(shown, why_not=f"it needs {missing[0]}")
    exchanges: list[Exchange] = []
    explainer: Explainer | Knowing = build.assemble(_node(found), _watching(wrap, exchanges))
    try:
        evidence, truth = tasks.evidence(record), Truth(record.neuron, tasks.split_record(record).valid)
        told = explainer.recall([truth]) if isinstance(explainer, Knowing) else explainer.explain([evidence])
    except NeuroglossError as error:
        return replace(shown, role=explainer.role, why_not=str(error))
    return replace(shown, role=explainer.role, exchanges=tuple(exchanges), explanation=told[0])


def _node(found: Any) -> Mapping[str, Any]:
    node: Mapping[str, Any] = OmegaConf.to_container(found, resolve=True)  # type: ignore[assignment]
    return node


def _watching(wrap: Callable[[Any], Any], exchanges: list[Exchange]) -> Callable[[Any], Any]:
    def watching(built: Any) -> Any:
        wrapped = wrap(built)
        return Watched(wrapped, exchanges) if isinstance(wrapped, StoredModel) else wrapped

    return watching


def page(task: Task, record: NeuronRecord, methods: Sequence[Shown]) -> str:
    """The page in Markdown; every text of a model or a corpus stands in a fence that nothing in it can end."""
    environment = jinja2.Environment(
        autoescape=False,  # Markdown, not HTML: what is not ours stands in fences
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"fenced": fenced, "cell": markdown}
    template = environment.from_string(_PAGE.read_text(encoding="utf-8"))
    return template.render(task=task, neuron=record.neuron, methods=methods)


def fenced(text: str) -> str:
    """``text`` as a block of code; what is no text for a file, as a lone surrogate, becomes U+FFFD."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}text\n{utf8(text)}\n{fence}"
