"""Every verb of the command line, found in the command tree itself, so that a new one is tested with the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import click

from ctiserver.cli import cli


@dataclass(frozen=True)
class Verb:
    """A command that does something: a leaf of the tree."""

    path: tuple[str, ...]
    command: click.Command

    @property
    def name(self) -> str:
        return " ".join(self.path)

    @property
    def takes_config(self) -> bool:
        return any(parameter.name == "config" for parameter in self.command.params)

    def arguments(self, file: str, /, **options: str) -> list[str]:
        """Arguments that it can be called with; ``file`` for what it must have, ``options`` for what it may have."""
        given: list[str] = []
        for parameter in self.command.params:
            value = options.get(parameter.name or "", _VALUES.get(parameter.name or ""))
            if value is None:
                value = self._value(parameter, file)
            if parameter.required or parameter.name in options:
                given += [value] if isinstance(parameter, click.Argument) else [parameter.opts[0], value]
        password = ["--password-stdin"] if any(one.name == "password_stdin" for one in self.command.params) else []
        return [*self.path, *password, *given]

    def _value(self, parameter: click.Parameter, file: str) -> str:
        if isinstance(parameter.type, click.Path):
            return file if parameter.type.file_okay else "."
        if isinstance(parameter.type, click.Choice):
            return str(parameter.type.choices[0])
        return "2026-11-30" if isinstance(parameter.type, click.DateTime) else "x1"


#: What a parameter must be, where its type does not say so.
_VALUES = {"country": "CN", "host": "127.0.0.1", "role": "agent", "arguments": "service_desk"}


def verbs() -> list[Verb]:
    """All of them."""
    with cli.make_context("ctiserver", [], resilient_parsing=True) as context:
        return list(_leaves(cli, (), context))


def _leaves(command: click.Command, path: tuple[str, ...], context: click.Context) -> Iterator[Verb]:
    if not isinstance(command, click.Group):
        yield Verb(path, command)
        return
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from _leaves(found, (*path, name), context)
