"""Mails as their recipients get them."""

import email.policy
from email import message_from_bytes

import vobject

from bookings.outbox import Mail
from bookings.services.messages import compose_mail


def written(mail=None):
    """The subject, text and HTML of a mail, by default of the only one, after a journey over the wire."""
    received = over_the_wire(mail)
    text, html = (received.get_body((kind,)) for kind in ("plain", "html"))
    # A long subject in other letters begins on a line of its own.
    return received["Subject"].strip(), text.get_content(), html.get_content()


def over_the_wire(mail=None):
    sent = compose_mail(mail or Mail.objects.get())
    return message_from_bytes(sent.message().as_bytes(linesep="\r\n"), policy=email.policy.default)


def files(mail=None):
    """The attached files by the type of their content."""
    return {part.get_content_type(): part for part in over_the_wire(mail).iter_attachments()}


def calendar_of(part):
    return vobject.readOne(part.get_payload(decode=True).decode())
