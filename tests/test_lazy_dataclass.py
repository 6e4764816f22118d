"""Classes of `lrp_ref.lazy_dataclass` are what `dataclasses` would have made of them, whenever one is first used."""

import copy
import dataclasses
import inspect
import pickle
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from typing import ClassVar

import pytest

from lrp_ref import rules
from lrp_ref.lazy_dataclass import lazy_dataclass

DECORATORS = {"standard": dataclasses.dataclass, "lazy": lazy_dataclass}


def family(dataclass):
    """Classes that use what the package uses, under a decorator."""

    class Base(ABC):
        @abstractmethod
        def size(self): ...

    @dataclass(frozen=True)
    class Point(Base):
        """A point."""

        x: int
        y: int = 2
        dims: ClassVar[int] = 2

        def size(self):
            return self.x + self.y

    @dataclass(frozen=True)
    class Named(Point):
        """With a default for what had none, and more."""

        x: int = 5
        y: int
        names: list = dataclasses.field(default_factory=list, compare=False)
        sum: int = dataclasses.field(init=False)

        def __post_init__(self):
            object.__setattr__(self, "sum", self.x + self.y)

    @dataclass(frozen=True, eq=False, repr=False)
    class Thing:
        value: int = 1
        kind: str = dataclasses.field(kw_only=True)

    @dataclass(frozen=True, eq=False, kw_only=True)
    class Other(Thing):
        kind: str = "other"
        more: int

    @dataclass(frozen=True)
    class Own:  # noqa: PLW1641 - that is the case
        value: int

        def __eq__(self, other):
            return True

        def __repr__(self):
            return "own"

    @dataclass(frozen=True, eq=False, init=False)
    class Made:
        value: int

        def __init__(self, twice: int):
            object.__setattr__(self, "value", 2 * twice)

    class Plain(Point):
        """Not decorated."""

    return Point, Named, Thing, Other, Own, Made, Plain


CALLS = [
    (0, (1,), {}),
    (0, (1, 3), {}),
    (0, (), {}),
    (1, (), {}),
    (1, (7,), {"names": ["a"]}),
    (2, (3,), {"kind": "k"}),
    (2, (3, "k"), {}),
    (3, (4,), {"more": 2}),
    (3, (), {"kind": "k", "more": 1, "value": 3}),
    (4, (1,), {}),
    (5, (4,), {}),
    (6, (1, 5), {}),
    (6, (1, 5, 9), {}),
]


def outcome(cls, arguments, named):
    """What a call gives, in words."""
    try:
        made = cls(*arguments, **named)
    except TypeError as error:
        return str(error).split(".")[-1]
    values = {field.name: getattr(made, field.name) for field in dataclasses.fields(made)}
    shown = repr(made).split("<locals>.")[-1] if type(made).__repr__ is not object.__repr__ else ""
    same = cls(*arguments, **named)
    return values, shown, made == same, (hash(made) == hash(same)) if type(made).__hash__ else None, cls.__match_args__


@pytest.mark.parametrize(("place", "arguments", "named"), CALLS)
def test_calls_give_what_the_standard_decorator_gives(place, arguments, named):
    standard, ours = (outcome(family(decorator)[place], arguments, named) for decorator in DECORATORS.values())
    assert ours == standard


@pytest.mark.parametrize("first", ["fields", "signature", "params", "match", "is"])
def test_whoever_looks_first_finds_it_made(first):
    for standard, ours in zip(*(family(decorator) for decorator in DECORATORS.values()), strict=True):
        looks = {
            "fields": lambda cls: [(f.name, f.type, f.default, f.kw_only, f.init) for f in dataclasses.fields(cls)],
            "signature": lambda cls: str(inspect.signature(cls)),
            "params": lambda cls: repr(cls.__dataclass_params__),
            "match": lambda cls: cls.__match_args__,
            "is": dataclasses.is_dataclass,
        }
        assert looks[first](ours) == looks[first](standard)
        assert [look(ours) for look in looks.values()] == [look(standard) for look in looks.values()]


@pytest.mark.parametrize("use", [True, False], ids=["used", "never used"])
def test_nothing_can_be_assigned_or_deleted(use):
    point, _, thing, *_, plain = family(lazy_dataclass)
    if use:
        point(1), thing(kind="k")
    for made, names in (
        (object.__new__(point), ("x", "new")),
        (object.__new__(thing), ("value", "new")),
        (object.__new__(plain), ("x",)),
    ):
        for name in names:
            with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot assign to field '{name}'"):
                setattr(made, name, 1)
            with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot delete field '{name}'"):
                delattr(made, name)
    made = object.__new__(plain)
    made.new = 1  # as with the standard decorator: the class itself is not frozen
    assert made.new == 1
    del made.new
    assert not hasattr(made, "new")


def test_standard_classes_inherit_from_waiting_ones_and_the_other_way_round():
    point = family(lazy_dataclass)[0]

    @dataclasses.dataclass(frozen=True)
    class Below(point):
        z: int = 3

    @lazy_dataclass(frozen=True)
    class Further(Below):
        w: int = 4

    assert repr(Further(1)).endswith("Further(x=1, y=2, z=3, w=4)")
    assert Below(1) == Below(1, 2, 3)
    assert dataclasses.replace(Further(1), w=9).w == 9
    with pytest.raises(TypeError, match="frozen"):
        dataclasses.dataclass(type("Thawed", (point,), {}))
    with pytest.raises(TypeError, match="for frozen classes"):
        lazy_dataclass(type("Thawed", (), {}))


def test_abstract_classes_stay_abstract():
    base = family(lazy_dataclass)[0].__mro__[1]

    @lazy_dataclass(frozen=True)
    class Lacking(base):
        x: int = 1

    with pytest.raises(TypeError, match="abstract"):
        Lacking()


def test_threads_that_meet_a_class_at_once():
    for _ in range(50):
        point = family(lazy_dataclass)[0]
        start, found = threading.Barrier(4), []

        def meet(point=point, start=start, found=found):
            start.wait()
            found.append(point(1, 2))

        threads = [threading.Thread(target=meet) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [point(1, 2)] * 4


@pytest.mark.parametrize(
    "first", ["hash(made)", "repr(made)", "made == Gamma(0.5)", "Gamma(0.5) == made", "replace(made, gamma=1)"]
)
def test_what_was_pickled_meets_a_class_that_was_never_used(first):
    made = rules.Gamma(0.5)
    assert copy.copy(made) == copy.deepcopy(made) == made
    program = f"import pickle; made = pickle.loads({pickle.dumps(made)!r})\n"
    program += "from lrp_ref.rules import Gamma; from dataclasses import replace\n"
    program += "assert Gamma.__init__.__code__.co_name == 'placeholder'\n"
    program += f"{first}\nassert hash(made) == hash(Gamma(0.5)) and made == Gamma(0.5) != replace(made, gamma=1)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_import_makes_few_of_them():
    program = "import lrp_ref.lazy_dataclass as r; made = []; build = r.LazyMethods.build\n"
    program += "r.LazyMethods.build = lambda w: (made.append(w.cls), build(w))\n"
    program += "import lrp_ref, lrp_ref.layers, lrp_ref.rules, lrp_ref.propagate.plan; print(len({*made}))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert int(done.stdout) <= 10


def test_a_cached_property_is_computed_once_and_kept_in_the_object():
    from lrp_ref.forks import cached_property

    class Square:
        side = 3

        @cached_property
        def area(self):
            """side²"""
            return [self.side**2]

    square = Square()
    assert square.area is square.area
    assert vars(square) == {"area": [9]}
    assert Square.area.__doc__ == "side²"
