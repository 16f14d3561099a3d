"""What came back, with what all readers of it ask: whose copy it was, what was returned, and what its text is."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from functools import cached_property

from newsletter.bounces import mime
from newsletter.bounces.mime import Part
from newsletter.bounces.verdict import Verdict
from newsletter.states import ReturnKind

ADDRESS = re.compile(
    r"(?<![A-Za-z0-9!#$%&'*+/=?^_`{|}~.-])([A-Za-z0-9!#$%&*+/=?^_`{|}~][A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{0,99})"
    r"@([A-Za-z0-9][A-Za-z0-9._-]{0,250})"
)
"""In a text. Of ASCII, since in Chinese or Japanese no space divides it from what stands round it."""
ANY_ADDRESS = re.compile(
    r"(?<![\w!#$%&'*+/=?^`{|}~.-])([^\s<>()\[\],;:\"'@\\][^\s<>()\[\],;:\"@\\]{0,99})@(\w[\w.-]{0,250})"
)
"""In a header or field (RFC 6532)."""
_HEX = "((?:[0-9a-fA-F]{2}){13,40})(?![0-9a-fA-F])"
_VERP = re.compile(r"\+" + _HEX + "[@=]")
_LINKED = re.compile(r"(?:/leave/|/me/|/view/|unsubscribe(?:%20|[ +_-]))" + _HEX, re.IGNORECASE)
_BARE = re.compile("(?<![0-9a-fA-F])" + _HEX)
_FEEDBACK_ID = re.compile(r"^cfbl-feedback-id:[^\n]{0,200}?(?<![0-9a-f])" + _HEX, re.IGNORECASE | re.MULTILINE)
_MESSAGE_ID = re.compile(r"^[> \t]*(?:original-)?message-id:\s*<([^<>\s]{1,250})>", re.IGNORECASE | re.MULTILINE)
_BRACKETS = re.compile(r"<([^<>\s]{1,250})>")
_RECIPIENT_HEADERS = ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-delivered-to", "to", "cc")
_RETURNED = frozenset(
    ("message/rfc822", "message/global", "text/rfc822-headers", "message/rfc822-headers", "message/global-headers")
)
_TEXTS = ("text/", "multipart/")
"""A multipart without a boundary that works is a text like others."""
_FOR_MACHINES = frozenset(("message/delivery-status", "message/global-delivery-status", "message/feedback-report"))
_DAEMONS = re.compile(
    r"(?:mailer-?_?daemon|mail-daemon|daemon|mdaemon|mailerdaemon|post_?master\w*|mail-?delivery|maildelivery|mmdf|uucp|"
    r"bounces?|nondelivery|smtp|mailsystem|microsoftexchange[0-9a-f]{10,40}|mail\.system|mail_system|system|root|"
    r"mailer|mail_agent|autobounce|undeliverable|spam-?blocker)",
)
_DAEMON_NAMES = re.compile(
    r"mail delivery|mail system|delivery subsystem|system administrator|mailer.daemon|postmaster|internet mail|"
    r"mail administrator|mail router|delivery system",
)
_FAILURE = re.compile(
    r"(?:mail |message )?(?:undeliver|non[- ]?deliver|not delivered|delivery (?:status|fail|notif|report|error|"
    r"delay|problem|has failed|unsuccess|incomplete)|returned mail|returned to sender|return(?:ed)? message|"
    r"failure (?:notice|delivery)|failed mail|failed to (?:deliver|forward)|"
    r"mail (?:delivery|system|returned|error|failure|status)|"
    r"message (?:status|delivery|could not|not delivered|undeliverable)|couldn't (?:send|deliver)|could not (?:send|"
    r"deliver)|unable to deliver|permanent delivery|bounced|ndr:|warning: (?:message|could|delayed)|delayed mail|"
    r"メールエラー|unzustellbar|nicht zugestellt|zustell(?:fehler|bericht|ung fehl)|nachricht konnte nicht|non remis|"
    r"échec|notification d'?[ée]tat|retour (?:de|à l'exp)|no se puede entregar|no entregado|devuelto|não entregue|"
    r"falha na entrega|mancat[ao] (?:consegna|recapito)|onbestelbaar|kan inte levereras|не доставлено|"
    r"недоставленное|配信不能|配信エラー|配信できません|エラーメール|返送|送信エラー|未配信|退信|退回|系统退信|"
    r"无法投递|投递失败|無法傳遞|반송|전송 실패|error sending|rejected:)|.{0,60}\bundeliverable\b",
)
_AGAIN = re.compile(
    r"\s*(?:re|aw|antw|sv|vs|ref|res|fw|fwd|wg|tr|rv|i|回复|答复|转发|轉寄)\s*(?:\[\d+\])?\s*[:：]", re.IGNORECASE
)
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,15})[^<>]{0,4000}>|<!--.{0,800}?-->|<[!?][^<>]{0,2000}>", re.DOTALL)
_NEWLINES = frozenset(("br", "p", "div", "tr", "li", "table", "h1", "h2", "h3", "pre", "blockquote", "title"))
_BLANK = re.compile(r"[ \t\xa0]+")
_TEXT = 64 * 1024
"""Characters of a text that are searched."""
_SPACES = re.compile(r"\s+")


class Came:
    """A message that came back, and to which address it came."""

    def __init__(self, raw: bytes, recipient: str) -> None:
        self.top: Part = mime.parse(raw)
        self._recipient = recipient

    # ---- whose

    @cached_property
    def token(self) -> str:
        """The reader's token: by the address that it came to, else by the returned message, else by the text."""
        for address in (self._recipient, *self._to):
            if found := _VERP.search(address[:2000]):
                return found[1].lower()
        if self.original is not None:
            for name in ("list-unsubscribe", "return-path", "cfbl-feedback-id", "errors-to", "x-envelope-from"):
                for value in self.original.all(name):
                    if found := _VERP.search(value) or _LINKED.search(value):
                        return found[1].lower()
                    if name == "cfbl-feedback-id" and (found := _BARE.search(value)):
                        return found[1].lower()
        for part in self.leaves:
            if part.kind in _FOR_MACHINES:
                text = part.text()[:_TEXT]
                if found := _VERP.search(text) or _FEEDBACK_ID.search(text):
                    return found[1].lower()
        for text in (self.text, self._original_text):
            if found := _VERP.search(text) or _LINKED.search(text):
                return found[1].lower()
        return ""

    @cached_property
    def to_us(self) -> str:
        """The token in an address that it came to, and nowhere else; "" where there is none."""
        for address in (self._recipient, *self._to):
            if found := _VERP.search(address[:2000]):
                return found[1].lower()
        return ""

    @cached_property
    def message_id(self) -> str:
        """The Message-ID of the message that was returned, without brackets."""
        if self.original is not None and (found := _bracketed(self.original.get("message-id"))):
            return found
        for text in (self.text, self._original_text):
            if match := _MESSAGE_ID.search(text):
                return match[1]
        return self.answered

    @cached_property
    def answered(self) -> str:
        """The Message-ID of the message that this one says it answers."""
        return _bracketed(self.top.get("in-reply-to")) or _bracketed(self.top.get("references"))

    @cached_property
    def writer(self) -> str:
        """The address in From."""
        return first_address(self.top.get("from"))

    @cached_property
    def _to(self) -> list[str]:
        return [value for name in _RECIPIENT_HEADERS for value in self.top.all(name)]

    @cached_property
    def ours(self) -> frozenset[str]:
        """The addresses that it came to and from, in small letters: none of them is the one that failed."""
        found = {
            f"{m[1]}@{m[2]}".lower()
            for value in (self._recipient, *self._to)
            for m in ANY_ADDRESS.finditer(value[:2000])
        }
        return frozenset((*found, self.writer.lower()))

    # ---- what

    @cached_property
    def leaves(self) -> list[Part]:
        """The parts that are the report's own, outermost first: nothing from within a returned message."""
        return list(_leaves(self.top))

    @cached_property
    def original(self) -> Part | None:
        """The message that was returned, or its headers."""
        for part in self.leaves:
            if part.kind in _RETURNED:
                if part.parts:
                    return part.parts[0]
                return Part(mime.fields(part.content().lstrip(b"\n").partition(b"\n\n")[0]), b"")
        return None

    @cached_property
    def text(self) -> str:
        """What the report says to people: its first text that isn't empty; HTML without its tags."""
        best = ""
        for part in self.leaves:
            if part.kind == "text/html":
                best = best or untagged(part.text()[: 2 * _TEXT])[:_TEXT]
            elif part.kind.startswith(_TEXTS) and part.kind not in _RETURNED:
                said = part.text()[:_TEXT]
                if _looks_html(said):
                    said = untagged(said)
                if said.strip():
                    return said.replace("\xa0", " ")
        return best.replace("\xa0", " ")

    @cached_property
    def _original_text(self) -> str:
        """The text of the message that was returned, for a link with the reader's token in it."""
        if self.original is None:
            return ""
        part = next((each for each in _leaves(self.original) if each.kind.startswith("text/")), None)
        return part.text()[:_TEXT] if part is not None else ""

    @cached_property
    def subject(self) -> str:
        return _SPACES.sub(" ", self.top.line("subject")[:500]).strip()

    @cached_property
    def answers(self) -> bool:
        """Whether the subject says that it answers or forwards something."""
        return _AGAIN.match(self.subject) is not None

    @cached_property
    def by_a_machine(self) -> bool:
        """Whether a mail server wrote it, by its sender or by its subject; people who forward such a thing don't."""
        if self.top.get("x-failed-recipients"):
            return True
        local = self.writer.partition("@")[0].lower()
        if _DAEMONS.fullmatch(local) or (not self.writer and _DAEMONS.search(self.top.get("from").lower())):
            return not (self.answers and self.answered)
        name = self.top.line("from").lower().partition("<")[0]
        if _DAEMON_NAMES.search(name):
            return not self.answers
        return (
            not self.answers
            and not self.answered
            and _FAILURE.match(self.subject.lower().lstrip("*![]<> ")) is not None
        )

    @cached_property
    def null_sender(self) -> bool:
        """Whether its envelope had no sender, as far as a header says so."""
        value = self.top.get("return-path").strip().lower()
        return value == "<>" or value.startswith("<mailer-daemon")

    def verdict(self, kind: ReturnKind, why: str, *, address: str = "", status: str = "", words: str = "") -> Verdict:
        """A verdict about this message."""
        return Verdict(
            kind=kind,
            token=self.token,
            message_id=self.message_id,
            address=one_line(address, 320),
            status=one_line(status, 16),
            words=one_line(words, 500),
            why=why,
        )


