from __future__ import annotations

import pytest

from ctiserver.lab.privatepbx.apt import AptFailed

_MIRROR = "http://mirror/debian"


@pytest.mark.parametrize(
    ("said", "meaning", "fix"),
    [
        (f"E: Failed to fetch {_MIRROR}/x  Hash Sum mismatch", "half-synchronised", "Try again in an hour"),
        (
            f"E: Failed to fetch {_MIRROR}/x  File has unexpected size (7 != 8). Mirror sync in progress?",
            "half-",
            "hour",
        ),
        (f"E: Failed to fetch {_MIRROR}/pool/x.deb  404  Not Found [IP: 192.0.2.1 80]", "half-synchronised", "hour"),
        (
            f"E: Release file for {_MIRROR}/x is not valid yet (invalid for another 2h)",
            "clock is behind",
            "Set the clock",
        ),
        (f"E: The repository '{_MIRROR} forky InRelease' is not signed.", "signature", "debian-archive-keyring"),
        (f"E: The repository '{_MIRROR} forky Release' does not have a Release file.", "signature", "another mirror"),
        ("E: You don't have enough free space in /x/archives/.", "not enough room", "Free some space"),
        ("E: Write error - write (28: No space left on device)", "not enough room", "Free some space"),
        (f"E: Failed to fetch {_MIRROR}/x  Could not resolve 'mirror'", "can't be reached", "has a network"),
        (
            f"E: Failed to fetch {_MIRROR}/x  Connection timed out [IP: 192.0.2.1 80]",
            "can't be reached",
            "has a network",
        ),
        (f"E: Failed to fetch {_MIRROR}/x  503  Service Unavailable", "can't be reached", "has a network"),
        ("E: Unable to locate package toy", "lacks a package", "tomorrow"),
    ],
)
def test_what_apt_says_is_told_with_its_meaning_and_what_to_do(said: str, meaning: str, fix: str) -> None:
    fault = AptFailed("apt-get update", ["Reading package lists...", said])
    assert meaning in fault.what
    assert said in fault.what
    assert fault.fix is not None
    assert fix in fault.fix
    assert "\n" not in str(fault)


def test_what_apt_says_without_an_error_is_told_as_it_is() -> None:
    assert AptFailed("apt-get update", ["one", "two"]).what == "apt-get update failed: one two"
    assert AptFailed("apt-get update", []).what == "apt-get update failed: it gave no reason"
