"""E-mail over SMTP: TLS from the start, or STARTTLS, which is never passed over; text and HTML."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid

from nbvault.clock import Clock
from nbvault.errors import ConfigurationError
from nbvault.notify.errors import DeliveryFailed
from nbvault.notify.message import Message
from nbvault.notify.poster import trust
from nbvault.settings import EmailSection, MailSecurity

_HOST_HINT = "Check email.host, email.port and email.security, the network and firewalls."
_SETTINGS_HINT = "Check email.host, email.sender, email.to and email.changes_to."


class EmailChannel:
    """Writes to everybody in ``email.to``, in one message."""

    def __init__(self, section: EmailSection, *, clock: Clock, ca_file: str = "", timeout_s: float = 10.0) -> None:
        self._section = section
        self._clock = clock
        self._ca_file = ca_file
        self._timeout_s = timeout_s

    def send(self, message: Message) -> str:
        """Deliver it once; returns what the server took, in words.

        Raises:
            DeliveryFailed: it was not taken by the server, or not for everybody.
            NbvaultError: the settings or the secret are not in order.
        """
        with self._in_our_words():
            mail = self._composed(message)
        with self._connected() as server, self._in_our_words():
            refused = server.send_message(mail)
        if refused:
            told = f"{self._server} did not take mail for {', '.join(sorted(refused))}; the others have it."
            raise DeliveryFailed(told, hint="Check email.to and email.changes_to.", partly=True)
        return f"{self._server} took it for {len(self._section.to)} people"

    def look(self) -> str:
        """Connect and sign in, and send nothing; returns what there is to say of it.

        Raises:
            NbvaultError: as `send`.
        """
        with self._connected() as server, self._in_our_words():
            server.noop()
        how = {MailSecurity.STARTTLS: "by STARTTLS", MailSecurity.TLS: "over TLS", MailSecurity.NONE: "in clear text"}
        who = f", as {self._section.user}" if self._section.user else ""
        return f"{self._server} answers {how[self._section.security]}{who}"

    @property
    def _server(self) -> str:
        return f"{self._section.host}:{self._section.port}"

    def _composed(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = f"[nbvault] {message.subject}"
        mail["From"] = Address("nbvault", addr_spec=self._sender)
        mail["To"] = ", ".join(self._section.to)
        mail["Date"] = format_datetime(self._clock.now())
        mail["Message-ID"] = make_msgid(domain=self._sender.rpartition("@")[2])
        # Nobody's holiday reply is wanted.
        mail["Auto-Submitted"] = "auto-generated"
        # A name may hold a lone surrogate, which UTF-8 cannot.
        mail.set_content(_encodable(message.text()))
        mail.add_alternative(_encodable(message.html()), subtype="html")
        if message.page:
            mail.add_attachment(_encodable(message.page), subtype="html", filename=message.page_name)
        return mail

    @property
    def _sender(self) -> str:
        return self._section.sender or self._section.to[0]

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        section = self._section
        password = section.password.reveal() if section.password else ""
        with self._in_our_words():
            server = self._opened()
        try:
            with self._in_our_words():
                if section.security is MailSecurity.STARTTLS:
                    server.starttls(context=trust(self._ca_file))
                if section.user:
                    self._sign_in(server, section.user, password)
            yield server
        finally:
            with suppress(smtplib.SMTPException, OSError):
                server.quit()

    def _opened(self) -> smtplib.SMTP:
        host, port, timeout_s = self._section.host, self._section.port, self._timeout_s
        if self._section.security is MailSecurity.TLS:
            return smtplib.SMTP_SSL(host, port, timeout=timeout_s, context=trust(self._ca_file))
        return smtplib.SMTP(host, port, timeout=timeout_s)

    def _sign_in(self, server: smtplib.SMTP, user: str, password: str) -> None:
        try:
            server.login(user, password)
        except UnicodeError:
            # Not "from": the cause holds what could not be encoded.
            told = f"{self._server} cannot be told user and password: one of them has a character that is not ASCII."
            raise DeliveryFailed(told, hint="Check email.user and email.password.") from None

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except smtplib.SMTPAuthenticationError as error:
            told = f"{self._server} refused user and password ({error.smtp_code})."
            raise DeliveryFailed(told, hint="Check email.user and email.password.") from None
        except smtplib.SMTPNotSupportedError as error:
            told = f"{self._server} cannot do what the settings ask for: {error}"
            raise DeliveryFailed(told, hint="Check email.security and email.user.") from None
        except smtplib.SMTPRecipientsRefused as error:
            code = max(found[0] for found in error.recipients.values())
            told = f"{self._server} takes mail for nobody in email.to ({code})."
            raise DeliveryFailed(told, hint="Check email.to.", retryable=code < 500) from None
        except smtplib.SMTPResponseException as error:
            said = bytes(error.smtp_error).decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else ""
            told = f"{self._server} answered {error.smtp_code}: {said[:200]}"
            raise DeliveryFailed(told, hint=_HOST_HINT, retryable=error.smtp_code < 500) from None
        except (smtplib.SMTPException, OSError) as error:
            raise self._unreachable(error) from None
        except (MessageError, ValueError, LookupError) as error:
            # Only the kind: an address may hold anything.
            told = f"The settings make no mail that {self._server} could take ({type(error).__name__})."
            raise DeliveryFailed(told, hint=_SETTINGS_HINT) from None

    def _unreachable(self, error: Exception) -> DeliveryFailed | ConfigurationError:
        words = getattr(error, "strerror", "") or str(error) or type(error).__name__
        if "certificate verify failed" in str(error).lower():
            hint = "If a private authority signs certificates here, name it as network.ca_file."
            return DeliveryFailed(f"The certificate of {self._server} is not trusted.", hint=hint)
        return DeliveryFailed(f"No mail can be sent by {self._server}: {words}.", hint=_HOST_HINT, retryable=True)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
