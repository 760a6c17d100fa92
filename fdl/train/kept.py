"""What is made of a function once, and kept no longer than the function is: compiled loops over it, looks at it.

A function that is compiled in every call is compiled too often; one that is an argument of a compiled function is kept
for good by JAX, with all that it closes over: networks, data, penalties.
"""

from collections.abc import Callable, Hashable
from typing import Any
from weakref import WeakKeyDictionary

_KEPT: WeakKeyDictionary[Any, dict[Hashable, Any]] = WeakKeyDictionary()


def made_once(of: Any, key: Hashable, make: Callable[[], Any]) -> Any:
    """What ``make`` gives, and gives once: it is kept under ``of`` and ``key`` as long as ``of`` is there.

    Args:
        of: the function that it is made of. One that cannot be referred to weakly has it made anew each time.
        key: which of the things that are made of it this is.
        make: makes it, without a reference to ``of``, which would then be kept by what is kept with it.

    Example:
        >>> def step(): ...
        >>> made_once(step, "list", list) is made_once(step, "list", list)
        True
    """
    try:
        kept = _KEPT.setdefault(of, {})
    except TypeError:
        return make()
    if key not in kept:
        kept[key] = make()
    return kept[key]
