"""What providers report by HTTP: who is believed, what their words mean, and that nothing counts twice."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hmac
import http.server
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import pytest
import trustme
from came_back import LATER, gone_out, message_id, returns, secrets, settings, suppressed, token, told
from conftest import NOW
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from newsletter.bounces.webhooks import Rejection, mailgun, postmark, sendgrid, ses
from newsletter.folder import Folder
from newsletter.models import Subscriber
from newsletter.states import ReturnKind
from newsletter.web import hooks, make

ANN, BOB = "ann@example.org", "bob@example.org"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:bounces"
HOST = "https://sns.eu-west-1.amazonaws.com"
CERTIFICATE = f"{HOST}/SimpleNotificationService-0123abcd.pem"
SENDGRID = ec.generate_private_key(ec.SECP256R1())
SENDGRID_KEY = base64.b64encode(
    SENDGRID.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()
SNS = rsa.generate_private_key(65537, 2048)
ALL = f"""
[returns.webhooks]
ses_topics = ["{TOPIC}"]
postmark_password_env = "POSTMARK_PASSWORD"
sendgrid_key = "{SENDGRID_KEY}"
mailgun_key_env = "MAILGUN_KEY"
"""
PROVIDERS = ("ses", "postmark", "sendgrid", "mailgun")
Subscribe = Callable[..., Subscriber]


def certificate(key: rsa.RSAPrivateKey = SNS, *, days: int = 30) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(NOW - dt.timedelta(days=30)).not_valid_after(NOW + dt.timedelta(days=days))
    return made.sign(key, SHA256()).public_bytes(Encoding.PEM)


class Internet:
    """What can be fetched, and what was."""

    def __init__(self) -> None:
        self.there = {CERTIFICATE: certificate()}
        self.asked: list[str] = []

    def fetch(self, address: str) -> bytes:
        self.asked.append(address)
        if address not in self.there:
            raise OSError("not found")
        return self.there[address]


@pytest.fixture
def internet() -> Internet:
    return Internet()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTMARK_PASSWORD", "pôstmark")
    monkeypatch.setenv("MAILGUN_KEY", "key-0123")


@pytest.fixture
def served(make_folder: Callable[..., Folder], environment: None) -> Folder:
    del environment
    return make_folder(settings(ALL))


@pytest.fixture
def issue(served: Folder, subscribe: Subscribe) -> int:
    return gone_out(served, subscribe, [ANN, BOB])


@pytest.fixture
def client(served: Folder, internet: Internet) -> FlaskClient:
    app = make(served, lambda: LATER)
    app.extensions[hooks.FETCH] = internet.fetch
    return app.test_client()


def sns(message: Any, *, key: rsa.RSAPrivateKey = SNS, version: str = "2", **more: Any) -> bytes:
    """A message of SNS, signed; `changed` is said and not signed."""
    changed = more.pop("changed", {})
    said = {
        "Type": "Notification",
        "MessageId": "m-1",
        "TopicArn": TOPIC,
        "Message": message if isinstance(message, str) else json.dumps(message),
        "Timestamp": "2023-11-14T19:00:00.000Z",
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE,
        **more,
    }
    names = ("Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
    what = "".join(f"{name}\n{said[name]}\n" for name in names if name in said).encode()
    digest = SHA1() if version == "1" else SHA256()
    said["Signature"] = base64.b64encode(key.sign(what, padding.PKCS1v15(), digest)).decode()
    return json.dumps({**said, **changed}).encode()


def ses_bounce(address: str, type_: str = "Permanent", subtype: str = "NoEmail", **more: Any) -> dict[str, Any]:
    recipient = {"emailAddress": address, "status": "5.1.1", "diagnosticCode": "smtp; 550 5.1.1 no such user"}
    return {
        "notificationType": "Bounce",
        "bounce": {
            "bounceType": type_,
            "bounceSubType": subtype,
            "bouncedRecipients": [recipient | more.pop("recipient", {})],
        },
        "mail": {"source": "digest@example.org", "messageId": "ses-1", **more},
    }


def post_sendgrid(client: FlaskClient, events: Any, *, at: dt.datetime = LATER, **headers: str) -> TestResponse:
    body = events if isinstance(events, bytes) else json.dumps(events).encode()
    timestamp = str(int(at.timestamp()))
    signature = base64.b64encode(SENDGRID.sign(timestamp.encode() + body, ec.ECDSA(SHA256()))).decode()
    sent = {
        "X-Twilio-Email-Event-Webhook-Signature": signature,
        "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
        **headers,
    }
    return client.post("/hooks/sendgrid", data=body, headers=sent, content_type="application/json")


def sendgrid_event(address: str, **more: Any) -> dict[str, Any]:
    return {"email": address, "event": "bounce", "type": "bounce", "sg_event_id": f"sg-{address}", **more}


def mailgun_event(address: str, *, at: dt.datetime = LATER, token: str = "t" * 50, **more: Any) -> dict[str, Any]:
    timestamp = str(int(at.timestamp()))
    signature = hmac.new(b"key-0123", (timestamp + token).encode(), sha256).hexdigest()
    return {
        "signature": {"timestamp": timestamp, "token": token, "signature": signature},
        "event-data": {
            "event": "failed",
            "severity": "permanent",
            "reason": "bounce",
            "recipient": address,
            "delivery-status": {"code": 550, "enhanced-code": "5.1.1", "message": "550 5.1.1 no such user"},
            **more,
        },
    }


def post_postmark(client: FlaskClient, said: Any, password: str = "pôstmark", user: str = "newsletter") -> TestResponse:
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return client.post("/hooks/postmark", json=said, headers={"Authorization": f"Basic {pair}"})


def postmark_bounce(address: str, type_: str = "HardBounce", **more: Any) -> dict[str, Any]:
    return {"RecordType": "Bounce", "ID": 42, "Type": type_, "Email": address, "Details": "no such user", **more}


# ---- what holds for all


def test_each_provider_can_report_an_address_that_does_not_exist(
    served: Folder, client: FlaskClient, subscribe: Subscribe
) -> None:
    names = [f"{name}@example.org" for name in PROVIDERS]
    gone_out(served, subscribe, [*names, ANN])
    assert client.post("/hooks/ses", data=sns(ses_bounce(names[0]))).status_code == 200
    assert post_postmark(client, postmark_bounce(names[1])).status_code == 200
    assert post_sendgrid(client, [sendgrid_event(names[2], bounce_classification="Invalid Address")]).status_code == 200
    assert client.post("/hooks/mailgun", json=mailgun_event(names[3])).status_code == 200
    assert suppressed(served) == dict.fromkeys(names, "bounce")
    assert [(row.source, row.kind.value) for row in returns(served)] == [(name, "hard") for name in PROVIDERS]


def test_what_comes_again_is_answered_alike_and_counts_once(served: Folder, client: FlaskClient, issue: int) -> None:
    del issue
    event = [sendgrid_event(ANN, bounce_classification="Mailbox Unavailable")]
    for _ in range(3):
        assert client.post("/hooks/ses", data=sns(ses_bounce(ANN, "Transient", "MailboxFull"))).status_code == 200
        assert post_postmark(client, postmark_bounce(BOB, "SoftBounce")).status_code == 200
        assert post_sendgrid(client, event).status_code == 200
        assert client.post("/hooks/mailgun", json=mailgun_event(BOB, reason="old")).status_code == 200
    assert [done for _, done in told(served)] == [
        "score 1.0 of 5",
        "score 1.0 of 5",
        "counted already today",
        "counted already today",
    ]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_is_not_switched_on_is_not_there(lite_folder: Folder, provider: str) -> None:
    answer = make(lite_folder, lambda: LATER).test_client().post(f"/hooks/{provider}", data=b"{}")
    assert answer.status_code == 404


@pytest.mark.parametrize("provider", PROVIDERS)
def test_looking_at_a_hook_does_nothing(client: FlaskClient, provider: str) -> None:
    assert client.get(f"/hooks/{provider}").status_code == 405
    assert client.head(f"/hooks/{provider}").status_code == 405


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_is_too_large_is_not_read(client: FlaskClient, provider: str) -> None:
    assert client.post(f"/hooks/{provider}", data=b"x" * (hooks.LARGEST + 1)).status_code == 413


def test_a_heap_of_events_that_pages_would_not_take_is_read(served: Folder, client: FlaskClient, issue: int) -> None:
    del issue
    heap = [sendgrid_event(f"stranger{n}@example.org", sg_event_id=f"e{n}", reason="x" * 300) for n in range(250)]
    assert len(json.dumps(heap)) > 64 * 1024
    assert (
        post_sendgrid(client, [*heap, sendgrid_event(ANN, bounce_classification="Invalid Address")]).status_code == 200
    )
    assert len(returns(served)) == 251
    assert suppressed(served) == {ANN: "bounce"}


def test_the_database_being_away_is_said_so_that_it_comes_again(
    served: Folder, client: FlaskClient, issue: int
) -> None:
    del issue

    def rename(old: str, new: str) -> None:
        with served.engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE {old} RENAME TO {new}")

    rename("returns", "elsewhere")
    answers = [
        client.post("/hooks/ses", data=sns(ses_bounce(ANN))),
        post_postmark(client, postmark_bounce(ANN)),
        post_sendgrid(client, [sendgrid_event(ANN)]),
        client.post("/hooks/mailgun", json=mailgun_event(ANN)),
    ]
    assert [(answer.status_code, answer.headers["Retry-After"]) for answer in answers] == [(503, "60")] * 4
    rename("elsewhere", "returns")
    assert client.post("/hooks/mailgun", json=mailgun_event(ANN)).status_code == 200
    assert suppressed(served) == {ANN: "bounce"}


def test_an_event_that_is_not_understood_is_kept_for_a_person(served: Folder, client: FlaskClient, issue: int) -> None:
    del issue
    post_postmark(client, postmark_bounce(ANN, "SomethingNew"))
    (row,) = returns(served)
    assert row.kind is ReturnKind.unknown
    assert json.loads((served.path / "returned" / row.file).read_bytes())["Type"] == "SomethingNew"
    assert row.file.endswith(".json")


def test_a_secret_that_the_environment_lacks_is_our_fault_and_comes_again(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MAILGUN_KEY")
    monkeypatch.delenv("POSTMARK_PASSWORD")
    assert client.post("/hooks/mailgun", json=mailgun_event(ANN)).status_code == 500
    assert post_postmark(client, postmark_bounce(ANN), password="").status_code == 500


@given(
    st.binary()
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["Type", "Message", "TopicArn", "signature", "event-data", "RecordType", "Email", "bounce"]
                ),
                inner,
            )
        ),
    ).map(lambda found: json.dumps(found).encode())
)
def test_no_request_brings_a_reader_of_events_down(body: bytes) -> None:
    good = base64.b64encode(b"newsletter:x").decode()
    found: list[Any] = [
        ses.read(body, (TOPIC,), ses.Certificates(Internet().fetch), LATER),
        postmark.read(body, f"Basic {good}", "x"),
        sendgrid.read(body, "AAAA", "1700000000", SENDGRID_KEY, LATER),
        mailgun.read(body, "key", LATER, mailgun.Spent()),
    ]
    assert all(isinstance(each, Rejection | tuple) for each in found)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "bounce",
                        "complaint",
                        "bouncedRecipients",
                        "complainedRecipients",
                        "mail",
                        "headers",
                        "notificationType",
                        "eventType",
                        "source",
                        "event",
                        "email",
                        "reason",
                        "delivery-status",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    )
)
def test_no_signed_event_brings_a_reader_of_events_down(said: Any) -> None:
    from newsletter.bounces.webhooks.mailgun import _kind
    from newsletter.bounces.webhooks.sendgrid import _event
    from newsletter.bounces.webhooks.ses import _bounce, _complaint

    if isinstance(said, dict):
        for kind in ("bounce", "dropped", "spamreport"):
            _event({**said, "event": kind})
        _kind({**said, "event": "failed"})
        _bounce(said, "1")
        _complaint(said, "1")


# ---- SES


@pytest.mark.parametrize("version", ["1", "2"])
def test_both_kinds_of_signature_are_believed(served: Folder, client: FlaskClient, issue: int, version: str) -> None:
    del issue
    assert client.post("/hooks/ses", data=sns(ses_bounce(ANN), version=version)).status_code == 200
    assert suppressed(served) == {ANN: "bounce"}


STRANGER = rsa.generate_private_key(65537, 2048)


@pytest.mark.parametrize(
    "body",
    [
        sns(ses_bounce(ANN), key=STRANGER),
        sns(ses_bounce(ANN), changed={"Message": json.dumps(ses_bounce(BOB))}),
        sns(ses_bounce(ANN), changed={"Subject": "more"}),
        sns(ses_bounce(ANN), changed={"Signature": ""}),
        sns(ses_bounce(ANN), changed={"Signature": "not base64!"}),
        sns(ses_bounce(ANN), changed={"SignatureVersion": "3"}),
        sns(ses_bounce(ANN), TopicArn="arn:aws:sns:eu-west-1:999999999999:bounces"),
        sns(
            ses_bounce(ANN),
            SigningCertURL="https://sns.eu-west-1.amazonaws.com.example.net/SimpleNotificationService-0.pem",
        ),
        sns(ses_bounce(ANN), SigningCertURL=f"http{CERTIFICATE[5:]}"),
        sns(ses_bounce(ANN), SigningCertURL=CERTIFICATE.replace("eu-west-1", "us-east-1")),
        sns(ses_bounce(ANN), SigningCertURL=CERTIFICATE.replace("https://", "https://sns@")),
        sns(ses_bounce(ANN), SigningCertURL=f"{HOST}:8443/SimpleNotificationService-0123abcd.pem"),
        sns(ses_bounce(ANN), SigningCertURL=f"{HOST}/elsewhere.pem"),
        sns(ses_bounce(ANN), SigningCertURL="https://[/SimpleNotificationService-0.pem"),
    ],
)
def test_a_message_that_sns_has_not_signed_does_nothing(
    served: Folder, client: FlaskClient, issue: int, internet: Internet, body: bytes
) -> None:
    del issue
    assert client.post("/hooks/ses", data=body).status_code == 403
    assert returns(served) == []
    assert set(internet.asked) <= {CERTIFICATE}


def test_nothing_is_fetched_for_a_topic_that_is_not_ours(client: FlaskClient, internet: Internet) -> None:
    body = sns("hello", TopicArn="arn:aws:sns:eu-west-1:999999999999:bounces")
    assert client.post("/hooks/ses", data=body).status_code == 403
    assert internet.asked == []


def test_a_certificate_is_fetched_once_and_must_be_valid_now(
    served: Folder, client: FlaskClient, internet: Internet
) -> None:
    internet.there.clear()
    assert client.post("/hooks/ses", data=sns(ses_bounce(ANN))).status_code == 503
    internet.there[CERTIFICATE] = certificate()
    for number in range(3):
        assert client.post("/hooks/ses", data=sns(ses_bounce(ANN), MessageId=f"m{number}")).status_code == 200
    assert internet.asked == [CERTIFICATE] * 2
    other = CERTIFICATE.replace("0123abcd", "old")
    internet.there[other] = certificate(days=0)
    assert client.post("/hooks/ses", data=sns(ses_bounce(ANN), SigningCertURL=other)).status_code == 403
    bad = CERTIFICATE.replace("0123abcd", "bad")
    internet.there[bad] = b"no certificate"
    assert client.post("/hooks/ses", data=sns(ses_bounce(ANN), SigningCertURL=bad)).status_code == 403
    del served


def test_a_subscription_to_our_topic_is_confirmed_where_sns_is_and_nowhere_else(
    client: FlaskClient, internet: Internet
) -> None:
    address = f"{HOST}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=abc"
    more = {"Type": "SubscriptionConfirmation", "Token": "abc"}
    assert client.post("/hooks/ses", data=sns("confirm", SubscribeURL=address, **more)).status_code == 503
    internet.there[address] = b"<ok/>"
    assert client.post("/hooks/ses", data=sns("confirm", SubscribeURL=address, **more)).status_code == 200
    assert internet.asked[-1] == address
    before = len(internet.asked)
    for elsewhere in ("https://evil.example/", "http://169.254.169.254/latest", address.replace("https", "http")):
        assert client.post("/hooks/ses", data=sns("confirm", SubscribeURL=elsewhere, **more)).status_code == 403
    assert len(internet.asked) == before


def test_the_sentence_that_a_topic_begins_with_is_taken(client: FlaskClient) -> None:
    assert client.post("/hooks/ses", data=sns("Successfully validated SNS topic for Amazon SES")).status_code == 200


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"Type": "Evil"}', b"\xff", b"[" * 5000])
def test_what_is_no_message_of_sns_is_said_to_be_none(client: FlaskClient, body: bytes) -> None:
    assert client.post("/hooks/ses", data=body).status_code == 400


@pytest.mark.parametrize(
    ("type_", "subtype", "status", "kind"),
    [
        ("Permanent", "General", "5.1.1", "hard"),
        ("Permanent", "NoEmail", "", "hard"),
        ("Permanent", "Suppressed", "", "hard"),
        ("Permanent", "OnAccountSuppressionList", "", "hard"),
        ("Permanent", "General", "5.7.1", "policy"),
        ("Transient", "General", "4.0.0", "soft"),
        ("Transient", "MailboxFull", "5.2.2", "soft"),
        ("Transient", "MessageTooLarge", "", "policy"),
        ("Transient", "ContentRejected", "", "policy"),
        ("Undetermined", "Undetermined", "", "soft"),
    ],
)
def test_ses_words_mean(type_: str, subtype: str, status: str, kind: str) -> None:
    body = sns(ses_bounce(ANN, type_, subtype, recipient={"status": status, "diagnosticCode": ""}))
    found = ses.read(body, (TOPIC,), ses.Certificates(Internet().fetch), LATER)
    assert isinstance(found, tuple)
    assert [each.verdict.kind.value for each in found] == [kind]


def test_ses_tells_the_issue_by_the_envelope_and_by_our_message_id(
    served: Folder, client: FlaskClient, issue: int
) -> None:
    sender = f"digest+{token(served, issue, ANN)}@example.org"
    client.post("/hooks/ses", data=sns(ses_bounce("alias@example.net", source=sender)))
    header = [{"name": "Message-ID", "value": f"<{message_id(served, issue, BOB)}>"}]
    client.post("/hooks/ses", data=sns(ses_bounce(BOB, headers=header), MessageId="m-2"))
    assert {row.issue_id for row in returns(served)} == {issue}
    assert suppressed(served) == {ANN: "bounce", BOB: "bounce"}


def test_a_complaint_through_ses_suppresses_and_taking_it_back_does_not(
    served: Folder, client: FlaskClient, issue: int
) -> None:
    del issue
    for name, type_ in ((ANN, "abuse"), (BOB, "not-spam")):
        complaint = {"complainedRecipients": [{"emailAddress": name}], "complaintFeedbackType": type_}
        said = {"eventType": "Complaint", "complaint": complaint, "mail": {}}
        assert client.post("/hooks/ses", data=sns(said, MessageId=name)).status_code == 200
    assert suppressed(served) == {ANN: "complaint"}


def test_the_internet_is_asked_by_https_alone_with_no_way_round_and_not_for_much() -> None:
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response({"/moved": 302, "/gone": 404}.get(self.path, 200))
            if self.path == "/moved":
                self.send_header("Location", "/small")
            self.end_headers()
            self.wfile.write(b"x" * (ses.LARGEST + 1) if self.path == "/large" else b"small")

        def log_message(self, *_: object) -> None:
            pass

    with _serving(Handler, server_side) as port:
        there = f"https://127.0.0.1:{port}"
        assert ses.fetch(f"{there}/small", client_side) == b"small"
        for path in ("/moved", "/gone", "/large"):
            with pytest.raises(OSError):
                ses.fetch(there + path, client_side)
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            ses.fetch(f"{there}/small")
    with pytest.raises(OSError):
        ses.fetch(f"{there}/small", client_side)
    for address in ("http://127.0.0.1/", "file:///etc/hostname", "ftp://127.0.0.1/"):
        with pytest.raises(OSError, match="no https"):
            ses.fetch(address)


@contextlib.contextmanager
def _serving(handler: type[http.server.BaseHTTPRequestHandler], tls: ssl.SSLContext) -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


# ---- Postmark


def test_postmark_needs_the_password(served: Folder, client: FlaskClient, issue: int) -> None:
    del issue
    answers = [
        client.post("/hooks/postmark", json=postmark_bounce(ANN)),
        post_postmark(client, postmark_bounce(ANN), password="wrong"),
        post_postmark(client, postmark_bounce(ANN), password=""),
        post_postmark(client, postmark_bounce(ANN), user="admin"),
        client.post("/hooks/postmark", json=postmark_bounce(ANN), headers={"Authorization": "Basic ???"}),
        client.post("/hooks/postmark", json=postmark_bounce(ANN), headers={"Authorization": "Bearer x"}),
    ]
    assert [answer.status_code for answer in answers] == [401] * 6
    assert answers[0].headers["WWW-Authenticate"] == 'Basic realm="newsletter"'
    assert returns(served) == []
    assert post_postmark(client, ["no event"]).status_code == 400


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        ("HardBounce", "hard"),
        ("BadEmailAddress", "hard"),
        ("SoftBounce", "soft"),
        ("Transient", "soft"),
        ("DnsError", "soft"),
        ("SpamComplaint", "complaint"),
        ("SpamNotification", "policy"),
        ("Blocked", "policy"),
        ("DMARCPolicy", "policy"),
        ("AutoResponder", "reply"),
        ("Unsubscribe", "unsubscribe"),
    ],
)
def test_postmarks_words_mean(type_: str, kind: str) -> None:
    body = json.dumps(postmark_bounce(ANN, type_)).encode()
    found = postmark.read(body, f"Basic {base64.b64encode(b'newsletter:x').decode()}", "x")
    assert isinstance(found, tuple)
    assert [each.verdict.kind.value for each in found] == [kind]


def test_leaving_by_postmarks_own_link_is_leaving(served: Folder, client: FlaskClient, issue: int) -> None:
    del issue
    said = {"RecordType": "SubscriptionChange", "Recipient": ANN, "Origin": "Recipient", "SuppressSending": True}
    post_postmark(client, {**said, "SuppressionReason": "ManualSuppression", "MessageID": "1"})
    post_postmark(client, {**said, "SuppressSending": False, "MessageID": "2"})
    post_postmark(client, {**said, "Origin": "Customer", "MessageID": "3"})
    assert told(served) == [("unsubscribe", "left alliance-digest")]


# ---- SendGrid


def test_sendgrids_signature_is_over_the_time_and_every_octet(served: Folder, client: FlaskClient, issue: int) -> None:
    del issue
    hard = [sendgrid_event(ANN, bounce_classification="Invalid Address")]
    name = "X-Twilio-Email-Event-Webhook-"
    good = post_sendgrid(client, [])
    assert good.status_code == 200
    signature = good.request.headers[f"{name}Signature"]
    for wrong in (
        {f"{name}Signature": signature},
        {f"{name}Signature": ""},
        {f"{name}Signature": "???"},
        {f"{name}Timestamp": str(int(LATER.timestamp()) + 1)},
        {f"{name}Timestamp": "٣"},
        {f"{name}Timestamp": ""},
    ):
        with contextlib.suppress(UnicodeEncodeError):
            assert post_sendgrid(client, hard, **wrong).status_code == 403
    for at in (LATER - dt.timedelta(hours=26), LATER + dt.timedelta(minutes=11)):
        assert post_sendgrid(client, hard, at=at).status_code == 403
    assert returns(served) == []
    assert post_sendgrid(client, b"{}").status_code == 400
    assert post_sendgrid(client, hard, at=LATER - dt.timedelta(hours=24)).status_code == 200
    assert suppressed(served) == {ANN: "bounce"}


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"bounce_classification": "Invalid Address"}, "hard"),
        ({"status": "5.1.1", "reason": "550 no such user"}, "hard"),
        ({"bounce_classification": "Mailbox Unavailable", "status": "5.2.2"}, "soft"),
        ({"bounce_classification": "Reputation", "status": "5.1.1"}, "policy"),
        ({"type": "blocked", "status": "5.7.1", "reason": "550 blocked"}, "policy"),
        ({"type": "blocked", "bounce_classification": "Unclassified"}, "soft"),
        ({"type": "blocked", "status": "5.1.1", "reason": "550 no such user"}, "soft"),
        ({"event": "dropped", "reason": "Bounced Address"}, "hard"),
        ({"event": "dropped", "reason": "Spam Reporting Address"}, "complaint"),
        ({"event": "dropped", "reason": "Unsubscribed Address"}, "unsubscribe"),
        ({"event": "dropped", "reason": "Recipient List over Package Quota"}, "policy"),
        ({"event": "spamreport"}, "complaint"),
        ({"event": "group_unsubscribe"}, "unsubscribe"),
        ({"event": "deferred"}, "delayed"),
        ({"event": "open"}, ""),
        ({"event": "delivered"}, ""),
    ],
)
def test_sendgrids_words_mean(event: dict[str, Any], kind: str) -> None:
    from newsletter.bounces.webhooks.sendgrid import _event

    found = _event(sendgrid_event(ANN, **event))
    assert (found.verdict.kind.value if found else "") == kind


# ---- Mailgun


def test_mailguns_signature_is_checked(served: Folder, client: FlaskClient, issue: int) -> None:
    del issue
    for change in ({"token": "u" * 50}, {"timestamp": "1700000001"}, {"signature": ""}, {"signature": "é"}):
        said = mailgun_event(ANN)
        said["signature"].update(change)
        assert client.post("/hooks/mailgun", json=said).status_code == 403
    said = mailgun_event(ANN)
    # Where the timestamp ends and the token begins isn't signed: a later time made of the same digits is none.
    whole = said["signature"]["timestamp"] + "9" * 50
    shifted = {"timestamp": whole[:11], "token": whole[11:]}
    shifted["signature"] = hmac.new(b"key-0123", whole.encode(), sha256).hexdigest()
    assert client.post("/hooks/mailgun", json={**said, "signature": shifted}).status_code == 403
    for at in (LATER - dt.timedelta(hours=10), LATER + dt.timedelta(minutes=11)):
        assert client.post("/hooks/mailgun", json=mailgun_event(ANN, at=at)).status_code == 403
    assert client.post("/hooks/mailgun", json=["no event"]).status_code == 400
    assert returns(served) == []


def test_a_token_of_mailguns_is_good_for_one_event_whatever_is_said_with_it_later(
    served: Folder, client: FlaskClient, issue: int
) -> None:
    """The signature doesn't cover what is said; so who has seen one could say anything else with it."""
    del issue
    seen = mailgun_event(ANN, event="opened", token="o" * 50)
    assert client.post("/hooks/mailgun", json=seen).status_code == 200
    assert client.post("/hooks/mailgun", json=mailgun_event(ANN, token="o" * 50)).status_code == 200
    assert returns(served) == []
    assert client.post("/hooks/mailgun", json=mailgun_event(ANN)).status_code == 200
    assert client.post("/hooks/mailgun", json=mailgun_event(BOB, event="complained")).status_code == 200
    assert suppressed(served) == {ANN: "bounce"}


