"""From the words of a command line to jobs: one, or those of a sweep, in this process or by a launcher of Hydra.

Every job is composed and prepared before any of them begins. A launcher of Hydra (``hydra/launcher=joblib``) starts
processes of its own, and each composes and prepares its job once more. A job of a sweep that is done is not run again.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, NoReturn

import hydra
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from harness.config import plugins, sentences
from harness.config.compose import complete, composed, jobs, register, schema, searching
from harness.files import shipped
from harness.jobs import sweeps
from harness.jobs.jobs import JOBS, ClosingJob, Job, Outcome, Plan, SweepingJob
from harness.progress import ProgressReporter, complain, relayed, show, terminal
from harness.types import NeuroglossError

FAILED = 1
"""Exit status of a sweep with a job that failed."""


@dataclass(frozen=True)
class Member(Generic[Plan]):
    """A job that can begin: its overrides, without those of Hydra, and its plan."""

    overrides: tuple[str, ...]
    plan: Plan


@dataclass(frozen=True)
class End(Generic[Outcome]):
    """The end of a job: its outcome, or the sentence on its failure."""

    overrides: tuple[str, ...]
    outcome: Outcome | None = None
    problem: str = ""


def launch(name: str, words: Sequence[str]) -> int:
    """Carry out a command of :data:`harness.jobs.jobs.JOBS`.

    Args:
        name: of the job.
        words: overrides of its config, and options of Hydra.

    Returns:
        The exit status.

    Raises:
        NeuroglossError: the config cannot be carried out; or the only job had to stop.
    """
    job, options = JOBS[name], _options(name, words)
    if options.cfg or options.info or options.hydra_help or options.shell_completion:
        _print_by_hydra(job, options, words)
        return 0
    members = [
        Member(tuple(overrides), job.prepare(composed(job.config, overrides, _folders(options))))
        for overrides in _overrides_of_jobs(options)
    ]
    if options.multirun:
        return _sweep(job, members, options)
    if _hydra_overrides(options):
        end = _alone_by_hydra(job, options)
        if end.problem:
            raise NeuroglossError(end.problem)
        outcome = end.outcome
    else:
        outcome = _run(job, members[0])
    show(*job.show(outcome))
    return 0


# ---------------------------------------------------------------------------------------------------- the command line


def _options(name: str, words: Sequence[str]) -> argparse.Namespace:
    """Return the command line as Hydra's own parser reads it."""
    parser = get_args_parser()
    parser.prog = f"neurogloss {name}"
    parser.error = partial(_refuse, name)  # type: ignore[method-assign]  # Hydra's own prints eight lines of usage
    options = parser.parse_intermixed_args(words)  # -m may stand between overrides
    for option in ("config_path", "config_name", "experimental_rerun"):
        if getattr(options, option):
            raise NeuroglossError(
                f"--{option.replace('_', '-')} is not taken; name a folder of your own configs by --config-dir."
            )
    if any(re.fullmatch(r"\+*hydra\.mode=(RunMode\.)?MULTIRUN", text) for text in options.overrides):
        options.multirun = True
    return options


def _refuse(name: str, message: str) -> NoReturn:
    raise NeuroglossError(f"{message}; settings are written KEY=VALUE, and neurogloss {name} --help lists them.")


def _folders(options: argparse.Namespace) -> list[Path]:
    return [Path(options.config_dir)] if options.config_dir else []


def _hydra_overrides(options: argparse.Namespace) -> list[str]:
    """Return the overrides of Hydra itself, such as its launcher."""
    return [text for text in options.overrides if re.match(r"[+~]*hydra\b", text)]


def _overrides_of_jobs(options: argparse.Namespace) -> list[list[str]]:
    """Return the overrides of each job that the command line asks for, without those of Hydra."""
    by_hydra = set(_hydra_overrides(options))
    overrides = jobs([text for text in options.overrides if text not in by_hydra])
    if len(overrides) > 1 and not options.multirun:
        raise NeuroglossError(
            "several values for one key make a sweep; add -m to run each of them, or quote a value that holds a comma: "
            "'key=\"a,b\"'."
        )
    return overrides


def _print_by_hydra(job: Job[Any, Any], options: argparse.Namespace, words: Sequence[str]) -> None:
    """Let Hydra print what it can print of a config, which need not be complete."""
    if options.cfg or options.info:
        composed(job.config, _overrides_of_jobs(options)[0], _folders(options))
    register(_folders(options))
    switches = [word for word in words if word not in options.overrides]
    sys.argv = [f"neurogloss {job.name}", *switches, *options.overrides]  # Hydra reads none between overrides
    with relayed():
        hydra.main(version_base="1.3", config_path=str(shipped("conf")), config_name=job.config)(_nothing)()


def _nothing(_: DictConfig) -> None:
    """Do no work: Hydra only prints."""


