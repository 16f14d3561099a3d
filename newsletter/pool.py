"""A sender's connections: opened beside the work, watched together, given up where a relay is not well."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import selectors
import socket
import threading
import time
from collections import Counter

from newsletter import smtp
from newsletter.compose import Message
from newsletter.config import Relay, RelayKind
from newsletter.errors import RelayMistake
from newsletter.folder import Folder
from newsletter.maildir import MaildirConversation
from newsletter.relay_turns import RelayTurns
from newsletter.relays import Closed, Conversation, Ended, Event, Job, Outcome, Ready, Returned
from newsletter.smtp_login import log_in

log = logging.getLogger("newsletter")

SWEEP = 5.0
"""Seconds between looks at connections that are silent."""
IDLE = 30.0
"""Seconds without work after which a connection is ended, before the relay does."""
AT_ONCE = 4
"""Logins to one relay under way at a time."""


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
    """The connections of one sender. Logins are made by threads: a relay that lets us wait holds up no other."""

    def __init__(self, folder: Folder, turns: RelayTurns) -> None:
        self.conversations: list[Conversation] = []
        self._folder = folder
        self._turns = turns
        self._watched: dict[int, tuple[Conversation, int]] = {}
        self._selector = selectors.DefaultSelector()
        self._swept = time.monotonic()
        self._used: dict[Conversation, float] = {}
        """When each had something in hand last."""
        self._logins: Counter[str] = Counter()
        self._let_in: queue.SimpleQueue[tuple[Relay, Conversation | RelayMistake]] = queue.SimpleQueue()
        self._closed = False
        self._bell, self._ring = socket.socketpair()
        self._bell.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ, None)

    @property
    def working(self) -> bool:
        """Whether any connection has something in hand, or one is being made: what comes of that is to be said."""
        return self._logins.total() > 0 or any(not each.idle or each.eager for each in self.conversations)

    def grow(self, waiting: int) -> None:
        """Opens connections while there are jobs for them.

        Slowly at first: one, and one more for each message that the relay has answered for.
        """
        needed = waiting - sum(each.idle for each in self.conversations) - self._logins.total()
        if needed <= 0:
            return
        for relay in self._turns.to_open():
            ours = [each for each in self.conversations if each.relay == relay.name]
            most = min(relay.connections, 1 + sum(each.served for each in ours))
            count = min(needed, most - len(ours) - self._logins[relay.name], AT_ONCE - self._logins[relay.name])
            for _ in range(count):
                self._log_in(relay)
                needed -= 1

    def _log_in(self, relay: Relay) -> None:
        self._logins[relay.name] += 1
        if relay.kind is RelayKind.maildir:
            self._open(relay)
        else:
            threading.Thread(target=self._open, args=(relay,), daemon=True, name=f"login {relay.name}").start()

    def _open(self, relay: Relay) -> None:
        made: Conversation | RelayMistake
        try:
            made = open_relay(relay, self._folder, time.monotonic())
        except RelayMistake as mistake:
            made = mistake
        except Exception as fault:
            # A fault of ours: the relay rests, the log has it whole, and nobody waits for this login for ever.
            log.exception("the login to relay %s failed", relay.name)
            made = RelayMistake(f"the login failed in the program itself: {type(fault).__name__}")
        self._let_in.put((relay, made))
        if self._closed:
            self._turn_away()
        with contextlib.suppress(OSError):
            self._ring.send(b"!")

    def _turn_away(self) -> None:
        """Ends the connections that came too late."""
        with contextlib.suppress(queue.Empty):
            while True:
                _, made = self._let_in.get_nowait()
                if not isinstance(made, RelayMistake):
                    made.quit()

    def _welcome(self) -> None:
        """Takes over the connections that were made meanwhile."""
        with contextlib.suppress(BlockingIOError):
            self._bell.recv(4096)
        with contextlib.suppress(queue.Empty):
            while True:
                relay, made = self._let_in.get_nowait()
                self._logins[relay.name] -= 1
                if isinstance(made, RelayMistake):
                    self._turns.blame(relay.name, made.what)
                    continue
                self.conversations.append(made)
                self._used[made] = time.monotonic()
                self._turns.connected(relay.name, 1)

    def lost(self, conversation: Conversation, fault: str) -> None:
        """Forgets a connection that has ended. The relay is left alone for a while if it never served on it."""
        self._forget(conversation)
        if fault and not conversation.served:
            # One that has served broke off in the middle: that is a connection's fate. This one never began.
            self._turns.blame(conversation.relay, fault)

    def drop(self, conversation: Conversation, why: str) -> list[Ended]:
        """Ends a connection at once; what its jobs have come to."""
        ended = [event for event in conversation.drop(why) if isinstance(event, Ended)]
        self._forget(conversation)
        return ended

    def wait(self, seconds: float) -> list[tuple[Conversation, list[Event]]]:
        """What has happened, having waited until something has."""
        if any(conversation.eager for conversation in self.conversations) or not self._let_in.empty():
            seconds = 0.0
        for conversation in self.conversations:
            self._watch(conversation)
        awake = [key.data for key, _ in self._selector.select(seconds)]
        if None in awake:
            awake.remove(None)
            self._welcome()
        moment = time.monotonic()
        if moment - self._swept > SWEEP:
            self._swept = moment
            awake = list(self.conversations)
            self._end_the_idle(moment)
        else:
            awake += [each for each in self.conversations if each.eager and each not in awake]
        happened = []
        for conversation in awake:
            if events := conversation.events(moment):
                self._turns.heard(conversation.relay, moment, served=conversation.served > 0)
                happened.append((conversation, events))
        return happened

    def _end_the_idle(self, moment: float) -> None:
        for conversation in list(self.conversations):
            if not conversation.idle or conversation.eager:
                self._used[conversation] = moment
            elif moment - self._used[conversation] > IDLE:
                conversation.quit()
                self._forget(conversation)

    def hang_up(self) -> None:
        """Ends all connections, politely where they are idle."""
        for conversation in list(self.conversations):
            conversation.quit()
            self._forget(conversation)

    def close(self) -> None:
        """Ends everything, at once."""
        for conversation in list(self.conversations):
            self.drop(conversation, "the sender stopped")
        self._closed = True
        self._turn_away()
        self._selector.close()
        self._bell.close()
        self._ring.close()

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
            self._used.pop(conversation, None)
            self._turns.connected(conversation.relay, -1)
