"""The help of the jobs: what each is, how it is told what to do, and the options of each group of its config."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from harness.files import shipped

WIDTH = 96


@dataclass(frozen=True)
class Help:
    """The help of a job.

    Attributes:
        about: what it does.
        groups: of its config, each with what is chosen there.
        examples: each with what it does.
    """

    about: str
    groups: tuple[tuple[str, str], ...]
    examples: tuple[tuple[str, str], ...]


_RUN_GROUPS = (
    ("task", "units and their excerpts, or puzzles"),
    ("units", "which of the task's units"),
    ("subject", "the model whose units are explained"),
    ("unit", "which kind of its parts they are"),
    ("explainer", "methods that explain; a list"),
    ("explainer_model", "models that methods ask; a list: each method has a row for each"),
    ("simulator", "predict activations from explanations; a list: each explainer has a row for each"),
    ("scores", "scorers; a list"),
    ("model", "language models, for simulators and scorers: model@simulator.all_at_once.model=NAME"),
    ("human", "explanations by people"),
    ("track", "trackers that follow the run; a list"),
    ("publish", "where its dataset goes"),
    ("budget", "limits of what models may cost"),
    ("experiment", "several settings at once"),
)

HELP = {
    "run": Help(
        "Explains units, simulates their activations from the explanations, and scores the simulations. A run is rows "
        "(a method with a model, and a simulator) over units. It leaves a folder under runs/ with results, tables and "
        "the board. Replies of models are stored: the same command goes on where it was stopped.",
        _RUN_GROUPS,
        (
            ("neurogloss run", "the default run, offline"),
            (
                "neurogloss run 'explainer=[summary,shuffled]' units.limit=4",
                "methods, and how many units",
            ),
            ("neurogloss run 'explainer_model=[smollm2,fake]'", "each method with each of two models"),
            ("neurogloss run -m seed=0,1,2", "a sweep: a run for each value, and one board"),
            ("neurogloss run -m seed=0,1,2 hydra/launcher=processes", "... in processes side by side"),
            ("neurogloss run -m seed=0,1,2 hydra/launcher=slurm hydra.launcher.partition=NAME", "... on Slurm"),
            ("neurogloss run experiment=methods", "methods on one model"),
            ("neurogloss run task=puzzles-v1 simulator=token_overlap 'explainer=[]'", "how good is a simulator?"),
            ("neurogloss run plugins=[my_methods.py] explainer=mine", "a method of your own"),
            ("neurogloss run --config-dir my_configs explainer=mine", "configs of your own"),
            ("neurogloss run --cfg job", "print every key of the config, and run nothing"),
        ),
    ),
    "plan": Help(
        "Prints what a run would ask of models, stage by stage, and what that can cost at most. It takes what "
        "`neurogloss run` takes, renders every prompt, and sends none.",
        _RUN_GROUPS,
        (
            ("neurogloss plan experiment=full", "the run of a leaderboard entry"),
            (
                "neurogloss plan explainer_model=openai explainer_model.openai.name=NAME budget=small",
                "a paid model, held against a budget",
            ),
            ("neurogloss plan -m explainer=summary,clusters", "two runs, each by itself"),
        ),
    ),
    "collect": Help(
        "Reads a corpus on a subject, keeps the excerpts of some of its units, and freezes them as a task under "
        "tasks/, which `neurogloss run task=NAME` finds. A collection that was killed goes on from what it saved.",
        (
            ("recipe", "a whole task, pinned"),
            ("subject", "the model whose units are recorded"),
            ("unit", "which kind of its parts they are"),
            ("corpus", "the text that it reads"),
            ("sample", "which of its units"),
        ),
        (
            ("neurogloss collect name=mine-v1 corpus=text_files corpus.path=FOLDER", "text of your own"),
            (
                "neurogloss collect name=gpt2-v1 subject=transformers subject.name=gpt2 corpus=wikitext",
                "another subject",
            ),
            ("neurogloss collect recipe=gpt2-small-v1", "a recipe"),
            ("neurogloss collect name=mine-v1 workers=2 worker=0", "one of two processes that share the work"),
            ("neurogloss collect --cfg job", "print every key of the config, and collect nothing"),
        ),
    ),
    "audit": Help(
        "Tests the metrics of a finished run: do they drop if labels are corrupted, does a unit's own explanation "
        "outscore others, and does asking again give the same? It writes audit.md beside the run, and boards print its "
        "verdict. tests= chooses among missing_labels, extra_labels, shuffled, random, reinitialised and retest.",
        (("budget", "limits of what models may cost"),),
        (
            ("neurogloss audit", "all tests of the last run"),
            ("neurogloss audit run=runs/FOLDER 'tests=[missing_labels,extra_labels]'", "tests that ask no model"),
            ("neurogloss audit nulls=5 repeats=3", "more draws of each null, more repeats"),
            ("neurogloss audit --cfg job", "print every key of the config, and audit nothing"),
        ),
    ),
    "human serve": Help(
        "Serves a study in which people explain units, rate explanations, simulate activations or find intruders, on "
        "plain pages of this machine, until Ctrl-C. Every answer is kept when it is given: the same command goes on "
        "where it was stopped. mode= chooses among explain, rate, simulate and intruder.",
        (
            ("task", "units and their excerpts, or puzzles"),
            ("units", "which of the task's units"),
            ("unit", "which kind they are, where a task does not say it"),
            ("card", "what people read and agree to before they begin"),
        ),
        (
            ("neurogloss human serve mode=explain", "people write explanations of 12 units"),
            ("neurogloss human serve mode=rate run=runs/latest", "people rate the explanations of a run, in pairs"),
            ("neurogloss human serve mode=simulate run=runs/latest people=2", "people simulate; two each question"),
            ("neurogloss human serve mode=intruder units.limit=6", "which of five texts does not belong?"),
            (
                "neurogloss human serve mode=explain --config-dir conf card=mine 'names=[study.example.org]'",
                "a card of your own, and people beyond this machine",
            ),
            ("neurogloss human serve mode=explain --cfg job", "print every key of the config, and serve nothing"),
        ),
    ),
}

WORDS = """\
KEY=VALUE overrides a key of the config, GROUP=OPTION chooses an option of a group, and GROUP=[A,B] chooses several.
+KEY=VALUE adds a key that the config does not have. The rest of the line, such as --cfg and --config-dir, is Hydra's
(neurogloss {name} --hydra-help)."""


def text(name: str, words: Sequence[str] = ()) -> str:
    """Return the help of a job.

    Args:
        name: of the job.
        words: the command line, whose ``--config-dir`` adds options to the groups.
    """
    job = HELP[name]
    parts = [
        f"usage: neurogloss {name} [-m] [--config-dir FOLDER] [KEY=VALUE ...]",
        textwrap.fill(job.about, WIDTH),
        WORDS.format(name=name),
        "Groups and their options:\n" + "\n".join(_groups(job, [shipped("conf"), *_folders(words)])),
        "Examples:\n" + "\n".join(f"  {command}\n      {meaning}" for command, meaning in job.examples),
    ]
    return "\n\n".join(parts)


def _groups(job: Help, folders: Sequence[Path]) -> Iterator[str]:
    """Yield a paragraph for each group of a config."""
    for group, meaning in job.groups:
        names = ", ".join(options(group, folders))
        yield f"  {group}: {meaning}"
        yield textwrap.fill(names, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6, break_on_hyphens=False)


def options(group: str, folders: Sequence[Path]) -> list[str]:
    """Return the options of a group in folders of configs; those of ``task`` are the frozen tasks too."""
    names = {path.stem for folder in folders for path in (folder / group).glob("*.yaml")}
    if group == "task":
        names |= {
            path.parent.name for root in (shipped("tasks"), Path("tasks")) for path in root.glob("[!.]*/task.yaml")
        }
    return sorted(names)


def _folders(words: Sequence[str]) -> list[Path]:
    """Return the folder that ``--config-dir`` names."""
    pairs = [*pairwise(words), *(word.split("=", 1) for word in words if "=" in word)]
    return [Path(value) for option, value in pairs if option in ("--config-dir", "-cd")]
