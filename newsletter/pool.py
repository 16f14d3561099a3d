"""A sender's connections: opened one by one, watched together, given up where a relay is not well."""

from __future__ import annotations

import datetime as dt
import os
import selectors
import time
from collections.abc import Callable

from newsletter import relay_health, smtp
from newsletter.compose import Message
from newsletter.config import Relay, RelayKind
from newsletter.errors import RelayMistake
from newsletter.folder import Folder
from newsletter.maildir import MaildirConversation
from newsletter.relays import Closed, Conversation, Ended, Event, Job, Outcome, Ready, Returned
from newsletter.smtp_login import log_in

SWEEP = 5.0
"""Seconds between looks at connections that are silent."""


def open_relay(relay: Relay, folder: Folder, seconds: float) -> Conversation:
    """A conversation with a relay. RelayMistake if it can't be had."""
    if relay.kind is RelayKind.maildir:
        return MaildirConversation(relay, folder.path)
    password = os.environ.get(relay.password_env) if relay.password_env else None
    if relay.username and password is None:
        raise RelayMistake(
            f"the environment has no {relay.password_env or 'password (password_env names none)'}",
            where=f"relay {relay.name}",
            remedy="Set it to the relay's password; it is never kept in config.toml.",
        )
    return smtp.SmtpConversation(log_in(relay, password, folder.path), relay, seconds)


def probe(folder: Folder) -> None:
    """RelayMistake unless at least one relay lets us in: asked before an audience is frozen."""
    _first_well(folder).quit()


def hand_over(folder: Folder, message: Message) -> Outcome:
    """Gives a relay one message that no ledger knows of: a notice to editors, a test. Waits for the answer.

    RelayMistake if none lets us in.
    """
    conversation = _first_well(folder)
    job = Job(0, 0, (0, 0), 0, message)
    conversation.offer(job)
    outcome: Outcome | None = None
    while outcome is None:
        for event in conversation.events(time.monotonic()):
            match event:
                case Ready():
                    job.begun = True
                    conversation.release(job, None)
                case Ended(_, outcome):
                    pass
                case Closed(fault):
                    outcome = outcome or Returned(fault)
        number = conversation.fileno()
        if outcome is None and number is not None and not conversation.eager:
            with selectors.DefaultSelector() as selector:
                selector.register(number, selectors.EVENT_READ | (selectors.EVENT_WRITE if conversation.unsent else 0))
                selector.select(SWEEP)
    conversation.quit()
    return outcome


def _first_well(folder: Folder) -> Conversation:
    trouble: RelayMistake | None = None
    for relay in folder.config.relays:
        try:
            return open_relay(relay, folder, time.monotonic())
        except RelayMistake as mistake:
            trouble = trouble or mistake
    assert trouble is not None, "config has at least one relay"
    raise trouble


class Pool:
    """The connections of one sender."""

    def __init__(self, folder: Folder, clock: Callable[[], dt.datetime]) -> None:
        self.conversations: list[Conversation] = []
        self.trouble = ""
        """What is wrong with the relays, in words; "" when nothing is known."""
        self._folder = folder
        self._clock = clock
        self._watched: dict[int, tuple[Conversation, int]] = {}
        self._selector = selectors.DefaultSelector()
        self._swept = 0.0

    @property
    def working(self) -> bool:
        """Whether any connection has something in hand."""
        return any(not conversation.idle or conversation.eager for conversation in self.conversations)

    def grow(self, waiting: int) -> None:
        """Opens a connection more, one at a time, while there are jobs for it: to the first relay that is well."""
        needed = waiting + sum(not conversation.idle for conversation in self.conversations)
        if len(self.conversations) >= needed:
            return
        resting = self._resting()
        for relay in self._folder.config.relays:
            if relay.name in resting:
                continue
            if sum(conversation.relay == relay.name for conversation in self.conversations) >= relay.connections:
                return
            try:
                self.conversations.append(open_relay(relay, self._folder, time.monotonic()))
            except RelayMistake as mistake:
                self._blame(relay.name, mistake.what)
                continue
            if self.trouble:
                self.trouble = ""
                with self._folder.session() as session:
                    relay_health.clear(session, relay.name)
            return

    def lost(self, conversation: Conversation, fault: str) -> None:
        """Forgets a connection that has ended. The relay is left alone for a while if it never served on it."""
        self._forget(conversation)
        if fault and not conversation.served:
            # One that has served broke off in the middle: that is a connection's fate. This one never began.
            self._blame(conversation.relay, fault)

    def drop(self, conversation: Conversation, why: str) -> list[Ended]:
        """Ends a connection at once; what its jobs have come to."""
        ended = [event for event in conversation.drop(why) if isinstance(event, Ended)]
        self._forget(conversation)
        return ended

    def wait(self, seconds: float) -> list[tuple[Conversation, list[Event]]]:
        """What has happened, having waited until something has."""
        if any(conversation.eager for conversation in self.conversations):
            seconds = 0.0
        for conversation in self.conversations:
            self._watch(conversation)
        if self._watched:
            awake = [key.data for key, _ in self._selector.select(seconds)]
        else:
            time.sleep(seconds)
            awake = []
        moment = time.monotonic()
        if moment - self._swept > SWEEP:
            self._swept = moment
            awake = list(self.conversations)
        else:
            awake += [each for each in self.conversations if each.eager and each not in awake]
        return [(conversation, conversation.events(moment)) for conversation in awake]

    def hang_up(self) -> None:
        """Ends all connections, politely where they are idle."""
        for conversation in list(self.conversations):
            conversation.quit()
            self._forget(conversation)

    def close(self) -> None:
        """Ends everything, at once."""
        for conversation in list(self.conversations):
            self.drop(conversation, "the sender stopped")
        self._selector.close()

    def _resting(self) -> set[str]:
        if not self.trouble:
            return set()
        with self._folder.reading() as session:
            return relay_health.resting(session, self._clock())

    def _blame(self, relay: str, why: str) -> None:
        with self._folder.session() as session:
            until = relay_health.blame(session, relay, why, self._clock())
        self.trouble = f"relay {relay}: {why}; tried again at {until:%H:%M:%S} UTC"

    def _watch(self, conversation: Conversation) -> None:
        number = conversation.fileno()
        if number is None or number < 0:
            return
        mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if conversation.unsent else 0)
        before = self._watched.get(number)
        if before == (conversation, mask):
            return
        if before is not None and before[0] is conversation:
            self._selector.modify(number, mask, conversation)
        else:
            # The system gives a closed connection's number to the next one.
            if before is not None:
                self._selector.unregister(number)
            self._selector.register(number, mask, conversation)
        self._watched[number] = conversation, mask

    def _forget(self, conversation: Conversation) -> None:
        for number, (watched, _) in list(self._watched.items()):
            if watched is conversation:
                del self._watched[number]
                self._selector.unregister(number)
        if conversation in self.conversations:
            self.conversations.remove(conversation)
