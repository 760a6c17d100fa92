"""Combinations: several optimizers one after another, or each for a part of the parameters."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fdl.errors import InputError
from fdl.optim.average import AverageState
from fdl.optim.decay import DecayState, L2State
from fdl.optim.optimizer import Optimizer, check_optimizer, update_with
from fdl.optim.plateau import PlateauState
from fdl.optim.projection import MaxNormState
from fdl.optim.recurrence import FirstOrderState
from fdl.optim.trees import check_gradients, merge, wide_zeros
from fdl.paths import Keep, matcher, select


def chain(*optimizers: Optimizer) -> Optimizer:
    """One after another: what one returns is the gradient of the next.

    What works on gradients stands before the optimizer proper, what works on its updates after it:

        chain(clip_by_global_norm(1.0), adam(1e-3), max_norm(3.0))

    Args:
        optimizers: of fdl or of optax. Extra arguments of update go to all of them that can take them.

    Returns:
        An optimizer whose state is the tuple of their states.

    Raises:
        InputError: when there is none, for what is no optimizer, and from init for two that have a learning rate: both
            turn the sign, so that the second would lead uphill; for `add_l2` behind one that has, and for what works on
            updates in front of it.

    Example:
        >>> import jax.numpy as jnp
        >>> from fdl.optim import clip_by_value, sgd
        >>> opt, g = chain(clip_by_value(1.0), sgd(0.5)), jnp.array([3.0, -0.5])
        >>> updates, _ = opt.update(g, opt.init(g), g)
        >>> updates.tolist()
        [-0.5, 0.25]
    """
    if not optimizers:
        raise InputError("chain needs at least one optimizer")
    for optimizer in optimizers:
        check_optimizer("chain", optimizer)

    def init(params: Any) -> tuple[Any, ...]:
        states = tuple(optimizer.init(params) for optimizer in optimizers)
        _check_order(list(_works_of(states)))
        return states

    def update(grads: Any, opt_state: Any, params: Any = None, **extra: Any) -> tuple[Any, tuple[Any, ...]]:
        check_gradients("chain", grads, params)
        states = []
        for optimizer, state in zip(optimizers, opt_state, strict=True):
            grads, state = update_with(optimizer, grads, state, params, **extra)
            states.append(state)
        return grads, tuple(states)

    return Optimizer(init, update)


_DESCENT = "a learning rate"
_ON_UPDATES = {
    AverageState: "ema or average",
    DecayState: "add_decoupled_weight_decay",
    MaxNormState: "max_norm",
    PlateauState: "reduce_on_plateau",
}


def _works_of(state: Any) -> Iterator[str]:
    """What an optimizer's parts are, one after another, as far as their place matters."""
    if isinstance(state, L2State):
        yield "add_l2"
    elif type(state) in _ON_UPDATES:
        yield _ON_UPDATES[type(state)]
    elif isinstance(state, FirstOrderState):
        yield from [_DESCENT] * ("learning_rate" in state.hyperparameters)
    elif type(state) is tuple:
        for part in state:
            yield from _works_of(part)
    elif isinstance(state, dict):
        yield from _works_of(state.get("rest"))  # which a mask has not: it passes the gradients of others on
    elif hasattr(state, "inner"):
        yield from _works_of(state.inner)


def _check_order(works: list[str]) -> None:
    """Refuses an order in which a part takes gradients, which lead uphill, for updates, or the other way round."""
    if works.count(_DESCENT) > 1:
        raise InputError(
            "chain has two optimizers with a learning rate, of which the second would take the updates of the "
            "first, which go downhill, for gradients, and turn them uphill: partition is for several optimizers"
        )
    if _DESCENT not in works:
        return
    place = works.index(_DESCENT)
    if "add_l2" in works[place:]:
        raise InputError(
            "chain has add_l2 behind an optimizer with a learning rate, where it would make weights grow: it adds to "
            "gradients and stands in front, chain(add_l2(...), optimizer)"
        )
    if early := [work for work in works[:place] if work in _ON_UPDATES.values()]:
        raise InputError(
            f"chain has {early[0]} in front of an optimizer with a learning rate, where it would take gradients for "
            "updates: it stands behind, chain(optimizer, ...)"
        )


def partition(rest: Optimizer, /, **groups: tuple[Keep, Optimizer]) -> Optimizer:
    """Different optimizers for different parameters.

        partition(adam(1e-3), head=("head.*", adam(1e-2)), norms=(lambda path: "norm" in path, sgd(0.1)))

    Args:
        rest: for all parameters that no group is for.
        groups: by a name of your choice, which paths the group is for, as in `fdl.paths.select`, and its optimizer.
            A parameter belongs to the first group that fits.

    Returns:
        An optimizer whose state is a dict of their states by name, "rest" included. Each keeps memory for its own
        parameters only.

    Raises:
        InputError: when there are no groups, or one that is not such a pair, for a rest that is no optimizer; and from
            its functions, for a pattern that fits no path.

    Example:
        >>> import jax.numpy as jnp
        >>> from fdl.optim import sgd
        >>> opt = partition(sgd(1.0), head=("head.*", sgd(10.0)))
        >>> params = {"body": {"w": jnp.array(1.0)}, "head": {"w": jnp.array(1.0)}}
        >>> updates, _ = opt.update(params, opt.init(params), params)
        >>> float(updates["body"]["w"]), float(updates["head"]["w"])
        (-1.0, -10.0)
    """
    check_optimizer("partition", rest)
    if not groups or "rest" in groups:
        raise InputError('partition needs groups, as in partition(rest, head=("head.*", adam())), none called "rest"')
    for name, group in groups.items():
        if not isinstance(group, tuple) or len(group) != 2 or not hasattr(group[1], "update"):
            raise InputError(f"partition expects {name} as a pair (paths, optimizer), got {group!r}")
    return grouped("partition", {name: (_by(keep), opt) for name, (keep, opt) in groups.items()}, rest)


