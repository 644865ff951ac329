"""Files of the Hugging Face hub: fetched once, then taken from its cache, also without a network."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from reddino.foundations.errors import RedDinoError

#: Seconds without a response after which the hub counts as out of reach.
PATIENCE = 10


def split_revision(repository: str) -> tuple[str, str | None]:
    """Split `owner/name@revision` into (`owner/name`, revision)."""
    name, _, revision = repository.partition("@")
    return name, revision or None


def fetch(repository: str, files: Sequence[str]) -> Path:
    """Return the first of `files` that a repository has, as a local path.

    With `HF_HUB_OFFLINE=1`, or where the hub is out of reach, only the cache is read.

    Args:
        repository: `owner/name`, or `owner/name@revision`.
        files: names to try in turn.

    Raises:
        RedDinoError: the hub cannot be reached and the file is not in the cache, or the hub refuses it.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    name, revision = split_revision(repository)
    silence = why_out_of_reach()
    for file in files:
        try:
            return Path(
                hf_hub_download(
                    name, file, revision=revision, local_files_only=bool(silence), etag_timeout=PATIENCE
                )
            )
        except LocalEntryNotFoundError as error:
            if silence is None:
                raise RedDinoError(_refusal(name, error)) from error
        except EntryNotFoundError:
            continue
        except Exception as error:  # HTTP, file system, validation: the client raises errors of a dozen kinds
            raise RedDinoError(_refusal(name, error)) from error
    if silence is not None:
        raise RedDinoError(
            f"the weights of '{repository}' are not in the cache and cannot be fetched: {silence}; fetch "
            "them once where there is a network, or give a local model folder or weights file"
        )
    raise RedDinoError(f"the hub's repository '{repository}' holds no {' or '.join(files)}")


def fetch_optional(repository: str, file: str) -> Path | None:
    """Return a file of a repository as a local path; None where the repository (offline: the cache) lacks it.

    Raises:
        RedDinoError: the hub refuses it.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    name, revision = split_revision(repository)
    offline = why_out_of_reach() is not None
    try:
        return Path(
            hf_hub_download(name, file, revision=revision, local_files_only=offline, etag_timeout=PATIENCE)
        )
    except (EntryNotFoundError, LocalEntryNotFoundError):
        return None
    except Exception as error:  # as in `fetch`
        raise RedDinoError(_refusal(name, error)) from error


def is_offline() -> bool:
    """Return whether the user switched network access off (HF_HUB_OFFLINE), at start or since."""
    from huggingface_hub import constants

    switched = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    return switched or bool(constants.HF_HUB_OFFLINE)


def why_out_of_reach() -> str | None:
    """Return why the hub cannot be reached, or None if it can.

    One short request without retries: the client's own retries take half a minute for each file.
    """
    from huggingface_hub import constants, get_session

    if is_offline():
        return "HF_HUB_OFFLINE is set"
    try:
        get_session().head(constants.ENDPOINT, timeout=PATIENCE)
    except Exception as error:  # httpx or requests, by the client's version; each with kinds of its own
        return f"{constants.ENDPOINT} does not respond ({_first_line(error)})"
    return None


@contextmanager
def cache_only(wanted: bool) -> Iterator[None]:
    """Let programs that fetch from the hub by themselves (timm) read the cache alone, without retries."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or wanted
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _refusal(name: str, error: Exception) -> str:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, GatedRepoError):
        return f"the hub's repository '{name}' is gated: request access on its page, then run `hf auth login`"
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"the hub has no repository '{name}' that you may read: check the name, or log in with "
            "`hf auth login` if it is private"
        )
    if isinstance(error, RevisionNotFoundError):
        return f"the hub's repository '{name}' has no such revision"
    return f"the weights of '{name}' cannot be fetched from the hub ({_first_line(error)})"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
