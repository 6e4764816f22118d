"""The shapes of a network's arrays: worked out once for inputs of some shape, and handed on to whoever asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..arrays import Shape


class Shapes(Mapping[str, Shape]):
    """The shape of one sample at every input and node of a network, by name; empty where those of its inputs are not known.

    Canonising a network changes none: the nodes that stay keep their names and shapes.

    Parameters
    ----------
    samples : by name, without the batch axis
    """

    def __init__(self, samples: Mapping[str, Shape]) -> None:
        self._samples = dict(samples)

    def __getitem__(self, name: str) -> Shape:
        return self._samples[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._samples)

    def __len__(self) -> int:
        return len(self._samples)

    def batch(self, count: int) -> dict[str, Shape]:
        """The shapes of `count` samples, the batch axis first."""
        return {name: (count, *shape) for name, shape in self._samples.items()}
