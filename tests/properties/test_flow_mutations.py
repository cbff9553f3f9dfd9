"""A thousand damaged flows: each is right all the same, or says what is wrong at a place inside the file."""

import random
from pathlib import Path

import pytest

from ctiserver.errors import FileFault
from ctiserver.ivr.language.check import check
from ctiserver.ivr.language.loader import load_flow
from tests.support.flows import shipped_world

FLOWS = sorted((Path(__file__).parents[2] / "ivr_flows").glob("*.flow.yaml"))
NOISE = [
    "：",
    "，",
    '"',
    "'",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "#",
    "&x",
    "*x",
    "!tag",
    "\t",
    "=",
    "{{",
    "}}",
    "0",
    "07",
    "on",
    "\x00",
    "\ufeff",
    "-",
    "|",
]


def damaged(text: str, rng: random.Random) -> str:
    """The text with one to three things done to it that people do."""
    for _ in range(rng.randint(1, 3)):
        lines = text.split("\n")
        at = rng.randrange(len(lines))
        line = lines[at]
        match rng.randrange(8):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, line)
            case 2:
                lines[at] = line[: rng.randrange(len(line) + 1)]
            case 3:
                lines[at] = " " * rng.randrange(6) + line
            case 4:
                cut = rng.randrange(len(line) + 1)
                lines[at] = line[:cut] + rng.choice(NOISE) + line[cut:]
            case 5:
                lines[at] = line.replace('"', "")
            case 6:
                words = line.split(" ")
                rng.shuffle(words)
                lines[at] = " ".join(words)
            case _:
                lines[at], lines[at - 1] = lines[at - 1], lines[at]
        text = "\n".join(lines)
    return text


@pytest.mark.parametrize("seed", range(10))
def test_a_hundred_damaged_flows(seed: int) -> None:
    rng = random.Random(seed)
    _, names = shipped_world()
    refused = 0
    for _ in range(100):
        path = rng.choice(FLOWS)
        text = damaged(path.read_text(encoding="utf-8"), rng)
        try:
            problems = check(load_flow(text, file=path.name), names)
        except FileFault as fault:
            problems = fault.problems
        lines = text.count("\n") + 1
        for problem in problems:
            assert problem.place.file == path.name
            assert 1 <= problem.place.line <= lines + 1, problem
            assert problem.place.column >= 1
            assert problem.message
            assert problem.code[:3] in ("CF-", "YA-"), problem
        refused += bool(problems)
    assert refused > 50