def test_spent_tokens_have_an_end() -> None:
    spent = mailgun.Spent(most=2)
    for each in "abc":
        spent.spend(each)
    assert [each in spent for each in "abc"] == [False, True, True]


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({}, "hard"),
        ({"severity": "temporary"}, "delayed"),
        ({"reason": "suppress-bounce"}, "hard"),
        ({"reason": "suppress-complaint"}, "complaint"),
        ({"reason": "suppress-unsubscribe"}, "unsubscribe"),
        ({"reason": "old"}, "soft"),
        ({"reason": "espblock"}, "policy"),
        ({"delivery-status": {"code": 552, "enhanced-code": "5.2.2", "message": "full"}}, "soft"),
        ({"delivery-status": {"code": 550, "enhanced-code": "5.7.1", "message": "no"}}, "policy"),
        ({"delivery-status": {}}, "soft"),
        ({"event": "complained"}, "complaint"),
        ({"event": "unsubscribed"}, "unsubscribe"),
        ({"event": "rejected"}, "policy"),
        ({"event": "delivered"}, ""),
    ],
)
def test_mailguns_words_mean(event: dict[str, Any], kind: str) -> None:
    found = mailgun.read(json.dumps(mailgun_event(ANN, **event)).encode(), "key-0123", LATER, mailgun.Spent())
    assert isinstance(found, tuple)
    assert [each.verdict.kind.value for each in found] == ([kind] if kind else [])


def test_mailgun_tells_the_issue_by_the_envelope(served: Folder, client: FlaskClient, issue: int) -> None:
    sender = f"digest+{secrets(served).reader(issue, 1)}@example.org"
    client.post("/hooks/mailgun", json=mailgun_event("alias@example.net", envelope={"sender": sender}))
    assert [row.issue_id for row in returns(served)] == [issue]
