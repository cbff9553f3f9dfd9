from __future__ import annotations

import socket

import pytest

from ctiserver.errors import UserFault
from ctiserver.lab.privatepbx.lifecycle import choose_ports
from ctiserver.lab.privatepbx.ports import free_port, is_free, wanted_port


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_port_taken_by_either_protocol_is_not_free(kind: socket.SocketKind) -> None:
    port = free_port()
    assert is_free(port)
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", port))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        assert not is_free(port)
        with pytest.raises(UserFault, match=rf"^--sip-port: port {port} on 127\.0\.0\.1 is in use\."):
            wanted_port(port, "--sip-port")


@pytest.mark.parametrize("port", [-1, 22, 1023, 65536, 99999])
def test_port_that_asterisk_would_not_take_is_refused(port: int) -> None:
    with pytest.raises(UserFault, match=rf"^--ami-port: {port} is not a port that Asterisk takes"):
        wanted_port(port, "--ami-port")


def test_chosen_ports_differ_and_leave_linuxs_own_range_alone() -> None:
    for _ in range(20):
        ports = choose_ports()
        chosen = [ports.sip, ports.ami, ports.http, ports.rtp_first]
        assert len(set(chosen)) == 4
        assert max(chosen) < 32_768
        assert ports.rtp_last - ports.rtp_first == 399
