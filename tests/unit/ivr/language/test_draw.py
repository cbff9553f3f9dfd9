"""A flow's picture: boxes apart, arrows beside them, every way out with its label."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from xml.etree import ElementTree

import pytest

from ctiserver.ivr.language.draw import _joined, _written, to_svg
from ctiserver.ivr.language.library import flow_files
from ctiserver.ivr.language.loader import Flow, load_flow
from ctiserver.model.drawing.layout import BOX_H, BOX_W, layout, rows
from ctiserver.resources import shipped
from tests.support.flows import flow_of

SVG = "{http://www.w3.org/2000/svg}"
FLOWS = [load_flow(path) for path in flow_files(shipped("ivr_flows"))]


def rows_of(flow: Flow) -> dict[str, int]:
    after: dict[str, list[str]] = {}
    for source, target in _joined(_written(flow)):
        after.setdefault(source, []).append(target)
    return rows(list(flow.nodes), [name for name in (flow.file.start, flow.file.on_hangup) if name], after)


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_boxes_are_apart_and_no_arrow_runs_behind_one(flow: Flow) -> None:
    joined = _joined(_written(flow))
    placed = layout(rows_of(flow), joined)
    for (_, (x1, y1)), (_, (x2, y2)) in combinations(placed.centre.items(), 2):
        assert abs(x1 - x2) >= BOX_W or abs(y1 - y2) >= BOX_H
    for (source, target), points in placed.through.items():
        assert points[0][1] == placed.centre[source][1] + BOX_H / 2
        assert points[-1][1] == placed.centre[target][1] - BOX_H / 2
        for x, y in points[1:-1]:
            inside = [n for n, at in placed.centre.items() if abs(x - at[0]) < BOX_W / 2 and abs(y - at[1]) < BOX_H / 2]
            assert inside == [], f"{source} → {target}"
    for x, y in [*placed.centre.values(), *(point for points in placed.through.values() for point in points)]:
        assert 0 <= x <= placed.width
        assert 0 <= y <= placed.height


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_every_node_and_every_way_out_is_in_the_picture(flow: Flow) -> None:
    picture = ElementTree.fromstring(to_svg(flow))
    texts = Counter(text for element in picture.iter(f"{SVG}text") for text in element.itertext())
    wanted = Counter([*flow.nodes, *(label for labels in _joined(_written(flow)).values() for label in labels)])
    assert wanted - texts == Counter()
    assert len(list(picture.iter(f"{SVG}rect"))) == len(flow.nodes) + 1


def test_a_way_back_has_a_rail_of_its_own() -> None:
    flow = flow_of(
        "  start: {kind: menu, prompt: {en: a}, choices: {'1': start, '2': second}, on: {exhausted: bad}}\n"
        "  second: {kind: menu, prompt: {en: b}, choices: {'1': start}, on: {exhausted: good}}\n"
    )
    picture = to_svg(flow)
    placed = layout(rows_of(flow), _joined(_written(flow)))
    assert set(_joined(_written(flow))) - set(placed.through) == {("start", "start"), ("second", "start")}
    assert f'width="{placed.width}"' not in picture.partition("\n")[0]  # it is wider by the rails