def one_line(text: str, longest: int) -> str:
    """Somebody else's words on one line, without control characters."""
    text = _SPACES.sub(" ", text[: 4 * longest])
    return "".join(each for each in text if each.isprintable()).strip()[:longest].strip()


def first_address(value: str) -> str:
    """The first address in a header; "" where there is none."""
    value = value[:4000]
    angle = value.rfind("<")
    found = (ANY_ADDRESS.search(value, angle) if angle >= 0 else None) or ANY_ADDRESS.search(value)
    return cleaned(found[0]) if found else ""


def cleaned(address: str) -> str:
    """An address without the punctuation of the sentence that it stood in."""
    return address.strip().rstrip(".-_")


def untagged(text: str) -> str:
    """HTML as text, roughly: without its tags, scripts and styles."""
    low = text.lower()
    kept: list[str] = []
    at = 0
    while at < len(text):
        starts = [each for each in (low.find("<style", at), low.find("<script", at)) if each >= 0]
        if not starts:
            break
        start = min(starts)
        kept.append(text[at:start])
        end = low.find("</" + low[start + 1 : start + 6], start)
        if end < 0:
            at = len(text)
            break
        at = end + 2
        kept.append("<")
    kept.append(text[at:])
    return html.unescape(_TAG.sub(_break, "".join(kept)))


