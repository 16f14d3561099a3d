"""A mail server that takes everything and keeps nothing: what a sender is measured against.

The server is sink.c, compiled when it starts, in a process of its own: a sink in Python costs as much as the sender.
It speaks pipelined ESMTP and counts a message as whole only when it saw one recipient, that recipient in the
headers, one Message-ID, parts with something in them, the closing boundary as the last line, and the final dot;
anything else that ends with a dot is broken.

    python benchmarks/sink.py             its port; then a line asks for the counts, an end of input ends it
    python benchmarks/sink.py --check     whether it counts what it should, and nothing else
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

SOURCE = Path(__file__).with_suffix(".c")


def compiled(into: str) -> str:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        sys.exit("benchmarks/sink.c wants a C compiler: install gcc (on Debian: apt-get install gcc libc6-dev)")
    program = f"{into}/sink"
    subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-o", program, str(SOURCE)], check=True)
    return program


class Sink:
    """The sink in a process of its own: `port`, and `counts()` since the last asking.

    Of the counts, `whole`, `broken` and `octets` are of messages, `seconds` go from the first one's final dot to the
    last one's, and `cpu` is what the process used. With `core` it runs on that one alone.
    """

    def __init__(self, *, core: int | None = None) -> None:
        with tempfile.TemporaryDirectory() as place:
            self.process = subprocess.Popen([compiled(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert self.process.stdout is not None
            self.port = int(self.process.stdout.readline())
        if core is not None:
            os.sched_setaffinity(self.process.pid, {core})

    def counts(self) -> dict[str, float]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("?\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


# ---- does it count right?

ENVELOPE = b"MAIL FROM:<us+1@example.org>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n"
MESSAGE = (
    b"From: us@example.org\r\nTo: Ann <ann@example.org>\r\nMessage-ID: <1@example.org>\r\n"
    b'Content-Type: multipart/alternative;\r\n boundary="=_b"\r\n'
    b"\r\n--=_b\r\nContent-Type: text/plain\r\n\r\nOne.\r\n..\r\n..two\r\n"
    b"\r\n--=_b\r\nContent-Type: text/html\r\n\r\n<p>One.</p>\r\n\r\n--=_b--\r\n"
)
WHOLE = ENVELOPE + MESSAGE + b".\r\n"
BROKEN = {
    "no boundary": WHOLE.replace(b'boundary="=_b"', b"nothing=1"),
    "no closing boundary": WHOLE.replace(b"--=_b--\r\n", b""),
    "closed, and then more": WHOLE.replace(b"--=_b--\r\n", b"--=_b--\r\nmore\r\n"),
    "closed twice": WHOLE.replace(b"--=_b--\r\n", b"--=_b--\r\n--=_b--\r\n"),
    "nothing but headers": ENVELOPE + MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n.\r\n",
    "an empty message": ENVELOPE + b".\r\n",
    "an empty part": WHOLE.replace(b"<p>One.</p>", b""),
    "no part": ENVELOPE + MESSAGE.partition(b"\r\n--=_b\r\n")[0] + b"\r\n--=_b--\r\n.\r\n",
    "no recipient": WHOLE.replace(b"RCPT TO:<ann@example.org>\r\n", b""),
    "two recipients": WHOLE.replace(b"DATA\r\n", b"RCPT TO:<ann@example.org>\r\nDATA\r\n"),
    "two senders": WHOLE.replace(b"RCPT ", b"MAIL FROM:<us@example.org>\r\nRCPT "),
    "someone else's": WHOLE.replace(b"To: Ann <ann@", b"To: Bob <bob@"),
    "no Message-ID": WHOLE.replace(b"Message-ID:", b"Message-No:"),
    "two Message-IDs": WHOLE.replace(b"Message-ID:", b"Message-ID: <2@example.org>\r\nMessage-ID:"),
    "two messages in one": ENVELOPE + MESSAGE + MESSAGE + b".\r\n",
    "a dot that isn't stuffed": WHOLE.replace(b"..two", b".two"),
    "a line without its CR": WHOLE.replace(b"One.\r\n", b"One.\n"),
    "a lone dot after a bare LF": WHOLE.replace(b"One.\r\n", b"One.\n.\r\n"),
}


def check() -> None:
    """Exits with what it counted wrong, if anything."""
    with Sink() as sink:

        def told(writes: list[bytes], answers: int, *, step_by_step: bool = True) -> tuple[float, float]:
            """The counts after these writes, each of which was received before the next; it must answer so often."""
            with socket.create_connection(("127.0.0.1", sink.port)) as sock, sock.makefile("rb") as heard:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                assert heard.readline().startswith(b"220 ")
                whole = broken = 0.0
                for write in writes:
                    sock.sendall(write)
                    # Twice: the second answer comes after a round in which the connection had its turn.
                    for _ in range(2 if step_by_step else 0):
                        counts = sink.counts()
                        whole, broken = whole + counts["whole"], broken + counts["broken"]
                said = [heard.readline()[:3] for _ in range(answers)]
                assert not set(said) - {b"250", b"354"}, said
                sock.sendall(b"QUIT\r\n")
                assert heard.read() == b"221 2.0.0 Bye\r\n", "it said more than it was asked"
                counts = sink.counts()
                return whole + counts["whole"], broken + counts["broken"]

        def expect(what: str, found: tuple[float, float], wanted: tuple[int, int]) -> None:
            if found != wanted:
                sys.exit(f"{what}: whole and broken are {found}, not {wanted}")

        expect("in one write", told([WHOLE], 4), (1, 0))
        for at in range(1, len(WHOLE)):
            expect(f"cut at {at}", told([WHOLE[:at], WHOLE[at:]], 4), (1, 0))
        expect("octet by octet", told([WHOLE[at : at + 1] for at in range(len(WHOLE))], 4), (1, 0))
        three = WHOLE * 3
        expect("three in one write", told([three], 12), (3, 0))
        for at in range(len(WHOLE) - 8, len(WHOLE) + 8):
            expect(f"three, cut at {at}", told([three[:at], three[at:]], 12), (3, 0))
        follows = [ENVELOPE, *[MESSAGE + b".\r\n" + ENVELOPE] * 5, MESSAGE + b".\r\n"]
        expect("each with the next one's envelope", told(follows, 24), (6, 0))
        expect("after RSET", told([ENVELOPE.replace(b"DATA", b"RSET") + WHOLE], 7), (1, 0))
        large = WHOLE.replace(b"<p>One.</p>", b"<p>" + b"x" * 70 + b"</p>\r\n" + (b"y" * 74 + b"\r\n") * 20_000)
        expect("larger than a read", told([large] * 3, 12, step_by_step=False), (3, 0))
        with socket.create_connection(("127.0.0.1", sink.port)) as sock:
            sock.sendall(WHOLE[:-3])
        expect("cut off before its dot", told([b"NOOP\r\n"], 1), (0, 0))
        for what, wrong in BROKEN.items():
            assert wrong != WHOLE, what
            answers = wrong.count(b"DATA\r\n") * 2 + wrong.count(b"MAIL FROM") + wrong.count(b"RCPT TO")
            expect(what, told([wrong], answers), (0, 1))
            expect(f"{what}, octet by octet", told([wrong[at : at + 1] for at in range(len(wrong))], answers), (0, 1))
            expect(f"{what}, between two good ones", told([WHOLE + wrong + WHOLE], 8 + answers), (2, 1))
    print(f"sink: right about {len(WHOLE)} places to cut a message, and {len(BROKEN)} kinds of broken ones")


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        check()
    else:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([compiled(folder)], check=True)
