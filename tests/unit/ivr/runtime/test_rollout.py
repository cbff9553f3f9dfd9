"""A new version for a share of callers, and back again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ctiserver.errors import FileFault
from ctiserver.ivr.language.library import Library, load_world, site_names
from ctiserver.ivr.runtime.rollout import Ending, Rollouts
from ctiserver.resources import shipped
from ctiserver.settings import load_settings
from ctiserver.site.files import BackAt, NumberConfig, NumbersFile, Rollout
from ctiserver.site.load import load_site
from ctiserver.site.references import unknown_flows
from ctiserver.strict_yaml import load, parse
from tests.support.fake_asterisk import FakeAsterisk
from tests.support.flow_server import flow_server

ROLLOUT: dict[str, Any] = {"flow": "front_desk@test", "share": "100%", "after": 10}
CALLERS = [f"138{number:08d}" for number in range(1000)]


def with_draft(folder: Path, text: str | None = None) -> Path:
    """A folder with a flow, and its test version."""
    source = shipped("ivr_flows", "front_desk.flow.yaml").read_text(encoding="utf-8")
    (folder / "flows/test").mkdir(parents=True)
    (folder / "flows/front_desk.flow.yaml").write_text(source, encoding="utf-8")
    draft = text or source.replace('version: "1.0.0"', 'version: "2"')
    (folder / "flows/test/front_desk.flow.yaml").write_text(draft, encoding="utf-8")
    return folder / "flows"


@pytest.fixture
def library(tmp_path: Path) -> Library:
    settings = load_settings(shipped("config", "ctiserver.yaml"), {})
    site = load_site(settings.config_dir)
    found = Library(with_draft(tmp_path), tmp_path / "kept")
    found.reload(site_names(site, load_world(site, settings)))
    return found


def number(share: str = "20%", **bounds: Any) -> NumberConfig:
    return NumberConfig(flow="front_desk", rollout=Rollout(**{**ROLLOUT, "share": share}, back_at=BackAt(**bounds)))


def versions(rollouts: Rollouts, config: NumberConfig) -> list[str]:
    return [flow.version for caller in CALLERS if (flow := rollouts.flow(config, caller)) is not None]


def test_about_that_share_and_each_caller_always_the_same(library: Library, tmp_path: Path) -> None:
    rollouts = Rollouts(library, tmp_path / "rollouts.json")
    first = versions(rollouts, number())
    assert 150 < first.count("2") < 250
    assert versions(rollouts, number()) == first
    assert set(versions(rollouts, number("0%"))) == {"1.0.0"}
    assert set(versions(rollouts, number("100%"))) == {"2"}
    assert set(versions(rollouts, NumberConfig(flow="front_desk"))) == {"1.0.0"}


@pytest.mark.parametrize(
    ("endings", "bounds", "back"),
    [
        (["failed"] * 9, {}, False),  # too few to conclude anything
        (["failed"] + ["well"] * 9, {}, True),
        (["failed"] + ["well"] * 9, {"failed": "10%"}, False),  # not more than that
        (["abandoned"] * 10, {}, False),  # no bound was set
        (["abandoned"] * 6 + ["well"] * 4, {"abandoned": "50%"}, True),
        (["abandoned"] * 5 + ["well"] * 5, {"abandoned": "50%"}, False),
    ],
)
def test_it_goes_back_by_itself(
    library: Library, tmp_path: Path, endings: list[Ending], bounds: dict[str, str], back: bool
) -> None:
    config = number("100%", **bounds)
    rollouts = Rollouts(library, tmp_path / "rollouts.json")
    for ending in endings:
        flow = rollouts.flow(config, "13800138000")
        assert flow is not None
        rollouts.ended(flow, ending)
    wanted = {"1.0.0" if back else "2"}
    assert set(versions(rollouts, config)) == wanted
    assert set(versions(Rollouts(library, tmp_path / "rollouts.json"), config)) == wanted  # also after a restart


def test_a_file_that_can_t_be_read_is_begun_anew(library: Library, tmp_path: Path) -> None:
    (tmp_path / "rollouts.json").write_text("{nonsense", encoding="utf-8")
    assert set(versions(Rollouts(library, tmp_path / "rollouts.json"), number("100%"))) == {"2"}


async def test_a_call_that_fails_takes_it_back_and_the_next_is_served_as_before(tmp_path: Path) -> None:
    class Refusing(FakeAsterisk):
        """Takes no hand-over."""

        def reply(self, words: list[str]) -> str:
            if words[:2] == ["EXEC", "MSet"] and "CTI_DO=" in words[2]:
                return "510 Invalid or unknown command"
            return super().reply(words)

    async with flow_server(tmp_path, flows=with_draft(tmp_path / "site")) as server:
        settings = load_settings(shipped("config", "ctiserver.yaml"), {})
        site = load_site(settings.config_dir)
        once = NumberConfig(flow="front_desk", calendar="always", rollout=Rollout(**{**ROLLOUT, "after": 1}))
        server.service.configure(replace(site, numbers={"*": once}), load_world(site, settings))
        for asterisk, uniqueid, version in ((Refusing, "1795.1", "2"), (FakeAsterisk, "1795.2", "1.0.0")):
            await asterisk(keys="21").call(server.port, uniqueid=uniqueid)
            path = server.ports.path[server.call_id(uniqueid)]
            assert {step.version for step in path} == {version}


def test_a_rollout_of_a_flow_that_is_not_there_is_told_with_its_place(tmp_path: Path) -> None:
    text = 'numbers: {"*": {flow: front_desk, rollout: {flow: front_desk@test, share: 10%}}}\n'
    (tmp_path / "numbers.yaml").write_text(text, encoding="utf-8")
    (problem,) = unknown_flows(tmp_path, ["front_desk"])
    assert "front_desk@test" in problem.message
    for share in ("10", "110%", "some"):
        with pytest.raises(FileFault, match="share"):
            parse(load(text.replace("10%", share), file="numbers.yaml"), NumbersFile)
