"""A mail server that takes everything and keeps nothing: what a sender is measured against.

It runs in a process of its own, speaks pipelined SMTP, and counts a message only when it has seen its whole
envelope, headers, both parts' closing boundary and the final dot. `python benchmarks/sink.py` prints its port;
on standard input a line asks for the counts, an end of input ends it.
"""

from __future__ import annotations

import json
import re
import resource
import selectors
import socket
import subprocess
import sys
import time
from types import TracebackType
from typing import Self

GREETING = b"220 sink ESMTP\r\n"
EHLO = b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 52428800\r\n"
OK, GO, TAKEN, BYE = b"250 2.1.0 Ok\r\n", b"354 Go on\r\n", b"250 2.0.0 Ok: taken\r\n", b"221 2.0.0 Bye\r\n"
BOUNDARY = re.compile(rb'boundary="([^"]+)"')


class Connection:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = bytearray()
        self.in_data = False
        self.scanned = 0
        self.recipients = 0

    def feed(self, data: bytes, counts: dict[str, int]) -> bytes:
        self.buffer += data
        out = []
        while True:
            if self.in_data:
                end = self.buffer.find(b"\r\n.\r\n", max(0, self.scanned - 5))
                if end < 0:
                    self.scanned = len(self.buffer)
                    return b"".join(out)
                boundary = BOUNDARY.search(self.buffer, 0, 4096)
                whole = (
                    boundary and self.recipients == 1 and self.buffer.endswith(b"\r\n--" + boundary[1] + b"--", 0, end)
                )
                counts["whole" if whole else "broken"] += 1
                counts["octets"] += end
                del self.buffer[: end + 5]
                self.in_data, self.scanned, self.recipients = False, 0, 0
                out.append(TAKEN)
                continue
            end = self.buffer.find(b"\r\n")
            if end < 0:
                return b"".join(out)
            verb = bytes(self.buffer[:4]).upper()
            del self.buffer[: end + 2]
            if verb == b"RCPT":
                self.recipients += 1
            if verb == b"DATA":
                self.in_data = True
                out.append(GO)
            elif verb in (b"EHLO", b"HELO"):
                out.append(EHLO)
            elif verb == b"QUIT":
                out.append(BYE)
            else:
                out.append(OK)


def serve() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    listener.setblocking(False)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ, None)
    selector.register(sys.stdin, selectors.EVENT_READ, "ask")
    counts = {"whole": 0, "broken": 0, "octets": 0}
    first = last = 0.0
    print(listener.getsockname()[1], flush=True)
    while True:
        for key, _ in selector.select():
            if key.data is None:
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setblocking(False)
                sock.send(GREETING)
                selector.register(sock, selectors.EVENT_READ, Connection(sock))
            elif key.data == "ask":
                if not sys.stdin.readline():
                    return
                use = resource.getrusage(resource.RUSAGE_SELF)
                print(json.dumps(counts | {"seconds": last - first, "cpu": use.ru_utime + use.ru_stime}), flush=True)
                counts.update(whole=0, broken=0, octets=0)
                first = last = 0.0
            else:
                connection: Connection = key.data
                try:
                    data = connection.sock.recv(262144)
                except BlockingIOError:
                    continue
                except OSError:
                    data = b""
                if not data:
                    selector.unregister(connection.sock)
                    connection.sock.close()
                    continue
                before = counts["whole"]
                answer = connection.feed(data, counts)
                if counts["whole"] != before:
                    last = time.monotonic()
                    first = first or last
                if answer:
                    connection.sock.send(answer)


class Sink:
    """The sink in a process of its own: `port`, and `counts()` since the last asking."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

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


if __name__ == "__main__":
    serve()
