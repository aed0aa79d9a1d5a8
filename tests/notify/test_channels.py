"""E-mail, Slack and Teams over real sockets: what arrives, what is refused, and what is never said."""

from __future__ import annotations

import socket
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvault.channels import channels_of, email_of, slack_line_of
from nbvault.clock import SystemClock
from nbvault.errors import AuthenticationError, ConfigurationError, NbvaultError
from nbvault.notify.errors import DeliveryFailed
from nbvault.notify.message import LONGEST_SUBJECT, Message, Tone, tame
from nbvault.settings import Settings, load_settings
from nbvault.setup.template import Answers, configuration
from tls_places import make_certificate
from told_places import Loopback, loopback, mail_server

NASTY = "/Clients/<script>alert(1)</script>\r\nBcc: eve@example.com\r\n\r\n" + "x" * 500 + "\u202e\ud800\0"
NOW = datetime(2026, 11, 21, 2, tzinfo=timezone.utc)
MESSAGE = Message("It is wrong", ["First.", "Second."], [("Rule", "partial")], Tone.BAD)
SECRET = "/services/T000/B000/XXXXsecretXXXX"


class Fixed(SystemClock):
    def now(self) -> datetime:
        return NOW


def settings_with(folder: Path, text: str = "", **environment: str) -> Settings:
    """A configuration with these sections beside the usual ones."""
    file = folder / "nbvault.toml"
    base = configuration(Answers(host="https://adb-1.azuredatabricks.net", remote="https://example.com/vault.git"))
    file.write_text(base + text)
    return load_settings(file, environment=environment)


def mail(port: int, more: str = "") -> str:
    return f'[email]\nhost = "127.0.0.1"\nport = {port}\nto = ["ann@example.com", "bob@example.com"]\n{more}\n'


def send(settings: Settings, name: str, message: Message = MESSAGE) -> str:
    return channels_of(settings, clock=Fixed())[name].send(message)


# --- e-mail ----------------------------------------------------------------------------------------------------------


def test_mail_by_starttls(tmp_path: Path) -> None:
    """Text and HTML arrive for everybody, over TLS that is verified, from a user who signed in."""
    certificate = make_certificate(tmp_path)
    with mail_server(certificate=certificate, starttls=True, user="u", password="pw") as post:
        more = 'user = "u"\npassword = "env:PW"\nsender = "backup@example.com"\n[network]\nca_file = "both.pem"'
        said = send(settings_with(tmp_path, mail(post.port, more), PW="pw"), "email")
    assert said == f"127.0.0.1:{post.port} took it for 2 people"
    (envelope,), (found,) = post.envelopes, post.mails
    assert envelope.rcpt_tos == ["ann@example.com", "bob@example.com"]
    heads = {name: str(found[name]) for name in ("Subject", "From", "To", "Date", "Auto-Submitted")}
    assert heads == {
        "Subject": "[nbvault] It is wrong",
        "From": "nbvault <backup@example.com>",
        "To": "ann@example.com, bob@example.com",
        "Date": "Sat, 21 Nov 2026 02:00:00 +0000",
        "Auto-Submitted": "auto-generated",
    }
    plain, page = found.iter_parts()
    assert plain.get_content().splitlines() == ["It is wrong", "", "First.", "Second.", "", "Rule: partial"]
    assert (page.get_content_type(), "<h1" in page.get_content()) == ("text/html", True)


def test_mail_over_tls_from_the_start(tmp_path: Path) -> None:
    """The same on a port that speaks nothing else."""
    certificate = make_certificate(tmp_path)
    with mail_server(certificate=certificate) as post:
        more = 'security = "tls"\n[network]\nca_file = "both.pem"'
        settings = settings_with(tmp_path, mail(post.port, more))
        send(settings, "email")
        found = email_of(settings, clock=Fixed())
        looked = found.look() if found else ""
    assert (post.subjects(), looked) == (["[nbvault] It is wrong"], f"127.0.0.1:{post.port} answers over TLS")


