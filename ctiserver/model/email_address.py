"""Whether a text is one e-mail address, by the rules of email-validator and without asking DNS."""

from __future__ import annotations

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

#: Of an address, by RFC 5321; a longer one is not even looked at.
LONGEST = 254
#: The library refuses these as no mail leaves the house by them, and mail of the house's own does not have to. Its
#: documentation says to take them out of its list.
for _name in ("local", "localhost"):
    if _name in SPECIAL_USE_DOMAIN_NAMES:
        SPECIAL_USE_DOMAIN_NAMES.remove(_name)


class NoEmailAddress(ValueError):
    """This is not one e-mail address; the message says why."""


def normal(text: str) -> str:
    """The address as mail servers take it: one recipient, ASCII, its domain in lower case.

    Raises NoEmailAddress for anything else, whatever it holds: two addresses, a name beside it, a full stop at its end.
    """
    text = text.strip()
    if len(text) > LONGEST:
        raise NoEmailAddress(f"an e-mail address has at most {LONGEST} characters")
    try:
        found = validate_email(
            text,
            check_deliverability=False,
            allow_smtputf8=False,
            allow_quoted_local=False,
            allow_domain_literal=False,
            allow_display_name=False,
            globally_deliverable=False,  # a site's own mail server may be called mail.local
        )
    except EmailNotValidError as error:
        raise NoEmailAddress(str(error)) from None
    except (ValueError, IndexError, UnicodeError) as error:  # of texts that the library did not think of
        raise NoEmailAddress("this is not an e-mail address") from error
    if found.ascii_email is None:
        raise NoEmailAddress("write the part before the @ in ASCII")
    return found.ascii_email
