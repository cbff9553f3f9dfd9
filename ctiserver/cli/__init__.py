"""The ``ctiserver`` command: one verb per job, one module per verb in this package.

A module holds ``command``, a click command or group; its name is the verb, and its docstring says in one sentence what
that is for. Modules are imported only when used, so that ``ctiserver --help`` is quick and a missing extra never breaks
another verb. What several verbs share, and parts of one, begin with an underscore.
"""

from __future__ import annotations

import ast
import gc
import importlib
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from ctiserver import __version__


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(
            name.replace("_", "-") for _, name, _ in pkgutil.iter_modules(__path__) if not name.startswith("_")
        )

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{__name__}.{cmd_name.replace('-', '_')}")
        command = module.command
        assert isinstance(command, click.Command)
        if not gc.isenabled():
            gc.freeze()  # it stays until the end
            gc.enable()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, _purpose(verb)) for verb in self.list_commands(ctx)])


def _purpose(verb: str) -> str:
    """What a verb is for, without importing it: the modules of all of them are most of the server."""
    path = Path(__file__).with_name(f"{verb.replace('-', '_')}.py")
    said = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()[0]
    purpose = said.partition("``: ")[2]
    return purpose[:1].upper() + purpose[1:]


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ctiserver")
def cli() -> None:
    """The contact-centre server for anyone with an Asterisk."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; whatever goes wrong ends as :mod:`ctiserver.cli._faults` says."""
    if arguments is None:  # a process of its own
        gc.disable()  # until the verb is imported: none of that is garbage, and looking takes a quarter of the time
    try:
        cli.main(args=None if arguments is None else list(arguments), prog_name="ctiserver", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except BaseException as error:
        if isinstance(error, SystemExit | GeneratorExit):
            raise
        from ctiserver.cli import _faults  # what works needs none of its imports

        sys.exit(_faults.end_with(error))
