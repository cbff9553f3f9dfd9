"""The log in a file that is copied and cut while the server holds it open, as docs/how-to/log-rotation.md says."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import sys
from pathlib import Path

from tests.support.eventually import eventually
from tests.support.served import Site

PAGE = Path(__file__).parents[2] / "docs/how-to/log-rotation.md"


async def test_a_log_that_is_cut_goes_on_at_its_begin(tmp_path: Path) -> None:
    (command,) = re.findall(r"^ctiserver (serve .*)$", PAGE.read_text(encoding="utf-8"), re.M)
    site = Site.made(tmp_path / "my-site")
    log = tmp_path / "ctiserver.log"
    shell = f"exec {sys.executable} -m ctiserver {command}".replace("/var/log/ctiserver/ctiserver.log", str(log))
    process = await asyncio.create_subprocess_exec("sh", "-c", shell, cwd=tmp_path, env=site.environment)
    try:

        async def written() -> str:
            return log.read_text(encoding="utf-8") if log.exists() else ""

        await eventually(written, lambda text: "the console is at" in text, within_s=60)
        shutil.copyfile(log, tmp_path / "ctiserver.log.1")
        with log.open("r+b") as held:
            held.truncate(0)
        flow = site.folder / "flows/front_desk.flow.yaml"
        flow.write_text(flow.read_text(encoding="utf-8").replace("go: opening", "go: openning", 1), encoding="utf-8")
        process.send_signal(signal.SIGHUP)  # it reads the flows again, and says what is wrong with them
        text = await eventually(written, lambda text: "reload_refused" in text)
        assert "\0" not in text  # it was opened for appending
        assert "the console is at" in (tmp_path / "ctiserver.log.1").read_text(encoding="utf-8")
        assert process.returncode is None
    finally:
        process.terminate()
        async with asyncio.timeout(30):
            await process.wait()
    assert process.returncode == 0
