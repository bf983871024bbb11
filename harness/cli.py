"""The command ``neurogloss`` and its subcommands. Nothing imports this module."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.console import Console, Group

from harness import (
    agreement,
    agreement_results,
    audit_experiment,
    audit_results,
    config,
    experiment,
    frozen,
    gallery,
    leaderboard,
    planning,
    provenance,
    puzzle_results,
    results,
    stats,
    tasks,
    trust,
)
from harness.hydra_config import composed, jobs
from harness.progress import ProgressReporter
from harness.puzzles import task as puzzle_task
from harness.report import agreement_page, audit_page, board, page, power, puzzle_board
from harness.types import Identity, NeuroglossError

FAILED, USER_ERROR, INTERRUPTED = 1, 2, 130
"""Exit status: a job of a sweep failed; a mistake that the user can mend; Ctrl-C."""

DESCRIPTION = "How well does one language model explain the neurons of another?"
OVERRIDES = """\
Everything after the command is an override of its config, or an option of Hydra:
  neurogloss run explainer=token_lookup neurons.limit=4    compose and run
  neurogloss run -m explainer=smollm2,max_activation       a run for each value
  neurogloss run --cfg job                                 print the config, run nothing
"""

console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; the exit status is 0 only if all that was asked for was done."""
    try:
        status = _dispatch(list(sys.argv[1:] if arguments is None else arguments))
    except NeuroglossError as error:
        status = _refuse(error)
    except KeyboardInterrupt:
        errors.print("neurogloss: stopped; every reply so far is kept, and the same command goes on from there.")
        status = INTERRUPTED
    raise SystemExit(status)


def _refuse(error: NeuroglossError) -> int:
    errors.print(f"neurogloss: {error}")
    return USER_ERROR


def _dispatch(given: list[str]) -> int:
    """Hydra reads what follows ``run``, ``plan``, ``collect`` and ``audit``; argparse reads everything else."""
    commands: dict[str, _Composing] = {
        "run": _run,
        "plan": _plan,
        "collect": partial(_prepared, "collect", experiment.prepare_collection, _collect_job),
        "audit": partial(_prepared, "audit", audit_experiment.prepare, _audit_job),
    }
    if given and given[0] in commands and not {"-h", "--help"} & set(given[1:]):
        return commands[given[0]](given[1:])
    options = _parser().parse_args(given)
    options.do(options)
    return 0


# --------------------------------------------------------------------------------------------------- run and collect

_Composing = Callable[[list[str]], int]


def _run(given: list[str]) -> int:
    """Check every job before any work; then Hydra launches them, in turn or by one of its launchers."""
    if _only_shows(given):
        return _show("run", given)
    plans = [experiment.prepare(one) for one in _jobs("run", given)]
    failures = [results.failure_path(Path(plan.settings.output), plan.run_id) for plan in plans]
    _launch("run", given, _run_job)
    failed = [path for path in failures if path.is_file()]
    for path in failed:
        errors.print(f"neurogloss: a job failed; {path} says why.")
    return FAILED if failed else 0


def _run_job(one: DictConfig) -> None:
    """One run. In a sweep a job that fails leaves its record and the others go on; alone it ends the command."""
    plan = experiment.prepare(one)
    try:
        with ProgressReporter(console) as progress:
            folder, _ = experiment.run(plan, list(HydraConfig.get().overrides.task), progress)
    except Exception as error:  # noqa: BLE001  # whatever ends a job of a sweep, the others go on
        if HydraConfig.get().mode != RunMode.MULTIRUN:
            _end(error)
        results.write_failure(Path(plan.settings.output), plan.run_id, str(error) or repr(error), plan.config)
        errors.print(f"neurogloss: {error}")
        if not isinstance(error, NeuroglossError):
            errors.print_exception()
        return
    console.print(_board(folder))
    console.print()
    places = {"results": folder, "board": folder / "board.md", "dataset": folder / "dataset"}
    for what, path in places.items():
        if path.exists():
            console.print(f"{what + ':':9}{path}", soft_wrap=True, markup=False)


