"""What is made of a function once, and kept no longer than the function is: compiled loops over it.

A function that is compiled in every call is compiled too often; one that is an argument of a compiled function is kept
for good by JAX, with all that it closes over: networks, data, penalties.
"""

import weakref
from collections.abc import Callable, Hashable
from typing import Any

_KEPT: weakref.WeakKeyDictionary[Any, dict[Hashable, Any]] = weakref.WeakKeyDictionary()


def made_once(of: Any, key: Hashable, make: Callable[[Callable[[], Any]], Any]) -> Any:
    """What ``make`` gives, and gives once: it is kept under ``of`` and ``key`` as long as ``of`` is there.

    Args:
        of: the function that it is made of. One that cannot be referred to weakly has it made anew each time.
        key: which of the things that are made of it this is.
        make: is given a weak reference, a function that gives ``of``, since what refers to ``of`` itself would keep it.

    Example:
        >>> def step(): ...
        >>> made_once(step, "list", lambda _: []) is made_once(step, "list", lambda _: [])
        True
    """
    try:
        kept, reference = _KEPT.setdefault(of, {}), weakref.ref(of)
    except TypeError:
        return make(lambda: of)
    if key not in kept:
        kept[key] = make(reference)
    return kept[key]
