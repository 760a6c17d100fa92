"""The recurrence: what is particular to a first-order method, and all that they share, written once.

Of one parameter array w with gradient g, a method computes

    update, slots' = recurrence(h, g, w, *slots)

where the slots are its memory (a velocity, a running average), each of the shape of w, and h are the values
of its hyperparameters in this step. `per_parameter` makes an `Optimizer` of that: it keeps the slots of all
parameters and the count of the steps, evaluates schedules, and refuses gradients that do not fit.

Everything is computed in float32 or wider, whatever the parameters are: an eps of 1e-8 is zero in float16,
and an average that keeps 0.999 of itself stands still in bfloat16.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.errors import InputError
from fdl.optim.hyperparameters import Hyperparameters, recorded
from fdl.optim.optimizer import Optimizer
from fdl.optim.trees import check_floats, check_gradients, check_memory, check_params, path_matcher, wide_zeros
from fdl.paths import Keep, path_of
from fdl.rule import wide


class FirstOrderState(NamedTuple):
    """What a first-order method carries from step to step.

    ``step`` counts updates, ``hyperparameters`` are those of the last one, ``slots`` are trees like the
    parameters by name, and ``ones`` are averages of ones, which say how far running averages have come.
    """

    step: jax.Array
    hyperparameters: dict[str, jax.Array]
    slots: dict[str, Any]
    ones: dict[str, jax.Array]


def per_parameter(
    recurrence: Callable[..., tuple[jax.Array, ...]],
    values: Hyperparameters,
    *,
    slots: Sequence[str] = (),
    ones: Mapping[str, str] | None = None,
    upcoming: Sequence[str] = (),
    uses_params: bool = False,
    keep: Keep | None = None,
) -> Optimizer:
    """Makes an optimizer of the recurrence of a single parameter.

    Args:
        recurrence: (h, g, w, *slots) -> (update, *slots). w is None when the caller gave no parameters.
        values: the hyperparameters, which the recurrence finds in h by name.
        slots: names of the memory of each parameter, which starts from zero.
        ones: names of averages of ones, and of the hyperparameter with which each decays,

                c = b c + (1 - b)         from 0, so that c = 1 - b^t while b is constant

            If m is averaged like this, m / c is a true average of what m has seen, also when b changes.
        upcoming: hyperparameters of which the value in the next step is needed as well, as h.next_<name>.
        uses_params: whether the recurrence cannot do without w.
        keep: which paths h.kept is true for; all, unless told otherwise.
    """
    ones = ones or {}

    def init(params: Any) -> FirstOrderState:
        check_floats(values.who, params)
        path_matcher(params, keep)
        return FirstOrderState(
            jnp.zeros((), jnp.int32),
            values.at_start(),
            {name: wide_zeros(params) for name in slots},
            recorded(dict.fromkeys(ones, 0.0)),
        )

    def update(grads: Any, opt_state: FirstOrderState, params: Any = None, **_: Any) -> tuple[Any, FirstOrderState]:
        _check_kind(values, opt_state, slots, ones)
        remembered = next(iter(opt_state.slots.values()), None)
        if uses_params:
            check_params(values.who, grads, params)
        else:
            check_gradients(values.who, grads, remembered if params is None else params)
        check_memory(values.who, grads, remembered)
        h = values.at(opt_state.step)
        counted = recorded({c: h[b] * opt_state.ones[c] + (1 - h[b]) for c, b in ones.items()})
        ahead = {f"next_{name}": values.value_at(name, opt_state.step + 1) for name in upcoming}
        kept = path_matcher(grads, keep)

        @functools.cache  # they are cast once for all parameters of a dtype
        def values_in(dtype: Any) -> dict[str, Any]:
            return {name: _cast(value, dtype) for name, value in (h | counted | ahead).items()}

        def of_one(keys: Any, g: Any, w: Any, *memory: jax.Array) -> tuple[jax.Array, ...]:
            dtype = wide(g)
            namespace = SimpleNamespace(**values_in(dtype), kept=kept(path_of(keys)))
            w = w if w is None else jnp.asarray(w, dtype)
            return recurrence(namespace, jnp.asarray(g, dtype), w, *memory)

        paths, treedef = jax.tree.flatten_with_path(grads)
        weights = [None] * len(paths) if params is None else jax.tree.leaves(params)
        memory = [jax.tree.leaves(opt_state.slots[name]) for name in slots]
        results = [of_one(keys, g, *rest) for (keys, g), *rest in zip(paths, weights, *memory, strict=True)]
        # From (update, *slots) of each parameter to a tree of all updates, and one of each slot.
        updates, *trees = (jax.tree.unflatten(treedef, [one[i] for one in results]) for i in range(1 + len(slots)))
        new_slots = dict(zip(slots, trees, strict=True))
        return updates, FirstOrderState(opt_state.step + 1, recorded(h, opt_state.hyperparameters), new_slots, counted)

    return Optimizer(init, update)


def decayed(h: Any, direction: jax.Array, w: jax.Array) -> jax.Array:
    """Adds the share of the weights that decoupled weight decay takes away: direction + weight_decay w."""
    if not h.kept or (isinstance(h.weight_decay, float) and h.weight_decay == 0):
        return direction
    return direction + h.weight_decay * w


def _check_kind(values: Hyperparameters, opt_state: Any, slots: Any, ones: Any) -> None:
    """Refuses the state of another optimizer, which would have other names in it."""
    if not isinstance(opt_state, FirstOrderState):
        raise InputError(f"{values.who} goes on from what its init(params) made, got a {type(opt_state).__name__}")
    for what, own, given in (("slots", slots, opt_state.slots), ("averages of ones", ones, opt_state.ones)):
        if set(own) != set(given):
            raise InputError(
                f"{values.who} was given another optimizer's state: its {what} are {sorted(own)}, got {sorted(given)}"
            )


def _cast(value: Any, dtype: Any) -> Any:
    return value if isinstance(value, float) else jnp.asarray(value, dtype)
