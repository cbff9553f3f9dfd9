from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from ctiserver.errors import UserFault
from ctiserver.lab.privatepbx.configuration import PbxLayout, Plan, Ports, files, write
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.resources import shipped
from ctiserver.site.files import Phone, Trunk
from ctiserver.site.load import load_site

_PROGRAMS = Programs({"asterisk": ("/opt/asterisk",)}, Path("/opt/modules"), Path("/opt/data"), Path("/opt/baresip"))


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    site = load_site(shipped("config"))
    return Plan(
        layout=PbxLayout(tmp_path / "pbx", tmp_path / "pbx/run"),
        programs=_PROGRAMS,
        ports=Ports(sip=25060, ami=25038, http=25088, rtp_first=26000, rtp_last=26399),
        agi="127.0.0.1:4573",
        ami_secret="0a1b2c",
        systemname="cti0123456789a",
        dialplan_key="0a1b2c3d",
        phone_secrets={phone.name: f"secret-of-{phone.name}" for phone in site.phones},
        sounds=tmp_path / "sounds",
        site=site,
    )


def _section(text: str, name: str) -> list[str]:
    """The settings below every ``[name]``."""
    found, inside = [], False
    for line in text.splitlines():
        if line.startswith("["):
            inside = line == f"[{name}]"
        elif inside and "=" in line and not line.lstrip().startswith(";"):
            found.append(line)
    return found


def test_everything_listens_on_loopback(plan: Plan) -> None:
    texts = files(plan)
    binds = [line for text in texts.values() for line in text.splitlines() if line.startswith("bind")]
    assert len(binds) >= 5
    assert {line.partition("= ")[2].partition(":")[0] for line in binds if not line.startswith("bindport")} == {
        "127.0.0.1"
    }


def test_queues_are_written_as_app_queue_knows_them(plan: Plan) -> None:
    repair = _section(files(plan)["queues.conf"], "repair")
    for line in ("strategy = leastrecent", "timeout = 15", "servicelevel = 20", "wrapuptime = 5", "ringinuse = no"):
        assert line in repair
    assert "strategy = rrmemory" in _section(files(plan)["queues.conf"], "operators")
    assert "persistentmembers = yes" in _section(files(plan)["queues.conf"], "general")


def test_phones_get_their_password_their_extension_and_the_agents_context(plan: Plan) -> None:
    agent = _section(files(plan)["pjsip.conf"], "agent1")
    assert "context = cti-agents" in agent
    assert "password = secret-of-agent1" in agent
    assert 'callerid = "agent1" <101>' in agent
    extensions = files(plan)["extensions.conf"]
    assert (
        "exten => 101,1,Gosub(cti-clean,s,1)\n"
        ' same => n,ExecIf($["${CTI_PHONE}" = "1"]?Set(DYNAMIC_FEATURES=cti-hold))\n'
        ' same => n,Dial(PJSIP/agent1,30,t${IF($["${CTI_PHONE}" = "1"]?T)}b(cti-pop^s^1))' in extensions
    )
    assert "set_var = CTI_PHONE=1" in agent
    assert "cti-hold = *4,self/both,Gosub(cti-hold,s,1),default" in files(plan)["features.conf"]


def test_trunk_brings_calls_into_the_flow_and_never_into_the_phones(plan: Plan) -> None:
    trunk = _section(files(plan)["pjsip.conf"], "trunk")
    assert "context = cti-inbound" in trunk
    assert "match = 127.0.0.1" in trunk
    assert not [line for line in trunk if line.startswith("auth")]


def test_webrtc_phone_speaks_opus_over_the_websocket(plan: Plan) -> None:
    site = replace(plan.site, phones=(Phone(name="web1", extension="201", webrtc=True),))
    text = files(replace(plan, site=site, phone_secrets={"web1": "x"}))["pjsip.conf"]
    assert "webrtc = yes" in _section(text, "web1")
    assert "protocol = ws" in _section(text, "ws")


def test_dialplan_is_the_shipped_one_with_its_globals(plan: Plan) -> None:
    texts = files(plan)
    assert texts["cti.conf"] == shipped("dialplan", "cti.conf").read_text(encoding="utf-8")
    assert "#include cti.conf" in texts["extensions.conf"]
    globals_ = _section(texts["extensions.conf"], "globals")
    assert "CTI_AGI = agi://127.0.0.1:4573" in globals_
    assert "CTI_QUEUE_FIRST = repair" in globals_
    assert "CTI_TRUNK = trunk" in globals_


