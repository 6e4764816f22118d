"""The group of commands, and how errors become one line and an exit code."""

from __future__ import annotations

import errno
import sys
from typing import Any

import click

from .. import __version__
from ..errors import LrpError
from . import codes
from .compare import compare
from .convert import convert
from .demo import demo
from .explain import explain
from .info import info
from .inspect import inspect
from .methods import methods
from .output import complain, discard
from .rules import rules


class Commands(click.Group):
    """A group whose commands end with a documented code and one line on stderr where the library refuses."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the exit codes below the commands.

        Parameters
        ----------
        ctx : of the program
        formatter : where they go
        """
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), text) for code, text in codes.MEANING.items()])

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """The context of a call, after the options of the program itself; --help prints here.

        Parameters
        ----------
        arguments, options : as click gives them
        """
        try:
            return super().make_context(*arguments, **options)
        except OSError as error:
            _end_where_nobody_reads(error)
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command.

        Parameters
        ----------
        ctx : the context that click has made
        """
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except LrpError as error:
            complain(codes.message(error))
            ctx.exit(codes.code_of(error))
        except KeyboardInterrupt as interruption:
            complain(": ".join(["interrupted", *map(str, interruption.args)]))
            ctx.exit(codes.INTERRUPTED)
        except OSError as error:
            _end_where_nobody_reads(error)
            complain(codes.message(error))
            ctx.exit(codes.code_of(error))


def _end_where_nobody_reads(error: OSError) -> None:
    """End well where the error is that of a pipe whose reader has gone away: it has seen enough."""
    if error.errno == errno.EPIPE:
        for stream in (sys.stdout, sys.stderr):
            discard(stream)
        raise click.exceptions.Exit(codes.OK)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="lrp-ref")
def commands() -> None:
    """Explain predictions of neural networks by layer-wise relevance propagation.

    Start with `lrp-ref demo`. Every command takes --json, and prints plain text where its output is not a terminal.
    """


for _command in (demo, explain, compare, inspect, convert, rules, methods, info):
    commands.add_command(_command)
