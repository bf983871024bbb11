"""The table of short names: a config names a class by ``use: GROUP/NAME``, never by the path of its module.

Our own classes stand in :data:`CLASSES`, and are imported when a config first names them. A plugin adds classes of its
own with :func:`register`.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from harness.guards.printing import shortened
from harness.types import NeuroglossError

Class = TypeVar("Class", bound=type[Any])

CLASSES = {
    "collect/settings": "harness.tasks.collected:CollectionSettings",
    "corpus/hub_dataset": "harness.collect.corpora:HubDataset",
    "corpus/sampled": "harness.collect.corpora:Sampled",
    "corpus/text_files": "harness.collect.corpora:TextFiles",
    "corpus/token_files": "harness.collect.corpora:TokenFiles",
    "explainer/chain_of_thought": "harness.explainers.chain_of_thought:ChainOfThought",
    "explainer/clusters": "harness.explainers.clusters:Clusters",
    "explainer/constant": "harness.explainers.controls.constant:Constant",
    "explainer/ensemble": "harness.explainers.ensemble:Ensemble",
    "explainer/highlight": "harness.explainers.highlight:Highlight",
    "explainer/highlight_summary": "harness.explainers.highlight_summary:HighlightSummary",
    "explainer/input_tokens": "harness.explainers.input_tokens:InputTokens",
    "explainer/joined": "harness.explainers.joined:Joined",
    "explainer/logit_lens": "harness.explainers.logit_lens:LogitLens",
    "explainer/max_activation": "harness.explainers.max_activation:MaxActivation",
    "explainer/neuronpedia": "harness.explainers.released.neuronpedia:Neuronpedia",
    "explainer/next_token_lookup": "harness.explainers.controls.next_token_lookup:NextTokenLookup",
    "explainer/openai_file": "harness.explainers.released.openai_file:OpenAIFile",
    "explainer/oracle": "harness.explainers.controls.oracle:Oracle",
    "explainer/people": "harness.explainers.released.people:People",
    "explainer/planted": "harness.explainers.controls.planted:Planted",
    "explainer/random_words": "harness.explainers.controls.random_words:RandomWords",
    "explainer/revision": "harness.explainers.revision:Revision",
    "explainer/shuffled": "harness.explainers.controls.shuffled:Shuffled",
    "explainer/summary": "harness.explainers.summary:Summary",
    "explainer/token_activation": "harness.explainers.token_activation:TokenActivation",
    "explainer/token_activation_pairs": "harness.explainers.token_activation_pairs:TokenActivationPairs",
    "explainer/token_change": "harness.explainers.token_change:TokenChange",
    "explainer/token_lookup": "harness.explainers.controls.token_lookup:TokenLookup",
    "explainer/token_space": "harness.explainers.token_space:TokenSpace",
    "explainer/top_tokens": "harness.explainers.top_tokens:TopTokens",
    "model/fake": "harness.models.fake:FakeModel",
    "model/server": "harness.models.server.model:ServerModel",
    "model/transformers": "harness.models.local.model:LocalModel",
    "model/tuned": "harness.models.tuned.model:TunedModel",
    "released/openai": "harness.collect.released:Released",
    "sample/all": "harness.collect.sample:All",
    "sample/by_activity": "harness.collect.sample:ByActivity",
    "sample/listed": "harness.collect.sample:Listed",
    "sample/stratified": "harness.collect.sample:Stratified",
    "sample/uniform": "harness.collect.sample:Uniform",
    "scorer/ablation": "harness.scorers.ablation:Ablation",
    "scorer/detection": "harness.scorers.detection:Detection",
    "scorer/fuzzing": "harness.scorers.fuzzing:Fuzzing",
    "scorer/generated": "harness.scorers.generated:Generated",
    "scorer/intruder": "harness.scorers.intruder:Intruder",
    "scorer/pairs": "harness.scorers.pairs:Pairs",
    "scorer/panel": "harness.scorers.panel:Panel",
    "scorer/steered": "harness.scorers.steered:Steer",
    "scorer/truths": "harness.scorers.truths:Truths",
    "simulator/all_at_once": "harness.simulators.all_at_once:AllAtOnce",
    "simulator/chance": "harness.simulators.chance:Chance",
    "simulator/one_at_a_time": "harness.simulators.one_at_a_time:OneAtATime",
    "simulator/token_overlap": "harness.simulators.token_overlap:TokenOverlap",
    "simulator/tuned": "harness.simulators.tuned:Tuned",
    "subject/reinitialised": "harness.subjects.reinitialised:ReinitialisedSubject",
    "subject/transformers": "harness.subjects.transformers_subject:TransformersSubject",
    "tracker/jsonl": "harness.share.jsonl:JsonlTracker",
    "tracker/wandb": "harness.share.wandb:WandbTracker",
    "training/judge": "harness.training.judge:JudgeSettings",
    "training/loop": "harness.training.train:Training",
    "training/network": "harness.models.tuned.network:Architecture",
    "unit/direction": "harness.subjects.directions:Directions",
    "unit/group": "harness.subjects.groups:Groups",
    "unit/head": "harness.subjects.heads:Heads",
    "unit/latent": "harness.subjects.latents:Latents",
    "unit/latent_set": "harness.subjects.latent_sets:LatentSet",
    "unit/neuron": "harness.subjects.neurons:Neurons",
    "unit/neuron_side": "harness.subjects.sides:NeuronSides",
    "writer/prompted": "harness.scorers.writers.prompted:PromptedWriter",
    "writer/template": "harness.scorers.writers.template:TemplateWriter",
}
"""Short name -> ``module:Class``."""

GROUPS = sorted({short_name.partition("/")[0] for short_name in CLASSES})
"""The groups that a short name can begin with."""

REACHES_OUTSIDE = re.compile(
    r"(^|_)(adapter|base|body|directory|endpoint|env|files?|folder|headers?|host|key|lock|log|name|output|password|paths?|"
    r"plugins?|port|proxy|remote_code|secret|store|tokenizer|url)$"
)
"""Names of arguments by which an object reaches a host, a file, a secret or code: also those of plugins.

