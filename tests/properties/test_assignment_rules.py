"""Whatever people and orders there are: nobody outside the rules is chosen, and of the others the least loaded is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from ctiserver.model.calendar.span import WorkingTime
from ctiserver.model.ids import UserId
from ctiserver.model.person import User
from ctiserver.model.work.assignment import AssignmentRequest, AssignmentRules
from tests.support.rows import a_user
from tests.unit.model.work.test_assignment import hours

NOW = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")
TIME = WorkingTime(ZONE, {"days": hours("days", mon_fri=("08:00-17:00",)), "never": hours("never")})

words = st.lists(st.sampled_from(["gas", "pipes", "boiler"]), max_size=2, unique=True).map(tuple)
LOGINS = [f"u{number}" for number in range(6)]


@st.composite
def people(draw: st.DrawFn) -> list[User]:
    logins = draw(st.lists(st.sampled_from(LOGINS), unique=True, max_size=6))
    return [
        a_user(
            login,
            id=UserId(login),
            role="technician",
            active=draw(st.booleans()),
            skills=draw(words),
            regions=draw(words),
            department=draw(st.sampled_from(["", "north", "south"])),
            calendar=draw(st.sampled_from(["", "days", "never"])),
            away_until=draw(st.sampled_from([None, NOW, NOW + timedelta(hours=3)])),
        )
        for login in logins
    ]


wishes = st.builds(
    AssignmentRequest,
    begin=st.sampled_from([NOW, NOW + timedelta(hours=12)]),
    latest=st.sampled_from([NOW, NOW + timedelta(days=1)]),
    department=st.sampled_from(["", "north"]),
    skills=words,
    region=st.sampled_from(["", "gas", "pipes"]),
    avoid=st.sets(st.sampled_from(LOGINS).map(UserId), max_size=2),
    sticky=st.none() | st.sampled_from(LOGINS).map(UserId),
)
loads = st.dictionaries(st.sampled_from(LOGINS).map(UserId), st.integers(0, 5))


def fits(user: User, wish: AssignmentRequest) -> bool:
    """The rules once more, in other words."""
    able = not user.skills or set(wish.skills).issubset(user.skills)
    near = not user.regions or not wish.region or wish.region in user.regions
    ours = not wish.department or user.department == wish.department
    back = user.away_until is None or user.away_until <= wish.begin
    # 10:00 on a Monday is within their days; 22:00 is not, and the next morning is before the latest only if that is
    # a day from now.
    match user.calendar:
        case "days":
            works = wish.begin == NOW or wish.latest == NOW + timedelta(days=1)
        case "never":
            works = False
        case _:
            works = True
    return user.active and able and near and ours and back and works and user.id not in wish.avoid


@given(people(), wishes, loads)
def test_nobody_outside_the_rules_is_chosen_and_the_least_loaded_is(
    everybody: list[User], wish: AssignmentRequest, load: dict[UserId, int]
) -> None:
    found = AssignmentRules(TIME, load).choose(everybody, wish)
    fitting = [user for user in everybody if fits(user, wish)]
    assert (found.user is None) == (not fitting)
    assert sorted(one.login for one in found.considered) == sorted(user.login for user in everybody)
    winners = ("chosen", "sticky")
    assert {one.login for one in found.considered if one.reason in winners} == ({found.user} if found.user else set())
    out = {
        one.login
        for one in found.considered
        if one.reason not in (*winners, "has_more_orders", "somebody_did_it_before")
    }
    assert out == {user.login for user in everybody if user not in fitting}
    if found.user is None:
        return
    assert found.user in [user.id for user in fitting]
    if wish.sticky in [user.id for user in fitting]:
        assert found.user == wish.sticky
    else:
        assert load.get(found.user, 0) == min(load.get(user.id, 0) for user in fitting)


@given(people().filter(bool), wishes, loads, st.data())
def test_what_is_given_by_hand_goes_there_and_the_rest_is_judged_as_by_the_rule(
    everybody: list[User], wish: AssignmentRequest, load: dict[UserId, int], data: st.DataObject
) -> None:
    to = data.draw(st.sampled_from(everybody))
    found = AssignmentRules(TIME, load).given(everybody, wish, to)
    assert found.user == to.id
    first, *others = found.considered
    assert (first.login, first.reason, first.against is None) == (to.login, "by_hand", fits(to, wish))
    assert {one.login for one in others if one.reason == "fits"} == {
        user.login for user in everybody if user is not to and fits(user, wish)
    }