def wrong_password(folder: Path) -> tuple[str, str]:
    certificate = make_certificate(folder)
    with mail_server(certificate=certificate, starttls=True, user="u", password="pw") as post:
        more = 'user = "u"\npassword = "env:PW"\n[network]\nca_file = "both.pem"'
        return _refusal(settings_with(folder, mail(post.port, more), PW="geheim-7"), post.port)


def untrusted(folder: Path) -> tuple[str, str]:
    certificate = make_certificate(folder)
    with mail_server(certificate=certificate, starttls=True) as post:
        return _refusal(settings_with(folder, mail(post.port)), post.port)


def no_starttls(folder: Path) -> tuple[str, str]:
    with mail_server() as post:
        told = _refusal(settings_with(folder, mail(post.port)), post.port)
        assert post.envelopes == []
        return told


def nobody_known(folder: Path) -> tuple[str, str]:
    with mail_server() as post:
        post.refused = {"ann@example.com", "bob@example.com"}
        return _refusal(settings_with(folder, mail(post.port, 'security = "none"')), post.port)


def one_unknown(folder: Path) -> tuple[str, str]:
    with mail_server() as post:
        post.refused = {"bob@example.com"}
        told = _refusal(settings_with(folder, mail(post.port, 'security = "none"')), post.port)
        assert [each.rcpt_tos for each in post.envelopes] == [["ann@example.com"]]
        return told


def full(folder: Path) -> tuple[str, str]:
    with mail_server() as post:
        post.says = "452 mailbox full"
        return _refusal(settings_with(folder, mail(post.port, 'security = "none"')), post.port)


def unreachable(folder: Path) -> tuple[str, str]:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    return _refusal(settings_with(folder, mail(port)), port)


def no_password(folder: Path) -> tuple[str, str]:
    settings = settings_with(folder, mail(1, 'user = "u"\npassword = "env:PW"'))
    with pytest.raises(AuthenticationError) as caught:
        send(settings, "email")
    return caught.value.message, ""


def odd_password(folder: Path) -> tuple[str, str]:
    with mail_server(user="u", password="pw") as post:
        more = 'user = "u"\npassword = "env:PW"\nsecurity = "none"'
        return _refusal(settings_with(folder, mail(post.port, more), PW="geheim-7ä"), post.port)


def odd_user(folder: Path) -> tuple[str, str]:
    with mail_server(user="u", password="geheim-7") as post:
        more = 'user = "geheim-7ü"\npassword = "env:PW"\nsecurity = "none"'
        return _refusal(settings_with(folder, mail(post.port, more), PW="geheim-7"), post.port)


def odd_host(folder: Path) -> tuple[str, str]:
    settings = settings_with(folder, mail(25).replace("127.0.0.1", "smtp..example.com"))
    told, again = _refusal(settings, 25)
    return told.replace("smtp..example.com:25", "SERVER"), again


def odd_sender(folder: Path) -> tuple[str, str]:
    """What the settings refuse, and a program may still ask for."""
    with mail_server() as post:
        settings = settings_with(folder, mail(post.port, 'security = "none"'))
        section = settings.email.model_copy(update={"sender": "geheim-7@x..y"})
        return _refusal(settings.model_copy(update={"email": section}), post.port)


def _refusal(settings: Settings, port: int) -> tuple[str, str]:
    with pytest.raises(DeliveryFailed) as caught:
        send(settings, "email")
    assert "geheim-7" not in str(caught.value)
    assert caught.value.hint
    again = "again" if caught.value.retryable else ""
    return caught.value.message.replace(f"127.0.0.1:{port}", "SERVER"), again


