"""The archive as files that any web server can hand out: what the pages answer, written down.

So a file is the page that is served, and there is one way to make it. A manifest remembers what was written and from
what; only what has changed is asked for again. Forms still lead to the pages that are served.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import msgspec
from flask.testing import FlaskClient

from newsletter.archive import catalogue as catalogues
from newsletter.archive import feeds, shards
from newsletter.archive.catalogue import Catalogue, Entry
from newsletter.errors import WebMistake
from newsletter.folder import Folder, included
from newsletter.web import make, pages
from newsletter.web.shelf import Shelf
from newsletter.web.site import Site

Bar = Callable[[int], AbstractContextManager[Callable[[int], None]]]
MANIFEST = ".newsletter-archive.json"
_PICTURE = re.compile(rb"/pictures/([0-9a-f]{64}\.[a-z]{3,4})")


class _Manifest(msgspec.Struct):
    """What is in the folder by our doing."""

    files: dict[str, str]
    """Path: SHA-256 of what was written there; empty while that is still to be done."""
    issues: dict[str, str]
    """Issue: what its files were made from."""


@dataclass(frozen=True, slots=True)
class Built:
    """What a build did, in files."""

    written: int
    kept: int
    removed: int
    issues: int
    issues_made: int
    bytes: int
    """Of all files."""


def build(
    folder: Folder,
    target: Path,
    slugs: Sequence[str],
    now: dt.datetime,
    bar: Bar = lambda _: nullcontext(lambda _: None),
) -> Built:
    """Writes the archive of these publications into a folder, or brings it up to date; answers what was done.

    `bar` is opened with the count of issues, and told how many more are done.
    Each file is put in its place whole. A build that was interrupted is made whole by the next one. WebMistake for a
    folder that has something else in it, or can't be written.
    """
    try:
        return _Build(folder, target, slugs, now).run(bar)
    except OSError as error:
        raise WebMistake(f"the archive can't be written: {error.strerror}", where=error.filename or target) from None


class _Build:
    def __init__(self, folder: Folder, target: Path, slugs: Sequence[str], now: dt.datetime) -> None:
        self._folder, self._target, self._slugs = folder, target, slugs
        self._before = _read(target)
        self._files: dict[str, str] = {}
        self._written = 0
        self._app = make(folder, lambda: now, static=True)
        self._site: Site = self._app.extensions["newsletter"]
        self._client: FlaskClient = self._app.test_client()

    def run(self, bar: Bar) -> Built:
        self._target.mkdir(parents=True, exist_ok=True)
        shelf = self._site.shelf
        with self._folder.reading() as session:
            known = [shelf.catalogue(session, slug) for slug in self._slugs]
        issues = {self._name(each, entry): self._made_from(each, entry) for each in known for entry in each.entries}
        # What may be written from here on is ours, should this be the last that is heard of us.
        planned = {path: "" for each in known for entry in each.entries for path in self._paths(each, entry)}
        self._note(planned | self._before.files, {})
        made = 0
        with bar(len(issues)) as done:
            for each in known:
                for entry in each.entries:
                    made += self._issue(each, entry, issues)
                    done(1)
        for each in known:
            self._publication(each, shelf)
        self._put("index.html", self._get("/"))
        self._put("sitemap.xml", self._get("/sitemap.xml"))
        self._put("robots.txt", self._get("/robots.txt"))
        style = self._site.style_path.removeprefix(self._site.prefix)
        self._put(style.lstrip("/"), self._get(style))
        removed = self._remove()
        self._note(self._files, issues)
        size = sum((self._target / path).stat().st_size for path in self._files)
        return Built(self._written, len(self._files) - self._written, removed, len(issues), made, size)

    def _issue(self, of: Catalogue, entry: Entry, issues: dict[str, str]) -> bool:
        """The files of an issue; whether any was asked for."""
        name, paths = self._name(of, entry), self._paths(of, entry)
        if self._before.issues.get(name) == issues[name] and all(map(self._there, paths)):
            for path in paths:
                self._files[path] = self._before.files[path]
            self._pictures((self._target / paths[0]).read_bytes())
            return False
        for path in paths:
            content = self._get("/" + path.removesuffix("/index.html"))
            self._put(path, content)
            if path.endswith(".html"):
                self._pictures(content)
        return True

    def _publication(self, of: Catalogue, shelf: Shelf) -> None:
        home = f"/{of.slug}"
        front = self._get(home)
        self._put(f"{of.slug}/index.html", front)
        self._pictures(front)
        for volume in of.volumes:
            self._put(f"{of.slug}/{volume}/index.html", self._get(f"{home}/{volume}"))
        for name in feeds.NAMES:
            content = self._get(f"{home}/{name}")
            self._put(f"{of.slug}/{name}", content)
            self._pictures(content)
        self._put(f"{of.slug}/search/index.html", self._get(f"{home}/search"))
        script = next(
            place / "web" / "search.js"
            for place in (*self._site.places, included() / "templates")
            if (place / "web" / "search.js").is_file()
        )
        self._put(f"{of.slug}/search/search.js", script.read_bytes())
        language = self._folder.config.publications[of.slug].language
        with self._folder.reading() as session, self._app.test_request_context():
            index = shelf.index(session, of.slug)
            texts = dict(catalogues.texts(session, self._folder, [entry.id for entry in of.entries]))

            def told(entry: Entry) -> tuple[str, str, str]:
                path = self._site.path(of.slug, entry.volume, entry.number)
                return (path, *pages.numbered(of.slug, language, entry))

            for name, content in shards.shards(index, texts, told).items():
                self._put(f"{of.slug}/search/{name}", content)

    def _name(self, of: Catalogue, entry: Entry) -> str:
        return f"{of.slug}/{entry.volume}/{entry.number}"

    def _paths(self, of: Catalogue, entry: Entry) -> list[str]:
        name = self._name(of, entry)
        return [f"{name}/index.html", f"{name}.bib", f"{name}.ris", *([f"{name}.pdf"] if entry.paper_bytes else [])]

    def _made_from(self, of: Catalogue, entry: Entry) -> str:
        """Changes with whatever an issue's files are made from."""
        beside = [(each.volume, each.number, str(each.date)) if each else None for each in of.neighbours(entry)]
        publication = self._folder.config.publications[of.slug]
        what = (
            entry.id,
            entry.revision,
            str(entry.updated),
            entry.url,
            beside,
            repr(publication),
            self._site.style_path,
        )
        return hashlib.sha256(repr(what).encode()).hexdigest()

    def _get(self, path: str) -> bytes:
        with self._client.get(self._site.prefix + path) as answer:
            if answer.status_code != 200:
                raise WebMistake(f"{path} can't be made: {answer.status}", remedy="The log says why.")
            content: bytes = answer.data
        return content

    def _pictures(self, content: bytes) -> None:
        for name in dict.fromkeys(_PICTURE.findall(content)):
            path = f"pictures/{name.decode()}"
            if path in self._files:
                continue
            if self._there(path):
                self._files[path] = self._before.files[path]
            else:
                self._put(path, self._get("/" + path))

    def _there(self, path: str) -> bool:
        return bool(self._before.files.get(path)) and (self._target / path).is_file()

    def _put(self, path: str, content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest()
        self._files[path] = digest
        place = self._target / path
        if self._before.files.get(path) == digest and place.is_file():
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        _replace(place, content)
        self._written += 1

    def _remove(self) -> int:
        """What was ours and isn't wanted any more; what somebody has changed since stays."""
        removed = 0
        for path, digest in self._before.files.items():
            place = self._target / path
            if path in self._files or not place.is_file() or place.is_symlink():
                continue
            if digest and hashlib.sha256(place.read_bytes()).hexdigest() != digest:
                continue
            place.unlink()
            removed += 1
            for parent in list(place.parents)[: len(Path(path).parents) - 1]:
                if any(parent.iterdir()):
                    break
                parent.rmdir()
        return removed

    def _note(self, files: dict[str, str], issues: dict[str, str]) -> None:
        manifest = {"files": dict(sorted(files.items())), "issues": dict(sorted(issues.items()))}
        _replace(self._target / MANIFEST, json.dumps(manifest, indent=0).encode())


def _read(target: Path) -> _Manifest:
    place = target / MANIFEST
    if not target.exists():
        return _Manifest({}, {})
    if not target.is_dir():
        raise WebMistake("this is a file", where=target, remedy="Name a folder for the archive.")
    if not place.is_file():
        if any(target.iterdir()):
            raise WebMistake(
                "there is something else in this folder",
                where=target,
                remedy="Name an empty folder, or one that an archive was built in before.",
            )
        return _Manifest({}, {})
    try:
        found = msgspec.json.decode(place.read_bytes(), type=_Manifest)
    except msgspec.DecodeError as error:
        raise WebMistake(
            f"it can't be read: {error}", where=place, remedy="Remove the folder, and build the archive anew."
        ) from None
    if any(not _within(path) for path in found.files):
        raise WebMistake("it names files outside its folder", where=place, remedy="Remove it, and build anew.")
    return found


def _within(path: str) -> bool:
    return not path.startswith("/") and not {"..", "."} & set(_parts(path))


def _parts(path: str) -> Iterable[str]:
    return path.split("/")


def _replace(place: Path, content: bytes) -> None:
    part = place.with_name(place.name + ".part")
    part.write_bytes(content)
    os.replace(part, place)  # noqa: PTH105 - the same, and atomic by its name