# ---------------------------------------------------------------------------------------------------------------- jobs


def _run(job: Job[Plan, Outcome], member: Member[Plan]) -> Outcome:
    with ProgressReporter(terminal()) as progress:
        return job.run(member.plan, member.overrides, progress)


def _attempt(job: Job[Plan, Outcome], member: Member[Plan]) -> End[Outcome]:
    """Run a job of a sweep; one that fails leaves its record, and the others go on."""
    try:
        if not isinstance(job, SweepingJob):
            return End(member.overrides, _run(job, member))
        with sweeps.running(job.place(member.plan)):
            return End(member.overrides, _run(job, member))
    except Exception as error:  # noqa: BLE001  # whatever ends a job of a sweep, the others go on
        problem, trace = str(error) or repr(error), ""
        if not isinstance(error, NeuroglossError):
            trace = traceback.format_exc()
            complain(trace)
        if isinstance(job, SweepingJob):
            job.record_failure(member.plan, problem, trace)
        return End(member.overrides, problem=problem)


def _sweep(job: Job[Plan, Outcome], members: Sequence[Member[Plan]], options: argparse.Namespace) -> int:
    """Run all jobs that are not done, and show what came out of all."""
    labels = [_label(member.overrides, [other.overrides for other in members]) for member in members]
    folder = None
    if isinstance(job, SweepingJob):
        places = [job.place(member.plan) for member in members]
        folder = sweeps.begin(options.overrides, labels, places)
        members = [replace(member, plan=job.grouped(member.plan, folder.name)) for member in members]
        done = sum(place.folder is not None for place in places)
        show(*([f"{done} of {len(members)} jobs are done, and are not run again."] if done else []))
    ends = _by_hydra(job, members, options) if _hydra_overrides(options) else _in_turn(job, members, labels)
    lines = (_line(label, end) for label, end in zip(labels, ends, strict=True))
    show(*(f"job {number}: {line}" for number, line in enumerate(lines, start=1)))
    outcomes = [end.outcome for end in ends if end.outcome is not None]
    if isinstance(job, ClosingJob) and outcomes:
        show("", *job.close(outcomes))
    if folder is not None:
        show("", f"sweep: {folder}")
    return FAILED if any(end.problem for end in ends) else 0


def _in_turn(job: Job[Plan, Outcome], members: Sequence[Member[Plan]], labels: Sequence[str]) -> list[End[Outcome]]:
    """Run jobs in this process, one after another."""
    ends = []
    for number, (member, label) in enumerate(zip(members, labels, strict=True), start=1):
        end = _done(job, member)
        if end is None:
            show(f"job {number} of {len(members)}: {label}")
            end = _attempt(job, member)
            if end.problem:
                complain(f"{label}: {end.problem}")
            elif not isinstance(job, ClosingJob) and end.outcome is not None:
                show(*job.show(end.outcome), "")
        ends.append(end)
    return ends


def _done(job: Job[Plan, Outcome], member: Member[Plan]) -> End[Outcome] | None:
    """Return the end of a job that is done, None of another."""
    folder = job.place(member.plan).folder if isinstance(job, SweepingJob) else None
    return None if folder is None else End(member.overrides, job.outcome(folder))  # type: ignore[attr-defined]


def _line(label: str, end: End[Any]) -> str:
    """Return a line on the end of a job: its overrides, and its folder or its failure."""
    return f"{label}: failed: {end.problem}" if end.problem else f"{label}: {getattr(end.outcome, 'folder', 'done')}"


def _label(overrides: Sequence[str], of_all: Sequence[Sequence[str]]) -> str:
    """Return the overrides that tell a job from the others of its sweep; all of them if there is no other."""
    shared = set.intersection(*map(set, of_all)) if len(of_all) > 1 else set()
    return " ".join(text for text in overrides if text not in shared) or "the config as it is"


# ------------------------------------------------------------------------------------------------- launchers of Hydra


_LAUNCHER = "hydra/launcher"
_EXTRAS = {
    "processes": ("hydra_plugins.hydra_joblib_launcher", "parallel"),
    "slurm": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
}
"""Launchers of ``conf/``: the package that each builds on, and the extra that brings it."""


def _alone_by_hydra(job: Job[Plan, Outcome], options: argparse.Namespace) -> End[Outcome]:
    """Hand a single job over to Hydra, and return its end."""
    (overrides,) = _overrides_of_jobs(options)
    words = [*_hydra_overrides(options), *complete(overrides)]
    with _hydra(job, options) as main:
        end: End[Outcome] = main.run(job.config, partial(_launched, job.name, ""), words).return_value
    return end


