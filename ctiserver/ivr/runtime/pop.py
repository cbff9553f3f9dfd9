"""What a phone is told of the caller on its own INVITE, for those who have no console before them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ctiserver.model.expression.expression import Value
from ctiserver.model.ids import CallId

#: Letters of any script, digits, blanks and a little more: nothing that means anything to a dialplan or in SIP.
_ODD = re.compile(r"[^\w .·-]+")
_LONGEST = 80


def pop_header(facts: Mapping[str, Value], call: CallId, console: str) -> str:
    """``address|name|tier|call`` as ``[cti-pop]`` of the dialplan reads it.

    The address is that of the call's record on the desk of the console at ``console``, else of the desk itself.
    """
    record, contact = facts.get("record"), facts.get("contact")
    key = str(record.get("id", "")) if isinstance(record, Mapping) else ""
    known = contact if isinstance(contact, Mapping) else {}
    address = f"{console}/#/desk/{key}" if key.isalnum() else f"{console}/#/desk"
    return "|".join((address, _plain(known.get("name")), _plain(known.get("tier")), call))


def _plain(value: Value) -> str:
    return " ".join(_ODD.sub(" ", str(value or "")).split())[:_LONGEST]
