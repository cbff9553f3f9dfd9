"""INVITEs of people who mean harm, made from a seed: what they forge, where they put it, how they write it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from tests.support.hostile import Hostile

#: Stands in everything that is forged: whatever holds it was believed.
MARK = "forged"
#: What fits into a user part: Asterisk cuts it there.
_ROOM = 79


def _texts(rng: random.Random) -> Iterator[str]:
    """What a caller would have the server believe, as many lines as may be."""
    now = f"{time.time():.0f}.000001"
    ids = f"Uniqueid: {MARK}.1\r\nLinkedid: {MARK}.1"
    while True:
        end = rng.choice(["\r\n", "\n", "\r", "\r\n\r\n", "\n\n", "\r\r\n", "\r\n \r\n"])
        head = rng.choice(["", "Privilege: user,all\r\n", f"Privilege: call,all\r\nTimestamp: {now}\r\n"])
        yield rng.choice(
            [
                f"{end}{ids}",
                f"{end}Event: UserEvent\r\n{head}UserEvent: CtiRecording\r\nState: on",
                f"x{end}File: ../../{MARK}.txt\r\n{ids}",
                f"{end}Event: Hangup\r\n{head}{ids}",
                f"{end}Event: QueueMemberRemoved\r\n{head}Queue: {MARK}",
                f"x{end}Queue: {MARK}\r\nInterface: PJSIP/{MARK}",
                f"{end}Event: Newchannel\r\n{head}Channel: PJSIP/trunk-{MARK}",
                f"{end}Response: Success\r\nActionID: action/{MARK}/1/1",
                f"{end}Event: FullyBooted\r\n{head}Uptime: 1",
                f"{end}{now}|{MARK}.2|repair|NONE|ABANDON|1|1|{MARK}",
                f"{end}{int(time.time())}|{MARK}.2|repair|NONE|EXITEMPTY|1|1|2\n",
                f"x{end}UserEvent: CtiCallback\r\nCall: {MARK}\r\nStatus: ANSWER",
                f"{end}Event: FullyBooted\r\n\r\n{ids}{end}",
                f"\r\n\r\n\r\n{end}{MARK}",
                f"{end}agi_uniqueid: {MARK}.3",
                f"\x1b[2J\x07{MARK}",
                "A" * rng.choice([78, 79, 80, 200, 1000]) + f"{end}{MARK}",
                f"{MARK}${{SHELL(touch /tmp/{MARK})}},x)):(\"'|&%",
                f"李敏\udcff\udcfe{MARK}",
                f'"; drop table calls; --{MARK}',
            ]
        )


def mutated(count: int, seed: int) -> list[Hostile]:
    """So many INVITEs, the same for the same seed."""
    rng = random.Random(seed)
    texts = _texts(rng)
    made = []
    for number in range(count):
        first, second = next(texts), next(texts)
        cut = rng.choice([_ROOM, _ROOM - 1, 400])
        where = rng.randrange(7)
        if number == 0:  # the one that deleted a file, word for word
            made += [
                Hostile(dialled="4000\r\nUniqueid: 437.9\r\nLinkedid: 437.9"),
                Hostile(
                    number="\r\n\r\nEvent: UserEvent\r\nUserEvent: CtiRecording\r\nTimestamp: 1e9\r\nState: on",
                    dialled=f"4000\r\nUniqueid: 437.9\r\nLinkedid: 437.9\r\nFile: ../../{MARK}.txt",
                ),
            ]
        elif where == 0:
            made.append(Hostile(number=f"1{first}"[:cut]))
        elif where == 1:
            made.append(Hostile(dialled=f"4{second}"[:cut]))
        elif where == 2:
            made.append(Hostile(number=first[:cut], dialled=f"4000{second}"[:cut]))
        elif where == 3:
            flat = first.replace("\r", "").replace("\n", " ").replace('"', "'")
            made.append(Hostile(name=f'"{flat[:200]}" ', number=second[:cut]))
        elif where == 4:
            escaped = "".join(f"%{byte:02x}" for byte in first[:cut].encode("utf-8", "surrogateescape"))
            header = rng.choice(["P-Asserted-Identity", "Remote-Party-ID", "Diversion", "Contact", "X-Odd"])
            made.append(Hostile(headers=(f"{header}: <sip:{escaped}@127.0.0.1>",), number=second[:cut]))
        elif where == 5:
            twice = "".join(f"%25{byte:02X}" for byte in first[:cut].encode("utf-8", "surrogateescape"))
            made.append(Hostile(number=twice[:400], raw=True, dialled="4000"))
        else:
            made.append(Hostile(number=f"1;phone-context={MARK}\r\n{first}"[:cut], dialled=f"4000;{second}"[:cut]))
    return made[:count]