def _board(run: Path, by: str = stats.HEADLINE) -> Group:
    """The board of a run of either kind, as it can be said now: another run may have measured its simulator since."""
    if results.kind_of(run) == puzzle_results.KIND:
        if by != stats.HEADLINE:
            raise NeuroglossError("a board of puzzles is ranked by correlation; leave --by out.")
        return page.render(puzzle_board.build(puzzle_results.read_run(run)))
    found = results.read_run(run)
    trusted = trust.sentence(found.simulator, run.resolve().parent)
    audited = audit_results.sentence(audit_results.read(run), by)
    return board.render(board.build(found, trusted, audited, by))


def _plan(given: list[str]) -> int:
    """Print what each job would ask of models, and what that can cost; nothing is sent."""
    if _only_shows(given):
        return _show("run", given)
    for one in _jobs("run", given):
        plan = experiment.prepare(one)
        console.print(page.render(planning.page(plan, planning.asked(plan))))
    return 0


def _prepared(
    name: str, prepare: Callable[[DictConfig], object], job: Callable[[DictConfig], None], given: list[str]
) -> int:
    """Check every job before any work; then Hydra launches them, and the first that fails ends the command."""
    if _only_shows(given):
        return _show(name, given)
    for one in _jobs(name, given):
        prepare(one)
    _launch(name, given, job)
    return 0


def _audit_job(one: DictConfig) -> None:
    try:
        plan = audit_experiment.prepare(one)
        with ProgressReporter(console) as progress:
            audit = audit_experiment.run(plan, list(HydraConfig.get().overrides.task), progress)
    except NeuroglossError as error:
        _end(error)
    console.print(page.render(audit_page.build(audit)))
    console.print()
    console.print(f"audit: {plan.folder / f'{audit_results.NAME}.md'}", soft_wrap=True, markup=False)


def _end(error: Exception) -> NoReturn:
    """End the command from within Hydra, which would print a traceback of any exception but this one."""
    if isinstance(error, NeuroglossError):
        raise SystemExit(_refuse(error)) from error
    raise error


def _collect_job(one: DictConfig) -> None:
    try:
        with ProgressReporter(console) as progress:
            said = experiment.collect(experiment.prepare_collection(one), progress)
    except NeuroglossError as error:
        _end(error)
    for sentence in said or ["this worker's share is done; the worker that ends last freezes the task."]:
        console.print(sentence, soft_wrap=True, markup=False)


def _only_shows(given: Sequence[str]) -> bool:
    """Whether Hydra is only asked to print something: a config that is not complete can be looked at too."""
    options = get_args_parser().parse_args(given)
    return bool(options.cfg or options.info)


def _show(name: str, given: Sequence[str]) -> int:
    composed(name, [text for text in get_args_parser().parse_args(given).overrides if "hydra" not in text])
    _launch(name, given, _run_job)
    return 0


def _jobs(name: str, given: Sequence[str]) -> list[DictConfig]:
    """The composed config of each job that the command line asks for."""
    options = get_args_parser().parse_args(given)
    overrides = jobs([text for text in options.overrides if not text.lstrip("+~").startswith("hydra")])
    if len(overrides) > 1 and not options.multirun:
        raise NeuroglossError("several values for one key make a sweep; add -m to run each of them.")
    return [composed(name, one) for one in overrides]


def _launch(name: str, given: Sequence[str], job: Callable[[DictConfig], None]) -> None:
    """Hand over to Hydra, which reads the command line by itself."""
    config.register()
    sys.argv = [f"neurogloss {name}", *given]
    hydra.main(version_base="1.3", config_path=str(config.folder("conf")), config_name=name)(job)()


