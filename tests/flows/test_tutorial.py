"""docs/tutorial/first-flow.md, every command of it, in an empty folder, as a new admin types them."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial" / "first-flow.md"
BLOCK = re.compile(r"^```sh ?(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_every_command_of_the_tutorial_works(tmp_path: Path) -> None:
    blocks = BLOCK.findall(TUTORIAL.read_text(encoding="utf-8"))
    assert len(blocks) > 10
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CTISERVER_AGI__PORT": "0",
        "CTISERVER_WEB__PORT": "0",
        "CTISERVER_PBXS__MAIN__SECRET": "nobody answers",
    }
    server: subprocess.Popen[bytes] | None = None
    log = tmp_path / "server.log"
    try:
        for kind, commands in blocks:
            for name, value in re.findall(r"^export (\w+)=(\S+)", commands, re.MULTILINE):
                environment[name] = value
            if kind == "server":
                with log.open("wb") as output:
                    server = subprocess.Popen(
                        ["bash", "-ec", f"exec {commands.strip()}"], cwd=tmp_path, env=environment, stderr=output
                    )
                until_it_serves(server, log)
                continue
            done = subprocess.run(
                ["bash", "-ec", commands],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=90,
                check=False,
            )
            said = f"{commands}\n{done.stdout}\n{done.stderr}\n{log.read_text() if log.exists() else ''}"
            assert done.returncode == (2 if kind == "fails" else 0), said
            assert "Traceback" not in said
            if kind == "fails":
                assert "CF-010" in done.stdout, said
                assert "did you mean 'message'?" in done.stdout, said
            if "reload" in commands:
                assert "hotline" in done.stdout, said
            if "hours explain" in commands:
                assert "make up day" in done.stdout, said
    finally:
        if server is not None:
            server.send_signal(signal.SIGTERM)
            assert server.wait(20) == 0, log.read_text()
    assert (tmp_path / "hotline.svg").read_text(encoding="utf-8").startswith("<svg")


def until_it_serves(server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while "answers FastAGI" not in log.read_text(encoding="utf-8"):
        assert server.poll() is None, log.read_text(encoding="utf-8")
        assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
        time.sleep(0.05)  # another process's file: nothing to wait on