@pytest.mark.parametrize(
    ("fault", "message", "again"),
    [
        (wrong_password, "SERVER refused user and password (535).", ""),
        (untrusted, "The certificate of SERVER is not trusted.", ""),
        (no_starttls, "SERVER cannot do what the settings ask for: STARTTLS extension not supported by server.", ""),
        (nobody_known, "SERVER takes mail for nobody in email.to (550).", ""),
        (one_unknown, "SERVER did not take mail for bob@example.com; the others have it.", ""),
        (full, "SERVER answered 452: mailbox full", "again"),
        (unreachable, "No mail can be sent by SERVER: Connection refused.", "again"),
        (no_password, "The secret env:PW is missing or empty.", ""),
        (odd_password, "SERVER cannot be told user and password: one of them has a character that is not ASCII.", ""),
        (odd_user, "SERVER cannot be told user and password: one of them has a character that is not ASCII.", ""),
        (odd_host, "The settings make no mail that SERVER could take (UnicodeError).", ""),
        (odd_sender, "The settings make no mail that SERVER could take (HeaderParseError).", ""),
    ],
)
def test_mail_that_is_not_taken(fault: object, message: str, again: str, tmp_path: Path) -> None:
    """Each reason is named with what to do, and told whether another try is of use; the password is not in it."""
    assert callable(fault)
    assert fault(tmp_path) == (message, again)


def test_a_name_makes_no_header(tmp_path: Path) -> None:
    """A name with line breaks, markup and bytes that are no text stays one line of text everywhere in a mail."""
    with mail_server() as post:
        settings = settings_with(tmp_path, mail(post.port, 'security = "none"'))
        send(settings, "email", Message(f"Lost {NASTY}", [NASTY], [(NASTY, NASTY)]))
    (found,) = post.mails
    assert (found["Bcc"], [each.rcpt_tos for each in post.envelopes]) == (
        None,
        [["ann@example.com", "bob@example.com"]],
    )
    plain, page = (part.get_content() for part in found.iter_parts())
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert not [line for line in plain.splitlines() if line.startswith("Bcc")]


@given(st.text(max_size=3000))
def test_what_is_tamed_is_one_short_printable_line(text: str) -> None:
    """Whatever a text holds, it is printable, no longer than allowed, and unchanged if it was that before."""
    found = tame(text, LONGEST_SUBJECT)
    assert (found.isprintable(), len(found) <= LONGEST_SUBJECT) == (True, True)
    assert found == text or not text.isprintable() or len(text) > LONGEST_SUBJECT


@given(st.text(max_size=50), st.lists(st.text(max_size=50), max_size=3), st.sampled_from(Tone))
def test_a_message_that_waits_comes_back(subject: str, paragraphs: list[str], tone: Tone) -> None:
    """What is kept until it is delivered is the message that was written."""
    import json

    message = Message(subject, paragraphs, [("a", subject)], tone, page="<p>", page_name="x.html")
    assert Message.from_json(json.loads(json.dumps(message.as_json()))) == message


# --- Slack and Teams -------------------------------------------------------------------------------------------------

HOOKS = {"slack": "Slack", "teams": "Microsoft Teams"}


def hooked(folder: Path, name: str, url: str) -> Settings:
    return settings_with(folder, f'[{name}]\nwebhook = "env:HOOK"\n', HOOK=url)


def test_slack_gets_plain_text(tmp_path: Path) -> None:
    """Blocks of plain text, in which no name is formatted, and a fallback in which none is a link or a mention."""
    with loopback() as slack:
        send(hooked(tmp_path, "slack", slack.url(SECRET)), "slack", Message("<!channel> & *x*", ["<b>"], [("a", "b")]))
    (asked,) = slack.asked
    assert asked.path == SECRET
    assert asked.body["text"] == "&lt;!channel&gt; &amp; *x*"
    header, section = asked.body["attachments"][0]["blocks"]
    assert (header["text"], section["text"]) == (
        {"type": "plain_text", "text": "<!channel> & *x*", "emoji": False},
        {"type": "plain_text", "text": "<b>\na: b", "emoji": False},
    )


