"""The figures of a queue against hand-made visits, and the promises that hold for any."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ctiserver.model.calls.service_level import COUNTED, CountedVisit, Figures, Thresholds, figures
from ctiserver.model.events import QueueOutcome
from ctiserver.model.ids import CallId, QueueName

NINE = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)
LIMITS = Thresholds(timedelta(seconds=20), timedelta(seconds=5))


def _visit(wait_s: float | None, outcome: QueueOutcome | None, n: int = 0) -> CountedVisit:
    return CountedVisit(
        call_id=CallId(str(n)),
        queue=QueueName("repair"),
        entered_at=NINE,
        left_at=None if wait_s is None else NINE + timedelta(seconds=wait_s),
        outcome=outcome,
    )


def test_a_morning_counted_by_hand() -> None:
    morning = [
        *[_visit(10, "answered")] * 6,
        _visit(20, "answered"),  # to the second: in time
        _visit(20.001, "answered"),
        _visit(40, "answered"),
        _visit(3, "abandoned"),
        _visit(5, "abandoned"),  # to the second: short
        _visit(12, "abandoned"),
        _visit(60, "abandoned"),
        _visit(90, "timeout"),
        _visit(0, "full"),
        _visit(None, None),
    ]
    it = figures(morning, LIMITS)
    assert (it.offered, it.waiting, it.answered, it.answered_in_time) == (16, 1, 9, 7)
    assert (it.abandoned, it.abandoned_short, it.abandoned_in_time, it.left_otherwise) == (4, 2, 3, 2)
    assert it.sl_no_short == 7 / 11
    assert it.sl_answered == 7 / 9
    assert it.sl_asterisk2 == 10 / 13
    assert it.sl_offered == 7 / 16
    assert it.abandon_rate == 2 / 14
    assert it.answered_rate == 9 / 14
    assert it.wait_answered_ms == 60_000 + 20_000 + 20_001 + 40_000
    assert it.asa_ms == 140_001 / 9
    assert it.wait_all_ms == (140_001 + 80_000 + 90_000) / 15


def test_of_nothing_there_is_no_figure() -> None:
    it = figures([], LIMITS)
    assert it == Figures()
    shares = (
        it.sl_no_short,
        it.sl_answered,
        it.sl_asterisk2,
        it.sl_offered,
        it.abandon_rate,
        it.asa_ms,
        it.wait_all_ms,
    )
    assert set(shares) == {None}
    only_short = figures([_visit(1, "abandoned")], LIMITS)
    assert (only_short.sl_no_short, only_short.abandon_rate) == (None, None)


_OUTCOMES = st.sampled_from([None, "answered", "abandoned", "timeout", "empty", "full", "key", "unknown"])


@given(st.lists(st.builds(lambda o, w: _visit(None if o is None else w, o), _OUTCOMES, st.integers(0, 300))))
def test_what_is_counted_is_exactly_what_is_listed_and_shares_are_shares(visits: list[CountedVisit]) -> None:
    it = figures(visits, LIMITS)
    for what in COUNTED:
        assert getattr(it, what) == len([visit for visit in visits if LIMITS.belongs(visit, what)])
    assert it.offered == it.waiting + it.answered + it.abandoned + it.left_otherwise
    for share in (it.sl_no_short, it.sl_answered, it.sl_asterisk2, it.sl_offered, it.abandon_rate, it.answered_rate):
        assert share is None or 0 <= share <= 1
