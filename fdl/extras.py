"""Libraries that fdl itself does without: each is imported when something of it is needed."""

import importlib
from typing import Any


def imported(module: str, why: str, extra: str) -> Any:
    """A module that comes with one of fdl's extras.

    Args:
        module: its full name.
        why: what it is needed for, the beginning of the sentence that says how to get it.
        extra: the name of the extra.

    Raises:
        ImportError: when it is not installed.

    Example:
        >>> imported("bogus", "nothing is done by bogus", "train")
        Traceback (most recent call last):
            ...
        ImportError: nothing is done by bogus: pip install "fdl[train]"
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f'{why}: pip install "fdl[{extra}]"') from error