def test_teams_gets_an_adaptive_card(tmp_path: Path) -> None:
    """One card, in which Markdown of a name is text."""
    with loopback() as teams:
        send(
            hooked(tmp_path, "teams", teams.url("/workflows/1?sig=s")),
            "teams",
            Message("A [x](http://e)", [], [("a", "*b*")]),
        )
    (asked,) = teams.asked
    assert (asked.path, asked.body["type"]) == ("/workflows/1?sig=s", "message")
    attachment = asked.body["attachments"][0]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    title, facts = attachment["content"]["body"]
    assert title["text"] == "A \\[x\\]\\(http://e\\)"
    assert facts == {"type": "FactSet", "facts": [{"title": "a", "value": "\\*b\\*"}]}


@pytest.mark.parametrize("name", HOOKS)
@pytest.mark.parametrize(
    ("answer", "message", "again"),
    [
        ((429, {"Retry-After": "7"}, "slow down"), "answered 429: slow down.", (True, 7.0)),
        ((429, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, ""), "answered 429: nothing more.", (True, 0.0)),
        ((500, {}, "oops\r\nInjected: x"), "answered 500: oops Injected: x.", (True, 0.0)),
        ((404, {}, "no_service"), "answered 404: no_service.", (False, 0.0)),
        ((302, {"Location": "http://127.0.0.1:1/"}, ""), "answered 302: nothing more.", (False, 0.0)),
    ],
)
def test_a_hook_that_does_not_take_it(
    name: str, answer: tuple[int, dict[str, str], str], message: str, again: tuple[bool, float], tmp_path: Path
) -> None:
    """The service's words, whether and when to try again; no redirect is followed, and the address is not told."""
    with loopback() as service:
        service.always = answer
        with pytest.raises(DeliveryFailed) as caught:
            send(hooked(tmp_path, name, service.url(SECRET)), name)
    error = caught.value
    assert (error.message, (error.retryable, error.after_s)) == (f"{HOOKS[name]} {message}", again)
    assert "secret" not in f"{error} {error.__cause__} {error.__context__}"


@pytest.mark.parametrize("name", HOOKS)
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://hooks.example.com/secret", "{name}.webhook leads to no address of a webhook."),
        ("secret", "{name}.webhook leads to no address of a webhook."),
        ("http://127.0.0.1:1/secret", "{service} at 127.0.0.1 cannot be reached: Connection refused."),
        ("http://127.0.0.1:port/secret", "{name}.webhook leads to no address of a webhook."),
        ("http://127.0.0.1:80/sec ret", "{name}.webhook leads to no address of a webhook."),
    ],
)
def test_an_address_that_is_none(name: str, url: str, message: str, tmp_path: Path) -> None:
    """Plain HTTP to elsewhere, nonsense, and an address where nobody is: refused or told, and never quoted."""
    with pytest.raises(NbvaultError) as caught:
        send(hooked(tmp_path, name, url), name)
    assert caught.value.message == message.format(name=name, service=HOOKS[name])
    assert "secret" not in str(caught.value)


def test_the_certificate_of_a_hook_is_verified(tmp_path: Path) -> None:
    """A server with a certificate that nobody trusts gets nothing."""
    certificate = make_certificate(tmp_path)
    with mail_server(certificate=certificate) as tls:
        settings = hooked(tmp_path, "slack", f"https://127.0.0.1:{tls.port}{SECRET}")
        with pytest.raises(DeliveryFailed, match="The certificate of Slack is not trusted"):
            send(settings, "slack")


def bot(folder: Path, slack: Loopback) -> Settings:
    text = f'[slack]\ntoken = "env:BOT"\nchannel = "C1"\napi = "{slack.url("/api")}"\n'
    return settings_with(folder, text, BOT="xoxb-secret")


