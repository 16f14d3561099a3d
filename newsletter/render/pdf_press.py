"""A document set by typst, in a process of its own: it ends in bounded time, within bounded memory, whatever it is.

It sees the files that it is given and the fonts, and no network: packages are looked for in its own folder only.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SECONDS = 30
"""How long an issue may take to be set; the sample takes a twentieth of one."""
MEMORY = 2**31
"""Bytes; the fonts of a machine are among them."""
MAIN = "main.typ"

_NOWHERE = "http://127.0.0.1:9"
"""The port of the discard protocol, where nobody listens: what a package would be fetched through."""
_PLACE = re.compile(r"┌─ (\S.*?):(\d+):(\d+)")
_NOT_SHOWN = re.compile(r'the text `"((?:[^"\\]|\\.)*)"` could not be displayed with font')
_ESCAPE = re.compile(r"\\(?:u\{([0-9a-f]+)\}|(.))")


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why there is no document: what typst says, and where."""

    what: str
    places: tuple[tuple[str, int, int], ...] = ()
    """Files, lines and columns (from 1), the innermost first."""
    remedy: str | None = None
    not_shown: tuple[str, ...] = ()
    """Texts that no font has all letters of."""


def pressed(
    files: Mapping[str, bytes],
    *,
    timestamp: int,
    fonts: Path | None = None,
    seconds: int = SECONDS,
    memory: int = MEMORY,
) -> bytes | Wrong:
    """The PDF (PDF/UA-1: tagged, titled, no letter without a glyph) of MAIN among these files, or what is wrong.

    `files` are all that it can read, by their names; `fonts` a folder of fonts that come before the machine's;
    `timestamp`, in seconds of UTC, what it takes for now.
    """
    spec = importlib.util.find_spec("typst")
    assert spec is not None and spec.origin is not None, "typst is a dependency"  # noqa: PT018
    with tempfile.TemporaryDirectory(prefix="newsletter-pdf-") as place:
        root = Path(place).resolve()
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        settings = {
            "main": str(root / MAIN),
            "root": str(root),
            "fonts": str(fonts) if fonts else "",
            "packages": str(Path(spec.origin).parent.parent),
            "timestamp": timestamp,
            "seconds": seconds,
            "memory": memory,
        }
        try:
            child = subprocess.run(
                [sys.executable, "-I", str(Path(__file__).with_name("pdf_child.py"))],
                input=json.dumps(settings).encode(),
                capture_output=True,
                cwd=root,
                env=_environment(),
                timeout=seconds + 5,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return _too_long(seconds)
    return _outcome(child, seconds, memory)


def _environment() -> dict[str, str]:
    """What of the environment it needs to find fonts; and proxies that lead nowhere."""
    kept = {name: value for name, value in os.environ.items() if name in ("HOME", "PATH", "LANG") or name[:4] == "XDG_"}
    proxies = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
    return kept | dict.fromkeys(proxies, _NOWHERE)


def _outcome(child: subprocess.CompletedProcess[bytes], seconds: int, memory: int) -> bytes | Wrong:
    head, found, content = child.stdout.partition(b"\n")
    if child.returncode == 0 and found:
        told = json.loads(head)
        return _wrong(told) if told["wrong"] else content
    if child.returncode in (-24, -9) and b"memory" not in child.stderr:  # SIGXCPU, SIGKILL
        return _too_long(seconds)
    if b"memory allocation of" in child.stderr or b"MemoryError" in child.stderr or b"mmap" in child.stderr:
        return Wrong(
            f"it needs more than {memory / 2**30:.0f} GB of memory",
            remedy="Does a loop in issue.typ go on for too long, or is a picture in the design very large?",
        )
    last = child.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:200]
    return Wrong(f"typst came to grief over it ({last or f'signal {-child.returncode}'})")


def _too_long(seconds: int) -> Wrong:
    return Wrong(
        f"it isn't done after {seconds} seconds",
        remedy="Does a loop in issue.typ go on for too long?",
    )


def _wrong(told: dict[str, object]) -> Wrong:
    words = str(told["told"])
    hints = told["hints"]
    assert isinstance(hints, list)
    hint = str(hints[0]) if hints else ""
    return Wrong(
        str(told["wrong"]),
        tuple((file, int(line), int(column) + 1) for file, line, column in _PLACE.findall(words)),
        f"{hint[:1].upper()}{hint[1:]}." if hint else None,
        tuple(dict.fromkeys(_unescaped(text) for text in _NOT_SHOWN.findall(words))),
    )


def _unescaped(text: str) -> str:
    """Text as Rust's debugger writes it."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else found[2], text)
