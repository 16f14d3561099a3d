"""What providers report by HTTP about mail that came back: at /hooks/ses, /postmark, /sendgrid and /mailgun.

200 means that it is on disk, or that nothing is made of it; 503 that it is to come again. Each is off, and a page that
isn't there, until config.toml has its key.
"""

from __future__ import annotations

import logging
import os

from flask import Blueprint, Response, abort, current_app, request
from werkzeug.exceptions import HTTPException

from newsletter.bounces import acting
from newsletter.bounces.acting import Report
from newsletter.bounces.webhooks import Rejection
from newsletter.errors import ConfigMistake, ReturnMistake
from newsletter.reader_settings import Webhooks
from newsletter.web.site import site

log = logging.getLogger("newsletter.web")

LARGEST = 1024 * 1024
"""Octets of a request."""
FETCH = "newsletter.fetch"
"""In app.extensions: what fetches SNS's certificates, where it isn't the real thing."""

hooks = Blueprint("hooks", __name__, url_prefix="/hooks")


@hooks.post("/ses")
def ses() -> Response:
    """A message of SNS."""
    settings = _settings()
    if not settings.ses_topics:
        abort(404)
    from newsletter.bounces.webhooks import ses

    known = current_app.extensions.setdefault(
        "newsletter.certificates", ses.Certificates(current_app.extensions.get(FETCH, ses.fetch))
    )
    body = _body()
    return _answer("ses", body, ses.read(body, settings.ses_topics, known, site().now()))


@hooks.post("/postmark")
def postmark() -> Response:
    """An event of Postmark's."""
    settings = _settings()
    if not settings.postmark_password_env:
        abort(404)
    from newsletter.bounces.webhooks import postmark

    password = _secret("postmark_password_env", settings.postmark_password_env)
    body = _body()
    answer = _answer("postmark", body, postmark.read(body, request.headers.get("Authorization", ""), password))
    if answer.status_code == 401:
        answer.headers["WWW-Authenticate"] = 'Basic realm="newsletter"'
    return answer


@hooks.post("/sendgrid")
def sendgrid() -> Response:
    """Events of SendGrid's."""
    settings = _settings()
    if not settings.sendgrid_key:
        abort(404)
    from newsletter.bounces.webhooks import sendgrid

    signature = request.headers.get("X-Twilio-Email-Event-Webhook-Signature", "")
    timestamp = request.headers.get("X-Twilio-Email-Event-Webhook-Timestamp", "")
    body = _body()
    said = sendgrid.read(body, signature, timestamp, settings.sendgrid_key, site().now())
    return _answer("sendgrid", body, said)


@hooks.post("/mailgun")
def mailgun() -> Response:
    """An event of Mailgun's."""
    settings = _settings()
    if not settings.mailgun_key_env:
        abort(404)
    from newsletter.bounces.webhooks import mailgun

    spent = current_app.extensions.setdefault("newsletter.spent", mailgun.Spent())
    body = _body()
    return _answer(
        "mailgun", body, mailgun.read(body, _secret("mailgun_key_env", settings.mailgun_key_env), site().now(), spent)
    )


def _settings() -> Webhooks:
    return site().folder.config.returns.webhooks


def _secret(key: str, name: str) -> str:
    try:
        return os.environ[name]
    except KeyError:
        raise ConfigMistake(
            f"the environment has no {name}, which returns.webhooks.{key} names",
            remedy="Set it where newsletter run or web is started.",
        ) from None


def _body() -> bytes:
    request.max_content_length = LARGEST
    try:
        return request.get_data(cache=False)
    except HTTPException:
        raise
    except OSError:
        abort(400)


def _answer(source: str, body: bytes, said: tuple[Report, ...] | Rejection) -> Response:
    if isinstance(said, Rejection):
        log.warning("%s: %s: %s", request.path, said.status, acting.one_line(said.why, 300))
        return _plain(said.status)
    if said:
        try:
            acting.report(site().folder, source, said, site().now(), raw=body, ending="json", signed=True)
        except ReturnMistake as mistake:
            log.warning("%s: 503: %s", request.path, mistake)
            return _plain(503)
    return _plain(200)


def _plain(status: int) -> Response:
    """The status alone: a program reads it, and needs to know no more."""
    answer = Response("", status, mimetype="text/plain")
    if status == 503:
        answer.headers["Retry-After"] = "60"
    return answer
