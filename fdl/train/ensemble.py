"""Ensembles: several networks of one architecture, trained side by side in one compiled step.

    train_state = init_ensemble(net, optimizer, jax.random.split(key, 5), x)
    train_step = vmap_steps(make_train_step(objective, optimizer))
    run = fit(train_step, train_state, batches, epochs=10)
    probabilities = predict(Ensemble(net, 5, then=softmax), run.train_state.params, run.train_state.state, new_x)

All arrays of the train state have a first axis for the members. They share no number: each is what it would be if it
were trained alone, up to rounding. With `fdl.data.MemberBatches` each learns from examples of its own, and those that
it did not see are its test:

    folds = list(k_folds(np.arange(len(x)), 5, seed=0, stratify=labels))
    batches = MemberBatches((x, labels), [training for training, _ in folds], 32, seed=0)
    train_step = vmap_steps(make_train_step(objective, optimizer), own_batches=True)
    ...
    logits = out_of_fold(net, params, state, x, [validation for _, validation in folds])

Sources: Lakshminarayanan, Pritzel and Blundell, "Simple and scalable predictive uncertainty estimation using deep
ensembles" (2017); Breiman, "Bagging predictors" (1996).
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.data.arrays import count, rows
from fdl.errors import InputError
from fdl.layer import Layer
from fdl.layers.ensemble import ensemble
from fdl.optim import Optimizer
from fdl.train.objective import inputs_of
from fdl.train.predict import in_batches
from fdl.train.step import TrainState, init_train_state


def init_ensemble(net: Layer, optimizer: Optimizer, keys: jax.Array, *inputs: Any) -> TrainState:
    """Makes the train states that the members of an ensemble start from, stacked along a first axis.

    Args:
        net: the network.
        optimizer: what `make_train_step` will be given.
        keys: [members], a JAX random key for each: ``jax.random.split(key, members)``.
        inputs: one batch of what goes into a member, or its shapes (`jax.ShapeDtypeStruct`).

    Returns:
        A train state. That of member i alone is ``jax.tree.map(lambda a: a[i], train_state)``. Members that start from
        given parameters are `init_train_state` under `jax.vmap`, with these as its ``params``.

    Raises:
        InputError: for keys that are not one for each, and for inputs that do not fit the network.

    Example:
        >>> from fdl.layers import Affine
        >>> from fdl.optim import adam
        >>> train_state = init_ensemble(Affine(10), adam(), jax.random.split(jax.random.key(0), 5), jnp.ones((32, 64)))
        >>> train_state.params["w"].shape
        (5, 64, 10)
    """
    if not isinstance(keys, jax.Array) or not jax.dtypes.issubdtype(keys.dtype, jax.dtypes.prng_key) or keys.ndim != 1:
        raise InputError(f"init_ensemble needs a key for each member: jax.random.split(key, members), got {keys!r}")
    return jax.jit(jax.vmap(lambda key: init_train_state(net, optimizer, key, *inputs)))(keys)


def vmap_steps(
    train_step: Callable[[Any, Any], tuple[Any, Any]], *, own_batches: bool = False
) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Makes one step of all members of an ensemble, vectorised, of the step of one.

    Args:
        train_step: (train_state, batch) -> (train_state, metrics), from `make_train_step`.
        own_batches: whether batches have a row of each member for every example, [N, members, ...], as those of
            `fdl.data.MemberBatches`; otherwise all members learn from the same batch.

    Returns:
        A jitted function like ``train_step``, of stacked train states. The metrics have one value per member, and
        `fit` records their means. It takes over the buffers of the train state that it is given.

        For evaluation, ``jax.vmap(eval_step, in_axes=(0, None))`` tells what each member gives on one batch.

    Raises:
        InputError: from the step, for the train state of one network, and for batches without a row of each member
            where ``own_batches`` says that there is one.

    Example:
        >>> from fdl.layers import Affine
        >>> from fdl.losses import softmax_cross_entropy
        >>> from fdl.optim import sgd
        >>> from fdl.train import make_train_step, supervised
        >>> net, optimizer, batch = Affine(3), sgd(0.1), (jnp.eye(4), jnp.array([0, 1, 2, 0]))
        >>> train_step = vmap_steps(make_train_step(supervised(net, softmax_cross_entropy), optimizer))
        >>> train_state = init_ensemble(net, optimizer, jax.random.split(jax.random.key(0), 5), batch[0])
        >>> train_state, metrics = train_step(train_state, batch)
        >>> metrics["loss"].shape
        (5,)
    """
    step_of_one = inspect.unwrap(train_step)  # not compiled by itself, so that `check_batch` sees the values of a batch

    def step_of_all(train_state: Any, batch: Any) -> tuple[Any, Any]:
        members = _members(train_state)
        if own_batches:  # as arrays of JAX, since rules do not take NumPy's under vmap
            _check_own(batch, members)
            return jax.vmap(step_of_one, in_axes=(0, 1))(train_state, jax.tree.map(jnp.asarray, batch))
        return jax.vmap(step_of_one, in_axes=(0, None))(train_state, batch)

    return jax.jit(step_of_all, donate_argnums=0)


def _members(train_state: Any) -> int:
    """How many train states are stacked."""
    members = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(train_state)}
    if len(members) != 1 or members == {()}:
        raise InputError(
            "the step of vmap_steps takes the train states of all members, stacked along a first axis as init_ensemble "
            "makes them, got one whose arrays do not have such an axis: init_train_state makes that of one network"
        )
    return members.pop()[0]


