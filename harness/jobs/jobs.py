"""The jobs that a config describes: run, plan, collect, audit and studies with people, each composed and prepared once
before any work."""

# ruff: noqa: PLC0415  # a job imports what it works with when it begins: a mistake in a config is told before

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from typing_extensions import Protocol, runtime_checkable

from harness.types import Progress

if TYPE_CHECKING:  # a job imports what it works with when it is prepared
    from omegaconf import DictConfig
    from rich.console import RenderableType

    from harness.humans.design import Study
    from harness.jobs.audit import AuditPlan
    from harness.jobs.collection import CollectionPlan
    from harness.jobs.run import RunOutcome, RunPlan
    from harness.jobs.sweeps import Place
    from harness.report.page import Page
    from harness.results.audit import Audit

Plan = TypeVar("Plan")
Outcome = TypeVar("Outcome")
Outcome_contra = TypeVar("Outcome_contra", contravariant=True)


class Job(Protocol[Plan, Outcome]):
    """A kind of work that a config describes.

    Attributes:
        name: of its command.
        config: the name of its config in ``conf/``.
    """

    name: str
    config: str

    def prepare(self, composed: DictConfig) -> Plan:
        """Return what is to be done.

        Raises:
            NeuroglossError: the config cannot be carried out, as far as can be said before any work.
        """
        ...

    def run(self, plan: Plan, overrides: Sequence[str], progress: Progress) -> Outcome:
        """Do it, and return what came out; the overrides are for the record.

        Raises:
            NeuroglossError: it had to stop.
        """
        ...

    def show(self, outcome: Outcome) -> Iterator[RenderableType]:
        """Yield what the terminal shows of an outcome: pages, and lines of text that are not wrapped."""
        ...


@runtime_checkable
class ClosingJob(Protocol[Outcome_contra]):
    """A job that shows the outcomes of a sweep together when all have ended, in place of each by itself."""

    def close(self, outcomes: Sequence[Outcome_contra]) -> Iterator[RenderableType]:
        """Yield what the terminal shows of them."""
        ...


@runtime_checkable
class SweepingJob(Protocol):
    """A job whose sweeps are kept a record of: which jobs they have, and what has become of each."""

    def place(self, plan: Any) -> Place:
        """Return where it leaves what it leaves."""
        ...

    def grouped(self, plan: Any, sweep: str) -> Any:
        """Return the plan of a job of a sweep, whose name trackers group its runs by."""
        ...

    def outcome(self, folder: Path) -> Any:
        """Return the outcome of a job that is done already."""
        ...

    def record_failure(self, plan: Any, sentence: str, traceback: str) -> Path:
        """Write why it failed, with the traceback of an error that nobody foresaw, and return the file."""
        ...


class RunJob:
    """Explains, simulates and scores units."""

    name = "run"
    config = "run"

    def prepare(self, composed: DictConfig) -> RunPlan:
        """Return the plan of a run."""
        from harness.jobs import run

        return run.prepare(composed)

    def run(self, plan: RunPlan, overrides: Sequence[str], progress: Progress) -> RunOutcome:
        """Do the run."""
        from harness.jobs import run

        return run.run(plan, overrides, progress)

    def show(self, outcome: RunOutcome) -> Iterator[RenderableType]:
        """Yield the board, and where the files of the run are."""
        from harness.jobs.boards import board
        from harness.report import page

        folder = outcome.folder
        yield page.render(board([folder]))
        yield ""
        files = {"results": folder, "board": folder / "board.md", "dataset": folder / "dataset"}
        files["site"] = folder / "site" / "index.html"
        places = {name: path for name, path in files.items() if path.exists()} | dict(outcome.places)
        width = max(map(len, places)) + 2
        yield from (f"{name + ':':{width}}{place}" for name, place in places.items())

    def close(self, outcomes: Sequence[RunOutcome]) -> Iterator[RenderableType]:
        """Yield a board over the rows of all runs, one for each task."""
        from harness.jobs.boards import boards_by_task
        from harness.report import page

        for board in boards_by_task([outcome.folder for outcome in outcomes]):
            yield board if isinstance(board, str) else page.render(board)

    def place(self, plan: RunPlan) -> Place:
        """Return the folder of runs, and the hash of the run's config."""
        from harness.jobs.sweeps import Place

        return Place(Path(plan.settings.output), plan.run_id)

    def grouped(self, plan: RunPlan, sweep: str) -> RunPlan:
        """Return the plan with the sweep's name as the group of each tracker that has groups and was told none."""
        from harness.jobs import run

        return run.grouped(plan, sweep)

    def outcome(self, folder: Path) -> RunOutcome:
        """Return the outcome of a run that is done."""
        from harness.jobs.run import RunOutcome

        return RunOutcome(folder, {})

    def record_failure(self, plan: RunPlan, sentence: str, traceback: str) -> Path:
        """Write what went wrong in a run, and its config, into the folder of runs."""
        from harness.results.run import write_failure

        return write_failure(Path(plan.settings.output), plan.run_id, sentence, plan.config, traceback)


