"""The command ``neurogloss``: a table of its commands, whose modules are imported when they are asked for."""

from __future__ import annotations

import argparse
import errno
import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TextIO

FAILED, USER_ERROR, INTERRUPTED = 1, 2, 130
"""Exit status: a job of a sweep failed; a mistake that the user can mend; Ctrl-C."""

DESCRIPTION = "How well does one language model explain the units of another?"
LATEST = Path("runs/latest")
LATEST_SWEEP = Path("runs/sweeps/latest")


@dataclass(frozen=True)
class Argument:
    """An argument of a command, as argparse takes it."""

    names: tuple[str, ...]
    settings: dict[str, Any]


@dataclass(frozen=True)
class Command:
    """A command, and what carries it out.

    Attributes:
        name: as it is written; a second word makes it a command of a group.
        help: a line for the list of commands.
        function: ``module:function`` that is called with the parsed arguments.
        arguments: that it takes.
    """

    name: str
    help: str
    function: str
    arguments: tuple[Argument, ...] = ()


def whole(least: int) -> Callable[[str], int]:
    """Return what reads a whole number of an argument, and refuses one that is too small."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number < 1 << 63:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number of {least} or more")
        return number

    return read


def argument(*names: str, **settings: Any) -> Argument:
    """Return an argument by its names and the settings of argparse."""
    return Argument(names, settings)


JOBS = {
    "run": "explain, simulate and score units",
    "plan": "print what a run would ask of models and cost",
    "collect": "collect excerpts, freeze a task",
    "audit": "test the metrics of a run",
    "human serve": "serve a study in which people explain, rate, simulate or find intruders",
}
"""Commands that a config describes, which Hydra composes; see :mod:`harness.jobs.jobs`."""

GROUPS = {
    "batch": "ask servers by files that are answered within a day, at a lower price",
    "circuit": "find groups of neurons, and random ones to compare with",
    "dictionary": "convert dictionaries of latents",
    "human": "ask people to explain units and to rate explanations",
    "sweep": "look at the jobs of a sweep (neurogloss run -m)",
    "tasks": "list, show, verify, rebuild, import or export frozen tasks",
    "leaderboard": "keep the leaderboard",
}
"""Groups of commands."""

_VIEWS, _TASKS = "harness.jobs.commands", "harness.jobs.commands_tasks"
_HUMANS, _PUBLISHING = "harness.jobs.commands_humans", "harness.jobs.publishing"
_SWEEPS = "harness.jobs.commands_sweeps"
_RUN = argument("run", nargs="?", type=Path, default=LATEST, help=f"a run's folder ({LATEST})")
_SWEEP = argument(
    "sweep", nargs="?", type=Path, default=LATEST_SWEEP, metavar="DIR", help=f"a sweep's folder ({LATEST_SWEEP})"
)
_TASK = argument("task", help="a task's name, or its folder")
_FOLDER_OF_TASK = argument(
    "--task", type=Path, metavar="FOLDER", help="the run's task, where it is not found by its name"
)
METRIC = "correlation"
"""The metric that boards are ranked by: the headline of :mod:`harness.stats`, which is not imported for it."""
TOKENIZER = "embedded:smollm2-135m-instruct"
"""The model whose tokenizer planted models have where none is named."""
_ROOT = argument(
    "--root", type=Path, default=Path("leaderboard"), metavar="FOLDER", help="the leaderboard (leaderboard)"
)

_CIRCUIT = (
    argument("--subject", default=TOKENIZER, metavar="NAME", help=f"whose neurons they are ({TOKENIZER})"),
    argument("--task", default="smollm2-v2", help="on whose random excerpts activations are read (smollm2-v2)"),
    argument("--random", type=int, default=3, help="number of random groups for each (3)"),
    argument("--seed", type=whole(0), default=0, help="of the random groups (0)"),
)

COMMANDS = (
    Command(
        "board",
        "print the board of a run, or one board over the rows of several",
        f"{_VIEWS}:show_board",
        (
            argument("runs", nargs="*", type=Path, default=[LATEST], metavar="RUN", help=f"a run's folder ({LATEST})"),
            argument("--by", default=METRIC, metavar="METRIC", help=f"what to rank by ({METRIC})"),
        ),
    ),
    Command(
        "publish",
        "make the dataset of a run, and publish it in a folder or on the Hugging Face hub",
        f"{_PUBLISHING}:publish",
        (
            _RUN,
            argument("--to", nargs=2, metavar=("local|hub", "PLACE"), help="a folder, or ACCOUNT/NAME (nowhere else)"),
            argument("--dry-run", action="store_true", help="list what would be sent, print the card, send nothing"),
            argument("--force", action="store_true", help="replace what was published of the same task before"),
            argument("--public", action="store_true", help="for all to see (private)"),
            argument("--license", default="unknown", metavar="NAME", help="of the task's texts, like apache-2.0"),
            argument("--subject-license", default="unknown", metavar="NAME", help="of the model whose units they are"),
            argument("--token-env", default="HF_TOKEN", metavar="NAME", help="the token's variable (HF_TOKEN)"),
            argument("--shorten-paths", action="store_true", help="publish local paths as .../NAME (they are refused)"),
            _FOLDER_OF_TASK,
        ),
    ),
    Command(
        "export",
        "write the explanations of a run as OpenAI's neuron-explainer or Neuronpedia reads them",
        f"{_PUBLISHING}:export",
        (
            argument("run", type=Path, help="a run's folder"),
            argument("folder", type=Path, help="a new folder"),
            argument(
                "--as",
                dest="form",
                choices=["openai", "neuronpedia", "neuronpedia-upload"],
                required=True,
                help="the format; of Neuronpedia what it exports, or what it takes",
            ),
            argument(
                "--source", default="", metavar="NAME", help="of Neuronpedia: of latents, as in 12-NAME (neurons)"
            ),
            _FOLDER_OF_TASK,
        ),
    ),
    Command(
        "show",
        "print a unit of a run: explanations, scores, heat maps of real and simulated activations",
        f"{_VIEWS}:show_unit",
        (
            _RUN,
            argument("unit", nargs="?", help="a unit of the run (the one that is explained best)"),
            argument("--excerpts", type=int, default=3, help="of each kind (3)"),
        ),
    ),
    Command(
        "explainers",
        "write a page of all explainers and what each is shown",
        f"{_VIEWS}:show_explainers",
        (
            argument("unit", nargs="?", help="a unit of the task (its first)"),
            argument("--write", type=Path, default=Path("runs/explainers.md"), metavar="FILE", help="the page"),
            argument("--only", nargs="+", metavar="NAME", help="some of the explainers"),
            argument("--model", nargs="+", default=[], metavar="NAME", help="models that explainers ask (smollm2)"),
            argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="overrides of the run's config"),
        ),
    ),
    Command(
        "agreement",
        "compare two simulators, of one run or of two",
        f"{_VIEWS}:show_agreement",
        (
            argument("first", type=Path, metavar="RUN", help="a run's folder"),
            argument("second", type=Path, nargs="?", metavar="RUN", help="that of another run"),
            argument("--simulators", nargs=2, metavar="NAME", help="which two (each run's own, or the first two)"),
            argument("--output", type=Path, metavar="FOLDER", help="where to write (beside the first run)"),
        ),
    ),
    Command(
        "serve",
        "serve a model of GGUF weights on loopback, OpenAI-compatible",
        f"{_VIEWS}:serve",
        (
            argument("model", help="an option of conf/model, FOLDER/FILE.gguf, or OWNER/NAME:FILE.gguf on the hub"),
            argument("--port", type=int, default=0, help="0, the default, takes a free one"),
            argument("--threads", type=int, help="of the processor (all)"),
            argument("--context", type=int, help="tokens of a prompt and its reply (4096)"),
            argument("--parallel", type=int, help="requests that are answered at once (1)"),
        ),
    ),
    Command(
        "plant",
        "make a small transformer whose neurons compute known functions",
        "harness.jobs.planting:plant",
        (
            argument("folder", type=Path, help="a new folder, which subject.name can be"),
            argument("--tokenizer", default=TOKENIZER, metavar="NAME", help=f"of this model ({TOKENIZER})"),
            argument(
                "--seed", type=whole(0), required=True, help="of all that is planted; a fresh one for each release"
            ),
            argument("--neurons", type=whole(1), default=128, help="in each of the two layers (128)"),
            argument("--documents", type=whole(1), default=3000, help="of the corpus that is written beside it (3000)"),
        ),
    ),
    Command(
        "power",
        "print how many units it takes to tell explainers apart",
        f"{_VIEWS}:show_power",
        (
            _RUN,
            argument("--difference", type=float, default=0.05, help="of their means that is to be seen (0.05)"),
            argument("--power", type=float, default=0.8, help="chance of seeing it where it is there (0.8)"),
            argument("--alpha", type=float, default=0.05, help="chance of seeing one that is not there (0.05)"),
            argument("--metric", default=METRIC, help=f"what is compared ({METRIC})"),
            argument("--explainers", nargs="+", default=(), metavar="NAME", help="only these"),
        ),
    ),
    Command(
        "batch write",
        "write what a run would ask of servers to a file, as batches of OpenAI and vllm run-batch are written",
        "harness.jobs.commands_batch:write",
        (
            argument("overrides", nargs="*", metavar="KEY=VALUE", help="overrides of the run's config"),
            argument("file", type=Path, help="a new file of requests (.jsonl); more of them end in -2, -3"),
            argument("--config-dir", type=Path, metavar="FOLDER", help="of configs of your own"),
        ),
    ),
    Command(
        "batch read",
        "store the replies to such requests; neurogloss run finds them there",
        "harness.jobs.commands_batch:read",
        (
            argument("files", nargs="+", type=Path, metavar="FILE", help="of answers, as the server gave them"),
            argument("--store", type=Path, default=Path("runs/store.sqlite"), help="of the run (runs/store.sqlite)"),
        ),
    ),
    Command(
        "circuit find",
        "write the neurons whose output directions promote a family of tokens as a group, and random groups beside it",
        "harness.jobs.circuits:find",
        (
            argument("file", type=Path, help="a new file of groups, which subject.unit.path can be"),
            argument("name", help="of the group, like weekdays"),
            argument("tokens", nargs="+", help="the family: texts of one token each, like ' Monday'"),
            argument("--units", type=int, default=12, help="neurons of the group (12)"),
            *_CIRCUIT,
        ),
    ),
    Command(
        "circuit match",
        "write the groups of a file again, and beside each random ones of equal size, layers and mean activation",
        "harness.jobs.circuits:match",
        (
            argument("groups", type=Path, help="a file of groups of neurons"),
            argument("file", type=Path, help="a new file"),
            *_CIRCUIT,
        ),
    ),
    Command(
        "dictionary convert",
        "write the tensors of a pickle as safetensors, beside its settings and its digest",
        "harness.jobs.dictionaries:convert",
        (
            argument("pickle", type=Path, help="a file like ae.pt; nothing but tensors in it is read"),
            argument("folder", type=Path, help="a new folder, which subject.unit.path can be"),
        ),
    ),
    Command(
        "human invite",
        "make invitations to a study, one for each person; they are printed, and kept as hashes alone",
        "harness.jobs.humans:invite",
        (
            argument("study", type=Path, help="its file, which `neurogloss human serve` names"),
            argument("number", type=whole(1), help="of invitations"),
        ),
    ),
    Command(
        "human report",
        "print what the answers of a study say: agreement, strengths, scores that agree with people",
        f"{_HUMANS}:report",
        (
            argument("study", type=Path, help="its file, or a table of answers"),
            argument("run", nargs="?", type=Path, help="the run whose explanations were read, or that scored people's"),
            argument("--write", type=Path, metavar="FILE", help="the page in Markdown"),
        ),
    ),
    Command(
        "human export",
        "write the answers of a study as a table, its explanations, or its questions for another tool",
        f"{_HUMANS}:export",
        (
            argument("study", type=Path, help="its file"),
            argument("to", type=Path, help="a file (.csv, .jsonl, .parquet), or a new folder for another tool"),
            argument(
                "--as",
                dest="form",
                choices=["answers", "explanations", "label-studio", "potato"],
                default="answers",
                help="what is written (answers)",
            ),
        ),
    ),
    Command(
        "human import",
        "read answers that were given elsewhere into a table, which reports read",
        f"{_HUMANS}:import_answers",
        (
            argument("file", type=Path, help="a table of answers, or with --key the JSON export of Label Studio"),
            argument("to", type=Path, help="a file (.csv, .jsonl, .parquet)"),
            argument("--key", type=Path, metavar="FILE", help="the key.json of what Label Studio was sent"),
            argument("--skip-bad", action="store_true", help="leave out rows that cannot be read, and name them"),
        ),
    ),
    Command(
        "sweep status",
        "print which jobs of a sweep are done, have failed, run, were killed or wait",
        f"{_SWEEPS}:show_status",
        (_SWEEP,),
    ),
    Command(
        "sweep board",
        "print one board over the rows of all jobs of a sweep that are done",
        f"{_SWEEPS}:show_board",
        (_SWEEP, argument("--by", default=METRIC, metavar="METRIC", help=f"what to rank by ({METRIC})")),
    ),
    Command("tasks ls", "list the tasks that are here", f"{_TASKS}:list_tasks"),
    Command("tasks show", "print what a task holds", f"{_TASKS}:show_task", (_TASK,)),
    Command("tasks verify", "check a task's files against its digest", f"{_TASKS}:verify_task", (_TASK,)),
    Command(
        "tasks rebuild",
        "make a task again from its source or its config, and compare",
        f"{_TASKS}:rebuild_task",
        (
            argument("task", help="the task's name, its folder, or one that holds puzzles.yaml"),
            argument("--write", type=Path, metavar="FOLDER", help="freeze what comes out in a new folder"),
            argument("--plugins", nargs="+", default=[], metavar="NAME", help="those that the task needs, repeated"),
            argument(
                "--allow",
                action="extend",
                nargs="+",
                default=[],
                metavar="KEY=VALUE",
                help="what the task names that reaches a host, a file, a secret or code, repeated",
            ),
        ),
    ),
    Command(
        "tasks import",
        "freeze neuron records in the format of OpenAI's neuron-explainer",
        f"{_TASKS}:import_task",
        (
            argument("name", help="of the new task, like gpt2-xl-released-v1"),
            argument("files", nargs="+", type=Path, help="files of one record each, or folders with such files"),
            argument("--subject", required=True, help="the model that the records were made from"),
            argument("--revision", default="", help="its revision"),
            argument("--output", type=Path, default=Path("tasks"), help="the folder of tasks (tasks)"),
        ),
    ),
    Command(
        "tasks export",
        "write a task's units in that format, a file each",
        f"{_TASKS}:export_task",
        (_TASK, argument("folder", type=Path, help="a new folder")),
    ),
    Command(
        "leaderboard add",
        "make an entry of a run",
        f"{_VIEWS}:add_entry",
        (argument("run", type=Path, help="a run's folder"), _ROOT),
    ),
    Command(
        "leaderboard compare",
        "set two rows side by side: where either wins, and how surely",
        f"{_VIEWS}:show_comparison",
        (
            argument("first", metavar="A", help="an entry or a run's folder, and #ROW if it has several"),
            argument("second", metavar="B", help="another, or the same with another #ROW"),
            argument("--by", default=METRIC, metavar="METRIC", help=f"what to compare by ({METRIC})"),
        ),
    ),
    Command(
        "leaderboard verify",
        "work the scores of an entry out again from its simulations",
        f"{_VIEWS}:verify_entry",
        (
            argument("entry", type=Path, help="its .json file"),
            argument("--simulate", action="store_true", help="make its simulations again too, by the same simulators"),
            argument("--record", action="store_true", help="write the check by which it stands as verified"),
        ),
    ),
    Command("leaderboard build", "render all entries", f"{_VIEWS}:build_leaderboard", (_ROOT,)),
    Command(
        "leaderboard export",
        "write its results as the Hugging Face hub shows them on the pages of tasks and models",
        f"{_VIEWS}:export_leaderboard",
        (
            argument("place", choices=["hf"], help="where they are shown"),
            argument("folder", type=Path, help="a new folder"),
            argument("--owner", required=True, metavar="NAME", help="whose datasets the tasks are"),
            _ROOT,
        ),
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; the exit status is 0 only if all that was asked for was done, and printed."""
    _open_streams()
    try:
        status = _dispatch(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()  # what cannot be written is told here, not by the interpreter at its end
    except BrokenPipeError:
        _leave_output()
        status = FAILED
    except KeyboardInterrupt:
        _complain("stopped; every reply so far is kept, and the same command goes on from there.")
        status = INTERRUPTED
    except Exception as error:
        mistake = _mistake(error)
        if mistake is None:
            raise
        _complain(str(mistake))
        status = USER_ERROR
    raise SystemExit(status)


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of a disk on which nothing more can be written."""


def _open_streams() -> None:
    """Make standard output and error take any character, a question mark where they have none, and be there at all."""
    if sys.stdout is None:
        sys.stdout = _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _leave_output() -> None:
    """Write nothing more where nobody reads, or nothing can be written."""
    sys.stdout = _nowhere()
    if isinstance(sys.__stdout__, io.TextIOWrapper):
        os.dup2(sys.stdout.fileno(), sys.__stdout__.fileno())


def _nowhere() -> TextIO:
    return io.TextIOWrapper(io.FileIO(os.devnull, "w"), encoding="utf-8")


def _complain(sentence: str) -> None:
    _imported("harness.progress:complain")(sentence)


def _mistake(error: Exception) -> Exception | None:
    """Return the error that the user can mend; None where it is a defect of ours."""
    from harness.types import NeuroglossError  # noqa: PLC0415  # --help imports nothing

    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        _leave_output()
        return NeuroglossError(
            f"{error.filename or 'what is printed'} cannot be written ({error.strerror}); make room and run again, "
            "every reply so far is kept."
        )
    return error if isinstance(error, NeuroglossError) else None


def _dispatch(words: list[str]) -> int:
    """Carry out a job, whose words are overrides of a config, or a command, which argparse reads."""
    for name in JOBS:
        length = len(name.split())
        if words[:length] == name.split():
            return _job(name, words[length:])
    options = _parser().parse_args(words)
    _imported(options.function)(options)
    return 0


def _job(name: str, words: list[str]) -> int:
    if {"-h", "--help"} & set(words):
        print(_imported("harness.jobs.jobs_help:text")(name, words))
        return 0
    status: int = _imported("harness.jobs.jobs_launch:launch")(name, words)
    return status


def _imported(path: str) -> Any:
    """Return the function at ``module:function``."""
    module, _, function = path.partition(":")
    return getattr(importlib.import_module(module), function)


# -------------------------------------------------------------------------------------------------- argument parsing


class _Version(argparse.Action):
    """Prints the version of the package, which is looked up for that alone."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print it, and end."""
        print(f"neurogloss {_imported('harness.results.provenance:version')()}")
        parser.exit()


class _Parser(argparse.ArgumentParser):
    """A parser whose messages repeat no character of an argument that could drive a terminal."""

    def error(self, message: str) -> NoReturn:
        """Print the message, and end."""
        super().error(_imported("harness.guards.printing:harmless")(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="neurogloss", description=DESCRIPTION)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    parsers = {"": parser.add_subparsers(required=True, metavar="COMMAND")}
    for job, summary in JOBS.items():
        parsers_of, name = _place(parsers, job)
        parsers_of.add_parser(name, help=f"{summary} (neurogloss {job} --help)", add_help=False)
    for command in COMMANDS:
        parsers_of, name = _place(parsers, command.name)
        _add(parsers_of.add_parser(name, help=command.help, description=command.help), command)
    return parser


def _place(parsers: dict[str, Any], command: str) -> tuple[Any, str]:
    """Return the parsers of the group that a command is of, which are made for its first, and its name there."""
    group, _, name = command.rpartition(" ")
    if group not in parsers:
        group_parser = parsers[""].add_parser(group, help=GROUPS[group], description=GROUPS[group])
        parsers[group] = group_parser.add_subparsers(required=True, metavar="COMMAND")
    return parsers[group], name


def _add(parser: argparse.ArgumentParser, command: Command) -> None:
    parser.set_defaults(function=command.function)
    for item in command.arguments:
        parser.add_argument(*item.names, **item.settings)


if __name__ == "__main__":
    main()