def mask(optimizer: Optimizer, keep: Keep) -> Optimizer:
    """An optimizer for some of the parameters; the gradients of all others are passed on as they are.

    This is for a part of a chain, such as clipping. For parameters that shall not move, see `freeze`.

    Args:
        optimizer: what the others are spared.
        keep: which paths it is for, as in `fdl.paths.select`.

    Raises:
        InputError: for what is no optimizer, and from its functions, for a pattern that fits no path.

    Example:
        >>> import jax.numpy as jnp
        >>> from fdl.optim import clip_by_value
        >>> opt, g = mask(clip_by_value(1.0), "*.w"), {"head": {"w": jnp.array(5.0), "b": jnp.array(5.0)}}
        >>> updates, _ = opt.update(g, opt.init(g), g)
        >>> float(updates["head"]["w"]), float(updates["head"]["b"])
        (1.0, 5.0)
    """
    check_optimizer("mask", optimizer)
    return grouped("mask", {"kept": (_by(keep), optimizer)}, None)


def freeze(optimizer: Optimizer, frozen: Keep) -> Optimizer:
    """An optimizer that leaves some parameters where they are, and keeps no memory for them.

    This is how a network that was trained on one task is made to learn another (transfer learning). The
    gradients of frozen parameters are not used, so compiled code does not even compute them.

    It is about parameters alone: running statistics, which are state, go on with the data unless the layer is in a
    `fdl.layers.Frozen`, and dropout goes on dropping.

    Args:
        optimizer: for all other parameters.
        frozen: which paths stay, as in `fdl.paths.select`.

    Raises:
        InputError: for what is no optimizer, and from its functions, for a pattern that fits no path.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fdl.optim import momentum
        >>> opt = freeze(momentum(1.0), "body.*")
        >>> params = {"body": {"w": jnp.ones(1000)}, "head": {"w": jnp.ones(2)}}
        >>> opt_state = opt.init(params)
        >>> updates, opt_state = opt.update(params, opt_state, params)
        >>> float(updates["body"]["w"][0]), updates["head"]["w"].tolist()
        (0.0, [-1.0, -1.0])
        >>> sum(leaf.size for leaf in jax.tree.leaves(opt_state)) < 10
        True
    """
    check_optimizer("freeze", optimizer)
    return grouped("freeze", {"frozen": (_by(frozen), _STILL)}, optimizer)


def grouped(
    who: str, groups: Mapping[str, tuple[Callable[[Any], Callable[[str], bool]], Optimizer]], rest: Optimizer | None
) -> Optimizer:
    """Optimizers for parts of a tree, which see None, a tree without leaves, in the place of all other arrays.

    Args:
        who: the name, for error messages.
        groups: by name, a function from a tree to a predicate of its paths, and an optimizer.
        rest: for all others, or None to pass their gradients on.
    """
    optimizers = {name: optimizer for name, (_, optimizer) in groups.items()}
    if rest is not None:
        optimizers["rest"] = rest

    def split(tree: Any, like: Any) -> dict[str, Any]:
        predicates = {name: matching(like) for name, (matching, _) in groups.items()}

        def group_of(path: str) -> str:
            return next((name for name, keeps in predicates.items() if keeps(path)), "rest")

        return {name: select(tree, lambda path: group_of(path) == name) for name in [*groups, "rest"]}  # noqa: B023

    def init(params: Any) -> dict[str, Any]:
        parts = split(params, params)
        return {name: optimizer.init(parts[name]) for name, optimizer in optimizers.items()}

    def update(grads: Any, opt_state: Any, params: Any = None, **extra: Any) -> tuple[Any, dict[str, Any]]:
        check_gradients(who, grads, params)
        parts = split(grads, grads)
        weights = dict.fromkeys(parts) if params is None else split(params, grads)
        updates, states = dict(parts), {}
        for name, optimizer in optimizers.items():
            updates[name], states[name] = update_with(optimizer, parts[name], opt_state[name], weights[name], **extra)
        return merge(list(updates.values())), states

    return Optimizer(init, update)


def _by(keep: Keep) -> Callable[[Any], Callable[[str], bool]]:
    return lambda tree: matcher(tree, keep)


def _nothing(params: Any) -> tuple[()]:
    return ()


def _stay(grads: Any, opt_state: Any, params: Any = None, **_: Any) -> tuple[Any, Any]:
    return wide_zeros(grads), opt_state


_STILL = Optimizer(_nothing, _stay)