def _check_own(batch: Any, members: int) -> None:
    for leaf in jax.tree.leaves(batch):
        if jnp.shape(leaf)[1:2] != (members,):
            raise InputError(
                f"own_batches=True takes batches with a row of each of {members} members for every example, "
                f"[N, {members}, ...], as those of MemberBatches, got an array of shape {list(jnp.shape(leaf))}: "
                "without it, all members learn from the same batch"
            )


def predict_ensemble(
    net: Layer,
    params: Any,
    state: Any,
    inputs: Any,
    *,
    then: Callable[[Any], Any] | None = None,
    batch_size: int = 256,
) -> tuple[Any, Any]:
    """The mean and the spread of what the members say of all examples: `fdl.layers.ensemble`, batch by batch.

    For the mean alone, `predict` takes `fdl.layers.Ensemble`, which is a network like any other.

    Args:
        net: the network that each member is.
        params, state: theirs, stacked along a first axis, as in the train state of an ensemble.
        inputs, batch_size: as for `predict`; the memory is that of the batch times the members.
        then: what is averaged: a function of the outputs, such as `fdl.layers.softmax` for probabilities.

    Returns:
        (mean, spread), each like the outputs of `predict`.

    Raises:
        InputError: as `predict`.

    Example:
        >>> from fdl.layers import Affine
        >>> params = {"w": np.array([[[1.0]], [[3.0]]]), "b": np.zeros((2, 1))}  # two members
        >>> mean, spread = predict_ensemble(Affine(1), params, {}, np.array([[10.0], [0.0], [1.0]]), batch_size=2)
        >>> mean.ravel().tolist(), spread.ravel().tolist()
        ([20.0, 0.0, 2.0], [10.0, 0.0, 1.0])
    """
    return in_batches(lambda x, _: _mean_and_spread(net, params, state, x, then), inputs, batch_size=batch_size)


def out_of_fold(
    net: Layer,
    params: Any,
    state: Any,
    inputs: Any,
    held_out: Sequence[Any],
    *,
    then: Callable[[Any], Any] | None = None,
    batch_size: int = 256,
) -> Any:
    """What is said of each example by the members that were not trained on it: a test that costs no test data.

    Args:
        net, params, state, then: as for `predict_ensemble`.
        inputs: arrays with one row per example, from which all members learnt.
        held_out: for each member the places of the examples that it did not see: the validation parts of
            ``k_folds(np.arange(n), ...)``, or what `fdl.data.bootstrap` left out.
        batch_size: how many examples to compute at once for each member.

    Returns:
        NumPy arrays with one row per example, floats: the mean over the members that did not see it, and NaN for an
        example that all of them saw.

    Raises:
        InputError: for another number of lists than members, for what is no place in the inputs, and as `predict`.

    Example:
        >>> from fdl.layers import Affine
        >>> params = {"w": np.array([[[1.0]], [[3.0]]]), "b": np.zeros((2, 1))}  # two members
        >>> out_of_fold(Affine(1), params, {}, np.array([[1.0], [10.0], [5.0]]), [[0, 2], [1]]).ravel().tolist()
        [1.0, 30.0, 5.0]
    """
    examples = count(inputs)
    places = [_places(one, examples) for one in held_out]
    members = {leaf.shape[0] for leaf in jax.tree.leaves((params, state))}
    if members != {len(places)}:
        raise InputError(
            f"out_of_fold needs what each of {sorted(members)} members did not see, got {len(places)} lists"
        )
    longest = max(map(len, places))
    # Shorter ones are filled up with example 0, and what that gives is not looked at.
    index = np.stack([np.pad(one, (0, longest - len(one))) for one in places], axis=1)
    said = in_batches(
        lambda places, _: _each_its_own(net, params, state, rows(inputs, places), then), index, batch_size=batch_size
    )

    def mean(values: np.ndarray) -> np.ndarray:
        sums = np.zeros((examples, *values.shape[2:]), np.promote_types(values.dtype, np.float32))
        counts = np.zeros(examples)
        for member, one in enumerate(places):
            np.add.at(sums, one, values[: len(one), member])
            np.add.at(counts, one, 1)
        counts = np.where(counts == 0, np.nan, counts).reshape(-1, *[1] * (sums.ndim - 1))
        return (sums / counts).astype(sums.dtype)

    return jax.tree.map(mean, said)


def _places(held_out: Any, examples: int) -> np.ndarray:
    """What a member did not see, as places: booleans, as numbers, would be the places 0 and 1."""
    places = np.asarray(held_out)
    if places.ndim != 1 or (len(places) and not np.issubdtype(places.dtype, np.integer)):
        raise InputError(
            "out_of_fold needs what a member did not see as places, integers of shape [n], got "
            f"{places.dtype} of shape {list(places.shape)}: np.flatnonzero(mask) makes them of booleans"
        )
    if len(places) and (places.min() < 0 or places.max() >= examples):
        raise InputError(
            f"out_of_fold has places from 0 to {examples - 1}, got {places.min()} to {places.max()}: held_out and the "
            "inputs do not belong together"
        )
    return places.astype(np.intp)


@functools.partial(jax.jit, static_argnums=(0, 4))
def _mean_and_spread(net: Layer, params: Any, state: Any, x: Any, then: Any) -> tuple[Any, Any]:
    return ensemble(net, params, state, *inputs_of(x), then=then)


@functools.partial(jax.jit, static_argnums=(0, 4))
def _each_its_own(net: Layer, params: Any, state: Any, x: Any, then: Any) -> Any:
    """[N, members, ...] of what each member says of its own N examples."""

    def one(params: Any, state: Any, x: Any) -> Any:
        y = net.apply(params, state, *inputs_of(x))[0]
        return y if then is None else then(y)

    return jax.vmap(one, in_axes=(0, 0, 1), out_axes=1)(params, state, x)
