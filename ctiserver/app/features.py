"""Every feature in the order in which they are built. A new one is a folder in ``features/`` and two lines here."""

from __future__ import annotations

from functools import partial

from ctiserver.feature import FeatureContext
from ctiserver.features.agents import feature as agents
from ctiserver.features.audit import feature as audit
from ctiserver.features.callbacks import feature as callbacks
from ctiserver.features.calls import feature as calls
from ctiserver.features.chain import feature as chain
from ctiserver.features.contacts import feature as contacts
from ctiserver.features.dispatch import feature as dispatch
from ctiserver.features.expenses import feature as expenses
from ctiserver.features.followups import feature as followups
from ctiserver.features.messages import feature as messages
from ctiserver.features.missed import feature as missed
from ctiserver.features.photos import feature as photos
from ctiserver.features.queues import feature as queues
from ctiserver.features.recordings import feature as recordings
from ctiserver.features.records import feature as records
from ctiserver.features.screenpop import feature as screenpop
from ctiserver.features.set_aside import feature as set_aside
from ctiserver.features.stock import feature as stock
from ctiserver.features.telephony import feature as telephony
from ctiserver.features.users import feature as users
from ctiserver.features.wallboard import feature as wallboard


class Features:
    """Every feature's use cases, and ``contributions``: what each adds to the server, in the order of their start.

    Features don't know each other: each is handed functions of those that were built before it.
    """

    def __init__(self, context: FeatureContext) -> None:
        agent = agents.build(context)
        self.agents = agent.service
        user = users.build(context, users.Needs(account_added=self.agents.load))
        self.users, self.sessions = user.service, user.sessions
        contact = contacts.build(context)
        self.contacts, self.lookups, self.dialling = contact.service, contact.lookups, contact.dialling
        record = records.build(
            context,
            records.Needs(agents=self.agents.everybody, contacts_of=self.contacts.find_or_create_within),
        )
        self.records, self.call_records = record.service, record.of_calls
        pop = screenpop.build(context, screenpop.Needs(agent_at=self.agents.agent_at))
        self.pops = pop.service
        phone = telephony.build(
            context,
            telephony.Needs(
                agents=self.agents.everybody, queues_for=self.agents.queues_for, unwanted=self.contacts.unwanted
            ),
        )
        self.telephony, self.lines = phone.service, phone.lines
        callback = callbacks.build(
            context,
            callbacks.Needs(record_of_call=self.call_records.for_call, record_changed=self.records.tell),
        )
        self.callbacks, self.promises = callback.service, callback.promises
        miss = missed.build(
            context,
            missed.Needs(
                open_record=self.call_records.open,
                promise_callback=self.callbacks.promise_for_missed,
                record_changed=self.records.tell,
            ),
        )
        self.missed = miss.service
        call = calls.build(
            context,
            calls.Needs(
                at_phone=(self.telephony.call_id, self.pops.talking_in),
                open_record=self.call_records.open,
                record_changed=self.records.tell,
                got_through=self.callbacks.got_through,
                known_later=(self.records.told, self.missed.ended),
            ),
        )
        self.calls, self.catching_up, self.paths = call.service, call.catching_up, call.paths
        recording = recordings.build(context, recordings.Needs(may_reach_call=call.may_reach))
        self.recordings = recording.service
        queue = queues.build(context)
        self.queues = queue.service
        acts = wallboard.AgentActs(
            everybody=self.agents.everybody,
            log_in=self.agents.log_in,
            log_out=self.agents.log_out,
            pause=self.agents.pause,
            ready=self.agents.ready,
            pbx_of=self.agents.pbx_of,
        )
        board = wallboard.build(context, wallboard.Needs(agents=acts, logged=self.calls.caught_up))
        self.board = board.service
        order = dispatch.build(
            context,
            dispatch.Needs(record_changed=record.publish, callback_orders_changed=self.callbacks.orders_changed),
        )
        self.dispatch, self.placing, self.orders_changed = order.service, order.placing, order.orders_changed
        followup = followups.build(
            context, followups.Needs(record_changed=record.publish, orders_changed=self.orders_changed)
        )
        self.followups, self.care = followup.service, followup.care
        photo = photos.build(
            context, photos.Needs(may_reach_record=record.may_reach, orders_changed=self.orders_changed)
        )
        message = messages.build(context)
        self.messages = message.service
        part = stock.build(context)
        self.stock = part.service
        expense = expenses.build(context, expenses.Needs(issue_part=partial(self.stock.move_within, kind="issue")))
        self.aside = context.aside
        self.contributions = (
            *(user, set_aside.build(context), audit.build(context), miss, board, agent, queue, call, phone),
            *(callback, recording, contact, record, pop, part, expense, message, chain.build(context)),
            *(order, photo, followup),
        )
