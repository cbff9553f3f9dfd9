"""Every feature, built on one ground. A new feature is a folder in ``features/`` and a few lines in :func:`build`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from ctiserver.bus import Bus
from ctiserver.clock import Clock
from ctiserver.features.agents import push as agents_push
from ctiserver.features.agents.http import AgentsHttp
from ctiserver.features.agents.service import Agents
from ctiserver.features.audit.http import routes as audit_routes
from ctiserver.features.callbacks.service import Callbacks
from ctiserver.features.calls.catching_up import CatchingUp
from ctiserver.features.calls.http import CallsHttp
from ctiserver.features.calls.service import CallLogService
from ctiserver.features.chain.http import ChainHttp
from ctiserver.features.chain.service import Chains
from ctiserver.features.contacts.http import ContactsHttp
from ctiserver.features.contacts.service import Contacts
from ctiserver.features.dispatch import push as dispatch_push
from ctiserver.features.dispatch.day import Days
from ctiserver.features.dispatch.day_http import DayHttp
from ctiserver.features.dispatch.http import DispatchHttp
from ctiserver.features.dispatch.placing import Placing
from ctiserver.features.dispatch.service import Dispatch
from ctiserver.features.expenses.http import ExpensesHttp
from ctiserver.features.expenses.service import Money
from ctiserver.features.followups.care import Care
from ctiserver.features.followups.service import FollowUps
from ctiserver.features.messages.carriers import carriers
from ctiserver.features.messages.http import MessagesHttp
from ctiserver.features.messages.service import Messages
from ctiserver.features.missed import push as missed_push
from ctiserver.features.missed.http import routes as missed_routes
from ctiserver.features.missed.service import Missed
from ctiserver.features.photos.http import PhotosHttp
from ctiserver.features.photos.service import Photos
from ctiserver.features.queues import push as queues_push
from ctiserver.features.queues.http import QueuesHttp
from ctiserver.features.queues.service import Queues
from ctiserver.features.recordings.http import RecordingsHttp
from ctiserver.features.recordings.service import Recordings, folders
from ctiserver.features.records import push as records_push
from ctiserver.features.records.http import RecordsHttp
from ctiserver.features.records.reports import Reports
from ctiserver.features.records.service import Records
from ctiserver.features.screenpop import push as pop_push
from ctiserver.features.screenpop.http import ScreenPopHttp
from ctiserver.features.screenpop.service import ScreenPops
from ctiserver.features.set_aside.http import SetAsideHttp
from ctiserver.features.stock.http import StockHttp
from ctiserver.features.stock.service import StockKeeping
from ctiserver.features.telephony import push as telephony_push
from ctiserver.features.telephony.http import TelephonyHttp
from ctiserver.features.telephony.lines import Lines
from ctiserver.features.telephony.lost import LostTalks
from ctiserver.features.telephony.outgoing import Outgoing
from ctiserver.features.telephony.phones import Phones
from ctiserver.features.telephony.service import Telephony
from ctiserver.features.users.http import may_reach as users_may_reach
from ctiserver.features.users.http import routes as user_routes
from ctiserver.features.users.passwords import Passwords
from ctiserver.features.users.service import Users
from ctiserver.features.wallboard import push as board_push
from ctiserver.features.wallboard.board import Board
from ctiserver.features.wallboard.http import WallboardHttp
from ctiserver.features.wallboard.steering import AgentActs, Steering
from ctiserver.model.call_entry import CallEntry
from ctiserver.model.events import CallKnownLater, CallSummary
from ctiserver.model.ids import AgentId, CallId, PbxName
from ctiserver.model.record import Record
from ctiserver.model.span import WorkingTime
from ctiserver.model.work_order import WorkOrder
from ctiserver.pbx.port import Pbx
from ctiserver.settings import Settings
from ctiserver.site import Site
from ctiserver.store.database import Database
from ctiserver.store.setting_aside import SettingAside
from ctiserver.store.unit_of_work import UnitOfWork
from ctiserver.web.access import Rule
from ctiserver.web.hub import Hub, Topic
from ctiserver.web.routes import Route
from ctiserver.web.sessions import Sessions, SessionTimes

Service = Callable[[], Awaitable[None]]


def _no_signs(_: PbxName) -> Collection[str]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What features stand on: the real thing in a server, parts of it played in tests."""

    settings: Settings
    site: Site
    clock: Clock
    bus: Bus
    database: Database
    hub: Hub
    pbxs: Mapping[PbxName, Pbx]  #: in the order of ctiserver.yaml; the first is that of agents who name none
    going_on: Callable[[PbxName], Collection[CallId]]  #: the calls that a PBX, whose link is up, has now
    closed: Callable[[str, datetime], bool]  #: whether the calendar of this name is closed then
    hours: Callable[[], WorkingTime]  #: the calendars as they are now
    signs: Callable[[PbxName], Collection[str]] = _no_signs  #: a PBX's secret systemnames, the present one first
    passwords: Passwords | None = None  #: None: as strong as they come

    @property
    def main(self) -> PbxName:
        return next(iter(self.pbxs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one feature adds to the server."""

    routes: Sequence[Route] = ()
    topics: Sequence[Topic] = ()
    rules: Mapping[str, Rule] = field(default_factory=dict)  #: who may reach what a path parameter names
    services: Mapping[str, Service] = field(default_factory=dict)
    """Run for as long as the server does. Those that listen to the bus end by themselves, once they have dealt with all
    that was heard."""
    clockwork: Mapping[str, Service] = field(default_factory=dict)  #: likewise, but stopped at the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Every feature's use cases, and what each adds to the server."""

    users: Users
    sessions: Sessions
    agents: Agents
    contacts: Contacts
    records: Records
    pops: ScreenPops
    calls: CallLogService
    catching_up: CatchingUp
    recordings: Recordings
    callbacks: Callbacks
    queues: Queues
    board: Board
    missed: Missed
    dispatch: Dispatch
    placing: Placing
    followups: FollowUps
    care: Care
    telephony: Telephony
    lines: Lines
    messages: Messages
    stock: StockKeeping
    aside: SettingAside
    orders_changed: Callable[[Record, list[WorkOrder]], None]
    parts: Sequence[Part]


def build(ground: Ground) -> Features:
    """Build and join them. Features don't know each other: where one needs another, it is handed a function here."""
    settings, site, clock, bus, database, hub = (
        ground.settings,
        ground.site,
        ground.clock,
        ground.bus,
        ground.database,
        ground.hub,
    )
    aside = SettingAside(database, clock)
    users = Users(
        database,
        clock,
        ground.passwords,
        pbxs=tuple(ground.pbxs),
        calendars=lambda: ground.hours().calendars,
    )
    sessions = Sessions(
        users.session_store(),
        clock,
        secure=settings.web.public_url.startswith("https:"),
        times=SessionTimes(lifetime=timedelta(hours=settings.web.session_hours)),
    )
    agents = Agents(
        database,
        bus,
        clock,
        site,
        pbxs=ground.pbxs,
        changed=lambda presence: agents_push.publish(hub, agents, presence),
    )
    contacts = Contacts(database, clock, region=settings.region)
    contacts_http = ContactsHttp(database, contacts)

    def record_changed(record: Record) -> None:
        records_push.publish(hub, record.id, record.revision)
        if record.repeat_call_at is not None and record.repeat_call_at == record.updated_at:
            owner = next((agent.user_id for agent, _ in agents.everybody() if agent.id == record.owner), None)
            records_push.publish_repeat_call(hub, record, owner)

    records = Records(
        database,
        bus,
        clock,
        site,
        time_zone=settings.time_zone,
        changed=record_changed,
        first_pbx=ground.main,
    )
    reports = Reports(database, clock, site, records=records, contacts_of=contacts.find_or_create_within)
    records_http = RecordsHttp(database, records, reports, site)
    pops = ScreenPops(
        database,
        bus,
        clock,
        region=settings.region,
        agent_at=agents.agent_at,
        changed=lambda agent_id, shown: pop_push.publish(hub, agent_id, shown),
    )
    pops_http = ScreenPopHttp(pops)

    async def open_message_record(uow: UnitOfWork, call: CallEntry, *, owner: AgentId | None) -> Record:
        people = await contacts.find_or_create_within(uow, call.ani)
        opened = await records.open_within(
            uow,
            site.message_type,
            actor=f"call:{call.id}",
            call_id=call.id,
            contact_id=people[0].id if len(people) == 1 else None,
            caller_number=call.ani,
            owner=owner,
        )
        return opened.record

    async def told(summary: CallSummary) -> None:
        await records.told(summary)
        await missed.ended(summary)  # which is built further down
        bus.publish(CallKnownLater(pbx=summary.pbx, at=clock.now(), call_id=summary.call_id))

    queue_logs = {PbxName(name): pbx.queue_log for name, pbx in settings.pbxs.items() if pbx.queue_log is not None}
    callbacks = Callbacks(database, bus, clock, site, pbxs=ground.pbxs, region=settings.region)
    catching_up = CatchingUp(
        database,
        clock,
        pbxs=ground.pbxs,
        queue_logs=queue_logs,
        signs=ground.signs,
        going_on=ground.going_on,
        open_record=open_message_record,
        got_through=callbacks.got_through,
        changed=records.tell,
        told=told,
        first_pbx=ground.main,
        aside=aside,
    )
    calls = CallLogService(
        database,
        bus,
        clock,
        going_on=ground.going_on,
        first_pbx=ground.main,
        up=lambda: [name for name, pbx in ground.pbxs.items() if pbx.up],
        unseen=catching_up.wake,
        settled=catching_up.settled,
    )

    def at_phone(agent_id: AgentId) -> CallId | None:
        return telephony.call_id(agent_id) or pops.talking_in(agent_id)  # telephony is built further down

    calls_http = CallsHttp(database, calls, at_phone=at_phone)
    recordings = Recordings(
        database,
        bus,
        clock,
        pbxs=ground.pbxs,
        folders=folders({name: pbx.recordings_dir for name, pbx in settings.pbxs.items()}),
        kept=timedelta(days=settings.recordings.retention_days),
        going_on=ground.going_on,
        aside=aside,
    )
    recordings_http = RecordingsHttp(recordings, clock, may_reach_call=calls_http.may_reach)
    queues = Queues(
        bus,
        clock,
        site,
        pbxs=ground.pbxs,
        closed=ground.closed,
        changed=lambda state: queues_push.publish(hub, state),
    )

    def orders_changed(record: Record, orders: list[WorkOrder]) -> None:
        records_push.publish(hub, record.id)
        dispatch_push.publish(hub, orders)
        callbacks.orders_changed(orders)

    dispatch = Dispatch(database, clock, changed=orders_changed)
    placing = Placing(database, clock, ground.hours, changed=orders_changed)
    dispatch_http = DispatchHttp(dispatch, placing, database, site)
    day_http = DayHttp(Days(database, clock, settings.field, ground.hours), placing, database)
    photos = Photos(database, clock, settings.data_dir / "photos", changed=orders_changed)
    photos_http = PhotosHttp(photos, may_reach_record=records_http.may_reach)
    care = Care(
        database,
        clock,
        site,
        zone=ZoneInfo(settings.time_zone),
        opened=lambda record: records_push.publish(hub, record.id, record.revision),
        aside=aside,
    )
    followups = FollowUps(
        database,
        bus,
        clock,
        site,
        pbx=ground.pbxs[PbxName(site.automatic.pbx or ground.main)],
        others=ground.pbxs,
        region=settings.region,
        hours=ground.hours,
        going_on=ground.going_on,
        changed=orders_changed,
        aside=aside,
    )
    phones = Phones(lambda: [agent for agent, _ in agents.everybody()], ground.pbxs, settings.pbxs)
    lost_talks = LostTalks(bus, clock, phones)
    lines = Lines(phones, clock, lost=lost_talks.page_lost)
    hub.logged_out.append(lines.log_out)
    telephony = Telephony(
        bus,
        site,
        phones,
        region=settings.region,
        changed=lambda agent_id, call: telephony_push.publish(hub, agent_id, call),
        unwanted=contacts.unwanted,
    )
    telephony_http = TelephonyHttp(
        site,
        phones,
        telephony=telephony,
        lines=lines,
        lost=lost_talks,
        outgoing=Outgoing(
            database,
            clock,
            site,
            phones,
            place=telephony.place,
            queues_of=lambda agent: [str(name) for name in agents.queues_for(agent)],
        ),
        colleagues=lambda: [(agent, presence.state) for agent, presence in agents.everybody()],
    )
    zone = ZoneInfo(settings.time_zone)

    def midnight(at: datetime) -> datetime:
        return at.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)

    def period_began(dnis: str, queue: str, at: datetime) -> datetime:
        number, waited_in = site.number(dnis), site.queues.get(queue)
        name = (number and number.calendar) or (waited_in and waited_in.calendar)
        calendar = ground.hours().calendars.get(name) if name else None
        return midnight(at) if calendar is None else calendar.period_began(at)

    missed = Missed(
        database,
        bus,
        clock,
        region=settings.region,
        period_began=period_began,
        open_record=open_message_record,
        record_changed=records.tell,
        changed=lambda: missed_push.publish(hub),
        told_later=lambda pbx: pbx in queue_logs,
        aside=aside,
    )
    board = Board(
        database,
        bus,
        clock,
        site,
        time_zone=settings.time_zone,
        told=lambda figures: board_push.publish(hub, board, figures),
        aged=lambda: board_push.publish_age(hub, board),
    )
    steering = Steering(
        database,
        clock,
        site,
        pbx=ground.pbxs[ground.main],
        agents=AgentActs(
            everybody=agents.everybody,
            log_in=agents.log_in,
            log_out=agents.log_out,
            pause=agents.pause,
            ready=agents.ready,
        ),
    )
    wallboard_http = WallboardHttp(database, board, steering, logged=calls.caught_up)
    messages = Messages(
        database,
        clock,
        site.messages,
        carriers(site.messages, site.directory, clock),
        region=settings.region,
        time_zone=settings.time_zone,
        language=settings.languages[0],
        aside=aside,
    )
    messages_http = MessagesHttp(database, messages)
    stock = StockKeeping(database, clock, site.goods, aside)
    money = Money(
        database, clock, site.goods, time_zone=settings.time_zone, issue=partial(stock.move_within, kind="issue")
    )
    expenses_http = ExpensesHttp(database, money, site.goods)
    set_aside_http = SetAsideHttp(aside, bus)
    parts = [
        Part(
            routes=user_routes(users, sessions, hub, agents.load),
            rules={"login": users_may_reach(users)},
        ),
        Part(routes=set_aside_http.routes(), rules={"aside_id": set_aside_http.may_reach}),
        Part(routes=audit_routes(database)),
        Part(
            routes=missed_routes(missed, lambda: midnight(clock.now())),
            topics=missed_push.topics(),
            services={"missed-calls": missed.run},
            clockwork={"missed-calls-settling": missed.settle},
        ),
        Part(
            routes=wallboard_http.routes(),
            topics=board_push.topics(board),
            rules={"agent_id": wallboard_http.may_reach_agent, "queue": wallboard_http.may_reach_queue},
            services={"board": board.run},
            clockwork={"board-teller": board.tell, "board-forgetter": board.let_go},
        ),
        Part(
            routes=AgentsHttp(agents, site).routes(),
            topics=agents_push.topics(agents),
            services={"agents": agents.run},
        ),
        Part(
            routes=QueuesHttp(queues, site).routes(),
            topics=queues_push.topics(queues),
            services={"queues": queues.run},
            clockwork={"queue-closing": queues.drain},
        ),
        Part(
            routes=calls_http.routes(),
            rules={"call_id": calls_http.may_reach},
            services={"call-log": calls.run},
            clockwork={"catching-up": catching_up.run},
        ),
        Part(
            routes=telephony_http.routes(),
            topics=telephony_push.topics(telephony),
            services={"telephony": telephony.run, "lost-talks": lost_talks.run},
            clockwork={"phone-lines": lines.run},
        ),
        Part(services={"callbacks": callbacks.run}, clockwork={"callbacks-withdrawn": callbacks.withdraw}),
        Part(
            routes=recordings_http.routes(),
            rules={"recording_id": recordings_http.may_reach},
            services={"recordings": recordings.run},
            clockwork={"recordings-found": recordings.tend},
        ),
        Part(routes=contacts_http.routes(), rules=contacts_http.rules()),
        Part(
            routes=records_http.routes(),
            topics=records_push.topics(database),
            rules={"record_id": records_http.may_reach},
            services={"records": records.run},
        ),
        Part(
            routes=pops_http.routes(),
            topics=pop_push.topics(pops),
            rules={"pop_id": pops_http.may_reach},
            services={"screen-pops": pops.run, "pops-kept": pops.book.run},
        ),
        Part(routes=StockHttp(stock, site.goods).routes(), clockwork={"stock": stock.run}),
        Part(routes=expenses_http.routes(), rules={"expense_id": expenses_http.may_reach}),
        Part(
            routes=messages_http.routes(),
            rules={"message_id": messages_http.may_reach},
            clockwork={"messages": messages.run},
        ),
        Part(routes=ChainHttp(Chains(database, clock)).routes()),
        Part(
            routes=[*dispatch_http.routes(), *day_http.routes()],
            topics=dispatch_push.topics(),
            rules={"order_id": dispatch_http.may_reach},
        ),
        Part(routes=photos_http.routes(), rules={"photo_id": photos_http.may_reach}),
        Part(
            services={"follow-ups": followups.run},
            clockwork={"automatic-calls": followups.tend, "care-rules": care.tend},
        ),
    ]
    return Features(
        users=users,
        sessions=sessions,
        agents=agents,
        contacts=contacts,
        records=records,
        pops=pops,
        calls=calls,
        catching_up=catching_up,
        recordings=recordings,
        callbacks=callbacks,
        queues=queues,
        board=board,
        missed=missed,
        dispatch=dispatch,
        placing=placing,
        followups=followups,
        care=care,
        telephony=telephony,
        lines=lines,
        messages=messages,
        stock=stock,
        aside=aside,
        orders_changed=orders_changed,
        parts=parts,
    )
