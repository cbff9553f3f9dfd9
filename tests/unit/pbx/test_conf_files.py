"""A site's .conf files, as Asterisk reads them; whatever is in one, the answer is sections or one clear message."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctiserver.errors import UserFault
from ctiserver.lab.privatepbx.modules import MODULES
from ctiserver.pbx.conf_files import read_conf, read_survey
from ctiserver.pbx.survey import NEEDED_MODULES, Hint, real_phone


def conf(folder: Path, text: str, name: str = "pjsip.conf") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_templates_are_filled_in_and_are_no_sections(tmp_path: Path) -> None:
    path = conf(tmp_path, "[base](!)\ntype = endpoint\ncontext = a\n[101](base)\ncontext = b\n[101](+)\nallow=ulaw\n")
    sections = read_conf(path)
    assert [(section.name, section.items) for section in sections] == [
        ("101", [("type", "endpoint"), ("context", "a"), ("context", "b")]),
        ("101", [("allow", "ulaw")]),
    ]
    assert sections[0].get("context") == "b"


def test_comments_of_every_kind(tmp_path: Path) -> None:
    path = conf(
        tmp_path, "[a] ; one\nx = 1 ; two\n;-- [b]\ny = 2 --;z = 3\nq = a\\;b\n;--- a line, not a block\nw = 4\n"
    )
    assert read_conf(path)[0].items == [("x", "1"), ("z", "3"), ("q", "a;b"), ("w", "4")]


def test_includes_are_followed_and_what_they_run_is_not(tmp_path: Path) -> None:
    conf(tmp_path, "[b]\ny=2\n", "b.conf")
    conf(tmp_path, "[c]\nz=3\n", "c.d.conf")
    path = conf(tmp_path, '[a]\nx=1\n#include "b.conf"\n#tryinclude none.conf\n#include <*.d.conf>\n#exec /bin/false\n')
    assert [section.name for section in read_conf(path)] == ["a", "b", "c"]


def test_the_place_of_an_error_is_in_the_file_it_stands_in(tmp_path: Path) -> None:
    conf(tmp_path, "[b]\n\nbroken\n", "b.conf")
    with pytest.raises(UserFault, match=r"b\.conf:3: item must be in name = value pairs: 'broken'"):
        read_conf(conf(tmp_path, "[a]\nx=1\n#include b.conf\ny=2\n"))


def test_phones_and_trunks_are_told_apart(tmp_path: Path) -> None:
    conf(
        tmp_path,
        "[101]\ntype=endpoint\ncontext=inside\n[byaddress]\ntype=endpoint\ncontext=outside\n"
        "[x]\ntype=identify\nendpoint=byaddress\nmatch=192.0.2.1\n"
        "[registers]\ntype=endpoint\noutbound_auth=registers\ncontext=outside\n",
    )
    conf(
        tmp_path,
        "[wizard-trunk]\ntype=wizard\nsends_registrations=yes\nendpoint/context=outside\n"
        "[102]\ntype=wizard\naccepts_registrations=yes\nendpoint/context=inside\n",
        "pjsip_wizard.conf",
    )
    found = read_survey(tmp_path)
    assert found.phones == ("101", "102")
    assert found.trunks == ("byaddress", "registers", "wizard-trunk")
    assert found.comes_in_by["wizard-trunk"] == "outside"
    assert set(found.unseen) == {"version", "contexts", "hints", "queues", "modules"}


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("[modules]\nautoload=yes\n", ()),
        ("[modules]\nautoload=yes\nnoload => res_agi.so\n", ("res_agi",)),
        ("[modules]\nautoload=no\n" + "".join(f"load = {name}.so\n" for name in NEEDED_MODULES), ()),
        ("[modules]\nautoload=no\n" + "".join(f"load = {name}\n" for name in NEEDED_MODULES[1:]), ("app_dial",)),
    ],
)
def test_missing_modules(tmp_path: Path, text: str, missing: tuple[str, ...]) -> None:
    conf(tmp_path, text, "modules.conf")
    assert read_survey(tmp_path).missing_modules == missing


def test_the_private_pbx_loads_what_the_dialplan_needs() -> None:
    assert set(NEEDED_MODULES) <= set(MODULES)


@pytest.mark.parametrize(
    ("interface", "state", "phone"),
    [
        ("PJSIP/101", "PJSIP/101", "PJSIP/101"),
        ("Local/101@from-queue/n", "PJSIP/101", "PJSIP/101"),
        ("Local/101@from-queue/n", "hint:101@ext-local", "PJSIP/101"),
        ("Local/101@from-queue/n", "hint:101@elsewhere", None),
        ("Local/101@from-queue/n", "Local/101@from-queue/n", "PJSIP/101"),
        ("Local/102@from-queue/n", "Local/102@from-queue/n", None),  # two hints, two phones
        ("Local/103@from-queue/n", "hint:103@ext-local", None),  # no telephone among its devices
        ("Agent/7", "Agent/7", None),
    ],
)
def test_the_real_phone_of_a_member(interface: str, state: str, phone: str | None) -> None:
    hints = (
        Hint(extension="101", context="ext-local", devices=("Custom:DND101", "PJSIP/101")),
        Hint(extension="102", context="ext-local", devices=("PJSIP/102",)),
        Hint(extension="102", context="branch", devices=("PJSIP/702",)),
        Hint(extension="103", context="ext-local", devices=("Custom:DND103",)),
    )
    assert real_phone(interface, state, hints) == phone


_LINES = st.lists(
    st.sampled_from(["[a]", "[b](!)", "[c](b)", "[", "]", "x = 1", "x => 1", ";", ";--", "--;", "#include pjsip.conf"])
    | st.text(max_size=20),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(lines=_LINES)
def test_whatever_is_in_a_file_it_is_sections_or_a_fault(tmp_path: Path, lines: list[str]) -> None:
    path = tmp_path / "pjsip.conf"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    try:
        read_conf(path)
    except UserFault as fault:
        assert fault.where is not None
        assert str(path) in fault.where
