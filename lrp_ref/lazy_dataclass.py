"""Dataclasses whose methods are made when one is first used.

The decorator of the standard library writes and compiles the source of up to six methods for every class: half a millisecond for
each of a hundred classes, which was more than half of what `import lrp_ref` costs beyond NumPy, and a process uses few of them.
Here a class gets placeholders. The first use of one lets the real decorator make the methods; from then on the class has what
the standard library made. `dataclasses.fields`, `replace`, and classes that inherit by the real decorator need not know.

It serves the classes that `import lrp_ref` and an explanation bring: layers, rules, steps (benchmarks/imports.py measures). What
is imported for one task, such as reading a file or drawing, uses the standard decorator.
"""

from __future__ import annotations

from _thread import RLock
from typing import TYPE_CHECKING, Any

from .forks import fork_safe

__all__ = ["LazyMethods", "lazy_dataclass"]

if TYPE_CHECKING:
    from dataclasses import dataclass as lazy_dataclass
else:

    def lazy_dataclass(cls: type | None = None, /, **options: bool) -> Any:
        """`dataclasses.dataclass(frozen=True, …)`, applied when something needs it.

        Parameters
        ----------
        cls : the class; None where the decorator is called with options, as in `@lazy_dataclass(frozen=True)`
        options : those of `dataclasses.dataclass`; `frozen=True` must be among them
        """
        return LazyMethods(cls, options).cls if cls is not None else lambda decorated: LazyMethods(decorated, options).cls


_ATTRIBUTES = ("__match_args__", "__dataclass_params__", "__dataclass_fields__")  # what the decorator leaves in a class

_lock = fork_safe(RLock())  # one class at a time, with those it inherits from: threads may meet a class at once


class LazyMethods:
    """A class whose methods the decorator has not made yet, and the options that it was decorated with.

    Parameters
    ----------
    cls : the class, which gets placeholders of the methods at once
    options : those of `dataclasses.dataclass`; "frozen" must be true

    Raises
    ------
    TypeError
        Where "frozen" is not.
    """

    def __init__(self, cls: type, options: dict[str, bool]) -> None:
        self.cls, self.options, self.built = cls, options, False
        if not options.get("frozen"):
            raise TypeError(f"{cls.__qualname__}: lazy_dataclass is for frozen classes")
        methods = ["__init__"] if options.get("init", True) else []
        methods += ["__repr__"] if options.get("repr", True) else []
        methods += ["__eq__", "__hash__"] if options.get("eq", True) else []
        # None: the hash that the interpreter leaves in a class with an __eq__ of its own
        self.missing = [name for name in methods if cls.__dict__.get(name) is None]
        for name in self.missing:
            setattr(cls, name, self._method(name))
        for name, verb in (("__setattr__", "assign to"), ("__delattr__", "delete")):
            setattr(cls, name, self._refusal(name, verb))
        for name in (*_ATTRIBUTES, "__signature__"):
            setattr(cls, name, Attribute(self, name))

    def _method(self, name: str) -> Any:
        def placeholder(this: Any, *arguments: Any, **named: Any) -> Any:
            self.build()
            return getattr(self.cls, name)(this, *arguments, **named)

        placeholder.__name__, placeholder.__qualname__ = name, f"{self.cls.__qualname__}.{name}"
        return placeholder

    def _refusal(self, name: str, verb: str) -> Any:
        """What keeps an object as it was constructed; as the real one does, but for all classes from one source."""

        def refuse(this: Any, attribute: str, *value: Any) -> None:
            if type(this) is self.cls or attribute in self.cls.__dataclass_fields__:  # type: ignore[attr-defined]
                from dataclasses import FrozenInstanceError

                raise FrozenInstanceError(f"cannot {verb} field {attribute!r}")
            getattr(super(self.cls, this), name)(attribute, *value)

        return refuse

    def build(self) -> None:
        """Give the class what the real decorator makes of a twin that has the same fields, without a gap between."""
        with _lock:
            if self.built:
                return
            twin = self._twin()
            for name in (*self.missing, *_ATTRIBUTES):
                setattr(self.cls, name, twin.__dict__[name])
                if name in self.missing:
                    twin.__dict__[name].__qualname__ = f"{self.cls.__qualname__}.{name}"
            del self.cls.__signature__  # type: ignore[attr-defined]
            self.built = True

    def _twin(self) -> type:
        """A class of the same fields and no bases, by the real decorator."""
        from dataclasses import MISSING, Field, dataclass, fields
        from inspect import get_annotations

        cls = self.cls
        inherited_fields: dict[str, Any] = {}
        for base in cls.__mro__[-1:0:-1]:
            if "__dataclass_fields__" in base.__dict__:
                inherited_fields |= {field.name: field for field in fields(base)}
        own = get_annotations(cls)
        space = {name: getattr(cls, name) for name in own if hasattr(cls, name)} | {"__module__": cls.__module__, "__doc__": " "}
        if hasattr(cls, "__post_init__"):
            space["__post_init__"] = None
        inherited = {name: field for name, field in inherited_fields.items() if name not in own}
        notes = {name: field.type for name, field in inherited_fields.items()} | own
        twin: type = dataclass(**self.options)(type(cls.__name__, (), space | inherited | {"__annotations__": notes}))
        for name in own:
            default = cls.__dict__.get(name)
            if isinstance(default, Field):  # as the decorator does
                delattr(cls, name) if default.default is MISSING else setattr(cls, name, default.default)
        return twin


class Attribute:
    """An attribute that the decorator leaves in a class, made when it is first looked up."""

    def __init__(self, lazy: LazyMethods, name: str) -> None:
        self.lazy, self.name = lazy, name

    def __get__(self, instance: Any, owner: type) -> Any:
        self.lazy.build()
        # A class that inherits may be waiting itself; a signature is then that of the constructor, as it is found by itself.
        return getattr(owner if instance is None else instance, self.name)
