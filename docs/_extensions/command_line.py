"""The directive `command-line`: every command of a program with its help, read from the program itself."""

import re
from collections.abc import Iterator
from importlib import import_module
from itertools import groupby
from typing import Any

import typer.main
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class CommandLine(SphinxDirective):
    """Document the typer program that the argument names, as `package.module:app`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Give one section per command, in the order of the program's own help."""
        module, name = self.arguments[0].split(":")
        program = typer.main.get_command(getattr(import_module(module), name))
        context = program.make_context(program.name, [], resilient_parsing=True)
        shown = [command for command in program.commands.values() if not command.hidden]
        own = [*self._help(program.help), *_options(program, context)]
        return [*own, *(self._command(program.name, command, context) for command in shown)]

    def _command(self, program: str, command: Any, parent: Any) -> nodes.section:  # noqa: ANN401 - typer's own types
        title = f"{program} {command.name}"
        section = nodes.section(ids=[nodes.make_id(title)], names=[title])
        section += nodes.title("", "", nodes.literal("", title))
        self.state.document.note_explicit_target(section)
        context = command.make_context(command.name, [], parent=parent, resilient_parsing=True)
        usage = " ".join([title, *command.collect_usage_pieces(context)])
        section += nodes.literal_block("", usage, language="none")
        section += self._help(command.help)
        section += _options(command, context)
        return section

    @staticmethod
    def _help(text: str) -> Iterator[nodes.Node]:
        for paragraph in text.split("\n\n"):
            lines = paragraph.split("\n")
            prose = [line for line in lines if line[:2].strip()]
            if prose:
                yield nodes.paragraph("", "", *_inline(" ".join(prose)))
            if len(lines) > len(prose):
                indented = [line for line in lines if not line[:2].strip()]
                yield nodes.literal_block("", "\n".join(line.strip() for line in indented), language="none")


def _options(command: Any, context: Any) -> Iterator[nodes.Node]:  # noqa: ANN401 - typer's own types
    parameters = [one for one in command.get_params(context) if not one.hidden]
    for panel, members in groupby(sorted(parameters, key=_panel), key=_panel):
        yield nodes.paragraph("", "", nodes.strong("", panel[1]))
        yield _table([_record(one, context) for one in members])


def _record(parameter: Any, context: Any) -> tuple[str, str]:  # noqa: ANN401 - typer's own types
    """Names and help of a parameter; an argument that has a name of its own goes without its type."""
    names, text = parameter.get_help_record(context)
    return (names if parameter.opts[0].startswith("-") else parameter.metavar or names), text


def _panel(parameter: Any) -> tuple[int, str]:  # noqa: ANN401 - typer's own types
    if parameter.rich_help_panel:
        return (2, parameter.rich_help_panel)
    return (1, "Options") if parameter.opts[0].startswith("-") else (0, "Arguments")


def _table(records: list[tuple[str, str]]) -> nodes.table:
    body = nodes.tbody()
    for names, text in records:
        row = nodes.row()
        row += nodes.entry("", nodes.paragraph("", "", nodes.literal("", names)))
        row += nodes.entry("", nodes.paragraph("", "", *_inline(text)))
        body += row
    group = nodes.tgroup("", nodes.colspec(colwidth=35), nodes.colspec(colwidth=65), body, cols=2)
    return nodes.table("", group, classes=["colwidths-given", "command-options"])


def _inline(text: str) -> Iterator[nodes.Node]:
    """Text with what stands between backticks as code."""
    for place, part in enumerate(re.split(r"`([^`]+)`", text)):
        if part:
            yield nodes.literal("", part) if place % 2 else nodes.Text(part)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