# ---------------------------------------------------------------------------------------- board, tasks, leaderboard


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="neurogloss", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"neurogloss {provenance.version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, text in (
        ("run", "explain, simulate and score neurons"),
        ("plan", "print what a run would ask of models and cost"),
        ("collect", "collect excerpts, freeze a task"),
        ("audit", "test the metrics of a run"),
    ):
        raw = argparse.RawDescriptionHelpFormatter
        commands.add_parser(name, help=f"{text} (config overrides)", description=OVERRIDES, formatter_class=raw)
    shown = _command(commands, "board", "print the board of a run", _show_board)
    shown.add_argument("run", nargs="?", type=Path, default=Path("runs/latest"), help="a run's folder (runs/latest)")
    words = _command(commands, "explainers", "write a page of all explainers and what each is shown", _show_explainers)
    words.add_argument("neuron", nargs="?", help="a neuron of the task (its first one)")
    words.add_argument("--write", type=Path, default=Path("runs/explainers.md"), metavar="FILE", help="the page")
    words.add_argument("--only", nargs="+", metavar="NAME", help="some of the explainers")
    words.add_argument("--model", metavar="NAME", help="the model that all of them ask, one of conf/model")
    words.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="overrides of the run's config")
    shown.add_argument("--by", default=stats.HEADLINE, metavar="METRIC", help=f"what to rank by ({stats.HEADLINE})")
    paired = _command(commands, "agreement", "compare the simulators of two runs", _show_agreement)
    for place in ("first", "second"):
        paired.add_argument(place, type=Path, metavar="RUN", help=f"the folder of the {place} run")
    paired.add_argument("--output", type=Path, metavar="FOLDER", help="where to write (beside the first run)")
    planned = _command(commands, "power", "how many neurons it takes to tell explainers apart", _show_power)
    planned.add_argument("run", nargs="?", type=Path, default=Path("runs/latest"), help="a run's folder (runs/latest)")
    planned.add_argument("--difference", type=float, default=0.05, help="of their means that is to be seen (0.05)")
    planned.add_argument("--power", type=float, default=0.8, help="chance of seeing it where it is there (0.8)")
    planned.add_argument("--alpha", type=float, default=0.05, help="chance of seeing one that is not there (0.05)")
    planned.add_argument("--metric", default=stats.HEADLINE, help=f"what is compared ({stats.HEADLINE})")
    planned.add_argument("--explainers", nargs="+", default=(), metavar="NAME", help="only these")
    kept = _group(commands, "tasks", "list, show, verify, rebuild, import or export frozen tasks")
    _command(kept, "ls", "list the tasks that are here", _list_tasks)
    for name, text, do in (
        ("show", "what a task holds", _show_task),
        ("verify", "check a task's files against its digest", _verify_task),
    ):
        _command(kept, name, text, do).add_argument("task", help="a task's name, or its folder")
    again = _command(kept, "rebuild", "make a task again from its source or its config, and compare", _rebuild_task)
    again.add_argument("task", help="the task's name, its folder, or one that holds puzzles.yaml")
    again.add_argument("--write", type=Path, metavar="FOLDER", help="freeze what comes out in a new folder")
    taking = _command(kept, "import", "freeze neuron records in the format of OpenAI's neuron-explainer", _import_task)
    taking.add_argument("name", help="of the new task, like gpt2-xl-released-v1")
    taking.add_argument("files", nargs="+", type=Path, help="files of one record each, or folders with such files")
    taking.add_argument("--subject", required=True, help="the model that the records were made from")
    taking.add_argument("--revision", default="", help="its revision")
    taking.add_argument("--output", type=Path, default=Path("tasks"), help="the folder of tasks")
    giving = _command(kept, "export", "write a task's neurons in that format, a file each", _export_task)
    giving.add_argument("task", help="a task's name, or its folder")
    giving.add_argument("folder", type=Path, help="a new folder")
    ranked = _group(commands, "leaderboard", "keep the leaderboard")
    adding = _command(ranked, "add", "make an entry of a run", _add_entry)
    adding.add_argument("run", type=Path, help="a run's folder")
    for command in (adding, _command(ranked, "build", "render all entries", _build_leaderboard)):
        command.add_argument("--root", type=Path, default=Path("leaderboard"), help="the leaderboard's folder")
    return parser


def _group(commands: Any, name: str, text: str) -> Any:
    return commands.add_parser(name, help=text, description=text).add_subparsers(required=True, metavar="COMMAND")


def _command(commands: Any, name: str, text: str, do: Callable[[Any], None]) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    command.set_defaults(do=do)
    return command


def _show_board(options: argparse.Namespace) -> None:
    console.print(_board(options.run, options.by))


def _show_agreement(options: argparse.Namespace) -> None:
    found = agreement.compare(options.first, options.second)
    shown = agreement_page.build(found)
    runs = f"{found.first.run_id[:12]}-{found.second.run_id[:12]}"
    folder = options.output or options.first.resolve().parent / f"{agreement_results.NAME}-{runs}"
    agreement_results.write(folder, found, page.markdown_page(shown))
    console.print(page.render(shown))
    console.print()
    console.print(f"agreement: {folder}", soft_wrap=True, markup=False)


