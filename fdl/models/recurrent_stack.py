"""Recurrent layers on top of each other, with dropout between them but not in time.

    xs -> drop -> cell 1 -> drop -> cell 2 -> ... -> hs
                  h, c ->           h, c ->             from step to step nothing is dropped

Dropping units of h from step to step would soon leave nothing of what was long ago, and so the paper leaves them alone.

Source: Zaremba, Sutskever and Vinyals, "Recurrent neural network regularization" (2014).
"""

from collections.abc import Callable
from typing import Any

import jax

from fdl.counts import check_count
from fdl.layer import Layer, Tree, Visit
from fdl.layers import Dropout, Stacked
from fdl.layers.wrapper import Wrapper


def recurrent_stack(cell: Callable[[int], Layer], hidden: int, depth: int, rate: float = 0.0) -> Stacked:
    """Layers over sequences, one on top of the other, each with dropout on its inputs.

    Args:
        cell: what makes a layer of a number of units, such as `LSTM`.
        hidden: how many units each layer has.
        depth: how many layers there are.
        rate: the probability to drop.

    Raises:
        InputError: for fewer than one layer, and for what the layers do not take.

    Example:
        >>> from fdl.layers import LSTM
        >>> recurrent_stack(LSTM, 200, 2)
        Stacked(LSTM(200), LSTM(200))
    """
    check_count("a recurrent network", "depth", depth)
    return Stacked(*[DropInputs(cell(hidden), rate) if rate else cell(hidden) for _ in range(depth)])


class DropInputs(Wrapper):
    """A layer over sequences with dropout on what goes in, and with the name and the parameters that it has without.

    Args:
        layer: a layer over sequences.
        rate: the probability to drop.

    Example:
        >>> from fdl.layers import LSTM
        >>> DropInputs(LSTM(5), 0.5).name
        'lstm'
    """

    rate: float

    def __post_init__(self) -> None:
        super().__post_init__()
        Dropout(self.rate)  # says what is wrong with a rate

    def start(self, xs: Any) -> Any:
        """The state to begin with."""
        layer: Any = self.layer
        return layer.start(xs)

    def apply(
        self, params: Tree, state: Tree, xs: Any, *inputs: Any, key: Any = None, train: bool = False
    ) -> tuple[Any, Tree]:
        xs, key = self._dropped(xs, key, train)
        return self.layer.apply(params, state, xs, *inputs, key=key, train=train)

    def walk(
        self, visit: Visit, params: Tree, state: Tree, *inputs: Any, key: Any = None, train: bool = False
    ) -> tuple[Any, Tree, Tree]:
        xs, *others = inputs
        xs, key = self._dropped(xs, key, train)
        return self.layer.walk(visit, params, state, xs, *others, key=key, train=train)

    def _dropped(self, xs: Any, key: Any, train: bool) -> tuple[Any, Any]:
        own, key = (None, None) if key is None else jax.random.split(key)
        return Dropout(self.rate).apply({}, {}, xs, key=own, train=train)[0], key
