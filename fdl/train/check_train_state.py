"""Refusals of what is given in the place of a train state."""

from typing import Any

import jax
import jax.numpy as jnp

from fdl.errors import InputError


def check_train_state(who: str, train_state: Any) -> None:
    """Refuses a train state, or parts of one, whose arrays an earlier training step has taken over, as all of them do.

    Example:
        >>> import jax.numpy as jnp
        >>> used = {"w": jnp.ones(3)}
        >>> used["w"].delete()
        >>> check_train_state("fit", used)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: fit was given a train state that an earlier step has taken over: go on from what ...
    """
    if any(isinstance(leaf, jax.Array) and leaf.is_deleted() for leaf in jax.tree.leaves(train_state)):
        raise InputError(
            f"{who} was given a train state that an earlier step has taken over: go on from what that step, or fit, "
            "returned, or begin with a copy made before, jax.tree.map(jnp.copy, train_state)"
        )


def check_single(who: str, train_state: Any, for_all: str) -> None:
    """Refuses what is no train state, and the train states of all members of an ensemble.

    Args:
        who: what complains.
        train_state: what should be that of one network.
        for_all: what makes the same for an ensemble.

    Example:
        >>> check_single("eval_step", {"affine1": {"w": jnp.ones(3)}}, "jax.vmap(eval_step)")
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: eval_step takes a train state, as init_train_state makes it, got a dict of 'affine1'
    """
    if not all(hasattr(train_state, name) for name in ("params", "state", "key", "step")):
        of = f" of {', '.join(map(repr, train_state))}" if isinstance(train_state, dict) else ""
        raise InputError(
            f"{who} takes a train state, as init_train_state makes it, got a {type(train_state).__name__}{of}"
        )
    if members := jnp.shape(train_state.step):
        raise InputError(
            f"{who} takes the train state of one network, got those of {members[0]} members of an ensemble: {for_all}"
        )
