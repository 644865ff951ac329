"""A hub-ready folder, sent to the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from reddino.foundations.errors import RedDinoError
from reddino.networks import hub
from reddino.networks.folder import CARD, CONFIG, WEIGHTS, open_model_folder
from reddino.networks.training_images import SEEN

README = "README.md"
#: What is sent: nothing else that may lie in the folder.
SENT = (CONFIG, WEIGHTS, CARD, SEEN, README)


def files_to_push(folder: Path) -> list[Path]:
    """Return the files of a folder that are sent, after it was opened strictly.

    Raises:
        RedDinoError: a file is missing, or the weights do not fit.
    """
    missing = [name for name in (CONFIG, WEIGHTS, README) if not (folder / name).is_file()]
    if missing:
        raise RedDinoError(
            f"{folder} is not ready for the hub, it lacks {', '.join(missing)}: make it with "
            "`reddino export MODEL FOLDER --format hub`"
        )
    open_model_folder(folder)
    return [folder / name for name in SENT if (folder / name).is_file()]


def push_folder(folder: Path, repository: str, *, private: bool = False) -> str:
    """Send a hub-ready folder to `owner/name`, which is made if need be; return the commit's address.

    Raises:
        RedDinoError: the folder is not ready, the hub is out of reach or refuses, or nobody is logged in.
    """
    files = files_to_push(folder)
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise RedDinoError(f"'{repository}' is no repository of the hub: give OWNER/NAME")
    silence = hub.why_out_of_reach()
    if silence is not None:
        raise RedDinoError(f"nothing was sent: {silence}")
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token

    if get_token() is None:
        raise RedDinoError("nothing was sent: nobody is logged in; run `hf auth login`, or set HF_TOKEN")
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        CommitOperationAdd(path_in_repo=file.name, path_or_fileobj=str(file)) for file in files
    ]
    api = HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        if private and not api.repo_info(repository).private:
            raise RedDinoError(
                f"nothing was sent: '{repository}' is there already and is public; make it private first"
            )
        # What an earlier model left there, such as the list of what it saw, is not of these weights.
        stale = set(SENT) - {file.name for file in files}
        operations += [
            CommitOperationDelete(path_in_repo=name)
            for name in sorted(stale)
            if api.file_exists(repository, name)
        ]
        commit = api.create_commit(
            repository, operations=operations, commit_message=f"Upload {folder.name} with RedDino"
        )
    except RedDinoError:
        raise
    except Exception as error:  # HTTP errors of a dozen kinds
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise RedDinoError(
            f"the hub refused '{repository}' ({reason}); nothing may have been sent"
        ) from error
    return str(commit.commit_url)
