"""One transaction, and the repositories that work inside it."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from ctiserver.store.repositories.audit import AuditLog
from ctiserver.store.repositories.call_log import CallLog
from ctiserver.store.repositories.care_subjects import CareSubjects
from ctiserver.store.repositories.catching_up import CatchingUp
from ctiserver.store.repositories.contacts import Contacts
from ctiserver.store.repositories.flow_states import FlowStates
from ctiserver.store.repositories.goods import Expenses, Settlements, Stock
from ctiserver.store.repositories.messages import Messages
from ctiserver.store.repositories.missed import MissedCalls
from ctiserver.store.repositories.outbound_calls import OutboundCalls, RaisedRecords
from ctiserver.store.repositories.outbox import Outbox
from ctiserver.store.repositories.people import Agents, Sessions, Users, WrapUps
from ctiserver.store.repositories.photos import Photos
from ctiserver.store.repositories.pops import Pops
from ctiserver.store.repositories.processes import Executors, Processes, Timers
from ctiserver.store.repositories.recordings import Recordings
from ctiserver.store.repositories.records import Records
from ctiserver.store.repositories.requests import Requests
from ctiserver.store.repositories.set_aside import SetAsideWork
from ctiserver.store.repositories.work_orders import WorkOrders


class UnitOfWork:
    """What one use case reads and writes together. Made by :class:`~ctiserver.store.database.Database`.

    ``get`` reads a row or raises NotFound; in a writing unit ``lock`` reads it and keeps others from changing it until
    the end, so that what follows need not fear a Conflict. ``update`` checks the revision that the item was read with.
    """

    def __init__(self, connection: AsyncConnection, followed: frozenset[str] = frozenset()) -> None:
        self.is_open = True
        self.outbox = Outbox(connection)
        self.users = Users(connection)
        self.sessions = Sessions(connection)
        self.agents = Agents(connection)
        self.wrap_ups = WrapUps(connection)
        self.contacts = Contacts(connection)
        self.calls = CallLog(connection)
        self.catching_up = CatchingUp(connection)
        self.flow_states = FlowStates(connection)
        self.photos = Photos(connection)
        self.pops = Pops(connection)
        self.records = Records(connection, self.outbox, followed)
        self.recordings = Recordings(connection)
        self.requests = Requests(connection)
        self.processes = Processes(connection)
        self.work_orders = WorkOrders(connection)
        self.timers = Timers(connection)
        self.executors = Executors(connection)
        self.outbound_calls = OutboundCalls(connection)
        self.care_subjects = CareSubjects(connection)
        self.raised_records = RaisedRecords(connection)
        self.stock = Stock(connection)
        self.expenses = Expenses(connection)
        self.settlements = Settlements(connection)
        self.messages = Messages(connection)
        self.audit = AuditLog(connection)
        self.missed_calls = MissedCalls(connection)
        self.set_aside = SetAsideWork(connection)
