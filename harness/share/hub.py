"""Datasets on the Hugging Face hub: one commit each, and a tag on it.

``HfApi.upload_folder`` splits a folder into several commits; a publication is made by ``create_commit``, so that a
failure at any moment leaves the whole of it visible or nothing. What was uploaded before a failure is stored by its
digest, and is not sent again.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.config.settings import PublishSettings
from harness.share.dataset import MANIFEST, Manifest, files_of, read_manifest
from harness.types import NeuroglossError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# ruff: noqa: PLC0415  # the hub's client is imported only where the hub is asked for

_KIND = "dataset"
_OF_THE_HUB = frozenset({".gitattributes"})
"""Files that the hub puts into every new repository."""


def check_name(repository: str | None) -> None:
    """Refuse what is no name of a repository.

    Raises:
        NeuroglossError: it is none.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    if not repository:
        raise NeuroglossError("publish=hub needs a repository; add publish.repo_id=ACCOUNT/NAME to the command.")
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise NeuroglossError(f"publish.repo_id is {repository!r}; write ACCOUNT/NAME.") from error


def address(repository: str, revision: str) -> str:
    """Return the page of a revision of a dataset."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/datasets/{repository}/tree/{revision}"


@dataclass(frozen=True, slots=True)
class _Repository:
    """A repository as it is before a publication.

    Attributes:
        name: ACCOUNT/NAME.
        head: the commit of its main branch.
        files: the paths of that.
        tagged: the commit that the publication's tag is on; None where there is none.
    """

    name: str
    head: str
    files: frozenset[str]
    tagged: str | None


def upload(dataset: Path, manifest: Manifest, settings: PublishSettings) -> str:
    """Upload a dataset as one commit, tag it, and return the page of the tag.

    A publication that is there already is not sent again; where only its tag is missing, because an earlier try ended
    between the two, it is tagged.

    Args:
        dataset: the folder.
        manifest: of that folder.
        settings: the repository, its visibility, and the token's variable, which is set.

    Raises:
        NeuroglossError: the hub refused, could not be reached, or holds another publication.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=os.environ[settings.token_env], library_name="neurogloss")
    with _one_sentence(f"the hub did not take the dataset, and shows nothing of it; it is whole in {dataset}"):
        repository = _opened(api, manifest.tag, settings)
        commit = _present(api, repository, manifest, settings.force) or _commit(api, repository, dataset, manifest)
    with _one_sentence(f"the hub took the dataset, but not its tag {manifest.tag}"):
        _tag(api, repository, manifest.tag, commit)
    return address(repository.name, manifest.tag)


def _opened(api: HfApi, tag: str, settings: PublishSettings) -> _Repository:
    """Return the repository, which is made if there is none; one of another visibility is refused."""
    url = api.create_repo(str(settings.repo_id), repo_type=_KIND, private=settings.private, exist_ok=True)
    info = api.dataset_info(url.repo_id)
    if bool(info.private) != settings.private:
        present, asked = ("public", "private") if settings.private else ("private", "public")
        raise NeuroglossError(
            f"{url} is {present} already, but the dataset is to be {asked}; change that in its settings on the hub, "
            f"write publish.private={str(not settings.private).lower()}, or give another repository."
        )
    tags = {ref.name: ref.target_commit for ref in api.list_repo_refs(url.repo_id, repo_type=_KIND).tags}
    files = frozenset(sibling.rfilename for sibling in info.siblings or ()) - _OF_THE_HUB
    return _Repository(url.repo_id, str(info.sha), files, tags.get(tag))


def _present(api: HfApi, repository: _Repository, manifest: Manifest, force: bool) -> str | None:
    """Return the commit that holds the publication already; None if it is to be made.

    Raises:
        NeuroglossError: the tag, or an untagged main branch, holds something else, and ``force`` is not given.
    """
    for commit in filter(None, (repository.tagged, repository.head)):
        holding = _manifest(api, repository, commit)
        if holding is not None and holding.is_same(manifest):
            return commit
        is_taken = commit == repository.tagged or (holding is not None and holding.tag == manifest.tag)
        if is_taken and not force:
            run = f"run {holding.run_id[:12]}" if holding else "something else"
            raise NeuroglossError(
                f"{repository.name} holds {run} as {manifest.tag} already, and a revision is never overwritten; give "
                "another repository, or replace it (--force, publish.force=true)."
            )
        if holding is None and repository.files and not force:
            raise NeuroglossError(
                f"{repository.name} holds files that are no dataset of neurogloss ({min(repository.files)}); give "
                "another repository, or replace them (--force, publish.force=true)."
            )
    return None


def _manifest(api: HfApi, repository: _Repository, commit: str) -> Manifest | None:
    """Return the manifest of a commit; None if it has none."""
    from huggingface_hub.errors import EntryNotFoundError

    with tempfile.TemporaryDirectory() as cache:
        try:
            path = api.hf_hub_download(repository.name, MANIFEST, repo_type=_KIND, revision=commit, cache_dir=cache)
        except EntryNotFoundError:
            return None
        return read_manifest(Path(path))


def _commit(api: HfApi, repository: _Repository, dataset: Path, manifest: Manifest) -> str:
    """Make one commit of a dataset in the place of all that the main branch holds, and return its digest."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    paths = files_of(dataset)
    operations: list[Any] = [CommitOperationDelete(name) for name in sorted(repository.files - paths.keys())]
    operations += [CommitOperationAdd(name, path) for name, path in paths.items()]
    message = f"Publish run {manifest.run_id[:12]} as {manifest.tag}"
    info = api.create_commit(
        repository.name, operations, commit_message=message, repo_type=_KIND, parent_commit=repository.head
    )
    return str(info.oid)


def _tag(api: HfApi, repository: _Repository, tag: str, commit: str) -> None:
    """Put the tag on a commit, and take it from another one."""
    if repository.tagged == commit:
        return
    if repository.tagged is not None:
        api.delete_tag(repository.name, tag=tag, repo_type=_KIND)
    api.create_tag(repository.name, tag=tag, revision=commit, repo_type=_KIND)


@contextmanager
def _one_sentence(problem: str) -> Iterator[None]:
    """Turn a failure of the hub or of the way there into a sentence for the user."""
    import httpx2

    try:
        yield
    except (httpx2.HTTPError, OSError, RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".: ")
        raise NeuroglossError(f"{problem} ({reason}); run the same command again.") from error
