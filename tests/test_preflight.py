"""Preflight where it counts: at assembly, before sending, in commands; with the readers and issues that there are."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conftest import CONFIG, NOW
from edition_sample import TEMPLATES
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter import config, dispatch, issues, preflight, scheduler, segments
from newsletter.cli import newsletter
from newsletter.errors import ConfigMistake, IssueMistake, PreflightMistake
from newsletter.folder import Folder
from newsletter.models import Correction, Delivery, Draft, Issue, Notice, Rendition, Subscriber, Suppression
from newsletter.preflight import Finding, Level
from newsletter.preflight_rules import RULES
from newsletter.states import DraftState, IssueState, RenditionKind, SubscriptionState, SuppressionReason

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
DEADLINE = dt.datetime(2023, 11, 13, 22, tzinfo=dt.UTC)
SENDS = dt.datetime(2023, 11, 14, 14, tzinfo=dt.UTC)
GOOD = (
    "The company will spend [$8 billion more](https://example.org/sources/{0}) on its plant number {0} in North Carolina, it"
    " said on October 31, and add 3,000 jobs to those that had been promised in June."
)
LOCAL = GOOD + "\n\nThe [draft](http://localhost/draft) says more."
Make = Callable[..., Folder]


def queue(session: Session, *bodies: str, **also: Any) -> None:
    """Ready drafts with these texts; "Good." stands for one that nothing is wrong with."""
    last = session.scalar(select(func.max(Draft.position))) or 0
    for number, body in enumerate(bodies, last + 1):
        values = {
            "publication": "digest",
            "headline": f"Plant number {number} grows by 3,000 jobs",
            "section": "Economy",
            "body": (GOOD if body == "Good." else body).format(number),
            "link": f"https://example.org/sources/{number}",
            "position": number,
            "created": NOW,
            "changed": NOW,
            "state": DraftState.ready,
        }
        session.add(Draft(**(values | also)))
    session.flush()


@pytest.fixture
def make(make_folder: Make) -> Make:
    """A folder with the sample's templates in it."""

    def made(*changes: tuple[str, str]) -> Folder:
        folder = make_folder(*changes)
        shutil.copytree(TEMPLATES, folder.templates, dirs_exist_ok=True)
        return folder

    return made


@pytest.fixture
def ready(make: Make, subscribe: Callable[..., Subscriber]) -> Callable[..., Folder]:
    """A folder with readers, and drafts of these texts."""

    def made(*bodies: str, changes: tuple[tuple[str, str], ...] = ()) -> Folder:
        folder = make(*changes)
        with folder.session() as session:
            subscribe(session, "ada@example.org", name="Ada", attributes={"first_name": "Ada", "city": "Tōkyō"})
            subscribe(session, "bea@example.org")
            queue(session, *bodies)
        return folder

    return made


def only(session: Session) -> Issue:
    return session.scalars(select(Issue).where(Issue.volume.is_not(None))).one()


def assembled(session: Session, folder: Folder, now: dt.datetime = DEADLINE) -> Issue:
    slug, publication = folder.publication()
    issue = issues.open_next(session, slug, publication, now)
    assert issues.assemble(session, slug, publication, issue, now).what is issues.Happened.assembled
    return issue


def notices(session: Session, word: str = "") -> list[Notice]:
    return [notice for notice in session.scalars(select(Notice).order_by(Notice.id)) if word in notice.subject]


def named(found: tuple[Finding, ...], rule: str) -> list[Finding]:
    return [each for each in found if each.rule == rule]


# ---- at assembly


def test_a_right_issue_is_assembled_and_nobody_is_troubled(ready: Callable[..., Folder]) -> None:
    folder = ready("Good.", "Good.")
    scheduler.tick(folder, DEADLINE)
    with folder.reading() as session:
        assert only(session).state is IssueState.assembled
        assert not notices(session, "held")
        assert session.scalar(select(func.count()).select_from(Rendition)) == len(RenditionKind)


