"""The ways out of a mail, and who stands behind it: unsubscribe links and headers, the postal address, signatures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message

from newsletter.preflight.facts import KNOWN, Facts
from newsletter.preflight.finding import Found, looks_for
from newsletter.preflight_rules import Level

_DESIGN = "Put a link to [[unsubscribe_url]] into {} of the design, outside any [[if …]]."


@looks_for("no-unsubscribe")
def no_unsubscribe(facts: Facts) -> Iterator[Found]:
    if not facts.html:
        return
    from lxml import html as lxml_html

    url = facts.own("unsubscribe_url")
    for word in (KNOWN, ""):
        tree = facts.tree if word else lxml_html.document_fromstring(facts.html_for(word))
        shown = [a for a in tree.iter("a") if a.get("href") == url and (a.text_content().strip() or a.find(".//img"))]
        if not any(not _hidden(a) for a in shown):
            yield Found(
                f"there is no unsubscribe link in it{_for_some(word)}", _DESIGN.format("issue.mjml"), where="the HTML"
            )
            break
    for word in (KNOWN, ""):
        if url not in facts.text_for(word):
            yield Found(
                f"there is no unsubscribe link in it{_for_some(word)}", _DESIGN.format("issue.txt"), where="the text"
            )
            break


def _for_some(word: str) -> str:
    return "" if word else " for some readers"


def _hidden(element: object) -> bool:
    """Whether an element, or one that it is in, isn't shown."""
    at = element
    while at is not None:
        if re.search(r"display\s*:\s*none", at.get("style") or ""):  # type: ignore[attr-defined]
            return True
        at = at.getparent()  # type: ignore[attr-defined]
    return False


@looks_for("no-postal-address")
def no_postal_address(facts: Facts) -> Iterator[Found]:
    if not facts.html:
        return
    address = _bare(facts.edition.publication.postal_address)
    for where, file, shown in (
        ("the HTML", "issue.mjml", facts.tree.find("body").text_content()),
        ("the text", "issue.txt", facts.text_for(KNOWN)),
    ):
        if address not in _bare(shown):
            yield Found(
                "the publisher's postal address isn't in it",
                f"Put {{{{ edition.imprint }}}} into {file} of the design.",
                where=where,
            )


def _bare(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


def _headers(facts: Facts) -> Message:
    return message_from_bytes(facts.message.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")


def _value(headers: Message, name: str) -> str:
    return re.sub(r"\s+", "", str(headers.get(name, "")))


@looks_for("no-one-click")
def no_one_click(facts: Facts) -> Iterator[Found]:
    if not facts.message:
        return
    headers = _headers(facts)
    leave = _value(headers, "List-Unsubscribe")
    if not leave or _value(headers, "List-Unsubscribe-Post") != "List-Unsubscribe=One-Click":
        yield Found("List-Unsubscribe or List-Unsubscribe-Post is missing", "Report this fault.", where="the headers")
    elif "<https://" not in leave and not facts.rehearsal:
        yield Found(
            "the link in List-Unsubscribe isn't https, and RFC 8058 counts no other",
            "Serve readers' pages by https, and say so in base_url.",
            where="base_url in config.toml",
            level=Level.warning,
        )


@looks_for("one-click-unsigned")
def one_click_unsigned(facts: Facts) -> Iterator[Found]:
    if facts.no_message:
        yield Found(f"messages can't be signed: {facts.no_message.rstrip('.')}", "See newsletter doctor.")
        return
    wanted = {"list-unsubscribe", "list-unsubscribe-post"}
    signatures = _headers(facts).get_all("DKIM-Signature") or [] if facts.message else []
    for signature in signatures:
        found = re.search(r"(?:^|;)h=([^;]*)", re.sub(r"\s+", "", str(signature)))
        lacking = wanted - set((found[1] if found else "").lower().split(":"))
        if lacking:
            yield Found(
                f"a DKIM signature doesn't cover {' and '.join(sorted(lacking))}",
                "Report this fault.",
                where="the headers",
            )


@looks_for("unsigned")
def unsigned(facts: Facts) -> Iterator[Found]:
    if not facts.signs and not facts.rehearsal and not facts.no_message:
        yield Found(
            "no key in config.toml signs messages from this sender",
            "Add one under [[dkim]] (newsletter doctor dkim-key makes it), or have the relay sign them, with"
            " List-Unsubscribe and List-Unsubscribe-Post among the signed headers.",
            where="the headers",
        )