class PlanJob:
    """Counts what a run would ask of models; the outcome is a page."""

    name = "plan"
    config = "run"

    def prepare(self, composed: DictConfig) -> RunPlan:
        """Return the plan of the run."""
        from harness.jobs import run

        return run.prepare(composed)

    def run(self, plan: RunPlan, overrides: Sequence[str], progress: Progress) -> Page:  # noqa: ARG002  # the protocol's
        """Count, and send nothing."""
        from harness.jobs import estimate

        return estimate.page(plan, estimate.estimate(plan))

    def show(self, outcome: Page) -> Iterator[RenderableType]:
        """Yield the page."""
        from harness.report import page

        yield page.render(outcome)


@dataclass(frozen=True)
class CollectOutcome:
    """A collection that has ended: what there is to say of its task, in sentences, none if other workers go on."""

    plan: CollectionPlan
    sentences: tuple[str, ...]


class CollectJob:
    """Freezes a task."""

    name = "collect"
    config = "collect"

    def prepare(self, composed: DictConfig) -> CollectionPlan:
        """Return the plan of a collection."""
        from harness.jobs import collection

        return collection.prepare(composed)

    def run(self, plan: CollectionPlan, overrides: Sequence[str], progress: Progress) -> CollectOutcome:  # noqa: ARG002
        """Collect, and freeze what comes out."""
        from harness.jobs import collection

        return CollectOutcome(plan, tuple(collection.run(plan, progress)))

    def show(self, outcome: CollectOutcome) -> Iterator[RenderableType]:
        """Yield the sentences, and the command that runs the task."""
        from harness.jobs import collection

        yield from outcome.sentences or ["this worker's share is done; the worker that ends last freezes the task."]
        if outcome.sentences:
            yield f"next: {collection.next_command(outcome.plan)}"


@dataclass(frozen=True)
class AuditOutcome:
    """An audit, and the folder of its run."""

    audit: Audit
    folder: Path


class AuditJob:
    """Tests the metrics of a run."""

    name = "audit"
    config = "audit"

    def prepare(self, composed: DictConfig) -> AuditPlan:
        """Return the plan of an audit."""
        from harness.jobs import audit

        return audit.prepare(composed)

    def run(self, plan: AuditPlan, overrides: Sequence[str], progress: Progress) -> AuditOutcome:
        """Make the tests, and write what they say beside the run."""
        from harness.jobs import audit

        return AuditOutcome(audit.run(plan, overrides, progress), plan.folder)

    def show(self, outcome: AuditOutcome) -> Iterator[RenderableType]:
        """Yield the summary of the audit, and where its whole page is."""
        from harness.report import audit_page, page
        from harness.results.audit import NAME

        yield page.render(audit_page.summary(outcome.audit))
        yield ""
        yield f"audit: {outcome.folder / f'{NAME}.md'}"


class StudyJob:
    """Serves a study with people until it is stopped; the outcome is its file."""

    name = "human serve"
    config = "study"

    def prepare(self, composed: DictConfig) -> Study:
        """Return the study."""
        from harness.jobs import humans

        return humans.prepare(composed)

    def run(self, plan: Study, overrides: Sequence[str], progress: Progress) -> Path:  # noqa: ARG002  # the protocol's
        """Serve it."""
        from harness.jobs import humans

        return humans.serve(plan)

    def show(self, outcome: Path) -> Iterator[RenderableType]:
        """Yield how much has been answered, and where it is."""
        from harness.jobs import humans

        yield from humans.in_words(outcome)


_ALL: tuple[Job[Any, Any], ...] = (RunJob(), PlanJob(), CollectJob(), AuditJob(), StudyJob())
JOBS = {job.name: job for job in _ALL}
"""The jobs by the names of their commands."""
