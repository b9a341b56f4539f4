"""Numbers of things, as domains take them."""

import operator
from typing import Any


def whole(domain: str, **counts: Any) -> tuple[int, ...]:
    """The counts as ints.

    Raises:
        TypeError: naming the domain and its arguments, if one is not a whole number.
    """
    try:
        return tuple(operator.index(count) for count in counts.values())
    except TypeError:
        what = "whole numbers" if len(counts) > 1 else "a whole number"
        got = ", ".join(f"{name}={count!r}" for name, count in counts.items())
        raise TypeError(f"{domain} takes {what}, got {got}") from None


def positive(domain: str, n: Any) -> int:
    """The count n as an int.

    Raises:
        TypeError: if it is not a whole number.
        ValueError: if it is less than one.
    """
    (n,) = whole(domain, n=n)
    if n < 1:
        raise ValueError(f"{domain} needs n of at least 1, got {n}")
    return n
