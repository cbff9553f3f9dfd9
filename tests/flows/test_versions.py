"""A number of its own for a flow's test version: front_desk@test is test/front_desk.flow.yaml."""

from pathlib import Path

import pytest

from ctiserver.app.configuration import Configuration
from ctiserver.errors import FileFault
from ctiserver.resources import shipped
from ctiserver.settings import load_settings
from tests.support.fake_asterisk import FakeAsterisk
from tests.support.flow_server import flow_server

FRONT_DESK = shipped("ivr_flows", "front_desk.flow.yaml").read_text(encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "flows" / "test").mkdir(parents=True)
    (tmp_path / "flows" / "front_desk.flow.yaml").write_text(FRONT_DESK, encoding="utf-8")
    (tmp_path / "ctiserver.yaml").write_text("flows_dir: flows\nconfig_dir: .\n", encoding="utf-8")
    (tmp_path / "numbers.yaml").write_text(
        'numbers:\n  "100": {flow: front_desk@test}\n  "*": {flow: front_desk@prod}\n', encoding="utf-8"
    )
    return tmp_path


def test_a_number_that_leads_to_no_test_version_is_refused(site: Path) -> None:
    with pytest.raises(FileFault) as fault:
        Configuration(load_settings(site / "ctiserver.yaml", {}))
    (problem,) = fault.value.problems
    assert str(problem).endswith(
        "numbers.yaml:2:17: error CT-009: no flow is named 'front_desk@test' "
        "(put its test version into the folder test/ beside front_desk.flow.yaml)"
    )


def test_the_test_version_is_checked_and_reloaded_like_every_other(site: Path) -> None:
    trial = site / "flows" / "test" / "front_desk.flow.yaml"
    trial.write_text(FRONT_DESK.replace('"1.0.0"', '"1.1.0"'), encoding="utf-8")
    configuration = Configuration(load_settings(site / "ctiserver.yaml", {}))
    for dialled, version in (("100", "1.1.0"), ("200", "1.0.0")):
        number = configuration.site.number(dialled)
        assert number is not None
        flow = configuration.library.current(number.flow_name)
        assert flow is not None
        assert flow.version == version
    trial.write_text(FRONT_DESK.replace("go: opening", "go: openning"), encoding="utf-8")
    with pytest.raises(FileFault) as fault:
        configuration.reload()
    assert "test/front_desk.flow.yaml" in str(fault.value)
    trial.write_text(FRONT_DESK.replace('"1.0.0"', '"1.2.0"'), encoding="utf-8")
    assert configuration.reload() == ("front_desk@test",)


async def test_its_calls_are_served_by_it_and_resume_on_it(site: Path, tmp_path: Path) -> None:
    changed = FRONT_DESK.replace("timeout: message, empty", "timeout: thanks, empty").replace('"1.0.0"', '"1.1.0"')
    (site / "flows" / "test" / "front_desk.flow.yaml").write_text(changed, encoding="utf-8")
    for flow, uniqueid, does in (("front_desk@test", "1795.1", "hangup"), ("front_desk@prod", "1795.2", "voicemail")):
        async with flow_server(tmp_path, flow=flow, flows=site / "flows") as server:
            await FakeAsterisk(keys="21").call(server.port, uniqueid=uniqueid)
            back = FakeAsterisk(variables={"CTI_RESULT": "queue:TIMEOUT"})
            await back.call(server.port, uniqueid=uniqueid)
            assert back.variables["CTI_DO"] == does
