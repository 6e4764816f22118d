"""Layers are frozen records: nothing changes after construction, nothing of the caller's is changed by it."""

import copy
import dataclasses
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given

from lrp_ref import layers as L
from support.strategies import KINDS, LAYOUTS, cases, fewer, laid_out

WEIGHT = np.arange(12.0).reshape(3, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_no_field_can_be_set_and_parameters_are_read_only(kind):
    @fewer
    @given(cases(kind))
    def check(case):
        for name in [*(field.name for field in dataclasses.fields(case.layer)), "something_new"]:
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(case.layer, name, 1)
        for name, value in case.layer.parameters.items():
            assert value is getattr(case.layer, name)
            with pytest.raises(ValueError, match="read-only"):
                value[...] = 0

    check()


def test_the_caller_s_array_stays_writable_and_is_copied():
    weight = WEIGHT.copy()
    layer = L.Dense(weight)
    assert weight.flags.writeable
    assert not np.shares_memory(layer.weight, weight)
    np.testing.assert_array_equal(weight, WEIGHT)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_strides_are_accepted(layout):
    x = np.array([[1.0, -2.0, 0.5]])
    weight = laid_out(WEIGHT, layout)
    layer = L.Dense(weight)
    assert layer.forward(x).tolist() == (x @ WEIGHT).tolist()
    assert layer.adjoint(np.ones((1, 4)), layer.weight, (1, 3)).tolist() == [WEIGHT.sum(axis=1).tolist()]


def test_a_transposed_view_is_taken_as_it_is():
    """Frameworks store (upper, lower); `weight.T` costs no more than the copy, which keeps the order in memory."""
    stored = WEIGHT.copy()
    assert L.Dense(stored.T).forward(np.ones((1, 4))).tolist() == [stored.sum(axis=1).tolist()]


@pytest.mark.parametrize("kind", KINDS)
def test_astype_and_back(kind):
    @fewer
    @given(cases(kind))
    def check(case):
        for dtype in (np.float32, np.float64, object):
            layer = case.layer.astype(dtype)
            assert type(layer) is kind
            assert layer.parameters.keys() == case.layer.parameters.keys()
            for name, value in layer.parameters.items():
                assert value.dtype == dtype
                assert (value == case.layer.parameters[name]).all()  # the strategy's numbers fit every type
            back = layer.astype(np.float64)
            for name, value in case.layer.parameters.items():
                assert (back.parameters[name] == value).all()
            for field in dataclasses.fields(layer):
                if field.name not in layer.parameters:
                    assert getattr(layer, field.name) == getattr(case.layer, field.name)

    check()


def test_astype_means_the_exact_binary_value():
    layer = L.Dense([[0.1]]).astype(object)
    assert layer.weight[0, 0] == Fraction(0.1) != Fraction(1, 10)
    assert L.Dense([[Fraction(1, 3)]]).astype(np.float32).weight[0, 0] == np.float32(1 / 3)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_survive_pickling_copying_and_replacing(kind):
    """What a constructor made, it accepts again: `dataclasses.replace` with nothing to replace gives the same layer."""

    @fewer
    @given(cases(kind))
    def check(case):
        expected = case.layer.forward(*case.inputs)
        pickled = pickle.loads(pickle.dumps(case.layer))  # noqa: S301 (our own bytes)
        for twin in (pickled, copy.deepcopy(case.layer), copy.copy(case.layer), dataclasses.replace(case.layer)):
            assert repr(twin) == repr(case.layer)
            assert not any(value.flags.writeable for value in twin.parameters.values())
            np.testing.assert_array_equal(twin.forward(*case.inputs), expected)

    check()


def test_layers_are_equal_to_themselves_only():
    """They hold arrays; two of the same numbers are two layers, and a layer can be the key of a dictionary."""
    one, two = L.Dense(WEIGHT), L.Dense(WEIGHT)
    assert one != two
    assert len({one, two, one}) == 2


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (L.Dense(WEIGHT, np.zeros(4)), "Dense(weight[3, 4], bias[4])"),
        (L.Dense(WEIGHT), "Dense(weight[3, 4])"),
        (L.Conv(np.ones((8, 3, 5, 5)), padding=2), "Conv(weight[8, 3, 5, 5], padding=2)"),
        (
            L.Conv(np.ones((8, 3, 5, 5)), np.ones(8), (1, 2), ((0, 1), 1), groups=2),
            "Conv(weight[8, 3, 5, 5], bias[8], stride=(1, 2), padding=((0, 1), 1), groups=2)",
        ),
        (L.ConvTranspose(np.ones((2, 2, 3)), stride=2, output_padding=1),
         "ConvTranspose(weight[2, 2, 3], stride=2, output_padding=1)"),
        (L.MaxPool(2), "MaxPool(kernel=2)"),
        (L.AvgPool([2, 2], count_include_pad=False), "AvgPool(kernel=2, count_include_pad=False)"),
        (L.Scale(2.0), "Scale(weight=2.0)"),
        (L.Scale(), "Scale()"),
        (L.Scale(np.ones((3, 1, 1)), 0.5), "Scale(weight[3, 1, 1], bias=0.5)"),
        (L.BatchNorm(np.ones(3), np.ones(3)), "BatchNorm(mean[3], variance[3])"),
        (L.Reshape((2, 2)), "Reshape(to=(2, 2))"),
        (L.Pad(((1, 1), (1, 1))), "Pad(padding=1)"),
        (L.Upsample((2, 3)), "Upsample(factor=(2, 3))"),
        (L.ReLU(), "ReLU()"),
        (L.Mean((1, 2), keepdims=True), "Mean(axes=(1, 2), keepdims=True)"),
        (L.Multiply(signal=0), "Multiply(signal=0)"),
    ],
)  # fmt: skip
def test_repr_says_what_differs_from_the_defaults(layer, text):
    assert repr(layer) == text