def test_one_line_in_slack_is_changed(tmp_path: Path) -> None:
    """The first text is posted, and what follows changes that very message."""
    with loopback() as slack:
        slack.answers = [(200, {}, '{"ok": true, "channel": "C9", "ts": "12.5"}')]
        slack.always = (200, {}, '{"ok": true}')
        line = slack_line_of(bot(tmp_path, slack))
        assert line is not None
        line.show("one <x>")
        line.show("two")
    assert [(each.path, each.body) for each in slack.asked] == [
        ("/api/chat.postMessage", {"channel": "C1", "text": "one &lt;x&gt;"}),
        ("/api/chat.update", {"channel": "C9", "ts": "12.5", "text": "two"}),
    ]
    assert {each.headers["Authorization"] for each in slack.asked} == {"Bearer xoxb-secret"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"ok": false, "error": "invalid_auth"}', "Slack refuses chat.postMessage: invalid_auth."),
        ("<html>", "Slack's answer is none of its API."),
    ],
)
def test_a_line_that_slack_refuses(body: str, message: str, tmp_path: Path) -> None:
    """Slack says no with a 200; the token is not told."""
    with loopback() as slack:
        slack.always = (200, {}, body)
        line = slack_line_of(bot(tmp_path, slack))
        assert line is not None
        with pytest.raises(DeliveryFailed) as caught:
            line.show("one")
    assert (caught.value.message, "xoxb" in str(caught.value)) == (message, False)


NO_MAILBOXES = ("a..b@x.y", ".a@x.y", "a@x..y", "[a]@b.c", "x;y@b.c", "a:b@c.d", "ü@b.c", "a(b)@c.d", "a@geheim..de")


# --- the settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[alerts]\ncritical = ["emial"]', "alerts.critical in {f} must name channels; did you mean email?"),
        ('[alerts]\noff = ["throtled"]', "alerts.off in {f} must name rules of alerts; did you mean throttled?"),
        ('[alerts]\nlow = ["https://hooks/geheim"]', "alerts.low in {f} must name channels: email, slack, teams."),
        ("[alerts]\nrepeat_h = 1", "alerts.repeat_h in {f} must be greater than or equal to 24."),
        ("[alerts]\ncomplte_h = 1", "alerts.complte_h in {f} is no setting; did you mean alerts.complete_h?"),
        (
            '[email]\nhost = "smtp.example.com"',
            "email in {f} must have both a host and somebody to write to, or neither.",
        ),
        ('[email]\nhost = "smtp://x"', "email.host in {f} must be the name of a mail server, without a scheme"),
        ('[email]\nto = ["no"]', "email.to in {f} must be an e-mail address, such as backup@example.com."),
        ('[email]\nsender = "a@b\\nBcc: c@d"', "email.sender in {f} must be an e-mail address"),
        *((f'[email]\nsender = "{each}"', "email.sender in {f} must be an e-mail address") for each in NO_MAILBOXES),
        *((f'[email]\nto = ["{each}"]', "email.to in {f} must be an e-mail address") for each in (*NO_MAILBOXES, "")),
        (
            '[email]\nhost = "smtp.example.com"\nto = ["a@b"]\nsecurity = "none"',
            'email in {f} must not have security = "none": that is only for a mail server on this machine itself.',
        ),
        ('[slack]\nwebhook = "https://hooks.slack.com/services/geheim"', "slack.webhook in {f} must be a reference"),
        ('[slack]\ntoken = "env:T"', "slack in {f} must have both a token and a channel, or neither."),
        ('[slack]\napi = "http://slack.com/api"', "slack.api in {f} must be an address that begins with https://."),
    ],
)
def test_wrong_settings_are_refused(text: str, told: str, tmp_path: Path) -> None:
    """Misspelt rules, channels and keys name the nearest; no value that might be a secret is quoted; exit 7."""
    with pytest.raises(ConfigurationError) as caught:
        settings_with(tmp_path, text)
    assert told.format(f=tmp_path / "nbvault.toml") in caught.value.message
    assert "geheim" not in caught.value.message
    assert caught.value.exit_code == 7


def test_secrets_of_channels_do_not_reach_git(tmp_path: Path) -> None:
    """The variables that hold them are not in the environment of other processes, however they are called."""
    text = '[email]\nhost="localhost"\nto=["a@b"]\nuser="u"\npassword="env:LC_PW"\n[slack]\nwebhook="env:XDG_HOOK"\n'
    settings = settings_with(tmp_path, text, LC_PW="a", XDG_HOOK="b", LC_ALL="C")
    assert settings.process_environment == {"LC_ALL": "C"}