def test_an_error_holds_an_issue_with_the_reason_and_tells_the_editors_once(ready: Callable[..., Folder]) -> None:
    folder = ready("Good.", LOCAL)
    for minute in range(3):
        scheduler.tick(folder, DEADLINE + dt.timedelta(minutes=minute))
    with folder.reading() as session:
        issue = only(session)
        assert (issue.state, issue.held_in, issue.held_by) == (IssueState.held, IssueState.assembled, "")
        assert issue.why == (
            "Vol 2 No 21 isn't sent as it is, since preflight found 1 error: story 2, line 3 of its text: "
            "http://localhost/draft leads nowhere for a reader. See newsletter issue preflight 2.21."
        )
        (notice,) = notices(session, "held")
        assert notice.subject == "US-Japan Alliance Digest: Vol 2 No 21 is held"
        assert "- story 2, line 3 of its text: http://localhost/draft leads nowhere for a reader." in notice.body
        assert "newsletter issue resume 2.21" in notice.body
        assert "[publications.digest.preflight]" in notice.body


def test_a_reason_names_two_errors_and_the_notice_all(ready: Callable[..., Folder]) -> None:
    folder = ready("Good.", LOCAL + " TKTK. [[frist_name]]. [x](#)")
    scheduler.tick(folder, DEADLINE)
    with folder.reading() as session:
        assert "preflight found 4 errors: " in only(session).why
        assert "; and 2 more. See newsletter issue preflight 2.21." in only(session).why
        assert notices(session, "held")[0].body.count("\n- ") == 4


def test_warnings_and_notes_hold_nothing(ready: Callable[..., Folder]) -> None:
    folder = ready("Good.", GOOD + " Click [here](http://example.org/x). TK.")
    scheduler.tick(folder, DEADLINE)
    with folder.reading() as session:
        assert only(session).state is IssueState.assembled
        found = preflight.look(session, folder, only(session), DEADLINE)
        assert {each.rule for each in found if each.level is Level.warning} == {
            "link-words", "link-http", "placeholder-perhaps",
        }  # fmt: skip


def test_a_rule_switched_off_with_a_reason_lets_a_held_issue_go(ready: Callable[..., Folder], make: Make) -> None:
    folder = ready("Good.", LOCAL)
    scheduler.tick(folder, DEADLINE)
    off = '[publications.digest.preflight]\nlink-local = "our own test"\n\n[publications.digest.numbering]'
    folder = make(("[publications.digest.numbering]", off))
    with folder.session() as session:
        issues.resume(session, only(session), DEADLINE)
        issues.approve(session, only(session), "Ann", DEADLINE)
    scheduler.tick(folder, SENDS)
    with folder.reading() as session:
        assert only(session).state is IssueState.sending


# ---- before sending


def test_whoever_approves_it_all_the_same_doesnt_send_it(ready: Callable[..., Folder]) -> None:
    folder = ready("Good.", LOCAL)
    scheduler.tick(folder, DEADLINE)
    with folder.session() as session:
        issues.approve(session, only(session), "Ann", DEADLINE)
    scheduler.tick(folder, SENDS)
    with folder.reading() as session:
        issue = only(session)
        assert (issue.state, issue.held_in) == (IssueState.held, IssueState.approved)
        assert "http://localhost/draft" in issue.why
        assert session.scalar(select(func.count()).select_from(Delivery)) == 0
        assert issue.started is None
        # The same errors again are no news.
        assert len(notices(session, "held")) == 1


def test_what_was_changed_after_assembly_is_looked_at_before_sending(ready: Callable[..., Folder], make: Make) -> None:
    smtp = ('kind = "maildir"', 'kind = "smtp"')
    folder = ready("Good.", "Good.", changes=(smtp,))
    scheduler.tick(folder, DEADLINE)
    folder = make(smtp, ('base_url = "https://digest.example.org"', 'base_url = "http://192.168.0.7:8080"'))
    with folder.session() as session:
        issue = only(session)
        issues.approve(session, issue, "Ann", DEADLINE)
        with pytest.raises(
            PreflightMistake, match=re.escape("base_url in config.toml: http://192.168.0.7:8080")
        ) as refused:
            dispatch.start(session, folder, issue, SENDS)
        assert len(refused.value.told) == 1
    scheduler.tick(folder, SENDS)
    with folder.reading() as session:
        assert only(session).state is IssueState.held
        assert len(notices(session, "held")) == 1


def test_an_issue_that_goes_to_a_folder_may_have_a_local_address(ready: Callable[..., Folder]) -> None:
    folder = ready(
        "Good.", "Good.", changes=(('base_url = "https://digest.example.org"', 'base_url = "http://localhost:8080"'),)
    )
    scheduler.tick(folder, DEADLINE)
    with folder.reading() as session:
        assert only(session).state is IssueState.assembled