def _show_explainers(options: argparse.Namespace) -> None:
    """Ask what each explainer asks of one neuron; replies are kept in the store of runs, and not asked for twice."""
    names = list(dict.fromkeys(options.only or gallery.options()))
    with ProgressReporter(console) as progress:
        text = gallery.build_page(options.set, options.neuron, names, progress, options.model)
    try:
        results.write_whole(options.write, text.encode())
    except OSError as error:
        reason = error.strerror or error
        raise NeuroglossError(f"the page cannot be written to {options.write} ({reason}); see --write.") from error
    console.print(f"page: {options.write}", soft_wrap=True, markup=False)


def _show_power(options: argparse.Namespace) -> None:
    asked = power.Asked(
        options.difference, options.power, options.alpha, options.metric, tuple(dict.fromkeys(options.explainers))
    )
    console.print(page.render(power.build(results.read_run(options.run), asked)))


def _list_tasks(_: argparse.Namespace) -> None:
    """Each is checked as it is read; one that cannot be read is told of when the others stand there."""
    problems = []
    for name in tasks.list_tasks():
        try:
            console.print(f"{name}  {tasks.read(tasks.find_task(name)).digest[:12]}", markup=False)
        except NeuroglossError as error:
            problems.append(error)
    if problems:
        raise problems[0]


def _read(options: argparse.Namespace) -> Any:
    place = Path(options.task)
    return tasks.read(tasks.find_task(place.name, str(place) if place.exists() else None))


def _verify_task(options: argparse.Namespace) -> None:
    task = _read(options)
    console.print(f"{task.name}: whole, {task.size}, digest {task.digest}", soft_wrap=True, markup=False)


def _show_task(options: argparse.Namespace) -> None:
    task = _read(options)
    console.print(f"{task.name}  {task.digest}\n{task.description}\n", soft_wrap=True, markup=False)
    for name, content in task.contents:
        console.print(f"{name:>10}  {content}", soft_wrap=True, markup=False)


def _rebuild_task(options: argparse.Namespace) -> None:
    """Make a task again and compare; what comes out is frozen where ``--write`` asks for it, and a source of puzzles of
    which nothing is frozen yet is."""
    place = Path(options.task)
    folder = place if place.is_dir() else tasks.tasks_folder() / options.task
    if not folder.is_dir():
        folder = tasks.find_task(options.task)
    if not (folder / puzzle_task.SOURCE).is_file():
        with ProgressReporter(console) as progress:
            agreement = experiment.rebuild(tasks.find_task(folder.name, str(folder)), progress, options.write)
        console.print(agreement, soft_wrap=True, markup=False)
        return
    if options.write is not None or not (folder / frozen.DESCRIPTION).is_file():
        target = folder if options.write is None else options.write
        console.print(f"{target}: written, digest {puzzle_task.write(folder, target)}", soft_wrap=True, markup=False)
        return
    known, again = tasks.read(folder).digest, puzzle_task.digest(folder)
    if again != known:
        raise NeuroglossError(
            f"{folder} compiles to the digest {again[:12]}, and was published with {known[:12]}: its rules or the "
            "compiler have changed; freeze it as a new version with --write FOLDER."
        )
    console.print(f"{folder.name}: compiles to the same digest, {known}", soft_wrap=True, markup=False)


def _import_task(options: argparse.Namespace) -> None:
    tasks.check_name(options.name)
    tasks.check_free(options.name)
    subject = Identity(options.subject, options.revision)
    for sentence in experiment.import_records(options.files, options.output / options.name, subject):
        console.print(sentence, soft_wrap=True, markup=False)


def _export_task(options: argparse.Namespace) -> None:
    files = experiment.export_records(options.task, options.folder)
    console.print(f"{options.folder}: {len(files)} files of one neuron each", soft_wrap=True, markup=False)


def _add_entry(options: argparse.Namespace) -> None:
    shipped = tasks.tasks_folder()
    known = {name: tasks.read(shipped / name).digest for name in tasks.list_tasks(shipped)}
    entry = leaderboard.add(options.run, options.root, known)
    console.print(f"entry: {entry}\nnow render it: neurogloss leaderboard build", soft_wrap=True, markup=False)


def _build_leaderboard(options: argparse.Namespace) -> None:
    for path in leaderboard.build(options.root):
        console.print(f"page: {path}", soft_wrap=True, markup=False)


if __name__ == "__main__":
    main()