def _by_hydra(job: Job[Plan, Outcome], members: Sequence[Member[Plan]], options: argparse.Namespace) -> list[End[Any]]:
    """Have Hydra's launcher run the jobs that are not done, in processes of their own; return the ends of all."""
    ends = [_done(job, member) for member in members]
    to_run = [member for member, end in zip(members, ends, strict=True) if end is None]
    group = ""
    if isinstance(job, SweepingJob):
        group = sweeps.name_of([job.place(member.plan) for member in members])
    launched = iter(_launch(job, to_run, options, group) if to_run else [])
    return [end or next(launched) for end in ends]


def _launch(
    job: Job[Plan, Outcome], members: Sequence[Member[Plan]], options: argparse.Namespace, group: str
) -> list[End[Any]]:
    """Have Hydra's launcher run jobs. Where it breaks off, what it has not handed back is looked for on the disk."""
    with _hydra(job, options) as main:
        overrides_by_job = [complete(member.overrides) for member in members]
        overrides = [*_hydra_overrides(options), *overrides_by_job[0]]
        config = main.compose_config(job.config, overrides, with_log_configuration=True, run_mode=RunMode.MULTIRUN)
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(config_loader=main.config_loader, callbacks=Callbacks(config)),
            task_function=partial(_launched, job.name, group),
            config=config,
        )
        try:
            returned = launcher.launch(overrides_by_job, initial_job_idx=0)
            return [_returned(item) for item in returned]
        except (HydraException, OmegaConfBaseException):
            raise
        except Exception as error:  # noqa: BLE001  # each launcher has errors of its own for processes that were killed
            complain(f"the launcher broke off: {sentences.first_line(str(error) or repr(error))}")
            return [_end_on_disk(job, member) for member in members]


@contextmanager
def _hydra(job: Job[Any, Any], options: argparse.Namespace) -> Iterator[Any]:
    """Yield a Hydra that composes as we do; what it refuses is one sentence."""
    folders = _folders(options)
    register(folders)
    with searching(folders), initialize_config_dir(str(shipped("conf")), version_base="1.3", job_name=job.name):
        _check_launcher(options)
        main = GlobalHydra.instance().hydra
        assert main is not None
        try:
            yield main
        except (HydraException, OmegaConfBaseException) as error:
            raise NeuroglossError(f"Hydra: {sentences.first_line(str(error)).rstrip('.')}.") from error
        finally:
            schema.cache_clear()  # joblib sends the schemas to its processes, and damages ours when they come back


def _returned(item: JobReturn) -> End[Any]:
    end: End[Any] = item.return_value
    return end


def _end_on_disk(job: Job[Plan, Outcome], member: Member[Plan]) -> End[Any]:
    """Return the end of a job by what it has left."""
    end = _done(job, member)
    if end is not None or not isinstance(job, SweepingJob):
        return end or End(member.overrides, problem="it did not come back")
    place = job.place(member.plan)
    standing = sweeps.standing(sweeps.SweptJob("", place.run_id, ""), place)
    return End(member.overrides, problem=standing.sentence or _UNFINISHED[standing.state])


_UNFINISHED = {
    sweeps.State.FAILED: "it left no reason",
    sweeps.State.RUNNING: "it goes on",
    sweeps.State.KILLED: "it was killed; the same command runs it again",
    sweeps.State.WAITING: "it has not begun; the same command runs it",
}


def _check_launcher(options: argparse.Namespace) -> None:
    """Refuse a launcher that is not installed, and a sweeper: a sweep takes every combination of the values."""
    for text in _hydra_overrides(options):
        if re.match(r"[+~]*hydra[./]sweeper\b", text):
            raise NeuroglossError(f"{text} is not taken: a sweep takes every combination of the values; leave it out.")
    launchers = GlobalHydra.instance().config_loader().get_group_options(_LAUNCHER, ObjectType.CONFIG)
    for text in options.overrides:
        group, _, name = text.lstrip("+").partition("=")
        package, extra = _EXTRAS.get(name, ("", ""))
        if group == _LAUNCHER and package and importlib.util.find_spec(package) is None:
            raise NeuroglossError(f"{group}={name} needs what pip install 'neurogloss[{extra}]' brings.")
        if group == _LAUNCHER and name not in launchers:
            raise NeuroglossError(
                f"there is no {group} called {name}; there are: {', '.join(sorted(launchers))}. "
                "joblib comes with pip install 'neurogloss[parallel]', submitit with 'neurogloss[slurm]'."
            )


def _launched(name: str, group: str, config: DictConfig) -> End[Any]:
    """Prepare and run the job that Hydra has composed, in whichever process its launcher has chosen."""
    job, overrides = JOBS[name], tuple(HydraConfig.get().overrides.task)
    try:
        plugins.load(config.get("plugins") or ())
        member = Member(overrides, job.prepare(config))
    except NeuroglossError as error:
        return End(overrides, problem=str(error))
    if group and isinstance(job, SweepingJob):
        member = replace(member, plan=job.grouped(member.plan, group))
    return (_done(job, member) if group else None) or _attempt(job, member)
