"""What a shell offers where a name is begun: networks, composites, preprocessings."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from .. import zoo
from ..composites import PRESETS
from ..preprocess import PRESETS as PREPROCESSINGS


def models(_ctx: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Networks of the zoo, and files.

    Parameters
    ----------
    begun : what is typed of it
    """
    names = [f"zoo:{name}" for name in zoo.names()]
    return [*(CompletionItem(name) for name in names if name.startswith(begun)), CompletionItem(begun, type="file")]


def composites(_ctx: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The presets.

    Parameters
    ----------
    begun : what is typed of it
    """
    return [CompletionItem(name) for name in PRESETS if name.startswith(begun)]


def preprocessings(_ctx: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The presets, and files.

    Parameters
    ----------
    begun : what is typed of it
    """
    return [*(CompletionItem(name) for name in PREPROCESSINGS if name.startswith(begun)), CompletionItem(begun, type="file")]
