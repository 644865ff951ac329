"""The claim of a pass on a folder in a store: an object that names its writer and is renewed while it lives.

Stores have no locks. A claim is put where there is none (If-None-Match), and another's is taken over once it
was not renewed for a while, or at once where its writer was a process of this machine that holds its lock no
more. Before each object that is put, the claim is read: who lost it stops. Parts are put where there are
none, so that what slips through between the two replaces nothing; and parts of two tables are not read.
"""

from __future__ import annotations

import json
import logging
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from reddino.foundations.errors import RedDinoError
from reddino.foundations.locks import only_one
from reddino.foundations.provenance import hash_bytes
from reddino.foundations.stores.anywhere import spool_folder
from reddino.foundations.stores.objects import delete_object, put_bytes, read_object, require_writable
from reddino.foundations.stores.requests import in_a_sentence, stoppable_waits
from reddino.foundations.stores.urls import require_local

log = logging.getLogger(__name__)

#: Of the object in the folder.
CLAIM = "_claim.json"
#: Seconds between two renewals, and without one after which a writer counts as dead.
RENEWED, DEAD = 20.0, 90.0
_held: dict[str, Claim] = {}


@dataclass
class Claim:
    """The claim of this process on a folder.

    Attributes:
        folder: its URL.
        owner: distinguishes this claim from all others.
        lost: whether another has taken it over.
    """

    folder: str
    owner: str = field(default_factory=lambda: secrets.token_hex(8))
    lost: bool = False
    _count: int = 0

    @property
    def url(self) -> str:
        """The object."""
        return f"{self.folder}/{CLAIM}"

    def put(self, *, new: bool) -> None:
        """Put or renew the object."""
        self._count += 1
        about = {"owner": self.owner, "machine": socket.gethostname(), "renewed": self._count}
        put_bytes(self.url, json.dumps(about).encode(), new=new)

    def require(self) -> None:
        """Refuse to continue where another writer has the folder.

        Raises:
            RedDinoError: it has.
        """
        if self.lost or _read(self.url).get("owner") != self.owner:
            self.lost = True
            raise RedDinoError(f"another pass is writing to '{self.folder}' now: wait for it or stop it")

    def keep(self, stopped: threading.Event) -> None:
        """Renew the object until the event; what fails is found by `require`."""
        while not stopped.wait(RENEWED):
            with suppress(RedDinoError, OSError):
                self.require()
                self.put(new=False)
            if self.lost:
                return


@contextmanager
def claimed_folder(folder: str) -> Iterator[None]:
    """Keep other passes out of a folder in a store while the block runs.

    Raises:
        RedDinoError: another pass writes there now.
    """
    require_writable(folder)
    busy = f"another pass is writing to '{folder}': wait for it or stop it"
    lock = spool_folder() / f"claim-{hash_bytes(folder.encode())}.lock"
    with stoppable_waits() as wait_no_more, ExitStack() as held:
        held.enter_context(only_one(lock, busy))
        last = lock.read_text("utf-8") if lock.exists() else ""
        claim = Claim(folder)
        _take(claim, last, busy)
        lock.write_text(claim.owner, "utf-8")
        stopped = threading.Event()
        renewer = threading.Thread(target=claim.keep, args=(stopped,), name="claim", daemon=True)
        renewer.start()
        _held[folder] = claim
        try:
            yield
        except BaseException:
            wait_no_more()
            raise
        finally:
            del _held[folder]
            stopped.set()
            renewer.join()
            # A claim that stays, since the store is away, is recognised by this lock.
            if _let_go(claim):
                lock.unlink(missing_ok=True)


def _take(claim: Claim, last: str, busy: str) -> None:
    """Put the claim: where there is none, or one of the dead.

    Args:
        claim: of this process.
        last: the owner that held the lock of this machine before, and does not hold it now.
        busy: the error's sentence.
    """
    found = _read(claim.url)
    if found and found.get("owner") != last:
        _wait_for_death(claim, found, busy)
    try:
        claim.put(new=not found)
    except FileExistsError:
        # It may be this claim, where the answer to a first request was lost.
        if _read(claim.url).get("owner") != claim.owner:
            raise RedDinoError(busy) from None
    claim.require()


def _wait_for_death(claim: Claim, found: dict[str, object], busy: str) -> None:
    """Return when a claim was not renewed for `DEAD` seconds.

    Raises:
        RedDinoError: it is renewed, or another has taken it.
    """
    log.warning(
        "'%s' is claimed by a pass on %s; seeing for %.0f seconds whether that lives", claim.folder,
        found.get("machine", "another machine"), DEAD,
    )  # fmt: skip
    end = time.monotonic() + DEAD
    while time.monotonic() < end:
        time.sleep(min(5.0, DEAD / 4))
        now = _read(claim.url)
        if now and now != found:
            raise RedDinoError(busy)
        if not now:
            return


def _read(url: str) -> dict[str, object]:
    """Return what a claim holds; empty where there is none, or one that no version of this wrote."""
    try:
        with in_a_sentence(url, "read"):
            found = json.loads(read_object(url))
    except FileNotFoundError:
        return {}
    except ValueError:
        return {"owner": "?"}
    return found if isinstance(found, dict) else {"owner": "?"}


def _let_go(claim: Claim) -> bool:
    """Delete a claim that is held; return whether it holds nothing any more."""
    try:
        claim.require()
        delete_object(claim.url)
    except (RedDinoError, OSError):
        return claim.lost
    return True


def claim_on(url: str) -> Claim:
    """Return the claim of this process on the folder that an object is in.

    Raises:
        RedDinoError: there is none: the folder is not that of a table that `embed` writes.
    """
    folder = url.rpartition("/")[0]
    if folder not in _held:
        require_local(url)
    return _held[folder]
