"""What a message costs to compose: `python benchmarks/compose.py [MESSAGES]`.

40 KB of HTML with six values, a text part, every header; the median of five passes, in CPU time.
Against it, in the same run: the same message by the standard library's EmailMessage.
"""

from __future__ import annotations

import datetime as dt
import statistics
import sys
import time
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from newsletter import config, fields
from newsletter.compose import Composer, Content, Reader
from newsletter.tokens import Keys

NOW = dt.datetime(2023, 11, 14, 14, tzinfo=dt.UTC)
PARAGRAPH = (
    "<p>" + "Some <b>words</b> in a paragraph that goes on – with a “quote” and a good deal more. " * 8 + "</p>\n"
)
HTML = (
    "<!doctype html><html><body><p>Dear \x02name|reader\x03 of \x02city\x03, plan \x02plan\x03,</p>\n"
    + PARAGRAPH * 53
    + '<p>\x02address\x03 since \x02joined\x03 <a href="\x02unsubscribe_url\x03">Leave</a></p></body></html>\n'
)
TEXT = "Dear \x02name|reader\x03,\n\n" + "Words in a line of about seventy characters, as a text part has them.\n" * 70


def main(messages: int) -> None:
    settings = config.read(Path(__file__).parent.parent / "config.toml")
    keys = Keys(token=(b"k" * 32,), fingerprint=b"f" * 32)
    content = Content(1, "digest", 2, 21, "US-Japan Alliance Digest 2.21", HTML, TEXT)
    composer = Composer(
        content, settings.publications["digest"], settings.base_url, fields.known(settings.attributes), keys
    )
    readers = [
        Reader(i, f"reader{i}@example.org", f"Reader Number {i}", {"city": "Tokyo", "plan": "member"}, NOW)
        for i in range(messages)
    ]
    ours, theirs = [], []
    for _ in range(5):
        began = time.process_time()
        for reader in readers:
            composer.compose(reader, NOW)
        ours.append((time.process_time() - began) / messages * 1e6)
        began = time.process_time()
        for reader in readers[:100]:
            message = EmailMessage(policy=SMTP)
            message["From"], message["To"], message["Subject"] = "digest@example.org", reader.address, content.subject
            message.set_content(composer.text(reader))
            message.add_alternative(composer.html(reader), subtype="html")
            message.as_bytes()
        theirs.append((time.process_time() - began) / 100 * 1e6)
    size = len(composer.compose(readers[0], NOW).data)
    us, them = statistics.median(ours), statistics.median(theirs)
    print(f"compose: {us:.1f} µs of CPU a message of {size / 1000:.0f} KB ({len(HTML) / 1000:.0f} KB HTML, six values)")
    print(f"by EmailMessage: {them:,.0f} µs, {them / us:.0f} times as much")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20000)
