"""The bare limit: how fast one process in Python can hand over finished messages when it does nothing else.

    python benchmarks/bare.py FOLDER PORT [MESSAGES] [--connections N] [--smtplib]

The messages of 200 readers are composed beforehand and go round and round, each with its envelope, through as many
sockets as the sender has. A body waits for its 354, as it must, and leaves in one write with the next envelope. No
ledger, no composing, no deadlines, no refusals: what a sender can come close to, and hardly pass. With --smtplib the
same messages go through smtplib.sendmail on one connection instead: a plain loop in Python.
"""

from __future__ import annotations

import argparse
import json
import selectors
import smtplib
import socket
import time
from pathlib import Path

from issue import composed

from newsletter.compose import Message

DOT = b".\r\n"


class Connection:
    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.heard = b""
        self.unsent: list[bytes | memoryview] = []
        self.body = b""
        """Of the message whose envelope has left."""
        self._until(b"220 ")
        self.sock.sendall(b"EHLO bench\r\n")
        self._until(b"250 ")
        self.sock.setblocking(False)

    def _until(self, last: bytes) -> None:
        while not self.heard.endswith(b"\r\n") or not self.heard.splitlines()[-1].startswith(last):
            self.heard += self.sock.recv(4096)
        self.heard = b""

    def write(self) -> bool:
        """Whether everything has left."""
        try:
            while self.unsent:
                count = self.sock.sendmsg(self.unsent)
                while self.unsent and count >= len(self.unsent[0]):
                    count -= len(self.unsent.pop(0))
                if count:
                    self.unsent[0] = memoryview(self.unsent[0])[count:]
        except BlockingIOError:
            return False
        return True


def blast(port: int, connections: int, messages: list[tuple[bytes, bytes]], count: int) -> dict[str, float]:
    """Hands over `count` messages, (envelope, body) each; messages a second, and CPU-seconds per 1,000."""
    selector = selectors.DefaultSelector()
    everybody = [Connection(port) for _ in range(min(connections, count))]
    for each in everybody:
        selector.register(each.sock, selectors.EVENT_READ, each)
    announced = taken = 0
    began, cpu = time.perf_counter(), time.process_time()
    for each in everybody:
        envelope, each.body = messages[announced % len(messages)]
        announced += 1
        each.sock.send(envelope)
    while taken < count:
        for key, happened in selector.select():
            each = key.data
            if happened & selectors.EVENT_WRITE and each.write():
                selector.modify(each.sock, selectors.EVENT_READ, each)
            if not happened & selectors.EVENT_READ:
                continue
            *lines, each.heard = (each.heard + each.sock.recv(65536)).split(b"\r\n")
            for line in lines:
                if line.startswith(b"250 2.0.0"):
                    taken += 1
                elif line.startswith(b"354"):
                    each.unsent = [each.body, DOT]
                    if announced < count:
                        envelope, each.body = messages[announced % len(messages)]
                        announced += 1
                        each.unsent.append(envelope)
                    if not each.write():
                        selector.modify(each.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, each)
                elif not line.startswith(b"250"):
                    raise SystemExit(f"the sink says {line!r}")
    took, used = time.perf_counter() - began, time.process_time() - cpu
    for each in everybody:
        each.sock.close()
    return {"rate": count / took, "cpu": 1000 * used / count}


def plainly(port: int, messages: list[Message], count: int) -> dict[str, float]:
    with smtplib.SMTP("127.0.0.1", port, local_hostname="bench") as server:
        server.ehlo()
        began, cpu = time.perf_counter(), time.process_time()
        for number in range(count):
            message = messages[number % len(messages)]
            server.sendmail(message.sender, [message.recipient], message.data)
        took, used = time.perf_counter() - began, time.process_time() - cpu
    return {"rate": count / took, "cpu": 1000 * used / count}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("messages", type=int, nargs="?", default=20_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--smtplib", action="store_true")
    asked = parser.parse_args()
    messages = composed(asked.folder, 200)
    if asked.smtplib:
        print(json.dumps(plainly(asked.port, messages, asked.messages)))
        return
    ready = [
        (
            f"MAIL FROM:<{each.sender}> SIZE={len(each.data)}\r\nRCPT TO:<{each.recipient}>\r\nDATA\r\n".encode(),
            each.data,
        )
        for each in messages
    ]
    print(json.dumps(blast(asked.port, asked.connections, ready, asked.messages)))


if __name__ == "__main__":
    main()
