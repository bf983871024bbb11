"""From the words of a command line to jobs: one, or those of a sweep, in this process or by a launcher of Hydra.

Every job is composed and prepared before any of them begins. A launcher of Hydra (``hydra/launcher=joblib``) starts
processes of its own, and each composes and prepares its job once more.
"""

from __future__ import annotations

import argparse
import re
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, NoReturn

import hydra
from hydra import initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from harness.config import plugins, sentences
from harness.config.compose import composed, jobs, register, schema, searching
from harness.files import shipped
from harness.jobs.jobs import JOBS, ClosingJob, Job, Outcome, Plan, RecordingJob
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
        ((end,),) = [_by_hydra(job, options)]
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
    options = parser.parse_args(words)
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
    sys.argv = [f"neurogloss {job.name}", *words]
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
        return End(member.overrides, _run(job, member))
    except Exception as error:  # noqa: BLE001  # whatever ends a job of a sweep, the others go on
        problem = str(error) or repr(error)
        if not isinstance(error, NeuroglossError):
            complain(traceback.format_exc())
        if isinstance(job, RecordingJob):
            job.record_failure(member.plan, problem)
        return End(member.overrides, problem=problem)


def _sweep(job: Job[Plan, Outcome], members: Sequence[Member[Plan]], options: argparse.Namespace) -> int:
    """Run all jobs, and show what came out of them."""
    ends = _by_hydra(job, options) if _hydra_overrides(options) else _in_turn(job, members)
    show(*(f"job {number}: {_line(end, ends)}" for number, end in enumerate(ends, start=1)))
    outcomes = [end.outcome for end in ends if end.outcome is not None]
    if isinstance(job, ClosingJob) and outcomes:
        show("", *job.close(outcomes))
    return FAILED if any(end.problem for end in ends) else 0


def _in_turn(job: Job[Plan, Outcome], members: Sequence[Member[Plan]]) -> list[End[Outcome]]:
    """Run jobs in this process, one after another."""
    ends = []
    for number, member in enumerate(members, start=1):
        label = _label(member.overrides, [other.overrides for other in members])
        show(f"job {number} of {len(members)}: {label}")
        end = _attempt(job, member)
        if end.problem:
            complain(f"{label}: {end.problem}")
        elif not isinstance(job, ClosingJob) and end.outcome is not None:
            show(*job.show(end.outcome), "")
        ends.append(end)
    return ends


def _line(end: End[Any], ends: Sequence[End[Any]]) -> str:
    """Return a line on the end of a job: its overrides, and its folder or its failure."""
    label = _label(end.overrides, [other.overrides for other in ends])
    if end.problem:
        return f"{label}: failed: {end.problem}"
    return f"{label}: {getattr(end.outcome, 'folder', 'done')}"


def _label(overrides: Sequence[str], of_all: Sequence[Sequence[str]]) -> str:
    """Return the overrides that tell a job from the others of its sweep; all of them if there is no other."""
    shared = set.intersection(*map(set, of_all)) if len(of_all) > 1 else set()
    return " ".join(text for text in overrides if text not in shared) or "the config as it is"


# ------------------------------------------------------------------------------------------------- launchers of Hydra


_LAUNCHER = "hydra/launcher"


def _by_hydra(job: Job[Plan, Outcome], options: argparse.Namespace) -> list[End[Outcome]]:
    """Hand over to Hydra, whose launcher may run jobs in processes of their own, and return their ends."""
    folders = _folders(options)
    register(folders)
    work = partial(_launched, job.name)
    with searching(folders), initialize_config_dir(str(shipped("conf")), version_base="1.3", job_name=job.name):
        _check_launcher(options)
        main = GlobalHydra.instance().hydra
        assert main is not None
        try:
            if not options.multirun:
                return [main.run(job.config, work, options.overrides).return_value]
            batches = main.multirun(job.config, work, options.overrides)
        except (HydraException, OmegaConfBaseException) as error:
            raise NeuroglossError(f"Hydra: {sentences.first_line(str(error)).rstrip('.')}.") from error
        finally:
            schema.cache_clear()  # joblib sends the schemas to its processes, and damages ours when they come back
    return [end for batch in batches or () for end in _ends(batch)]


def _ends(batch: Sequence[JobReturn]) -> list[End[Any]]:
    return [returned.return_value for returned in batch]


def _check_launcher(options: argparse.Namespace) -> None:
    """Refuse a launcher that is not installed."""
    launchers = GlobalHydra.instance().config_loader().get_group_options(_LAUNCHER, ObjectType.CONFIG)
    for text in options.overrides:
        group, _, name = text.lstrip("+").partition("=")
        if group == _LAUNCHER and name not in launchers:
            raise NeuroglossError(
                f"there is no {group} called {name}; there are: {', '.join(sorted(launchers))}. "
                "joblib comes with pip install 'neurogloss[parallel]'."
            )


def _launched(name: str, config: DictConfig) -> End[Any]:
    """Prepare and run the job that Hydra has composed, in whichever process its launcher has chosen."""
    job, overrides = JOBS[name], tuple(HydraConfig.get().overrides.task)
    try:
        plugins.load(config.get("plugins") or ())
        member = Member(overrides, job.prepare(config))
    except NeuroglossError as error:
        return End(overrides, problem=str(error))
    return _attempt(job, member)
