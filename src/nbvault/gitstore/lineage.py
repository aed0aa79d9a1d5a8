"""What lies before the epoch of an open vault: walked from the newest back, fetched when a walk comes there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from nbvault.errors import ConfigurationError, NbvaultError, NoRepository, VaultError
from nbvault.gitstore import conclude, meta
from nbvault.gitstore.blobs import BlobReader, missing_objects
from nbvault.gitstore.epochs import SUCCESSOR, Epoch, Force, Successor, load_successor, may_be_asked
from nbvault.gitstore.meta import Meta
from nbvault.gitstore.reader import LogEntry, log, ls_tree, resolve
from nbvault.gitstore.remote import Remote
from nbvault.gitstore.runner import Git
from nbvault.gitstore.upkeep import fetch_turn


class _Vault(Protocol):
    """What is needed of the vault that is open."""

    git: Git
    remote: Remote
    meta: Meta

    @property
    def main(self) -> str:
        """The tip of the main branch."""

    def whole_history(self) -> None:
        """Fetch the commits and trees of the present epoch."""


class Stretch(NamedTuple):
    """A part of the content's history: what `tip` reaches, without what `begins`, an epoch's first commit, reaches."""

    tip: str
    begins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gap:
    """An epoch that could not be had, and why."""

    epoch: Epoch
    error: NbvaultError

    def told(self) -> str:
        """What a person should know."""
        where = f"epoch {self.epoch.epoch} ({self.epoch.since[:10]} to {self.epoch.until[:10]})"
        return f"What follows ends where {where} ends, which cannot be read: {self.error}"


class Past:
    """The earlier epochs of a vault.

    Args:
        listed: Addresses that the configuration allows to be asked, wherever they are.
        say: Told once of each epoch at which a walk had to end.

    `gaps` are those epochs.
    """

    def __init__(self, vault: _Vault, *, listed: Collection[str], say: Callable[[str], None]) -> None:
        self._vault = vault
        self._listed = listed
        self._say = say
        self._away: dict[int, NbvaultError] = {}
        self.gaps: list[Gap] = []

    @property
    def epochs(self) -> Sequence[Epoch]:
        """The newest first."""
        return self._vault.meta.lineage.earlier[::-1]

    @property
    def told_since(self) -> str:
        """The last session of which nothing could be read; empty if there is no gap."""
        return self.gaps[0].epoch.session if self.gaps else ""

    def trusts(self, url: str) -> bool:
        """Whether an address that the vault names may be asked."""
        return may_be_asked(url, configured=self._vault.remote.url, listed=self._listed)

    # --- walks -------------------------------------------------------------------------------------------------------

    def contents(self, *, back_to: str = "") -> Iterator[Stretch]:
        """The history of ``backup/daily``, the newest part first; it ends at an epoch that cannot be had (`gaps`).

        Args:
            back_to: Nothing before this session is wanted.
        """
        self._vault.whole_history()
        tip = self._vault.meta.content
        for epoch in self.epochs:
            yield Stretch(tip, (epoch.next,))
            if epoch.session < back_to:
                return
            if not self._is_reached(epoch):
                # What the epoch after it began with is known, if not since when it was there.
                yield Stretch(epoch.next)
                return
            tip = epoch.content
        yield Stretch(tip)

    def content_log(self, *, paths: Sequence[str] = (), changes: bool = False, back_to: str = "") -> Iterator[LogEntry]:
        """The content commits, newest first, as `reader.log` gives them; ends as `contents` does."""
        for tip, begins in self.contents(back_to=back_to):
            yield from log(self._vault.git, tip, first_parent=True, paths=paths, changes=changes, exclude=begins)

    def main_log(self) -> Iterator[LogEntry]:
        """Along the first parents of ``main``, from the newest conclusion back, through all epochs.

        Raises:
            NbvaultError: an epoch that the walk comes to cannot be had.
        """
        self._vault.whole_history()
        yield from self._conclusions(self._vault.main)
        for epoch in self.epochs:
            self.reach(epoch)
            yield from self._conclusions(epoch.main)

    def tips(self) -> Iterator[str]:
        """The tips of ``main`` and ``backup/daily`` of each earlier epoch.

        Raises:
            NbvaultError: an epoch cannot be had.
        """
        for epoch in self.epochs:
            self.reach(epoch)
            yield from (epoch.main, epoch.content)

    def _conclusions(self, main: str) -> Iterator[LogEntry]:
        newest = conclude.last_conclusion(self._vault.git, main) if main else ""
        yield from log(self._vault.git, newest, first_parent=True) if newest else ()

    # --- getting there -----------------------------------------------------------------------------------------------

    def refuse_gaps(self) -> None:
        """End here, if a walk could not come to its end.

        Raises:
            NbvaultError: why not.
        """
        for gap in self.gaps:
            raise gap.error

    def reach(self, epoch: Epoch) -> None:
        """See that the commits and trees of an epoch are here: those that were recorded, or none.

        Raises:
            ConfigurationError: its address must not be asked.
            VaultError: what is there is not that epoch.
            RemoteUnreachable, AuthenticationError, GitError: as `Remote.fetch`.
        """
        git = self._vault.git
        wanted = {_ref(epoch, "content"): epoch.content, _ref(epoch, "main"): epoch.main}
        if all(resolve(git, ref) == sha for ref, sha in wanted.items()):
            return
        self._refuse_if_away(epoch)
        try:
            # Below what is cut off here, nothing would be fetched.
            self._vault.whole_history()
            remote = self.remote_of(epoch)
            with fetch_turn(git.repo):
                remote.fetch([f"+{sha}:{ref}" for ref, sha in wanted.items()], unshallow=True)
        except NbvaultError as error:
            self._away[epoch.epoch] = self.explained(epoch, error)
            raise self._away[epoch.epoch] from error

    def remote_of(self, epoch: Epoch) -> Remote:
        """Where an earlier epoch is, with the credentials of the present one.

        Raises:
            ConfigurationError: it is elsewhere, and the configuration does not name it.
        """
        if not self.trusts(epoch.remote):
            raise ConfigurationError(
                f"Epoch {epoch.epoch} of the vault is said to be at {epoch.remote}, which is elsewhere than "
                "vault.remote: nothing was asked there.",
                hint="If that is right, name that address in vault.earlier.",
            )
        return self._vault.remote.elsewhere(epoch.remote, name=f"epoch-{epoch.epoch}")

    def fetch_objects(self, oids: Iterable[str]) -> None:
        """As `Remote.fetch_objects`, from the present remote or from those of earlier epochs, whichever has them.

        Raises:
            VaultError: no epoch has one of them.
            NbvaultError: one is not in the present epoch, and an earlier one cannot be asked.
        """
        wanted = list(oids)
        try:
            self._vault.remote.fetch_objects(wanted)
        except VaultError:
            if not self.epochs:
                raise
            self._fetch_anywhere(missing_objects(self._vault.git, wanted))

    def _fetch_anywhere(self, oids: list[str]) -> None:
        """A server refuses the whole request for one object that it does not have: so by halves."""
        for remote in [*self._remotes(), self._vault.remote]:
            try:
                return remote.fetch_objects(oids)
            except VaultError:
                pass
            except NbvaultError as error:
                self._turn_away(remote, error)
        if len(oids) < 2:
            for reason in self._away.values():
                raise reason
            raise VaultError(f"No epoch of the vault has the object {' '.join(oids)}.")
        middle = len(oids) // 2
        for half in (oids[:middle], oids[middle:]):
            if missing := missing_objects(self._vault.git, half):
                self._fetch_anywhere(missing)
        return None

    def _remotes(self) -> Iterator[Remote]:
        for epoch in self.epochs:
            if epoch.epoch not in self._away:
                try:
                    yield self.remote_of(epoch)
                except ConfigurationError as error:
                    self._away[epoch.epoch] = error

    def _turn_away(self, remote: Remote, error: NbvaultError) -> None:
        found = [epoch for epoch in self.epochs if epoch.remote == remote.url]
        if not found:
            raise error
        for epoch in found:
            self._away[epoch.epoch] = self.explained(epoch, error)

    def _is_reached(self, epoch: Epoch) -> bool:
        try:
            self.reach(epoch)
        except NbvaultError as error:
            gap = Gap(epoch, error)
            if epoch not in [each.epoch for each in self.gaps]:
                self.gaps.append(gap)
                self._say(gap.told())
            return False
        return True

    def _refuse_if_away(self, epoch: Epoch) -> None:
        if error := self._away.get(epoch.epoch):
            raise error

    def explained(self, epoch: Epoch, error: NbvaultError) -> NbvaultError:
        """An error of an earlier epoch's repository in words that do not send people to `vault.remote`."""
        if isinstance(error, NoRepository):
            return ConfigurationError(
                f"Epoch {epoch.epoch} of the vault ({epoch.since[:10]} to {epoch.until[:10]}) cannot be read. "
                f"{error.message}",
                hint="Bring that repository back, from a clone if it is lost; an expired token can look like this.",
            )
        if not any(words in error.message for words in ("not our ref", "unadvertised object")):
            return error
        return VaultError(
            f"The repository at {epoch.remote} is not epoch {epoch.epoch} of the vault: it does not have the commits "
            "that were recorded.",
            hint="If the epoch was moved, name its repository by that address again.",
        )

    # --- who is in force ---------------------------------------------------------------------------------------------

    def refuse_unless_in_force(self) -> None:
        """Nobody writes to a vault that ended, or that has not begun.

        Raises:
            ConfigurationError: names the vault to write to.
            NbvaultError: the epoch before cannot be asked whether this one follows it.
        """
        found = self._vault.meta
        if found.successor:
            raise ended(found.successor, trusted=self.trusts(found.successor.remote))
        self.refuse_unless_begun()

    def refuse_unless_begun(self) -> None:
        """What a rotation that has not ended has made so far counts for nobody; one that has ended is good to read.

        Raises:
            ConfigurationError: names the vault that is in force.
            NbvaultError: the epoch before cannot be asked whether this one follows it.
        """
        found = self._vault.meta
        if found.lineage.state is Force.BEGUN:
            return
        last = found.lineage.earlier[-1]
        successor = self._named_by(last) if found.lineage.state is Force.READY else None
        if successor is None or (successor.rotation, successor.meta) != (found.lineage.rotation, found.tip):
            raise ConfigurationError(
                f"The rotation into this vault has not ended: {last.remote} is in force, or has gone on elsewhere.",
                hint="Run `nbvault rotate` again with the configuration of that vault, or set vault.remote back.",
            )

    def _named_by(self, epoch: Epoch) -> Successor | None:
        """What an epoch says at this moment of who follows it."""
        git, ref = self._vault.git, _ref(epoch, "meta")
        remote = self.remote_of(epoch)
        try:
            with fetch_turn(git.repo):
                shallow = (git.repo / "shallow").exists()
                remote.fetch([f"+{meta.BRANCH}:{ref}"], depth=1 if shallow else None)
        except NoRepository as error:
            raise self.explained(epoch, error) from error
        files = {entry.path: entry.oid for entry in ls_tree(git, ref)}
        if SUCCESSOR not in files:
            return None
        ((_, data),) = BlobReader(git, remote.fetch_objects).read([files[SUCCESSOR]])
        return load_successor(data)


def ended(successor: Successor, *, trusted: bool) -> ConfigurationError:
    """The error for who wants to write to a vault that others follow."""
    beware = "" if trusted else " It is elsewhere than vault.remote: ask who rotated before you give it a token."
    return ConfigurationError(
        f"This vault ended at {successor.at}: {successor.by} rotated it to {successor.remote}.{beware}",
        hint=f'Set vault.remote = "{successor.remote}".',
    )


def _ref(epoch: Epoch, name: str) -> str:
    return f"refs/epochs/{epoch.epoch}/{name}"
