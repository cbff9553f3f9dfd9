"""Programs and shared libraries of a few hundred bytes, written without a compiler; the real loader starts them."""

from __future__ import annotations

import platform
import struct
from collections.abc import Sequence

X86_64, AARCH64 = 62, 183
_HEADER, _SEGMENT = 64, 56
_INTERPRETERS = {X86_64: b"/lib64/ld-linux-x86-64.so.2\0", AARCH64: b"/lib/ld-linux-aarch64.so.1\0"}
_NEEDED, _HASH, _STRTAB, _SYMTAB, _STRSZ, _SYMENT, _SONAME, _RPATH, _RUNPATH = 1, 4, 5, 6, 10, 11, 14, 15, 29


def here() -> int:
    """ELF's number of this machine."""
    return {"x86_64": X86_64, "aarch64": AARCH64}[platform.machine()]


def library(soname: str, needed: Sequence[str] = (), *, machine: int | None = None, **paths: str) -> bytes:
    """A shared library; ``paths`` are ``rpath`` and ``runpath``."""
    return _elf(machine or here(), needed, soname=soname, **paths)


def program(says: str, needed: Sequence[str] = (), **paths: str) -> bytes:
    """A program that writes ``says`` and ends with 0."""
    return _elf(here(), needed, says=says.encode() + b"\n", **paths)


def _code(machine: int, length: int) -> bytes:
    """write(1, what follows, length); exit(0)."""
    if machine == X86_64:
        end = bytes.fromhex("31ff b83c000000 0f05")  # edi = 0; eax = 60; syscall
        write = bytes.fromhex("bf01000000 b801000000") + b"\xba" + struct.pack("<I", length) + bytes.fromhex("0f05")
        lea = bytes.fromhex("488d35") + struct.pack("<i", len(write) + len(end))
        return lea + write + end
    words = [
        0x10000001 | (7 << 5),  # adr x1, seven instructions on
        0xD2800020,  # mov x0, 1
        0xD2800002 | (length << 5),  # mov x2, length
        0xD2800808,  # mov x8, 64
        0xD4000001,  # svc 0
        0xD2800BA8,  # mov x8, 93; x0 is not 0, and nobody asks for the status
        0xD4000001,
    ]
    return struct.pack("<7I", *words)


def _elf(
    machine: int,
    needed: Sequence[str],
    *,
    soname: str = "",
    says: bytes = b"",
    rpath: str = "",
    runpath: str = "",
) -> bytes:
    strings, entries = b"\0", list[tuple[int, int]]()
    for tag, text in (
        *((_NEEDED, name) for name in needed),
        *(((_SONAME, soname),) if soname else ()),
        *(((_RPATH, rpath),) if rpath else ()),
        *(((_RUNPATH, runpath),) if runpath else ()),
    ):
        entries.append((tag, len(strings)))
        strings += text.encode() + b"\0"
    segments = 5 if says else 3
    interpreter = _INTERPRETERS[machine] if says else b""
    at = _HEADER + segments * _SEGMENT
    at_strings = at + len(interpreter)
    at_symbols = -(-(at_strings + len(strings)) // 8) * 8
    at_hash = at_symbols + 24  # one symbol, the empty one
    at_dynamic = at_hash + 16
    entries += [(_HASH, at_hash), (_STRTAB, at_strings), (_SYMTAB, at_symbols), (_STRSZ, len(strings)), (_SYMENT, 24)]
    dynamic = b"".join(struct.pack("<QQ", *entry) for entry in [*entries, (0, 0)])
    at_code = at_dynamic + len(dynamic)
    code = _code(machine, len(says)) + says if says else b""
    end = at_code + len(code)
    body = interpreter + strings
    body += b"\0" * (at_symbols - at - len(body)) + bytes(24) + struct.pack("<IIII", 1, 1, 0, 0) + dynamic + code
    header = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header += struct.pack(
        "<HHIQQQIHHHHHH", 3, machine, 1, at_code if says else 0, _HEADER, 0, 0, 64, 56, segments, 0, 0, 0
    )

    def segment(kind: int, flags: int, start: int, length: int, align: int) -> bytes:
        return struct.pack("<IIQQQQQQ", kind, flags, start, start, start, length, length, align)

    table = b""
    if says:  # where the program headers themselves are comes first
        table = segment(6, 4, _HEADER, segments * _SEGMENT, 8) + segment(3, 4, at, len(interpreter), 1)
    table += (
        segment(1, 7, 0, end, 0x1000) + segment(2, 6, at_dynamic, len(dynamic), 8) + segment(0x6474E551, 6, 0, 0, 16)
    )
    return header + table + body
