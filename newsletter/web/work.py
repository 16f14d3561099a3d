"""A little work for whoever looks like a program: no third party, no picture puzzle, and nobody is shut out.

The page carries a seal, made for one address and one network. A script of ours looks for a number that makes the
SHA-256 of seal and number begin with BITS zero bits, which takes a browser a second or two and a flood of forms a
machine park. Without the script the form counts once it has stood open for WITHOUT_SCRIPT.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
from pathlib import Path

from flask import Blueprint, Response, abort, request

from newsletter import visits
from newsletter.asks import Lately
from newsletter.reader_settings import SignUp
from newsletter.states import HitKind
from newsletter.tokens import Keys
from newsletter.visits import Came
from newsletter.web import safety, seals
from newsletter.web.site import site

BITS = 18
"""A quarter of a million tries on average."""
WITHOUT_SCRIPT = dt.timedelta(seconds=30)
FORM = "work"

work = Blueprint("work", __name__)


def looks_automatic(lately: Lately, limits: SignUp) -> bool:
    """Whether this request looks like a program's, or comes from a network that has asked a lot."""
    if lately.network * 2 >= limits.per_network:
        return True
    if not request.headers.get("Accept-Language"):
        return True
    program = {"User-Agent": request.headers.get("User-Agent", "")}
    return visits.came(request.method, program, HitKind.page) is not Came.person


def done(keys: Keys, subject: str, now: dt.datetime) -> bool:
    """Whether the form that came has done its work, or waited instead; `subject` is what its seal was made for."""
    seal = request.form.get("work_seal", "")
    age = seals.age(keys, seal, FORM, subject, now)
    return age is not None and (age >= WITHOUT_SCRIPT or solved(seal, request.form.get("work", "")))


def seal(keys: Keys, subject: str, now: dt.datetime) -> str:
    """The seal to work on: the one that came, as long as it is good, so that waiting isn't begun anew."""
    came = request.form.get("work_seal", "")
    return came if seals.age(keys, came, FORM, subject, now) is not None else seals.make(keys, FORM, subject, now)


def solved(seal: str, number: str) -> bool:
    """Whether `number` is an answer to `seal`."""
    if not (number.isascii() and number.isdecimal() and len(number) <= 16):
        return False
    digest = hashlib.sha256(f"{seal}:{number}".encode()).digest()
    return int.from_bytes(digest, "big") >> (256 - BITS) == 0


def script_path() -> str:
    """Where the script is; lets the page that is being made run it, and nothing else."""
    safety.allow("script-src 'self'")
    return site().path("look", f"work.{_script(site().places)[1]}.js")


@work.get("/look/work.<digest>.js")
def script(digest: str) -> Response:
    """The script; one of an earlier version is gone."""
    source, there = _script(site().places)
    if digest != there:
        abort(404)
    safety.public(31_536_000)
    return Response(source, mimetype="text/javascript")


@functools.lru_cache(maxsize=8)
def _script(places: tuple[Path, ...]) -> tuple[bytes, str]:
    path = next(place / "web/work.js" for place in places if (place / "web/work.js").is_file())
    source = path.read_bytes()
    return source, hashlib.sha256(source).hexdigest()[:16]