def test_every_global_that_the_dialplan_names_is_set(plan: Plan) -> None:
    texts = files(plan)
    named = {line.split()[1] for line in texts["cti.conf"].splitlines() if line.startswith(";   CTI_")}
    # CTI_PBX tells several PBXs apart; one PBX alone leaves it out
    assert named - {"CTI_PBX"} == {line.split()[0] for line in _section(texts["extensions.conf"], "globals")}


def test_ami_account_is_the_least_privileged_one(plan: Plan) -> None:
    text = files(plan)["manager.conf"]
    account = _section(text, "ctiserver")
    assert "secret = 0a1b2c" in account
    read = next(line for line in account if line.startswith("read")).partition("= ")[2].split(",")
    rights = next(line for line in account if line.startswith("write = ")).partition("= ")[2].split(",")
    assert not {"dialplan", "dtmf", "command", "config", "all"} & set(read)
    assert not {"system", "command", "config", "all"} & set(rights)
    assert "port = 25038" in _section(text, "general")


def test_modules_that_others_need_come_first(plan: Plan) -> None:
    lines = files(plan)["modules.conf"].splitlines()
    for first, then in (
        ("res_speech", "res_agi"),
        ("func_periodic_hook", "app_mixmonitor"),
        ("func_cut", "app_mixmonitor"),
    ):
        assert lines.index(f"load = {first}.so") < lines.index(f"load = {then}.so")
    assert "autoload = no" in lines


def test_secrets_are_for_the_owner_alone(plan: Plan) -> None:
    write(plan)
    for path in plan.layout.etc.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(plan.layout.state.stat().st_mode) == 0o700


def test_a_file_written_before_with_wider_rights_is_narrowed(plan: Plan) -> None:
    plan.layout.make()
    old = plan.layout.etc / "pjsip.conf"
    old.write_text("", encoding="utf-8")
    old.chmod(0o644)
    write(plan)
    assert stat.S_IMODE(old.stat().st_mode) == 0o600


@pytest.mark.parametrize("host", ["127.0.0.1\nmatch = 0.0.0.0/0", "1.2.3.4;x", "[x]", "a b", ""])
def test_value_that_could_become_another_line_is_refused(plan: Plan, host: str) -> None:
    site = replace(plan.site, trunks=(Trunk.model_construct(name="trunk", host=host, port=5060, codecs=("alaw",)),))
    with pytest.raises(UserFault, match="is not allowed in Asterisk's configuration"):
        files(replace(plan, site=site))


def test_state_folder_whose_name_does_not_fit_is_refused(plan: Plan, tmp_path: Path) -> None:
    strange = PbxLayout(tmp_path / "a b;c", tmp_path / "run")
    with pytest.raises(UserFault, match="a b;c"):
        files(replace(plan, layout=strange))


def test_every_way_in_is_cleaned_first(plan: Plan) -> None:
    """Where a caller's own number or dialled number comes in; tests/integration/hostile calls each on a real PBX."""
    texts = files(plan)
    whole = "".join(texts[name] for name in ("cti.conf", "fallback.conf", "extensions.conf"))
    contexts = {part.partition("]")[0]: part for part in whole.split("\n[")}
    for context in ("cti-inbound", "cti-message", "cti-queues", "cti-outbound", "cti-agent", "cti-fallback"):
        first = [line for line in contexts[context].splitlines() if line.startswith(("exten => s,1", "exten => _"))]
        assert first, context
        assert all(line.endswith(",1,Gosub(cti-clean,s,1)") for line in first), context
    phones = [line for line in contexts["cti-phones"].splitlines() if line.startswith("exten => ") and ",1," in line]
    assert phones
    assert all(line.endswith(",1,Gosub(cti-clean,s,1)") for line in phones)


def test_the_systemname_and_the_dialplans_key_are_written(plan: Plan) -> None:
    texts = files(plan)
    assert f"systemname = {plan.systemname}\n" in texts["asterisk.conf"]
    assert f"CTI_KEY = {plan.dialplan_key}\n" in texts["extensions.conf"]
