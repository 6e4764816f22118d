"""The group of commands, and how errors become one line and an exit code."""

from __future__ import annotations

import errno
from typing import Any

import click

from .. import __version__
from ..errors import LrpError
from . import codes
from .convert import convert
from .demo import demo
from .explain import explain
from .info import info
from .inspect import inspect
from .rules import rules

_EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code:<4} {text}" for code, text in codes.MEANING.items())


class Commands(click.Group):
    """A group whose commands end with a documented code and one line on stderr where the library refuses."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command.

        Parameters
        ----------
        ctx : the context that click has made
        """
        try:
            return super().invoke(ctx)
        except LrpError as error:
            _fail(codes.message(error))
            ctx.exit(codes.code_of(error))
        except KeyboardInterrupt:
            _fail("interrupted")
            ctx.exit(codes.INTERRUPTED)
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever reads our output went away; click ends quietly
                raise
            _fail(codes.message(error))
            ctx.exit(codes.code_of(error))


def _fail(message: str) -> None:
    click.echo(f"lrp-ref: error: {message}", err=True)


@click.group(cls=Commands, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="lrp-ref")
def commands() -> None:
    """Explain predictions of neural networks by layer-wise relevance propagation.

    Start with `lrp-ref demo`. Every command takes --json, and prints plain text where its output is not a terminal.
    """


for _command in (demo, explain, inspect, convert, rules, info):
    commands.add_command(_command)