An argument that does so has such a name. Configs that come out of data do not set it (:mod:`harness.config.outside`).
"""

_REGISTERED: dict[str, type[Any]] = {}
"""Short name -> class, of plugins."""


def register(short_name: str) -> Callable[[Class], Class]:
    """Return a decorator that gives a class the name by which configs can use it.

    ``@register("explainer/one_excerpt")`` above a class, or ``register("model/mine")(MyModel)`` for one that stands
    elsewhere. A module that is loaded again replaces its own classes.

    Raises:
        NeuroglossError: the name is no ``GROUP/NAME``, its group does not exist, or another class has it.
    """
    _check_name(short_name)

    def registered(cls: Class) -> Class:
        owner = CLASSES.get(short_name) or _path_of(_REGISTERED.get(short_name))
        if owner is not None and owner != _path_of(cls):
            raise NeuroglossError(f"the name {short_name} is taken by {owner}; register {cls.__qualname__} by another.")
        _REGISTERED[short_name] = cls
        return cls

    return registered


def resolve(short_name: str, where: str) -> type[Any]:
    """Return the class that a short name stands for, and import it if it is ours.

    Args:
        short_name: ``GROUP/NAME``.
        where: the key of its node in the config, for the message.

    Raises:
        NeuroglossError: there is no such name, or its module cannot be imported.
    """
    if short_name in _REGISTERED:
        return _REGISTERED[short_name]
    if short_name not in CLASSES:
        raise NeuroglossError(_unknown(short_name, where))
    module, _, name = CLASSES[short_name].partition(":")
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise NeuroglossError(f"{where} uses {short_name}, which cannot be imported: {error}.") from error
    assert inspect.isclass(cls)
    return cls


def names(group: str = "") -> list[str]:
    """Return the short names of a group, or all of them."""
    return sorted(name for name in {*CLASSES, *_REGISTERED} if name.startswith(f"{group}/" if group else ""))


def reaches_outside(argument: str) -> bool:
    """Return whether an argument of this name reaches a host, a file, a secret or code."""
    return REACHES_OUTSIDE.search(argument.lower()) is not None


def meant(name: str, candidates: Iterable[str]) -> str:
    """Return the end of a sentence on a name that does not exist: the nearest one, and the list of all."""
    options = sorted(candidates)
    match = nearest(name, options)
    question = f"did you mean {match}? " if match else ""
    return f"{question}there are: {', '.join(options) or 'none'}."


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Return the candidate that is most like another; nothing if none is like it."""
    return "".join(difflib.get_close_matches(name, list(candidates), n=1, cutoff=0.5))


def _check_name(short_name: str) -> None:
    group, _, _ = short_name.partition("/")
    if not re.fullmatch(r"[a-z_]+/[A-Za-z0-9_.-]+", short_name):
        raise NeuroglossError(f"{short_name!r} is no short name; register a class as GROUP/NAME.")
    if group not in GROUPS:
        raise NeuroglossError(f"{short_name} names the group {group}, which does not exist; {meant(group, GROUPS)}")


def _path_of(cls: type[Any] | None) -> str | None:
    return None if cls is None else f"{cls.__module__}:{cls.__qualname__}"


def _unknown(short_name: str, where: str) -> str:
    group, slash, _ = short_name.partition("/")
    problem = f"{where}.use is {shortened(repr(short_name))}, which does not exist"
    if not slash or group not in GROUPS:
        return f"{problem}; write GROUP/NAME, with a group of: {', '.join(GROUPS)}."
    return f"{problem}; {meant(short_name, names(group))}"
