"""The way from an edition to its renditions: no database, no network, no clock; the same bytes every time."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from markupsafe import Markup

from newsletter import fields
from newsletter.errors import Mistake, TemplateMistake
from newsletter.fields import Marks
from newsletter.render import inline, markdown, mjml, schema, templates, text
from newsletter.render.edition import CorrectionView, Edition, NoteView, PictureView, StoryView, seen
from newsletter.render.entry import entry
from newsletter.render.links import host
from newsletter.render.markdown import Body
from newsletter.render.mjml_check import Wrong, wrongs
from newsletter.render.page import plain, plain_html
from newsletter.render.said import unsaid
from newsletter.render.templates import Design, Expanded
from newsletter.render.typography import typeset
from newsletter.states import RenditionKind


def render(edition: Edition, templates_folder: Path) -> dict[RenditionKind, str]:
    """The renditions of an issue, their merge fields framed (the page's filled in for nobody).

    TemplateMistake or FieldMistake with file and line for what is wrong with a template or a story.
    """
    sources = templates.read(templates_folder, edition.publication.design)
    texts = [*sources.texts.values(), *_texts(edition)]
    marks = Marks(edition.fields, texts)
    spoken = templates.words(templates_folder, edition.publication.language)
    return _Rendering(edition, Design(sources, marks, spoken), marks, texts).renditions()


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """One template of a design, about to be rendered."""

    file: str
    kind: RenditionKind
    make: Callable[[], str]
    """Raises the first mistake."""
    mistakes: Callable[[], Sequence[Mistake]]
    """All that can be told at once; may raise where nothing more can be."""


def attempts(edition: Edition, templates_folder: Path) -> list[Attempt]:
    """What `render` makes, one by one: for whoever wants to hear of every mistake. Mistake for one in all of them."""
    sources = templates.read(templates_folder, edition.publication.design)
    texts = [*sources.texts.values(), *_texts(edition)]
    marks = Marks(edition.fields, texts)
    spoken = templates.words(templates_folder, edition.publication.language)
    return _Rendering(edition, Design(sources, marks, spoken), marks, texts).attempts()


def for_nobody(edition: Edition) -> tuple[Edition, dict[int, str]]:
    """An issue as it is for nobody in particular: its lines typeset, and each story's HTML by its position.

    Merge fields are filled in with what they fall back to. FieldMistake for what is wrong with one.
    """
    readied = _Readied(edition, Marks(edition.fields, list(_texts(edition))))
    return readied.lines_for_nobody(), {story.position: readied.html_for_nobody(story) for story in edition.stories}


def _texts(edition: Edition) -> Iterable[str]:
    publication = edition.publication
    yield from (publication.title, publication.publisher, publication.postal_address, publication.standfirst)
    yield from (publication.theme.signed, publication.theme.role)
    yield from (each.alt for each in (edition.logo, edition.portrait) if each)
    yield from (publication.compiled_by, edition.subject, edition.preheader, edition.slug, edition.base_url)
    yield from (each.words for each in edition.corrections)
    yield from (each.words for each in edition.notes)
    for story in edition.stories:
        yield from (story.headline, story.body, story.section, story.author, story.link)
        if story.picture:
            yield from (story.picture.alt, story.picture.credit, story.picture.url)


class _Readied:
    """One edition with its stories parsed, its lines typeset, and its merge fields hidden."""

    def __init__(self, edition: Edition, marks: Marks) -> None:
        self._marks = marks
        self._mark = re.compile(re.sub(r"\d+", r"\\d+", marks.hide("[[address]]")), re.IGNORECASE)
        self._language = edition.publication.language
        self._names = edition.fields
        self._bodies = {story.position: self._parsed(story) for story in edition.stories}
        self._edition = self._readied(edition)
        self._html = {position: markdown.to_html(body, self._language) for position, body in self._bodies.items()}
        for story in edition.stories:
            if self._mark.search(self._html[story.position]):
                marks.frame_html(self._html[story.position], where=_called(story))

    def _parsed(self, story: StoryView) -> Body:
        # Unicode's own signs for the ends of lines and paragraphs, as they come along from PDFs.
        body = seen(story.body).replace("\u2028", "\n").replace("\u2029", "\n\n")
        hidden = self._marks.hide(body, where=_called(story))
        return markdown.parse(hidden, self._language, self._is_address, _called(story))

    def _is_address(self, url: str) -> bool:
        """Whether a link is one of the reader's own, such as [[unsubscribe_url]]."""
        framed = self._marks.frame(url)
        expression = fields.read(framed[1 : framed.find("\x03")], self._names) if framed.startswith("\x02") else None
        return isinstance(expression, fields.Value) and expression.name in fields.URLS

    def _readied(self, edition: Edition) -> Edition:
        """The edition with its lines of text typeset, and their merge fields hidden."""

        def line(words: str, where: str) -> str:
            return typeset(self._marks.hide(seen(words), where=where), self._language)

        def sourced(story: StoryView) -> StoryView:
            linked = story.link in self._bodies[story.position].links()
            return dataclasses.replace(story, source="" if linked or not story.link else host(story.link))

        made = with_lines(edition, line)
        return dataclasses.replace(made, stories=tuple(map(sourced, made.stories)))

    def lines_for_nobody(self) -> Edition:
        """The edition, its lines with their fields filled in for nobody."""
        return with_lines(self._edition, lambda words, _: plain(self._marks.frame(words), self._names))

    def html_for_nobody(self, story: StoryView) -> str:
        """A story's HTML with its fields filled in for nobody; links to a reader's own page are only words."""
        framed = self._marks.frame_html(self._without_own_links(self._html[story.position]), _called(story))
        return plain_html(framed, self._names, _called(story))

    def _without_own_links(self, html: str) -> str:
        return re.sub(rf"<a href=\"{self._mark.pattern}[^\"]*\"[^>]*>(.*?)</a>", r"\1", html, flags=re.DOTALL)


_LIKELY = {"address": "first.last@example.org", "joined": "November 20, 2023"}
"""As long as these fields mostly are, for where lines of text are broken; of the others nobody can tell."""


class _Rendering(_Readied):
    """One edition on its way to its renditions, in a design."""

    def __init__(self, edition: Edition, design: Design, marks: Marks, texts: list[str]) -> None:
        super().__init__(edition, marks)
        self._design = design
        everything = "\n".join(texts).lower()
        self._place = "storyplacex"
        while self._place in everything:
            self._place += "x"

    def attempts(self) -> list[Attempt]:
        return [
            Attempt("issue.mjml", RenditionKind.html, self._mail, self._mail_mistakes),
            Attempt("issue.txt", RenditionKind.text, self._text, lambda: ()),
            Attempt("page.html", RenditionKind.page, self._page, lambda: ()),
        ]

    def renditions(self) -> dict[RenditionKind, str]:
        made = {
            RenditionKind.html: self._mail(),
            RenditionKind.text: self._text(),
            RenditionKind.page: self._page(),
            RenditionKind.entry: self._entry(),
        }
        if (wrong := unsaid(self._edition, made)) is not None:
            kind, remedy = wrong
            raise TemplateMistake(
                f"the {kind.value} of this design doesn't show corrections",
                where=self._design.sources.folder,
                remedy=remedy,
            )
        return made

    def _expanded(self, name: str, body: Callable[[StoryView], str], **more: Any) -> Expanded:
        return self._design.expand(
            name,
            {
                "edition": self._edition,
                "publication": self._edition.publication,
                "theme": self._edition.publication.theme,
                "body": body,
                **more,
            },
        )

    def _mail(self) -> str:
        path = self._design.sources.path("issue.mjml")
        expanded = self._expanded("issue.mjml", lambda story: f"{self._place}{story.position}z")
        if found := wrongs(expanded.text):
            raise _located(found[0], expanded)
        html = mjml.compile_mjml(expanded.text)
        if isinstance(html, Wrong):
            raise _located(html, expanded)
        css = self._expanded("inline.css", _no_story)
        for wrong in inline.css_wrongs(css.text):
            raise _located(wrong, css)
        try:
            html = inline.inlined(self._with_stories(html, expanded), css.text)
        except ValueError as error:
            raise TemplateMistake(str(error), where=self._design.sources.path("inline.css")) from None
        return self._whole(self._marks.frame_html(html, path), path)

    def _mail_mistakes(self) -> list[Mistake]:
        expanded = self._expanded("issue.mjml", lambda story: f"{self._place}{story.position}z")
        found = [_located(wrong, expanded) for wrong in wrongs(expanded.text)]
        css = self._expanded("inline.css", _no_story)
        return found + [_located(wrong, css) for wrong in inline.css_wrongs(css.text)]

    def _with_stories(self, html: str, expanded: Expanded) -> str:
        """Compiled HTML with the stories in their places, which must be where text is."""
        place = re.compile(rf"{self._place}(\d+)z")
        text_only = re.sub(r"<!--.*?-->|<(style|title)\b.*?</\1>|<[^<>]*>", " ", html, flags=re.DOTALL)
        if len(place.findall(text_only)) < len(place.findall(html)):
            at = place.search(expanded.text)
            raise expanded.locate(at.start() if at else 0).mistake(
                "a story stands where no text can be", "Put {{ body(story) }} into an <mj-text>."
            )
        return place.sub(lambda found: self._html[int(found[1])], html)

    def _text(self) -> str:
        links = text.Links()
        expanded = self._expanded(
            "issue.txt",
            lambda story: text.body(self._bodies[story.position], links, self._columns),
            wrap=lambda words, width=text.COLUMNS: "\n".join(text.wrap(words, width, self._columns)),
            underlined=lambda words, mark: text.underlined(words, mark, measure=self._columns),
            listing=lambda words: text.listing(words, self._columns),
            padded=lambda words, width: text.padded(words, width, self._columns),
        )
        path = self._design.sources.path("issue.txt")
        lines = "\n".join(line.rstrip() for line in expanded.text.split("\n")).strip("\n") + "\n"
        return self._whole(self._marks.frame(lines), path)

    def _page(self) -> str:
        path = self._design.sources.path("page.html")
        expanded = self._expanded(
            "page.html",
            lambda story: Markup(self._for_page(story)),  # noqa: S704
            schema=schema.script(self._edition),
        )
        framed = self._whole(self._marks.frame_html(expanded.text, path), path)
        return plain_html(framed, self._names, path)

    def _entry(self) -> str:
        texts = {story.position: self.html_for_nobody(story) for story in self._edition.stories}
        return entry(self.lines_for_nobody(), texts, self._design.spoken)

    def _for_page(self, story: StoryView) -> str:
        """A story's HTML with classes where a mail has attributes; links to a reader's own page are only words."""
        html = re.sub(r"(<t[hd]) align=\"(left|right|center)\"", r'\1 class="\2"', self._html[story.position])
        return self._without_own_links(html)

    def _columns(self, words: str) -> int:
        """How many columns a text takes once its fields are filled in, as nearly as can be told."""
        if self._mark.search(words):
            values = re.sub("\x02(?:if|else|end)\\b[^\x03]*\x03", "", self._marks.frame(words))
            known = fields.fill(fields.nodes(values, self._names), lambda name: _LIKELY.get(name, ""))
            words = known or "a name"
        return text.columns(words)

    def _whole(self, framed: str, where: Path) -> str:
        """The text, if every hidden field came out of it."""
        if found := self._mark.search(framed):
            raise TemplateMistake(
                f"a merge field was changed on its way, and can't be filled in ({found[0]})",
                where=where,
                remedy="Use no filter on it that changes letters.",
            )
        return framed


def with_lines(edition: Edition, line: Callable[[str, str], str]) -> Edition:
    """The edition with each of its lines of text changed by `line`, which gets it and where it stands."""
    publication = edition.publication

    def story(one: StoryView) -> StoryView:
        where = _called(one)
        picture = one.picture and dataclasses.replace(
            one.picture, alt=line(one.picture.alt, where), credit=line(one.picture.credit, where)
        )
        return dataclasses.replace(
            one,
            headline=line(one.headline, where),
            section=line(one.section, where),
            author=line(one.author, where),
            picture=picture,
            corrections=tuple(map(correction, one.corrections)),
        )

    def correction(one: CorrectionView) -> CorrectionView:
        where = f"the correction of {one.date}"
        return dataclasses.replace(one, headline=line(one.headline, where), words=line(one.words, where))

    def note(one: NoteView) -> NoteView:
        return dataclasses.replace(one, words=line(one.words, f"the correction to {one.long_label}"))

    def themed(one: PictureView | None) -> PictureView | None:
        return one and dataclasses.replace(one, alt=line(one.alt, "the theme in config.toml"))

    return dataclasses.replace(
        edition,
        subject=line(edition.subject, "the subject"),
        preheader=line(edition.preheader, "the preheader"),
        stories=tuple(map(story, edition.stories)),
        corrections=tuple(map(correction, edition.corrections)),
        notes=tuple(map(note, edition.notes)),
        logo=themed(edition.logo),
        portrait=themed(edition.portrait),
        publication=msgspec.structs.replace(
            publication,
            standfirst=line(publication.standfirst, "standfirst in config.toml"),
            compiled_by=line(publication.compiled_by, "compiled_by in config.toml"),
            theme=msgspec.structs.replace(
                publication.theme,
                signed=line(publication.theme.signed, "signed in config.toml"),
                role=line(publication.theme.role, "role in config.toml"),
            ),
        ),
    )


def _no_story(story: StoryView) -> str:
    raise LookupError(f"story {story.position} can't stand in a style sheet")


def _called(story: StoryView) -> str:
    return f'story {story.position}, "{story.headline}"'


def story_called(where: str) -> int | None:
    """The number of the story that a mistake names as its place, whose line is then that of the story's text."""
    found = re.match(r'story (\d+), "', where)
    return int(found[1]) if found else None


def _located(wrong: Wrong, expanded: Expanded) -> Mistake:
    """A mistake at the line of the author's file; where that can't be told, of the template as it came out."""
    place = expanded.locate(wrong.offset)
    what = wrong.what
    if place.line is None:
        line = expanded.text.count("\n", 0, wrong.offset) + 1
        excerpt = expanded.text[wrong.offset : wrong.offset + 40].split("\n")[0]
        what = f"in the expanded template, line {line} ({excerpt}): {what}"
    return place.mistake(what, wrong.remedy)
