"""`ctiserver pbx adopt` on an Asterisk that FreePBX might have configured."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ctiserver.lab.privatepbx.ports import free_port
from tests.integration.adopt.conftest import adopted, ctiserver, done, pieces
from tests.support.foreign import Foreign

pytestmark = pytest.mark.pbx

SEATS = [
    {
        "interface": "Local/101@from-queue/n",
        "state_interface": "hint:101@ext-local",
        "name": "王芳",
        "penalty": 0,
        "dynamic": False,
        "phone": "PJSIP/101",
        "known": True,
    },
    {
        "interface": "Local/102@from-queue/n",
        "state_interface": "hint:102@ext-local",
        "name": "Bob Stone",
        "penalty": 5,
        "dynamic": False,
        "phone": "PJSIP/102",
        "known": True,
    },
]


async def test_what_an_account_with_the_least_rights_sees(there: Foreign) -> None:
    said = await adopted(there)
    found = said["found"]
    assert found["version"].startswith("22.")
    assert {queue["name"]: queue["strategy"] for queue in found["queues"]} == {"600": "ringall", "601": "ringall"}
    assert sorted(found["queues"][0]["members"], key=lambda member: str(member["interface"])) == SEATS
    assert found["trunks"] == ["provider"]
    assert {"ext-local", "from-internal", "from-pstn", "from-queue", "outrt-1"} <= set(found["contexts"])
    assert found["missing_rights"] == []
    assert found["missing_modules"] == []
    assert list(found["unseen"]) == ["endpoints"]
    assert done(said) == {
        "The manager account": True,
        "A secret by which the PBX's own events are known": False,
        "Modules": True,
        "The dialplan": False,
        "Where calls come in": False,
        "Settings": False,
        "Queues": False,
        "Agents": False,
        "See whether all is well": False,
    }


async def test_its_files_tell_the_rest_and_agree(there: Foreign) -> None:
    by_ami, by_files, both = (
        (await adopted(there))["found"],
        (await adopted(there, "--conf", str(there.etc), secret=False))["found"],
        (await adopted(there, "--conf", str(there.etc)))["found"],
    )
    for key in ("hints", "trunks", "missing_modules"):
        assert by_files[key] == by_ami[key]
    assert {queue["name"]: queue["strategy"] for queue in by_files["queues"]} == {
        queue["name"]: queue["strategy"] for queue in by_ami["queues"]
    }
    assert by_files["queues"][0]["members"] == SEATS
    assert set(by_files["contexts"]) <= set(by_ami["contexts"])
    assert by_files["phones"] == ["101", "102"]
    assert both["unseen"] == {}
    assert both["phones"] == ["101", "102"]
    assert both["version"] == by_ami["version"]


async def test_what_it_says_to_write(there: Foreign, tmp_path: Path) -> None:
    written = pieces(await adopted(there, "--agi-port", "5573"))
    assert yaml.safe_load(written["queues.yaml"])["queues"]["600"]["members"] == {
        "agents": ["bob.stone", "agent101"],
        "penalties": {"bob.stone": 5},
    }
    assert yaml.safe_load(written["ctiserver.yaml"])["pbxs"]["main"]["trunks"] == ["provider"]
    assert yaml.safe_load(written["ctiserver.yaml"])["agi"] == {"port": 5573}
    assert "CTI_AGI = agi://127.0.0.1:5573\n" in written["globals_custom.conf"]
    assert "CTI_QUEUE_FIRST = 600\n" in written["globals_custom.conf"]
    assert "CTI_PBX = main\n" in written["globals_custom.conf"]
    assert written["a shell"].splitlines() == [
        "ctiserver user add bob.stone --role agent --name 'Bob Stone' --extension 102 --interface PJSIP/102",
        "ctiserver user add agent101 --role agent --name '王芳' --extension 101 --interface PJSIP/101",
    ]
    assert not (tmp_path / "queues.yaml").exists()


async def test_a_device_that_is_gone_is_no_agent(there: Foreign) -> None:
    there.edit("queues_additional.conf", "[601]", "member => PJSIP/199,0,Gone\n[601]")
    await there.pbx.cli("queue reload all")
    said = await adopted(there)
    assert "199" not in pieces(said)["a shell"]
    assert "Gone" not in pieces(said)["queues.yaml"]
    (agents,) = (step for step in said["steps"] if step["title"] == "Agents")
    assert agents["words"] == [
        "PJSIP/199 (Gone): Asterisk does not know this device; remove it from the queue, or correct its name"
    ]


async def test_without_an_account_it_says_how_to_make_one() -> None:
    done = await ctiserver("pbx", "adopt", "127.0.0.1", "--port", "5999", "--username", "cti")
    assert done.returncode == 0
    assert "[cti]\n" in done.stdout.replace("      ", "")
    assert "write = call,agent,user,originate,reporting" in done.stdout
    assert "ctiserver pbx adopt 127.0.0.1 --port 5999 --username cti --secret-file FILE" in done.stdout


async def test_the_account_it_says_to_make_is_enough(there: Foreign, tmp_path: Path) -> None:
    text = pieces(await adopted(there, "--username", "adopted", secret=False))["manager.conf"]
    there.edit("manager.conf", "[ctiserver]", text.replace("CHANGE-ME", "sesame") + "\n[ctiserver]")
    await there.pbx.cli("manager reload")
    secret = tmp_path / "secret"
    secret.write_text("sesame\n")
    said = await adopted(there, "--username", "adopted", "--secret-file", str(secret), secret=False)
    assert done(said)["The manager account"]


async def test_an_account_that_may_too_little_is_told_what_it_needs(there: Foreign) -> None:
    there.edit("manager.conf", "write = call,agent,user,originate,reporting", "write = reporting")
    await there.pbx.cli("manager reload")
    said = await adopted(there)
    assert said["found"]["missing_rights"] == [
        "Atxfer",
        "Hangup",
        "Originate",
        "QueueAdd",
        "QueuePause",
        "QueuePenalty",
        "QueueRemove",
        "Redirect",
        "Setvar",
    ]
    assert not done(said)["The manager account"]
    assert "write = call,agent,user,originate,reporting" in pieces(said)["manager_custom.conf"]


async def test_a_wrong_secret_and_a_port_where_nobody_is(there: Foreign) -> None:
    port = str(there.pbx.ami_port)
    wrong = await ctiserver("pbx", "adopt", "127.0.0.1", "--port", port, CTISERVER_AMI_SECRET="wrong")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert f"ctiserver: 127.0.0.1:{port}: the PBX refused the AMI log-in of ctiserver" in wrong.stderr
    nobody = await ctiserver("pbx", "adopt", "127.0.0.1", "--port", str(free_port()), CTISERVER_AMI_SECRET="x")
    assert nobody.returncode == 2
    assert "AMI does not answer" in nobody.stderr
    assert "Traceback" not in wrong.stderr + nobody.stderr


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("queues.conf", "[general]\n[600\nmember => PJSIP/1\n", "queues.conf:2: missing '[' or ']'"),
        (
            "extensions.conf",
            "[general]\nthis is not a setting\n",
            "extensions.conf:2: item must be in name = value pairs",
        ),
        ("pjsip.conf", "[a]\n#include gone.conf\n", "pjsip.conf:2: includes gone.conf, which is not there"),
        ("modules.conf", "#include modules.conf\n", "modules.conf:1: includes itself"),
        ("queues.conf", "\x00\x01\x02", "queues.conf: is not a text file"),
    ],
)
async def test_a_broken_file_is_one_message_with_its_place(
    tmp_path: Path, name: str, text: str, complaint: str
) -> None:
    (tmp_path / name).write_text(text)
    done = await ctiserver("pbx", "adopt", "127.0.0.1", "--conf", str(tmp_path))
    assert done.returncode == 2
    assert complaint in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


async def test_a_second_pbx_is_adopted_by_its_own_name(there: Foreign) -> None:
    said = await adopted(there, "--name", "branch")
    written = pieces(said)
    assert "CTI_PBX = branch\n" in written["globals_custom.conf"]
    assert yaml.safe_load(written["ctiserver.yaml"])["pbxs"]["branch"]["secret_file"] == "branch.secret"
    (dialplan,) = (step for step in said["steps"] if step["title"] == "The dialplan")
    words = "\n".join(dialplan["words"])
    assert "`ctiserver prompts announcements --out sounds`" in words
    assert "/var/lib/asterisk/sounds/ctiserver" in words
    assert "/var/spool/asterisk/ctiserver" in words
    assert (
        "[cti-hold-zh-CN]\nmode = playlist\nentry = /var/lib/asterisk/sounds/ctiserver/zh-CN/hold\n"
        in (written["musiconhold_custom.conf"])
    )
    refused = await ctiserver("pbx", "adopt", "127.0.0.1", "--name", "Branch Office")
    assert refused.returncode == 2
    assert "is not a valid PBX name" in refused.stderr


async def test_the_announcements_are_spoken_where_they_are_asked_for(tmp_path: Path) -> None:
    done = await ctiserver("prompts", "announcements", "--out", str(tmp_path / "sounds"))
    assert done.returncode == 0, done.stderr
    spoken = {str(path.relative_to(tmp_path / "sounds")) for path in (tmp_path / "sounds").rglob("*.wav")}
    names = ["hold", "message", "goodbye", *(f"accept-{key}" for key in range(10))]
    assert spoken == {f"{language}/{name}.wav" for language in ("zh-CN", "en") for name in names}
    refused = await ctiserver("prompts", "announcements", "--out", "/proc/nowhere")
    assert refused.returncode == 2
    assert "can't be written" in refused.stderr
    assert "Traceback" not in refused.stderr
