"""A FastAGI server with one menu, in a process of its own, to be stopped or killed.

``python -m tests.support.asking_server FOLDER PORT [FLOW]``, where FLOW is the text of another flow named ``menu``. It
prints ``ready``, then the name of each request that the flow makes, and ``ended`` when the session is over.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from ctiserver.ivr.language.requests import Request
from tests.support.flow_server import flow_server

PROMPT_S = 2.0
FLOW = """\
schema: callflow/1
flow: menu
version: "1"
languages: [en]
start: ask
on_hangup: left
nodes:
  ask:
    kind: menu
    prompt: {en: Press one.}
    choices: {"1": bye}
    on: {exhausted: bye}
  left: {kind: event, event: call.left, next: bye}
  bye: {kind: hangup, prompt: {en: Goodbye.}}
"""


def _tell(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def _serve(folder: Path, port: int, flow: str) -> None:
    flows = folder / "asking"
    flows.mkdir()
    (flows / "menu.flow.yaml").write_text(flow, encoding="utf-8")

    def told(_: str, request: Request) -> bool:
        _tell(type(request).__name__)
        return True

    async with flow_server(folder, flow="menu", flows=flows, port=port, tone_s=PROMPT_S) as server:
        _tell("ready")

        async def tell_the_end() -> None:
            await server.service.until_ended(1, within_s=120.0)
            _tell("ended")

        async with asyncio.TaskGroup() as group:
            group.create_task(tell_the_end())
            seen = 0
            while True:
                seen = await server.service.until(told, after=seen, within_s=120.0)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2]), *(sys.argv[3:] or [FLOW])))