def _break(found: re.Match[str]) -> str:
    return "\n" if (found[2] or "").lower() in _NEWLINES else ""


def said_of(text: str, address: str) -> str:
    """What is said below an address, as far as the next empty line but one."""
    at = text.lower().find(address.lower())
    if at < 0:
        return ""
    rest = text[at + len(address) : at + 3000]
    made: list[str] = []
    empty = False
    for line in rest.split("\n")[:40]:
        if not line.strip():
            if empty or any(each.strip(" \t>:)") for each in made):
                break
            empty = True
            continue
        if (other := ADDRESS.search(line)) and not line[: other.start()].strip(" \t<") and made:
            break  # the next one
        made.append(line)
    return "\n".join(made).strip(" \t>:)\n")


def _looks_html(text: str) -> bool:
    head = text[:300].lstrip().lower()
    return head.startswith(("<html", "<!doctype", "<body", "<head", "<div", "<table"))


def _leaves(top: Part) -> Iterator[Part]:
    waiting = [top]
    while waiting:
        part = waiting.pop(0)
        if part.kind.startswith("multipart/") and part.parts:
            waiting[:0] = part.parts
        else:
            yield part


def _bracketed(value: str) -> str:
    found = _BRACKETS.search(value[:4000])
    return found[1] if found else ""