def test_a_pdf_that_cannot_be_made_holds_the_issue_unless_that_is_meant_so(
    ready: Callable[..., Folder], make: Make
) -> None:
    folder = ready("Good.", GOOD + " A letter that there isn't: \u0378.")
    scheduler.tick(folder, DEADLINE)
    with folder.session() as session:
        issue = only(session)
        assert issue.state is IssueState.held
        found = preflight.look(session, folder, issue, DEADLINE)
        (finding, *_) = named(found, "no-pdf")
        assert (finding.level, finding.story) == (Level.error, 2)
        assert "U+0378" in finding.what
        session.rollback()
    off = '[publications.digest.preflight]\nno-pdf = "nobody here reads it"\n\n[publications.digest.numbering]'
    folder = make(("[publications.digest.numbering]", off))
    with folder.session() as session:
        issues.approve(session, only(session), "Ann", DEADLINE)
    scheduler.tick(folder, SENDS)
    with folder.reading() as session:
        assert only(session).state is IssueState.sending
        kinds = set(session.scalars(select(Rendition.kind)))
        assert kinds == set(RenditionKind) - {RenditionKind.pdf}


BROKEN = {
    "a tag that isn't closed": ("issue.mjml", "</mjml>", "<mj-section></mjml>"),
    "a name that there isn't": ("page.html", "</body>", "{{ edition.nothing }}</body>"),
    "a loop that goes on and on": (
        "issue.txt", "", "{% for a in range(100000) %}{% for b in range(100000) %}{{ '' }}{% endfor %}{% endfor %}",
    ),
    "a macro that calls itself": ("page.html", "</body>", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}</body>"),
    "a power that fills memories": ("page.html", "</body>", "{{ 9 ** 9 ** 9 }}</body>"),
    "a word a billion times": ("issue.txt", "", "{{ 'word' * 1000000000 }}"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_template_is_a_finding_and_no_traceback(lite_folder: Folder, fault: str) -> None:
    file, old, new = BROKEN[fault]
    shutil.copytree(TEMPLATES, lite_folder.templates)
    path = lite_folder.templates / "digest" / file
    text = path.read_text("utf-8")
    path.write_text(text.replace(old, new, 1) if old else text + new, "utf-8")
    with lite_folder.session() as session:
        queue(session, "Good.", "Good.")
    looked = preflight.of(lite_folder, "digest", "next", DEADLINE)
    found = preflight.findings(looked.known, looked.off)
    (finding,) = preflight.errors(found)
    assert finding.rule == "not-rendered", finding
    assert f"digest/{file}" in finding.what
    assert not named(found, "no-pdf")
    scheduler.tick(lite_folder, DEADLINE)
    with lite_folder.reading() as session:
        assert only(session).state is IssueState.held
        assert session.scalar(select(func.count()).select_from(Rendition)) == 0


def test_the_css_that_is_looked_at_is_the_designs_own_with_all_that_it_includes(ready: Callable[..., Folder]) -> None:
    folder = ready("Good.", "Good.")
    place = folder.templates / "digest"
    sheet = place / "inline.css"
    sheet.write_text(sheet.read_text("utf-8") + '\n{% include "parts/more.css" %}\n', "utf-8")
    (place / "parts").mkdir()
    (place / "parts" / "more.css").write_text("h1 { color: #111111 }\nh1 { display: grid }\n", "utf-8")
    (place / "parts" / "unused.css").write_text("h1 { position: sticky }\n", "utf-8")
    with folder.session() as session:
        found = preflight.look(session, folder, assembled(session, folder), DEADLINE)
        told = [(each.where, each.level) for each in named(found, "css-support")]
        assert told == [("digest/parts/more.css, line 2", Level.warning)]


# ---- readers, and what went before


def looked(
    session: Session, folder: Folder, body: str, *, changes: Callable[[Issue], None] | None = None
) -> preflight.Facts:
    queue(session, "Good.", body)
    issue = assembled(session, folder)
    if changes:
        changes(issue)
    return preflight.facts(session, folder, issue, DEADLINE)


def test_only_readers_who_would_get_it_are_asked_for_their_values(
    make: Make, subscribe: Callable[..., Subscriber]
) -> None:
    folder = make()
    with folder.session() as session:
        subscribe(session, "ada@example.org", attributes={"city": "Tokyo"})
        subscribe(session, "bea@example.org")
        subscribe(session, "cleo@example.org", attributes={"city": "  "}, name="Cleo")
        subscribe(session, "dan@example.org", state=SubscriptionState.unsubscribed)
        subscribe(session, "eve@example.org", lists=("other",))
        fay = subscribe(session, "fay@example.org")
        session.add(Suppression(fingerprint=fay.fingerprint, reason=SuppressionReason.bounce, since=NOW))
        gus = subscribe(session, "gus@example.org")
        gus.paused_until = dt.date(2024, 1, 1)
        session.flush()
        known = looked(session, folder, "Greetings to [[city]], [[name|reader]]. " + GOOD)
        assert known.audience is not None
        assert (known.audience.due, known.audience.lacking) == (3, {"city": 2, "name": 2})
        (finding,) = named(preflight.findings(known, {}), "field-empty")
        assert finding.what == "[[city]] is empty for 2 of 3 readers"
        assert dispatch.ahead(session, folder.config, "digest", only(session), DEADLINE).due == 3


def test_of_a_segment_only_those_in_it_are_asked(make: Make, subscribe: Callable[..., Subscriber]) -> None:
    folder = make(("[web]", "[segments]\ntokyo = \"city is 'Tokyo'\"\n\n[web]"))
    with folder.session() as session:
        subscribe(session, "ada@example.org", attributes={"city": "Tokyo"})
        subscribe(session, "bea@example.org", attributes={"plan": "pro"})

        def to_tokyo(issue: Issue) -> None:
            issue.segment = "tokyo"

        known = looked(session, folder, "Your plan: [[plan]]. " + GOOD, changes=to_tokyo)
        assert known.audience is not None
        assert (known.audience.due, known.audience.lacking) == (1, {"plan": 1})
        assert segments.name_of(folder.config.publications["digest"], only(session)) == "tokyo"


def test_a_list_that_isnt_there_is_nobodys_fault_here(make: Make) -> None:
    folder = make()
    with folder.session() as session:
        known = looked(session, folder, "Greetings to [[city]]. " + GOOD)
        assert known.audience is None
        assert not named(preflight.findings(known, {}), "field-empty")


def test_a_value_is_as_long_as_its_octets(make: Make, subscribe: Callable[..., Subscriber]) -> None:
    folder = make()
    with folder.session() as session:
        subscribe(session, "ada@example.org", attributes={"city": "東京" * 10})
        subscribe(session, "bea@example.org", attributes={"city": "x" * 50})
        known = looked(session, folder, "Greetings to [[city]]. " + GOOD)
        assert known.audience is not None
        assert known.audience.longest["city"] == 60


def test_readers_are_counted_where_the_longest_decides(make: Make, subscribe: Callable[..., Subscriber]) -> None:
    """Six thousand octets may be in a city, twenty times over; but nobody's is that long."""
    folder = make()
    body = GOOD + " [[city]]" * 20
    with folder.session() as session:
        person = subscribe(session, "ada@example.org", attributes={"city": "Tokyo"})
        queue(session, "Good.", body)
        issue = assembled(session, folder)
        known = preflight.facts(session, folder, issue, DEADLINE, counted=False)
        assert named(preflight.findings(known, {}), "clipped")
        assert preflight.faults(session, folder, issue, DEADLINE) == ()
        person.attributes = {"city": "Llanfair" * 600}
        session.flush()
        assert [each.rule for each in preflight.faults(session, folder, issue, DEADLINE)] == ["clipped"]


def test_once_it_goes_those_who_get_it_are_asked(make: Make, subscribe: Callable[..., Subscriber]) -> None:
    folder = make()
    with folder.session() as session:
        subscribe(session, "ada@example.org")
        queue(session, "Good.", "Greetings to [[city|you]]. " + GOOD)
        issue = assembled(session, folder)
        issues.approve(session, issue, "Ann", DEADLINE)
        dispatch.start(session, folder, issue, SENDS)
        subscribe(session, "late@example.org")
        known = preflight.facts(session, folder, issue, SENDS + dt.timedelta(days=3))
        assert known.audience is not None
        assert known.audience.due == 1
        assert known.goes == dt.date(2023, 11, 14)


def test_a_story_that_readers_have_had_is_known_again(make: Make, subscribe: Callable[..., Subscriber]) -> None:
    folder = make()
    with folder.session() as session:
        subscribe(session, "ada@example.org")
        queue(session, "Good.", "Good.")
        first = assembled(session, folder)
        first.state = IssueState.sent
        session.flush()
        later = DEADLINE + dt.timedelta(days=14)
        queue(session, "Good.", "Other words. " * 20, headline="PLANT number 1 grows by 3,000 jobs")
        second = assembled(session, folder, later)
        found = preflight.look(session, folder, second, later)
        told = [(each.story, each.what) for each in named(found, "used-before")]
        assert told == [(1, "its text was in 2.21, but for small changes"), (2, "its headline was in 2.21")]
        assert not named(found, "number-order")
        first.state = IssueState.cancelled
        session.flush()
        assert not named(preflight.look(session, folder, second, later), "used-before")


def test_a_story_of_the_last_issue_is_known_again_under_another_headline_and_with_small_changes(
    make: Make, subscribe: Callable[..., Subscriber]
) -> None:
    folder = make()
    text = (
        "The two ports signed an agreement on November 24, and four lines will bunker ammonia at both ends from 2028."
    )
    with folder.session() as session:
        subscribe(session, "ada@example.org")
        queue(session, text, "Good.")
        assembled(session, folder).state = IssueState.sent
        session.flush()
        later = DEADLINE + dt.timedelta(days=14)
        queue(session, text.replace("24", "25"), headline="Ammonia for two ports", link="https://example.org/ammonia")
        queue(session, "Other words. " * 20, headline="Something else", link="https://example.org/else")
        found = preflight.look(session, folder, assembled(session, folder, later), later)
        told = [(each.story, each.what) for each in named(found, "used-before") if each.level is Level.warning]
        assert told == [(1, "its text was in 2.21, but for small changes")]


def test_a_number_that_leaves_one_out_is_told(make: Make, subscribe: Callable[..., Subscriber]) -> None:
    folder = make()
    with folder.session() as session:
        subscribe(session, "ada@example.org")
        queue(session, "Good.", "Good.")
        assembled(session, folder).state = IssueState.sent
        session.flush()
        later = DEADLINE + dt.timedelta(days=14)
        queue(session, "Good.", "Good.")
        slug, publication = folder.publication()
        issue = issues.open_next(session, slug, publication, later)
        issues.override(session, issue, number=24)
        issues.assemble(session, slug, publication, issue, later)
        (finding,) = named(preflight.look(session, folder, issue, later), "number-order")
        assert finding.what == "after 2.21 comes 2.22, and this is 2.24"


def test_an_issue_that_goes_on_another_day_than_its_masthead_says_is_told(make: Make) -> None:
    folder = make()
    with folder.session() as session:
        queue(session, "Good.", "Good.")
        issue = assembled(session, folder)
        # Ten at night in New York is the next day in London.
        late = dt.datetime(2023, 11, 15, 3, tzinfo=dt.UTC)
        assert not named(preflight.look(session, folder, issue, late), "date-differs")
        (finding,) = named(preflight.look(session, folder, issue, late + dt.timedelta(hours=3)), "date-differs")
        assert finding.what == "it says 2023-11-14, and the issue goes on 2023-11-15 (America/New_York)"


def test_what_was_corrected_since_is_no_difference_in_what_was_sent(
    make: Make, subscribe: Callable[..., Subscriber]
) -> None:
    folder = make()
    with folder.session() as session:
        subscribe(session, "ada@example.org")
        queue(session, "Good.", "Good.")
        issue = assembled(session, folder)
        preflight.facts(session, folder, issue, DEADLINE)
        words = {"by": "Ann", "words": "It was 2,000 jobs.", "made": NOW, "date": NOW.date()}
        session.add(
            Correction(issue_id=issue.id, position=1, revision=2, headline="Plant 1 grows", body="Other.", **words)
        )
        session.flush()
        session.expire(issue)
        assert not named(preflight.look(session, folder, issue, DEADLINE), "renditions-differ")


# ---- config


def test_a_rule_that_there_is_none_of_is_a_mistake_with_a_suggestion(tmp_path: Path) -> None:
    text = CONFIG + '\n[publications.digest.preflight]\nlink-locl = "ours"\n'
    with pytest.raises(ConfigMistake) as mistake:
        config.decode(text, tmp_path / "config.toml")
    assert 'preflight has no rule "link-locl"; did you mean link-local' in str(mistake.value)
    assert mistake.value.line == text[: text.index("link-locl")].count("\n") + 1
    with pytest.raises(ConfigMistake):
        config.decode(CONFIG + '\n[publications.digest.preflight]\nlink-local = ""\n', tmp_path / "config.toml")


# ---- commands


@pytest.fixture
def desk(lite_folder: Folder) -> Folder:
    """A folder with a reader and two drafts that came from files; of one a link is local."""
    shutil.copytree(TEMPLATES, lite_folder.templates)
    for at, body in enumerate((GOOD, LOCAL), 1):
        story = f"---\nheadline: Plant number {at} grows\nsection: Economy\nlink: https://example.org/sources/{at}\n---\n\n{body.format(at)}\n"
        (lite_folder.path / f"{at}.md").write_text(story, encoding="utf-8")
    run(lite_folder, "draft", "add", str(lite_folder.path / "1.md"), str(lite_folder.path / "2.md"))
    return lite_folder


def run(folder: Folder, *words: str, at: dt.datetime = NOW) -> Result:
    result = CliRunner().invoke(newsletter, ["-C", str(folder.path), *words, "--at", at.isoformat()])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_next_issue_is_looked_at_as_it_would_go_now_and_nothing_is_kept(desk: Folder) -> None:
    said = run(desk, "issue", "preflight")
    assert said.exit_code == 2
    assert said.stdout.startswith("Vol 2 No 21  1 error")
    flat = re.sub(r"\s+", " ", said.stdout)
    assert "✗ error" in flat
    assert (
        "Http://localhost/draft leads nowhere for a reader." in flat or "http://localhost/draft leads nowhere" in flat
    )
    assert "link-local" in flat
    with desk.reading() as session:
        assert session.scalar(select(func.count()).select_from(Rendition)) == 0
        assert not session.scalars(select(Issue).where(Issue.volume.is_not(None))).all()
        assert {draft.state for draft in session.scalars(select(Draft))} == {DraftState.ready}


def test_for_machines_it_is_json_with_the_file_and_the_line(desk: Folder) -> None:
    said = run(desk, "issue", "preflight", "--json")
    assert said.exit_code == 2
    made = json.loads(said.stdout)
    assert made["counts"]["error"] == 1
    assert (made["issue"], made["label"], made["network"], made["off"]) == ("Vol 2 No 21", "2.21", False, {})
    (finding,) = [each for each in made["findings"] if each["level"] == "error"]
    text = (desk.path / "2.md").read_text("utf-8")
    assert finding["where"] == "2.md"
    assert finding["line"] == text[: text.index("[draft]")].count("\n") + 1
    assert (finding["rule"], finding["story"], finding["headline"]) == ("link-local", 2, "Plant number 2 grows")
    assert set(finding) == {"rule", "level", "what", "why", "remedy", "story", "headline", "where", "line"}


def test_without_an_error_the_exit_code_is_nought(desk: Folder) -> None:
    run(desk, "draft", "drop", "2")
    with desk.session() as session:
        queue(session, "Good.")
    said = run(desk, "issue", "preflight")
    assert (said.exit_code, said.stdout.split("\n")[0][:22]) == (0, "Vol 2 No 21  no error,")


def test_a_condition_without_an_end_is_told_with_its_story_file_and_line(desk: Folder) -> None:
    path = desk.path / "open.md"
    front = "---\nheadline: Ministers meet\nsection: Economy\nlink: https://example.org/a\n---\n\n"
    path.write_text(f"{front}The ministers met in Tokyo in the first week of November.\n\n[[if city]]x\n", "utf-8")
    run(desk, "draft", "add", str(path))
    (row,) = json.loads(run(desk, "issue", "preflight", "--json").stdout)["findings"][:1]
    assert (row["rule"], row["story"], row["headline"]) == ("not-rendered", 3, "Ministers meet")
    assert (row["what"], row["where"], row["line"]) == ("this [[if …]] has no [[end]]", "open.md", 9)


def test_an_issue_with_too_few_stories_is_a_sentence(desk: Folder) -> None:
    run(desk, "draft", "drop", "2")
    with pytest.raises(IssueMistake, match="can't be assembled: 1 story is ready; at least 2 are needed"):
        run(desk, "issue", "preflight")


def test_an_assembled_issue_is_looked_at_by_reading_alone(desk: Folder) -> None:
    scheduler.tick(desk, DEADLINE)
    before = (desk.path / "newsletter.db").read_bytes()
    said = run(desk, "issue", "preflight", "2.21", at=DEADLINE)
    assert (said.exit_code, "http://localhost/draft" in said.stdout) == (2, True)
    assert (desk.path / "newsletter.db").read_bytes() == before


def test_show_tells_how_many_findings_there_are_and_names_the_errors(desk: Folder) -> None:
    assert "Preflight" not in run(desk, "issue", "show").stdout
    scheduler.tick(desk, DEADLINE)
    shown = re.sub(r"\s+", " ", run(desk, "issue", "show", "2.21", at=DEADLINE).stdout)
    assert "Preflight: 1 error" in shown
    assert "http://localhost/draft leads nowhere for a reader" in shown
    made = json.loads(run(desk, "issue", "show", "2.21", "--json", at=DEADLINE).stdout)
    assert "link-local" in [each["rule"] for each in made["preflight"]]


def test_a_preview_names_the_errors(desk: Folder) -> None:
    said = run(desk, "issue", "preview", "--output", str(desk.path / "look"))
    assert said.exit_code == 0
    assert "Preflight: 1 error" in said.stdout
    assert "http://localhost/draft leads nowhere for a reader" in said.stdout


def test_send_refuses_an_issue_with_an_error_and_changes_nothing(
    desk: Folder, subscribe: Callable[..., Subscriber]
) -> None:
    with desk.session() as session:
        subscribe(session, "ada@example.org")
        assembled(session, desk)
    with pytest.raises(PreflightMistake, match="preflight found 1 error"):
        run(desk, "issue", "send", "2.21", "--yes", at=DEADLINE)
    with desk.reading() as session:
        assert only(session).state is IssueState.assembled
        assert session.scalar(select(func.count()).select_from(Delivery)) == 0


def test_the_rules_are_listed_with_those_that_are_switched_off(desk: Folder) -> None:
    text = (desk.path / "config.toml").read_text("utf-8")
    (desk.path / "config.toml").write_text(
        text + '\n[publications.digest.preflight]\nlink-http = "archives"\n', "utf-8"
    )
    said = run(desk, "issue", "preflight", "--rules")
    assert all(rule in said.stdout for rule in RULES)
    assert "switched off: archives" in said.stdout
    rows = json.loads(run(desk, "issue", "preflight", "--rules", "--json").stdout)
    assert [row["rule"] for row in rows] == list(RULES)
    assert [row["off"] for row in rows if row["off"]] == ["archives"]
    assert "link-http: archives" in run(desk, "issue", "preflight").stdout


# ---- SpamAssassin


def test_spamassassin_is_asked_where_it_is_installed(desk: Folder) -> None:
    if shutil.which("spamassassin") is None:
        pytest.skip("SpamAssassin isn't installed here; Debian has it as spamassassin")
    known = preflight.asked(preflight.of(desk, "digest", "next", NOW).known, network=False)
    assert known.spam is not None
    assert known.spam.score < 1, known.spam
    bad = b"Subject: x\r\n\r\nXJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n"
    from newsletter.preflight import spam

    said = spam.score(bad)
    assert not isinstance(said, str), said
    assert said.score > 100
    assert any("GTUBE" in rule for rule in said.rules)


def test_where_spamassassin_is_missing_or_fails_that_is_a_note(tmp_path: Path) -> None:
    from newsletter.preflight import spam

    assert "isn't installed here" in str(spam.score(b"", program="spamassassin-that-there-isnt"))
    failing = tmp_path / "fails"
    failing.write_text("#!/bin/sh\necho 'no rules were found' >&2\nexit 25\n")
    failing.chmod(0o755)
    assert spam.score(b"", program=str(failing)) == "SpamAssassin gave no score (no rules were found)"


def test_what_only_a_rule_that_is_switched_off_wants_to_know_is_not_asked(desk: Folder) -> None:
    known = preflight.of(desk, "digest", "next", NOW).known
    off = {"spam-score": "not here", "link-dead": "not here"}
    asked = preflight.asked(known, network=True, off=off)
    assert (asked.spam, asked.no_spam, asked.followed) == (None, "", None)


# ---- documentation


def test_the_readmes_table_of_rules_and_the_register_are_the_same() -> None:
    section = README.split("### Preflight\n", 1)[1].split("\n### ", 1)[0].split("\n## ", 1)[0]
    rows = re.findall(r"^\| `([a-z-]+)` \| (\w+) \| (.*?) \| (.*?) \|$", section, re.MULTILINE)
    assert rows == [(name, rule.level.value, rule.finds, rule.why) for name, rule in RULES.items()]
