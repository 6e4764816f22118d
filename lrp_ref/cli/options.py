"""The options that commands share, and what they are gathered in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from ..composites import PRESETS
from ..preprocess import PRESETS as PREPROCESSINGS
from ..propagate.plan import BACKENDS
from ..resources import MEMORY
from . import completion

_NETWORK = (
    click.option(
        "--output",
        "ends",
        multiple=True,
        metavar="NODE",
        help="End the network at a node (or a value of the file), anywhere. Can be repeated.",
    ),
    click.option(
        "--input-shape",
        multiple=True,
        metavar="[NAME=]3x224x224",
        help="The shape of one sample, without the batch axis, where the file leaves extents open. Can be repeated, by input.",
    ),
    click.option(
        "--batch-axis",
        multiple=True,
        metavar="[NAME=]N",
        help="Which axis of an ONNX file's inputs, or of one, is the batch; 1 where the steps come first. Can be repeated.  "
        "[default: 0]",
    ),
    click.option(
        "--fix",
        multiple=True,
        metavar="NAME=VALUE",
        help="Hold an input of an ONNX file at a number; it is no input then. Can be repeated.",
    ),
    click.option(
        "--signal",
        multiple=True,
        metavar="NODE=0|1",
        help="Which input of a product carries the information; the other one is its gate. Can be repeated.",
    ),
    click.option(
        "--pass",
        "passes",
        multiple=True,
        metavar="NODE",
        help="Let relevance pass a node of one input as it passes an activation. Can be repeated.",
    ),
    click.option("--low", type=float, help="The least value that an input can take, for the zB rule and for images."),
    click.option("--high", type=float, help="The greatest value that an input can take."),
    click.option(
        "--preprocess",
        shell_complete=completion.preprocessings,
        metavar="NAME|FILE.json",
        help=f"What is done to images, and so the domain: {', '.join(PREPROCESSINGS)}, or a JSON file.  [default: the file "
        "NETWORK.preprocess.json beside the model, if there is one, else what meets the model's domain]",
    ),
    click.option(
        "--size", metavar="N|HxW", help="Resize images to this size; before a --crop in pixels, an N is the shorter side."
    ),
    click.option(
        "--crop",
        metavar="square|0.875|N|HxW",
        help="Cut out the middle: the largest part of the right proportions, a fraction of it, or so many pixels.",
    ),
    click.option("--mean", metavar="M|M,M,M", help="What is taken from each channel, in the order of --order."),
    click.option("--std", metavar="S|S,S,S", help="What each channel is divided by then."),
    click.option("--scale", metavar="X|1/255", help="What pixel values 0 to 255 are multiplied by first."),
    click.option("--order", type=click.Choice(["RGB", "BGR"]), help="The order of the channels."),
)

_RULES = (
    click.option(
        "--composite",
        default="epsilon_plus",
        show_default=True,
        metavar="NAME",
        shell_complete=completion.composites,
        help=f"Which rule goes where: {', '.join(PRESETS)}.",
    ),
    click.option(
        "--rule",
        "assignments",
        multiple=True,
        metavar="NODE=RULE",
        help='A rule in front of the composite, such as "conv1=Flat()". NODE may be a glob, "dense*=Epsilon(0.25)", and then '
        "means the nodes that the rule serves. Can be repeated; the first that matches a node holds.",
    ),
)

_COMPUTING = (
    click.option(
        "--head",
        type=click.Choice(["logit", "log-odds", "probability"]),
        help="What is explained of a probability (of a softmax or sigmoid): the score before it, its log-odds, or itself.",
    ),
    click.option("--output-node", metavar="NAME", help="Which output is explained, where the network has several."),
    click.option("--backend", metavar="NAME", help=f"What computes: {', '.join(BACKENDS)}.  [default: {BACKENDS[-1]}]"),
    click.option(
        "--precision",
        type=click.Choice(["float64", "float32", "fast"]),
        help="The number type; fast: float32, with convolutions that round a little more.  [default: the network's]",
    ),
    click.option(
        "--threads",
        type=click.IntRange(1),
        metavar="N",
        help="Threads of the compiled backend; they change no bit.  [default: LRP_REF_NUM_THREADS, else all CPUs]",
    ),
    click.option("--memory", type=click.Choice(MEMORY), help="low: less memory for more time.  [default: normal]"),
)

_WORDS = (
    click.option(
        "--vocab",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The words that a network of text knows: line K + 1 is the word of row K of its table; or a JSON list, or an object "
        "from words to numbers.  [default: NETWORK.vocab.txt beside the model, if there is one]",
    ),
    click.option("--unknown", metavar="WORD", help="The word to take for those that are not in the vocabulary, such as <unk>."),
    click.option("--lower", is_flag=True, help="Make the letters of sentences small."),
    click.option("--pad", metavar="WORD", help="The word that fills up sentences where the network wants so many words."),
    click.option(
        "--vectors",
        type=click.Path(path_type=Path),
        metavar="FILE.npy",
        help="The words as vectors, (words, features), for a network that has no table of its own.",
    ),
)

_NUMBERS = click.option("--numbers", is_flag=True, help="Show the relevance of each word as a number, too.")

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")

#: The options that say what a plan may spend.
MEANS = ("backend", "precision", "threads", "memory")

#: The options that say something about the preprocessing, in the order of the record's fields.
RECIPE = ("size", "crop", "mean", "std", "scale", "order")
#: Those that say how a network's file is read.
READING = ("ends", "input_shape", "batch_axis", "fix", "signal", "passes")
#: Those that say what is done to sentences.
TEXT = ("vocab", "unknown", "lower", "pad", "vectors")


def _put(options: tuple[Callable[..., Any], ...], command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command


def network(command: Callable[..., Any]) -> Callable[..., Any]:
    """Put the options that make a network ready on a command.

    Parameters
    ----------
    command : a function that click makes a command of
    """
    return _put((*_NETWORK, _JSON), command)


def resources(options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an explainer that the options MEANS say; what is not typed is left out.

    Parameters
    ----------
    options : all options of a command
    """
    return {name: options[name] for name in MEANS if options[name] is not None}


def text(command: Callable[..., Any]) -> Callable[..., Any]:
    """Put the options about words on a command.

    Parameters
    ----------
    command : a function that click makes a command of
    """
    return _put((*_WORDS, _NUMBERS), command)


def shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Put the options that `explain` and `inspect` share on a command.

    Parameters
    ----------
    command : a function that click makes a command of
    """
    return _put((*_RULES, *_COMPUTING, *_NETWORK, _JSON), command)


def comparing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Put the options of `shared` and `text` on a command, but for those that name one composite and `--numbers`.

    Parameters
    ----------
    command : a function that click makes a command of
    """
    return _put((*_COMPUTING, *_WORDS, *_NETWORK, _JSON), command)
