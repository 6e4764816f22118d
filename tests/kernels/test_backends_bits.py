"""The same bits whatever the batch, the threads and what else is asked for, by every backend in every precision."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Explainer, Explanation
from lrp_ref.arrays import Array
from support.one_layer import PRECISIONS
from support.wide_net import pictures, wide

each_backend = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
each_precision = pytest.mark.parametrize("precision", PRECISIONS)
each_preset = pytest.mark.parametrize("preset", ["epsilon_gamma_box", "epsilon_alpha2_beta1"])
compiled = pytest.mark.skipif("compiled" not in lrp_ref.BACKENDS, reason="the compiled core is not built")


def bits(array: Array) -> tuple[Any, ...]:
    """Shape, type and bytes, whatever the strides."""
    return array.shape, array.dtype, np.ascontiguousarray(array).tobytes()


def same(found: Explanation, expected: Explanation) -> list[str]:
    """The nodes that both have, and that differ."""
    return [name for name in found.relevances if name in expected.relevances and bits(found.at(name)) != bits(expected.at(name))]


@cache
def explainer(preset: str, backend: str, precision: str, **options: Any) -> Explainer:
    return Explainer(wide(), preset, backend=backend, precision=precision, **{"keep": "all", **options})


@cache
def whole(preset: str, backend: str, precision: str) -> Explanation:
    """Five samples, all targets, with everything that can be observed."""
    return explainer(preset, backend, precision, ledger=True)(pictures(5), "all")


@each_preset
@each_precision
@each_backend
def test_a_sample_has_the_same_bits_alone_and_anywhere_in_a_batch(backend, precision, preset):
    """CONV-BATCH-BITS. Batches of 1, 2, 3 and 5: rows of tiles and blocks of rows hold parts of several samples."""
    together, x = whole(preset, backend, precision), pictures(5)
    explain = explainer(preset, backend, precision, ledger=True)
    for chosen in ([4], [1, 3], [4, 2, 0]):
        some = explain(x[chosen], "all")
        assert bits(some.prediction) == bits(together.prediction[chosen])
        for name in some.relevances:
            assert bits(some.at(name)) == bits(together.at(name)[chosen]), name
        for entry in some.ledger:
            for column in ("arriving", "inputs", "bias", "stabiliser", "unassigned", "turnover"):
                mine, all_ = (np.asarray(getattr(b, column)) for b in (entry.booking, together.ledger[entry.node]))
                assert bits(mine) == bits(all_[chosen]), (entry.node, column)


@each_preset
@each_precision
@each_backend
def test_observing_and_asking_for_less_changes_no_bit(backend, precision, preset):
    """CONV-OBSERVE-BITS: kept nodes, the ledger, one target of several."""
    everything, x = whole(preset, backend, precision), pictures(5)
    assert not same(explainer(preset, backend, precision)(x, "all"), everything)
    for keep in ("input", ("relu1", "pool1"), ("both", "left", "scores")):
        assert not same(explainer(preset, backend, precision, keep=keep)(x, "all"), everything)
    several = explainer(preset, backend, precision)(x, targets=[3, 1])
    for place, target in enumerate((3, 1)):
        alone = explainer(preset, backend, precision, keep=("left", "dense"))(x, target)
        for name in alone.relevances:
            assert bits(alone.at(name)) == bits(everything.at(name)[:, target]) == bits(several.at(name)[:, place]), name


@each_precision
@each_backend
def test_filtering_changes_no_bit_above_and_starting_there_none_below(backend, precision):
    """Relevance that starts at a node as it arrived there goes on as it did, where nothing goes past it.

    But for the signs of zeros: the relevance of a dead neuron is a·c of one run, and 0 of another.
    """
    explain = explainer("epsilon_gamma_box", backend, precision)
    x = pictures(2)
    plain = explain(x, 1)
    above = {
        "relu2": ("pool1", "left", "right", "both", "scores"),
        "dense": ("relu7", "scores"),
        "both": ("strided", "up", "dense"),
    }
    for name, known in above.items():
        nothing = np.zeros(plain.at(name).shape[1:], dtype=bool)
        filtered = explain(x, 1, filter={name: nothing})
        assert all(bits(filtered.at(other)) == bits(plain.at(other)) for other in known)
        assert not filtered.at(name).any()
        chosen = explain(x, 1, filter={name: ~nothing})
        again = explain(x, start=plain.at(name), start_at=name)
        assert all(np.array_equal(again.at(other), chosen.at(other)) for other in again.relevances), name


@compiled
@each_preset
@each_precision
def test_threads_change_no_bit(precision, preset):
    """In all three precisions, "fast" among them; one sample, and more samples than threads."""
    for memory in ("normal", "low"):
        one = explainer(preset, "compiled", precision, threads=1, memory=memory, ledger=True)
        for x in (pictures(1), pictures(5)):
            expected = one(x, targets=[0, 4])
            for threads in (2, 3) if memory == "normal" else (5,):
                found = explainer(preset, "compiled", precision, threads=threads, memory=memory, ledger=True)(x, targets=[0, 4])
                assert bits(found.prediction) == bits(expected.prediction)
                assert not same(found, expected), threads
                assert found.ledger.to_json() == expected.ledger.to_json()


@each_precision
@each_backend
def test_a_second_call_and_a_second_explainer_have_the_same_bits(backend, precision):
    """What is prepared once and kept is what would be prepared again."""
    first, x = explainer("epsilon_gamma_box", backend, precision)(pictures(2)), pictures(2)
    assert not same(explainer("epsilon_gamma_box", backend, precision)(x), first)
    assert not same(Explainer(wide(), "epsilon_gamma_box", backend=backend, precision=precision, keep="all")(x), first)
    wide().forget()
    assert not same(explainer("epsilon_gamma_box", backend, precision)(x), first)


@each_backend
def test_memory_in_any_order_gives_the_same_bits(backend):
    """Inputs in Fortran order, reversed, and every second one; nothing of them is written to."""
    explain, x = explainer("epsilon_gamma_box", backend, "float64"), pictures(2)
    expected = explain(x)
    last = x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    for laid in (np.asfortranarray(x), x[:, ::-1].copy()[:, ::-1], np.repeat(x, 2, axis=-1)[..., ::2], last):
        laid.flags.writeable = False
        assert np.array_equal(laid, x)
        assert not same(explain(laid), expected)
