"""Links: where they lead, and what they say."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from newsletter.preflight.facts import Facts
from newsletter.preflight.finding import Found, looks_for
from newsletter.preflight.sources import Reading
from newsletter.preflight_rules import Level

_LOCAL = re.compile(
    r"localhost|localdomain|local|internal|lan|intranet|corp|home|private|[0-9]+|0x[0-9a-f]*", re.IGNORECASE
)
"""Last parts of names that lead nowhere outside a private network (RFC 6761, RFC 6762, ICANN's reserved ones), and of
addresses in disguise, as 0x7f.1 is.
"""
_RESERVED = re.compile(r"(?:^|\.)(?:example\.(?:com|net|org)|example|invalid|test)$")
"""Names that lead to nobody, by RFC 2606 and RFC 6761."""
_NOT_YET = re.compile(
    r"tktk|(?:(?:insert|add|your)[-_ ]?)?(?:url|link)[-_ ]here",
    re.IGNORECASE,
)
"""A host's first part, or a path's last, that nobody's page has."""
_PERHAPS_NOT = re.compile(r"tk|tbd|tba|todo|xx+|(?:(?:insert|add|your)[-_ ]?)?(?:url|link)|placeholder", re.IGNORECASE)
"""Words for an address that is still to come; as a path's last part one may be real (Tokelau is tk, and encyclopedias
have an article on anything).
"""
_VAGUE = frozenset(
    """here|click here|click|this|this link|link|more|read more|learn more|find out more|see more|more info|details|
    continue reading|go|hier|hier klicken|klicken sie hier|mehr|mehr lesen|weiterlesen|mehr erfahren|
    ici|cliquez ici|plus|lire la suite|en savoir plus|aquí|haga clic aquí|más|leer más|qui|clicca qui|leggi di più|
    aqui|clique aqui|leia mais|saiba mais|klik hier|lees meer|meer|
    こちら|ここ|ここをクリック|こちらをクリック|詳細|詳しくは|詳しくはこちら|詳細はこちら|続きを読む|もっと見る|
    这里|點擊這裡|点击这里|更多|여기|여기를 클릭|더 보기|자세히 보기|
    هنا|اضغط هنا|انقر هنا|المزيد|اقرأ المزيد|כאן|לחצו כאן|עוד|קרא עוד|קראו עוד""".replace("\n", "")
    .replace("    ", "")
    .split("|")
)
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+|[\w-]+(?:\.[\w-]+)+/\S*", re.IGNORECASE)
_BARE = re.compile(r"\bhttps?://[^\s<>()]{4,}|\bwww\.[^\s<>()]+\.[^\s<>()]{2,}")
_FILE = re.compile(r"file:|[a-zA-Z]:(?:[\\/]|%5C)", re.IGNORECASE)
_REFERENCE = re.compile(r"(?<![\[\]])\[[^\[\]\n]*[^\W\d][^\[\]\n]*\]\[\w{0,30}\](?![\[\]])")
"""A link to an address that is given elsewhere, and isn't. (Figures alone are citations.)"""
_RAW = re.compile(r"\[([^\[\]\n]*)\]\(((?:file|javascript|vbscript|data):[^\s)]*)\)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """Somewhere that a link leads to, and where the link is."""

    url: str
    words: str
    story: int | None
    key: str
    row: int | None
    where: str = ""

    def found(self, what: str, remedy: str, level: Level | None = None) -> Found:
        return Found(what, remedy, self.story, self.key, self.row, self.where, level)


def targets(facts: Facts) -> list[Target]:
    """Every link of the issue that isn't a page of ours: those of the stories, and those of the design."""
    made: list[Target] = []
    for story in facts.edition.stories:
        if story.link:
            made.append(Target(story.link, "", story.position, "link", None))
        made += [
            Target(link.url, link.words, story.position, "body", link.row)
            for link in facts.readings[story.position].links
            if link.url is not None
        ]
    told = {target.url for target in made}
    base = facts.edition.base_url
    if facts.tree is not None:
        for a in facts.tree.iter("a"):
            href = a.get("href") or ""
            if href not in told and not (href == base or href.startswith(f"{base}/")):
                made.append(Target(href, a.text_content().strip(), None, "", None, "the HTML"))
    return made


def followable(facts: Facts) -> list[str]:
    """The addresses that can be asked for over the network, each once."""
    return list(dict.fromkeys(each.url for each in targets(facts) if each.url.startswith(("https://", "http://"))))


def local(url: str) -> bool:
    """Whether an address means something on its author's machine or network only."""
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that close nothing
        return False
    if parts.scheme == "file":
        return True
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme not in ("http", "https") or not host:
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # A name without a dot is one of a local network.
        return "." not in host or bool(_LOCAL.fullmatch(host.rpartition(".")[2]))
    return not address.is_global


@looks_for("link-local")
def local_links(facts: Facts) -> Iterator[Found]:
    for target in targets(facts):
        if local(target.url):
            yield target.found(f"{target.url} leads nowhere for a reader", "Link to where it is on the web.")
    for story in facts.edition.stories:
        reading = facts.readings[story.position]
        files = [(link.written, link.row) for link in reading.links if link.url is None and _FILE.match(link.written)]
        files += [(str(found[2]), row) for found, row in _unlinked(reading) if _FILE.match(found[2])]
        for written, row in files:
            yield Found(
                f"{written} is a file of its author's", "Link to where it is on the web.", story.position, row=row
            )
    if local(facts.edition.base_url):
        yield Found(
            f"{facts.edition.base_url} is where all pages, pictures and ways to unsubscribe are said to be",
            "Write the address at which readers reach your pages.",
            where="base_url in config.toml",
            level=Level.note if facts.rehearsal else None,
        )


def _unlinked(reading: Reading) -> Iterator[tuple[re.Match[str], int]]:
    """Links that Markdown makes none of, since no browser should follow them: they stay as they are written."""
    for passage in reading.passages:
        for found in _RAW.finditer(passage.text):
            yield found, passage.at(found.start()) or 0


@looks_for("link-placeholder")
def placeholder_links(facts: Facts) -> Iterator[Found]:
    remedy = "Put in where it is to lead, or take the link out."
    # Who publishes under a name that leads to nobody, as the sample does, means it; a local one is told by itself.
    base = facts.edition.base_url
    meant = _RESERVED.search(urlsplit(base).hostname or "") or local(base)
    for target in targets(facts):
        parts = urlsplit(target.url)
        host = parts.hostname or ""
        last = parts.path.rstrip("/").rpartition("/")[2]
        if target.url in ("", "#") or _NOT_YET.fullmatch(host.partition(".")[0]) or _NOT_YET.fullmatch(last):
            yield target.found(f'"{target.url}" leads nowhere yet', remedy)
        elif _PERHAPS_NOT.fullmatch(last):
            yield target.found(f'"{target.url}" may lead nowhere yet', remedy, Level.warning)
        elif not meant and _RESERVED.search(host):
            what = f"{host} is a name for examples, and leads to nobody"
            yield target.found(what, remedy, Level.note if facts.rehearsal else None)
    for story in facts.edition.stories:
        for link in facts.readings[story.position].links:
            if link.url is None and not link.own and _unfinished(link.written):
                yield Found(f'"{link.words}" links to nothing yet ({link.written or "empty"})', remedy, story.position,
                            row=link.row)  # fmt: skip


def _unfinished(written: str) -> bool:
    empty = written in ("", "#", "https://", "http://")
    return empty or bool(_NOT_YET.fullmatch(written) or _PERHAPS_NOT.fullmatch(written))


@looks_for("link-lost")
def lost_links(facts: Facts) -> Iterator[Found]:
    for story in facts.edition.stories:
        found = facts.readings[story.position]
        for link in found.links:
            # Where an address holds a field that isn't known, another rule says so.
            told = link.own or "[[" in unquote(link.written) or _unfinished(link.written) or _FILE.match(link.written)
            if link.url is None and not told:
                yield Found(
                    f'"{link.words}" is no link for readers: {link.written} isn\'t a whole web address',
                    "Write all of it, with https:// in front.",
                    story.position,
                    row=link.row,
                )
        for raw, row in _unlinked(found):
            if not _FILE.match(raw[2]):
                what = f'"{raw[1]}" is no link for readers: they see {raw[2][:60]} as it is'
                yield Found(what, "Write an address that begins with https://.", story.position, row=row)
        words = {link.words for link in found.links}
        for passage in found.passages:
            for reference in _REFERENCE.finditer(passage.text):
                yield Found(
                    f"{reference[0]} says of no address where it leads, and readers see it as it is",
                    "Write it as [words](address).",
                    story.position,
                    row=passage.at(reference.start()),
                )
            for bare in _BARE.finditer(passage.text):
                url = bare[0].rstrip(".,;:")
                # Who tells of a server on this machine means no link.
                if not local(url) and not any(url in each for each in words):
                    yield Found(
                        f"{url} stands in the text, and is no link",
                        "Write it as [words](address).",
                        story.position,
                        row=passage.at(bare.start()),
                    )


@looks_for("link-http")
def http_links(facts: Facts) -> Iterator[Found]:
    for target in targets(facts):
        if target.url.startswith("http://") and not local(target.url):
            yield target.found(f"{target.url} is http", "Nearly every site has https: try it, and link to that.")


def _said(facts: Facts) -> Iterator[Target]:
    """The links whose words the author of a story or of the design has chosen."""
    for target in targets(facts):
        if target.words:
            yield target


@looks_for("link-words")
def vague_links(facts: Facts) -> Iterator[Found]:
    for target in _said(facts):
        if _plain(target.words) in _VAGUE:
            yield target.found(
                f'a link says only "{target.words}"', "Link the words that say what is behind it: the report's name."
            )
    for story in facts.edition.stories:
        for link in facts.readings[story.position].links:
            if link.url is not None and not link.words and not link.picture:
                remedy = "Write words between its square brackets."
                yield Found(
                    f"nobody sees the link to {link.url}: it has no words", remedy, story.position, row=link.row
                )


@looks_for("link-bare")
def bare_links(facts: Facts) -> Iterator[Found]:
    for target in _said(facts):
        if _ADDRESS.fullmatch(target.words):
            yield target.found(f"the words of a link are {target.words}", "Link words that say what is behind it.")


@looks_for("link-twice")
def same_words(facts: Facts) -> Iterator[Found]:
    # Two stories may both say "the report": what stands around it tells them apart.
    seen: dict[tuple[int | None, str], Target] = {}
    told: set[tuple[int | None, str]] = set()
    for target in _said(facts):
        key = target.story, _plain(target.words)
        if key[1] in _VAGUE or key in told or target.url.startswith(("mailto:", "tel:")):
            continue
        first = seen.setdefault(key, target)
        if first.url.rstrip("/") != target.url.rstrip("/"):
            told.add(key)
            yield target.found(
                f'"{target.words}" leads to {target.url} here, and to {first.url} before',
                "Give each words of its own.",
            )


def _plain(words: str) -> str:
    return re.sub(r"\s+", " ", words).strip(" .…!:»›>→").casefold()


@looks_for("link-dead")
def dead_links(facts: Facts) -> Iterator[Found]:
    if facts.followed is None:
        return
    for target in targets(facts):
        answer = facts.followed.get(target.url)
        if answer is None or answer.alive:
            continue
        if answer.alive is None:
            yield target.found(f"{target.url}: {answer.said}", "Look at it yourself.", Level.note)
        else:
            yield target.found(f"{target.url}: {answer.said}", "Mend the address, or take the link out.")
