"""The archive as files that any web server can hand out: what the pages answer, written down.

So a file is the page that is served, and there is one way to make it. A manifest remembers what was written and from
what; only what has changed, here or in the folder, is asked for again. Forms still lead to the pages that are served.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from flask.testing import FlaskClient

from newsletter.archive import catalogue as catalogues
from newsletter.archive import citation, feeds, shards
from newsletter.archive.catalogue import Catalogue, Entry
from newsletter.errors import WebMistake
from newsletter.folder import Folder
from newsletter.models import Picture
from newsletter.web import make, pages
from newsletter.web.archive import neighbours
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
    Each file is put in its place whole. A build that was interrupted is made whole by the next one, and so is a file
    that isn't what was written. WebMistake for a folder that has something else in it, that another build is writing,
    or that can't be written.
    """
    try:
        with _alone(target):
            return _Build(folder, target, slugs, now).run(bar)
    except OSError as error:
        raise WebMistake(f"the archive can't be written: {error.strerror}", where=error.filename or target) from None


class _Build:
    def __init__(self, folder: Folder, target: Path, slugs: Sequence[str], now: dt.datetime) -> None:
        # Front page and sitemap name no publication whose pages aren't here.
        there = {slug: folder.config.publications[slug] for slug in slugs}
        folder = replace(folder, config=msgspec.structs.replace(folder.config, publications=there))
        self._folder, self._target, self._slugs = folder, target, slugs
        self._before = _read(target)
        self._ours = dict(self._before.files)
        self._files: dict[str, str] = {}
        self._written = 0
        self._app = make(folder, lambda: now, static=True)
        self._site: Site = self._app.extensions["newsletter"]
        self._client: FlaskClient = self._app.test_client()

    def run(self, bar: Bar) -> Built:
        shelf = self._site.shelf
        with self._folder.reading() as session:
            known = [shelf.catalogue(session, slug) for slug in self._slugs]
        with self._app.test_request_context():
            issues = {self._name(each, entry): self._made_from(each, entry) for each in known for entry in each.entries}
        self._note(self._ours, {})
        self._plan(path for each in known for entry in each.entries for path in self._paths(each, entry))
        made = 0
        with bar(len(issues)) as done:
            for each in known:
                for entry in each.entries:
                    made += self._issue(each, entry, issues)
                    done(1)
        for each in known:
            self._publication(each, shelf)
        style = self._site.style_path.removeprefix(self._site.prefix).lstrip("/")
        for path, address in (
            ("index.html", "/"),
            ("sitemap.xml", "/sitemap.xml"),
            ("robots.txt", "/robots.txt"),
            ("favicon.ico", "/favicon.ico"),
            (style, f"/{style}"),
        ):
            self._put(path, self._get(address))
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
        made = {f"{of.slug}/index.html": self._get(home)}
        for volume in of.volumes:
            made[f"{of.slug}/{volume}/index.html"] = self._get(f"{home}/{volume}")
        for entry in of.entries:
            # The other numbers of a combined issue: their pages have no style of their own, as an issue's has.
            for number in range(entry.number + 1, entry.last + 1):
                path = f"{entry.volume}/{number}"
                made[f"{of.slug}/{path}/index.html"] = self._get(f"{home}/{path}")
        for name in feeds.NAMES:
            made[f"{of.slug}/{name}"] = self._get(f"{home}/{name}")
        made[f"{of.slug}/search/index.html"] = self._get(f"{home}/search")
        made[f"{of.slug}/search/search.js"] = self._folder.template("web/search.js").read_bytes()
        language = self._folder.config.publications[of.slug].language
        with self._folder.reading() as session, self._app.test_request_context():
            index = shelf.index(session, of.slug)
            # As the lists are, it is of now: an issue may have gone since this build began.
            ids = {place.entry.id for place in index.places if place is not None}
            texts = dict(catalogues.texts(session, self._folder, sorted(ids)))

            def told(entry: Entry) -> tuple[str, str, str]:
                path = self._site.path(of.slug, entry.volume, entry.number)
                return (path, *pages.numbered(of.slug, language, entry))

            for name, content in shards.shards(index, texts, told).items():
                made[f"{of.slug}/search/{name}"] = content
        self._plan(made)
        for path, content in made.items():
            self._put(path, content)
            if "/search/" not in path:
                self._pictures(content)

    def _name(self, of: Catalogue, entry: Entry) -> str:
        return f"{of.slug}/{entry.volume}/{entry.number}"

    def _paths(self, of: Catalogue, entry: Entry) -> list[str]:
        name = self._name(of, entry)
        paper = [f"{name}.pdf"] if entry.paper_bytes else []
        return [f"{name}/index.html", f"{name}.bib", f"{name}.ris", *paper]

    def _made_from(self, of: Catalogue, entry: Entry) -> str:
        """Changes with whatever an issue's files are made from."""
        publication = self._folder.config.publications[of.slug]
        what = (
            entry.id,
            entry.revision,
            neighbours(of, entry),
            citation.bibtex(publication, of.slug, entry),
            citation.ris(publication, entry),
        )
        return hashlib.sha256(repr(what).encode()).hexdigest()

    def _get(self, path: str) -> bytes:
        with self._client.get(self._site.prefix + path) as answer:
            if answer.status_code != 200:
                raise WebMistake(f"{path} can't be made: {answer.status}", remedy="The log says why.")
            content: bytes = answer.data
        return content

    def _pictures(self, content: bytes) -> None:
        for name in dict.fromkeys(map(bytes.decode, _PICTURE.findall(content))):
            path = f"pictures/{name}"
            if path in self._files:
                continue
            if self._there(path):
                self._files[path] = self._before.files[path]
            elif self._ours_to_show(name):
                self._put(path, self._get("/" + path))

    def _ours_to_show(self, name: str) -> bool:
        """Whether a picture is in the store; one that isn't is another site's, which a story links to."""
        sha256, _, extension = name.partition(".")
        with self._folder.reading() as session:
            row = session.get(Picture, sha256)
        return row is not None and row.extension == extension

    def _there(self, path: str) -> bool:
        """Whether a file is what was written there."""
        digest, place = self._before.files.get(path), self._place(path)
        return bool(digest) and place.is_file() and hashlib.sha256(place.read_bytes()).hexdigest() == digest

    def _plan(self, paths: Iterable[str]) -> None:
        """Says that these files are ours before any of them is written, should this be the last that is heard of us."""
        new = {path: "" for path in paths if path not in self._ours}
        if new:
            self._ours |= new
            self._note(self._ours, {})

    def _put(self, path: str, content: bytes) -> None:
        self._plan([path])
        self._files[path] = hashlib.sha256(content).hexdigest()
        place = self._place(path)
        if place.is_file() and place.read_bytes() == content:
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        _replace(place, content)
        self._written += 1

    def _place(self, path: str) -> Path:
        """Where a file belongs. WebMistake where a link stands in the way: it might lead out of the folder."""
        if (link := self._link(path)) is not None:
            raise WebMistake("this is a link, and may lead elsewhere", where=link, remedy="Take it away.")
        return self._target / path

    def _link(self, path: str) -> Path | None:
        place = self._target
        for part in path.split("/"):
            place /= part
            if place.is_symlink():
                return place
        return None

    def _remove(self) -> int:
        """What was ours and isn't wanted any more; what somebody has changed since stays."""
        removed = 0
        for path, digest in self._before.files.items():
            place = self._target / path
            if path in self._files or self._link(path):
                continue
            _part(place).unlink(missing_ok=True)
            if not place.is_file():
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


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """While one build writes a folder, no other does; whatever becomes of it, the folder is free afterwards."""
    if target.exists() and not target.is_dir():
        raise WebMistake("this is a file", where=target, remedy="Name a folder for the archive.")
    target.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(target, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise WebMistake("another build is writing this folder", where=target, remedy="Wait for its end.") from None
    finally:
        os.close(descriptor)


def _read(target: Path) -> _Manifest:
    place = target / MANIFEST
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
    return not {"..", ".", ""} & set(path.split("/"))


def _replace(place: Path, content: bytes) -> None:
    part = _part(place)
    part.unlink(missing_ok=True)
    with part.open("xb") as file:
        file.write(content)
    os.replace(part, place)  # noqa: PTH105 - the same, and atomic by its name


def _part(place: Path) -> Path:
    """What a file is called until it is whole."""
    return place.with_name(place.name + ".part")
