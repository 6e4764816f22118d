"""The memo of prepared weights: bounded, least recently used first out, safe among threads, empty in copies."""

import copy
import os
import pickle
import signal
import threading

import numpy as np
import pytest

from lrp_ref import BACKENDS, Explainer, Model, rules
from lrp_ref import layers as L
from lrp_ref.memo import Key, Memo


def sized(value, size=10):
    return lambda: (value, size)


def never():
    raise AssertionError("built again")


def test_a_value_is_built_once():
    memo = Memo()
    found = memo.get("a", sized([1]))
    assert memo.get("a", never) is found
    assert memo.size == 10


def test_the_least_recently_used_goes_first():
    memo = Memo(limit=30)
    for key in "abc":
        memo.get(key, sized(key))
    memo.get("a", never)
    memo.get("d", sized("d"))
    assert memo.size == 30
    for key in "acd":
        memo.get(key, never)
    with pytest.raises(AssertionError, match="built again"):
        memo.get("b", never)


def test_never_more_than_the_limit_but_for_the_last_one_alone():
    memo = Memo(limit=25)
    for size in (10, 10, 10, 24, 1, 3, 100):
        memo.get(object(), sized("x", size))
        assert memo.size <= 25 or memo.size == size
    memo.get("small", sized("y", 1))
    assert memo.size == 1


def test_a_build_that_fails_leaves_nothing_and_holds_no_lock():
    memo = Memo()

    def fails():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        memo.get("a", fails)
    assert memo.get("a", sized(1)) == 1
    assert memo.size == 10


def test_a_build_may_ask_the_memo():
    memo = Memo()
    assert memo.get("outer", lambda: (memo.get("inner", sized(2)) + 1, 5)) == 3
    assert memo.size == 15


def test_clearing_forgets():
    memo = Memo()
    memo.get("a", sized(1))
    memo.clear()
    assert memo.size == 0
    assert memo.get("a", sized(2)) == 2


def test_copies_and_pickles_are_empty_and_have_the_limit():
    memo = Memo(limit=15)
    memo.get("a", sized(1))
    for other in (copy.copy(memo), copy.deepcopy(memo), pickle.loads(pickle.dumps(memo))):  # noqa: S301
        assert other.size == 0
        other.get("a", sized(1))
        other.get("b", sized(1))
        assert other.size == 10
    assert memo.size == 10


def test_threads_share_one_value_and_the_sizes_stay_right():
    """All threads build at the same time; every one gets the object that was kept."""
    memo, gate, found = Memo(limit=200), threading.Barrier(8), []

    def ask(me):
        def build():
            gate.wait(10)
            return [me], 10

        found.append(memo.get("shared", build))
        gate.wait(10)
        for i in range(300):
            memo.get((me, i % 40), sized(i))
            assert memo.size <= 200
        memo.get("last", sized("last"))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 8
    assert all(value is found[0] for value in found)
    assert memo.size == sum(size for _, size in memo._found.values())


def test_a_model_forgets_what_its_explainers_prepared():
    norm = L.BatchNorm(np.ones(3), np.ones(3))  # its folding is kept in every backend
    model = Model.sequential([L.Dense(np.ones((4, 3))), norm, L.ReLU(), L.Dense(np.ones((3, 2)))])
    x = np.ones((1, 4))
    explainer = Explainer(model, rule=rules.AlphaBeta(2, 1), backend=BACKENDS[-1])
    first = explainer(x, 0).relevance
    held = model._memo.size
    assert held > 0
    assert (explainer(x, 0).relevance == first).all()
    assert model._memo.size == held
    model.forget()
    assert model._memo.size == 0
    assert (explainer(x, 0).relevance == first).all()


def test_copies_of_a_model_have_memos_of_their_own():
    model = Model.sequential([L.Dense(np.ones((4, 3)))])
    Explainer(model, rule=rules.Gamma(), backend=BACKENDS[-1])(np.ones((1, 4)), 0)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):  # noqa: S301
        assert other._memo is not model._memo
        assert other._memo.size == 0


def test_results_without_weights_are_counted():
    """Records of models and plans say no size: the oldest goes, and what is heavy is not counted among them."""
    memo = Memo(light=3)
    memo.get("weights", sized("w", 2**20))
    for key in "abcd":
        memo.get(key, sized(key, 0))
        memo.get("b" if key != "a" else "a", never)
    assert memo.size == 2**20
    for key in ("b", "c", "d", "weights"):
        memo.get(key, never)
    with pytest.raises(AssertionError, match="built again"):
        memo.get("a", never)


def test_a_model_of_many_shapes_and_rules_stays_bounded():
    model = Model.sequential([L.Conv(np.ones((1, 1, 1, 1))), L.ReLU(), L.GlobalAvgPool(), L.Flatten(), L.Dense(np.eye(1))])
    for n in range(60):
        Explainer(model, rule=rules.Epsilon(1 + n))(np.ones((1, 1, 1 + n, 2)))
    assert len(model._memo._found) <= 4 * 5 + 64


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of forks beside threads, by Python 3.12 and later
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_finds_every_memo_whole():
    """The main thread forks while another one holds the lock at every other time; children look."""
    memo, stop = Memo(light=8), threading.Event()

    def work():
        turn = 0
        while not stop.is_set():
            turn += 1
            memo.get(turn % 20, sized(turn, 0))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):
            child = os.fork()
            if child == 0:
                signal.alarm(10)  # one that waits for ever ends by it
                memo.get("new", sized(1, 0))
                os._exit(0 if len(memo._found) == len(memo._light) <= 8 else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_what_a_model_remembers_is_made_once_and_counted_until_it_is_forgotten():
    model, made = Model.sequential([L.Dense([[1.0]])]), []

    def build():
        made.append(object())
        return made[-1], 24

    before = model.remembered
    assert model.remember("own", build) is model.remember("own", build) is made[0]
    assert model.remembered == before + 24
    model.forget()
    assert model.remembered == 0
    assert model.remember("own", build) is made[1]


def test_a_key_is_equal_where_its_parts_are_and_hashes_them_once():
    class Counted:
        hashed = 0

        def __hash__(self) -> int:
            Counted.hashed += 1
            return 7

    part, memo = Counted(), Memo()
    key = Key("layer", part)
    first = memo.get(key, lambda: (object(), 1))
    assert all(memo.get(key, lambda: (None, 1)) is first for _ in range(3))
    assert Counted.hashed == 1
    assert memo.get(Key("layer", part), lambda: (None, 1)) is first  # another step's key of the same parts
    assert memo.get(Key("layer", Counted()), lambda: (None, 1)) is None
    assert Key(1) != (1,)


def test_a_derived_model_has_the_memo_of_its_source():
    source = Model.sequential([L.Dense([[1.0]])])
    fresh = source.astype(np.float32)
    derived = fresh.remembering_with(source)
    assert derived is not fresh
    assert derived.nodes is fresh.nodes
    assert derived.dtype == np.float32
    assert derived.remembering_with(source) is derived
    derived.remember("own", sized(1, 24))
    assert (source.remembered, fresh.remembered) == (24, 0)
    source.forget()
    assert derived.remembered == 0
