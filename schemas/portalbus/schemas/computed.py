"""A value of an object that is computed when it is first asked for, and kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

T = TypeVar("T")


class computed(Generic[T]):  # noqa: N801 - used like `property`
    """Like `functools.cached_property`, without the lock that one has in Python 3.11.

    It is one lock for all objects: a thread that holds it while the process is forked never lets go of it in the child,
    where nobody could ask for the value any more. Without it two threads may both compute, and find the same.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> Self | T:
        if instance is None:
            return self
        # It has no __set__, so what lies in the object's own dictionary is found first from now on.
        value = instance.__dict__[self._name] = self._compute(instance)
        return value
