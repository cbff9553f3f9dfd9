"""The tables, a module a subject. A change here comes with a migration; a test compares the two.

Names of columns are the names of the fields in ``ctiserver.model``. Ids are ULIDs unless said otherwise. A ``call_id``
has no foreign key: AGI may open a record before AMI has told of the call, and either may be lost to a restart.
"""

from ctiserver.store.tables.audit import audit
from ctiserver.store.tables.calls import call_path, calls, flow_states, pops
from ctiserver.store.tables.catching_up import journal_entries, watches
from ctiserver.store.tables.contacts import contact_numbers, contact_search, contacts, devices, sites
from ctiserver.store.tables.goods import (
    expense_lines,
    settlements,
    stock_levels,
    stock_moves,
    stock_reservations,
)
from ctiserver.store.tables.messages import messages, opt_outs
from ctiserver.store.tables.missed import missed_calls
from ctiserver.store.tables.outbound import outbound_calls, raised_records
from ctiserver.store.tables.outbox import outbox
from ctiserver.store.tables.people import agents, sessions, users, wrap_ups
from ctiserver.store.tables.photos import photos
from ctiserver.store.tables.recordings import recordings
from ctiserver.store.tables.records import counters, record_calls, record_timeline, records
from ctiserver.store.tables.requests import requests
from ctiserver.store.tables.set_aside import set_aside
from ctiserver.store.tables.work import executors, process_events, processes, timers, work_orders
from ctiserver.store.tables.written import metadata

__all__ = [
    "agents",
    "audit",
    "call_path",
    "calls",
    "contact_numbers",
    "contact_search",
    "contacts",
    "counters",
    "devices",
    "executors",
    "expense_lines",
    "flow_states",
    "journal_entries",
    "messages",
    "metadata",
    "missed_calls",
    "opt_outs",
    "outbound_calls",
    "outbox",
    "photos",
    "pops",
    "process_events",
    "processes",
    "raised_records",
    "record_calls",
    "record_timeline",
    "recordings",
    "records",
    "requests",
    "sessions",
    "set_aside",
    "settlements",
    "sites",
    "stock_levels",
    "stock_moves",
    "stock_reservations",
    "timers",
    "users",
    "watches",
    "work_orders",
    "wrap_ups",
]
