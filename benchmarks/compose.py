"""What a message costs to compose and to sign: `python benchmarks/compose.py [MESSAGES]`.

37 KB of HTML with six values, a text part, every header; in CPU time, the least of nine passes that take turns, since
whatever else runs on the machine only adds to it.
Signed with an RSA key of 2,048 bits, with an Ed25519 key, and with both; beside them the bare operation of each key
over 32 octets, so that what is left is what DKIM costs here. Against it, in the same run: the same message by the
standard library's EmailMessage. Then the same with the 28 KB of HTML that benchmarks/send.py sends, 44 KB in all.
"""

from __future__ import annotations

import datetime as dt
import sys
import time
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from newsletter import config, dkim, fields
from newsletter.compose import Composer, Content, Reader
from newsletter.config import Dkim
from newsletter.tokens import Keys

NOW = dt.datetime(2023, 11, 14, 14, tzinfo=dt.UTC)
PARAGRAPH = (
    "<p>" + "Some <b>words</b> in a paragraph that goes on – with a “quote” and a good deal more. " * 8 + "</p>\n"
)
TEXT = "Dear \x02name|reader\x03,\n\n" + "Words in a line of about seventy characters, as a text part has them.\n" * 70
KEYS = {kind: dkim.new_key(kind) for kind in ("rsa", "ed25519")}
SIGNERS = {kind: dkim.signer(Dkim("example.org", f"s-{kind}", ""), key) for kind, key in KEYS.items()}
PASSES = 9


def html(paragraphs: int) -> str:
    """HTML with six values; of 53 paragraphs 37 KB, of 41 some 29 KB."""
    return (
        "<!doctype html><html><body><p>Dear \x02name|reader\x03 of \x02city\x03, plan \x02plan\x03,</p>\n"
        + PARAGRAPH * paragraphs
        + '<p>\x02address\x03 since \x02joined\x03 <a href="\x02unsubscribe_url\x03">Leave</a></p></body></html>\n'
    )


def composer(paragraphs: int, *kinds: str) -> Composer:
    settings = config.read(Path(__file__).parent.parent / "config.toml")
    keys = Keys(token=(b"k" * 32,), form=(b"o" * 32,), fingerprint=b"f" * 32)
    content = Content(1, "digest", 2, 21, "US-Japan Alliance Digest 2.21", html(paragraphs), TEXT)
    names = fields.known(settings.attributes)
    signers = tuple(SIGNERS[kind] for kind in kinds)
    return Composer(content, settings.publications["digest"], settings.base_url, names, keys, signers)


def by_turns(what: dict[str, tuple[Callable[[Reader], object], int]], readers: list[Reader]) -> dict[str, float]:
    """Microseconds of CPU a message for each: a function, and for how many readers it is called in a pass."""
    took: dict[str, list[float]] = {name: [] for name in what}
    for _ in range(PASSES):
        for name, (act, count) in what.items():
            began = time.process_time()
            for reader in readers[:count]:
                act(reader)
            took[name].append((time.process_time() - began) / count * 1e6)
    return {name: min(each) for name, each in took.items()}


def by_email_message(made: Composer) -> Callable[[Reader], object]:
    def act(reader: Reader) -> bytes:
        message = EmailMessage(policy=SMTP)
        message["From"], message["To"], message["Subject"] = "digest@example.org", reader.address, made.subject(reader)
        message.set_content(made.text(reader))
        message.add_alternative(made.html(reader), subtype="html")
        return message.as_bytes()

    return act


def main(messages: int) -> None:
    readers = [
        Reader(i, f"reader{i}@example.org", f"Reader Number {i}", {"city": "Tokyo", "plan": "member"}, NOW)
        for i in range(messages)
    ]
    some, digest = messages // 10, b"d" * 32
    for paragraphs in (53, 41):
        made = {kinds: composer(paragraphs, *kinds) for kinds in ((), ("rsa",), ("ed25519",), ("rsa", "ed25519"))}
        what: dict[str, tuple[Callable[[Reader], object], int]] = {
            "+".join(kinds) or "unsigned": (
                lambda reader, of=each: of.compose(reader, NOW),
                some if kinds else messages,
            )
            for kinds, each in made.items()
        }
        for kind, signer in SIGNERS.items():
            what[f"bare {kind}"] = (lambda _, sign=signer.sign: sign(digest), some)
        if paragraphs == 53:
            what["EmailMessage"] = (by_email_message(made[()]), min(50, messages))
        us = by_turns(what, readers)
        size, of_html = len(made[()].compose(readers[0], NOW).data) / 1000, len(html(paragraphs)) / 1000
        plain = us["unsigned"]
        print(f"compose: {plain:.1f} µs of CPU a message of {size:.0f} KB ({of_html:.0f} KB HTML, six values)")
        if "EmailMessage" in us:
            print(f"by EmailMessage: {us['EmailMessage']:,.0f} µs, {us['EmailMessage'] / plain:.0f} times as much")
        for kinds in list(made)[1:]:
            bare = sum(us[f"bare {kind}"] for kind in kinds)
            signed = us["+".join(kinds)]
            rest = signed - plain - bare
            print(
                f"signed, {' and '.join(kinds)}: {signed:.0f} µs; the bare keys {bare:.0f}, the rest of DKIM {rest:.0f}"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10000)
