"""Hyperparameters: numbers, or schedules of them, and what they may be.

Wherever an optimizer takes a number it takes a schedule as well, a function from the step count, which starts
at 0, to the number. What an optimizer used in its last update is kept in its state, for logging:

    hyperparameters(opt_state)  ->  {"learning_rate": 0.00042, "b1": 0.9, ...}
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fdl.concrete import is_concrete
from fdl.errors import InputError
from fdl.lengths import is_positive
from fdl.paths import path_of

Schedule = Callable[[Any], Any]
Hyperparameter = float | jax.Array | Schedule


class Range(NamedTuple):
    """What values a hyperparameter may have: in words, with its name in the place of {}, and as a test."""

    words: str
    holds: Callable[[float], bool]


NOT_NEGATIVE = Range("a finite {} that is not negative", lambda value: 0 <= value < math.inf)
POSITIVE = Range("a finite {} that is positive, also in float32", is_positive)
SHARE = Range("{} between 0 and 1", lambda value: 0 < value < 1)
DECAY = Range("{} in [0, 1)", lambda value: 0 <= value < 1)


class Hyperparameters:
    """The hyperparameters of one optimizer, checked.

    Args:
        who: the optimizer's name, for error messages.
        values: by name, a pair of what was given and the `Range` that it must be in.

    Raises:
        InputError: for what is neither a number nor a function, and for numbers outside of the range. The
            value of a schedule is looked at once, at step 0, by `at_start`.

    Example:
        >>> Hyperparameters("adam", b1=(0.9, DECAY), b2=(1.5, DECAY))
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: adam needs b2 in [0, 1), got 1.5
    """

    def __init__(self, who: str, **values: tuple[Any, Range]):
        self.who = who
        self._ranges = {name: allowed for name, (_, allowed) in values.items()}
        self._values: dict[str, Any] = {}
        for name, (value, allowed) in values.items():
            if not callable(value):
                check_number(who, name, value, allowed)
            self._values[name] = float(value) if isinstance(value, int | float | np.number) else value

    def at(self, step: Any) -> dict[str, Any]:
        """The values at a step: constants as they were given, what a schedule says as an array."""
        return {name: self.value_at(name, step) for name in self._values}

    def value_at(self, name: str, step: Any) -> Any:
        """The value of one of them."""
        value = self._values[name]
        return _scalar(value(step), f"the schedule of {self.who}'s {name}") if callable(value) else value

    def at_start(self) -> dict[str, jax.Array]:
        """The values at step 0, as they are kept in the state."""
        values = self.at(jnp.zeros((), jnp.int32))
        for name, value in values.items():
            check_number(self.who, name, value, self._ranges[name])
        return recorded(values)


def recorded(values: Mapping[str, Any], before: Mapping[str, jax.Array] | None = None) -> dict[str, jax.Array]:
    """Numbers as they are kept in a state: arrays that have the same dtype in every step.

    Args:
        values: the numbers by name.
        before: those of the last step. A compiled step drops arguments that nothing depends on, and then leaves their
            buffers behind: the barrier makes the new ones depend on them, and changes nothing else.
    """
    arrays = {name: jnp.asarray(value, jnp.result_type(float)) for name, value in values.items()}
    return arrays if before is None else jax.lax.optimization_barrier((dict(before), arrays))[1]


def check_number(who: str, name: str, value: Any, allowed: Range) -> None:
    """Refuses what is not a number, or not one that is allowed; inside jit, the number cannot be seen.

    Example:
        >>> check_number("sgd", "learning_rate", -0.1, NOT_NEGATIVE)
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: sgd needs a finite learning_rate that is not negative, got -0.1
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.number | jax.Array) or jnp.ndim(value) > 0:
        raise InputError(f"{who} needs {name} as a number, or as a schedule: a function of the step; got {value!r}")
    if is_concrete(value) and not allowed.holds(float(value)):
        raise InputError(f"{who} needs {allowed.words.format(name)}, got {value}")


def hyperparameters(opt_state: Any) -> dict[str, jax.Array]:
    """Reads from an optimizer's state what its last update used; before the first, what that will use.

    Args:
        opt_state: the state of any optimizer of fdl, alone or inside of others. Works inside jit as well.

    Returns:
        A dict of scalars by name. Where several optimizers have one of the same name, by path: "0.learning_rate"
        in a chain, "head.learning_rate" in a partition.

    Example:
        >>> import jax.numpy as jnp
        >>> from fdl.optim import adam, chain, clip_by_global_norm, cosine
        >>> opt = chain(clip_by_global_norm(1.0), adam(cosine(0.1, steps=10)))
        >>> w = g = jnp.ones(2)
        >>> opt_state = opt.init(w)
        >>> for _ in range(6):
        ...     _, opt_state = opt.update(g, opt_state, w)
        >>> round(float(hyperparameters(opt_state)["learning_rate"]), 4)  # the sixth update was step 5: half way
        0.05
    """
    found = [(keys, leaf) for keys, leaf in jax.tree.leaves_with_path(opt_state) if _name(keys) == "hyperparameters"]
    names = Counter(path_of(keys[-1:]) for keys, _ in found)
    inside = ("hyperparameters", "inner")  # attributes that say nothing to a reader of the path
    return {
        name if names[name] == 1 else path_of(tuple(key for key in keys if _attribute(key) not in inside)): leaf
        for keys, leaf in found
        for name in [path_of(keys[-1:])]
    }


def _name(keys: tuple[Any, ...]) -> str | None:
    return _attribute(keys[-2]) if len(keys) > 1 else None


def _attribute(key: Any) -> str | None:
    return key.name if isinstance(key, jax.tree_util.GetAttrKey) else None


def _scalar(value: Any, who: str) -> jax.Array:
    value = jnp.asarray(value, jnp.result_type(float))
    if value.ndim:
        raise InputError(f"{who} must give a scalar, got an array of shape {list(value.shape)}")
    return value
