"""A row of the benchmark."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fdl import Rule


class Row(NamedTuple):
    """A rule at a size that is common in practice.

    ``arguments`` makes the rule's arguments from ``draw(*shape)``, which gives normal float32 arrays.
    """

    rule: Rule[..., Any]
    size: str
    arguments: Callable[[Callable[..., Any]], Mapping[str, Any]]
