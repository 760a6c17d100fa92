"""Parameters in a file that other programs read too: safetensors, each array under its path.

    {"encoder": {"affine1": {"w": ..., "b": ...}}}      ->      encoder.affine1.w, encoder.affine1.b

There is never half a file, and a file that was there before stays until there is a whole new one.
"""

import json
import os
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.errors import InputError
from fdl.extras import imported
from fdl.layer import Layer
from fdl.paths import Keep, matcher, path_of
from fdl.train.by_path import check_kinds, kind_of, leaves_by_path
from fdl.train.whole_file import whole_file

_BY = "parameters are written by safetensors"
_EMPTY = "fdl.empty"  # the metadata that names the dicts without arrays
_INTEGERS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_DTYPES = (*_INTEGERS, "bfloat16", "float16", "float32", "float64", "complex64")


def save_parameters(path: str | os.PathLike[str], params: Any, metadata: Mapping[str, str] | None = None) -> None:
    """Writes parameters, or any tree of arrays, to a safetensors file.

    A network with running statistics needs its state as well: ``{"params": params, "state": state}`` is such a tree.

    Args:
        path: the file; directories are made as needed. It is replaced if it exists, at once and as a whole.
        params: nested dicts of arrays. Tuples and lists are saved too, but `load_parameters` needs ``like`` to make
            tuples and lists of them again.
        metadata: words about the file, such as {"epoch": "40"}; ``safetensors.safe_open(path, "np").metadata()`` reads
            them.

    Raises:
        InputError: for a layer, whose parameters are not in it, for a dot in a name, which would make another path of
            it, for arrays of a dtype that safetensors does not have, such as the random key of a train state, which
            `fdl.train.Checkpoints` save, and for metadata that are not strings.
        ImportError: without safetensors.

    Source: the format, https://huggingface.co/docs/safetensors.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> file = Path(folder.name, "net.safetensors")
        >>> save_parameters(file, {"affine1": {"w": jnp.ones((2, 3))}, "relu1": {}})
        >>> jax.tree.map(jnp.shape, load_parameters(file))
        {'affine1': {'w': (2, 3)}, 'relu1': {}}
        >>> folder.cleanup()
    """
    safetensors = imported("safetensors.numpy", _BY, "train")
    metadata = dict(metadata or {})
    if not all(isinstance(word, str) for pair in metadata.items() for word in pair):
        raise InputError(f"metadata are strings by strings, got {metadata}: write numbers as strings, str(40)")
    _check_arrays("save_parameters", params)
    _check_names(params)
    arrays = {name: _saved(name, leaf) for name, leaf in leaves_by_path(params).items()}
    if empty := list(_empty_dicts(params)):
        metadata[_EMPTY] = json.dumps(empty)
    with whole_file(path) as part:
        safetensors.save_file(arrays, part, metadata=metadata or None)


def load_parameters(path: str | os.PathLike[str], like: Any = None, select: Keep | None = None) -> Any:
    """Reads parameters from a safetensors file.

    Args:
        path: the file, written by `save_parameters` or by another program.
        like: the tree to fill: parameters of the same network, or their shapes (from `jax.eval_shape`). The file must
            have these paths with these shapes and dtypes, and no others. Without it the names alone make the
            tree, as nested dicts.
        select: loads only these paths of ``like``, and leaves all else in it as it is: a function from a path to a
            bool, or a pattern such as ``"encoder.*"``. The file may have more. So a new network starts from parts
            of a trained one: `init_train_state` takes what comes out as ``params``.

    Returns:
        A tree like ``like``, or nested dicts, of arrays on the default device.

    Raises:
        InputError: for a file that is cut off or no safetensors file; with ``like``, for what does not fit, with the
            path of the first mismatch, and for a layer; for ``select`` without ``like``.
        FileNotFoundError: for a file that does not exist.
        ImportError: without safetensors.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> file = Path(folder.name, "net.safetensors")
        >>> save_parameters(file, {"encoder": {"w": jnp.ones(3)}, "scores": {"w": jnp.ones(10)}})
        >>> params = {"encoder": {"w": jnp.zeros(3)}, "scores": {"w": jnp.zeros(2)}}  # for two classes, not ten
        >>> load_parameters(file, like=params, select="encoder.*")
        {'encoder': {'w': Array([1., 1., 1.], dtype=float32)}, 'scores': {'w': Array([0., 0.], dtype=float32)}}
        >>> load_parameters(file, like=params)
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: scores.w: expected float32[2], net.safetensors has float32[10]: it was made with \
other settings
        >>> folder.cleanup()
    """
    if select is not None and like is None:
        raise InputError("select chooses what to load into a tree: give that tree as like=")
    path = Path(path)
    _check_arrays("load_parameters", like)
    if like is None:
        arrays, _, metadata = _read(path)
        return _nested(arrays, json.loads(metadata.get(_EMPTY, "[]")), path.name)
    expected = {name: kind_of(leaf) for name, leaf in leaves_by_path(like).items()}
    if select is not None:
        keeps = matcher(like, select)
        expected = {name: kind for name, kind in expected.items() if keeps(name)}
        if not expected:
            raise InputError(f"select accepts none of the paths of like: {', '.join(leaves_by_path(like))}")
    arrays, kinds, _ = _read(path, None if select is None else expected)
    check_kinds(expected, kinds, path.name, others=select is not None)
    return jax.tree.map_with_path(lambda keys, leaf: arrays.get(path_of(keys), leaf), like)


def _check_arrays(who: str, tree: Any) -> None:
    if layers := [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, Layer)]:
        raise InputError(
            f"{who} takes a tree of arrays, such as the params of params, state = net.init(key, x), "
            f"got the layer {layers[0].name}, which holds none"
        )


def _check_names(tree: Any) -> None:
    for keys, _ in jax.tree.leaves_with_path(tree):
        for key in keys:
            if "." in (name := jax.tree_util.keystr((key,), simple=True)):
                raise InputError(f"the name {name!r} has a dot in it, which separates names in a path: rename it")


def _saved(name: str, leaf: Any) -> np.ndarray:
    if (kind := kind_of(leaf)).partition("[")[0] not in _DTYPES:
        hint = ": Checkpoints save a train state with its key" if kind.startswith("key") else ""
        raise InputError(f"safetensors files have {', '.join(_DTYPES)}, and no {kind}{hint}", (name,))
    return np.asarray(leaf, order="C")


def _empty_dicts(tree: Any, names: tuple[str, ...] = ()) -> Iterator[list[str]]:
    if isinstance(tree, dict):
        if not tree and names:
            yield list(names)
        for name, child in tree.items():
            yield from _empty_dicts(child, (*names, str(name)))


def _read(
    path: Path, wanted: Container[str] | None = None
) -> tuple[dict[str, jax.Array], dict[str, str], dict[str, str]]:
    """The arrays of a file, or those that are wanted; the kinds of all arrays (of unwanted ones, ""); the metadata."""
    safetensors = imported("safetensors", _BY, "train")
    try:
        with safetensors.safe_open(path, "np") as file:
            kinds = dict.fromkeys(file.keys(), "")
            found = {name: file.get_tensor(name) for name in kinds if wanted is None or name in wanted}
            kinds |= {name: kind_of(array) for name, array in found.items()}
            return {name: jnp.array(array) for name, array in found.items()}, kinds, file.metadata() or {}
    except safetensors.SafetensorError as error:
        raise InputError(f"{path} is cut off, or no safetensors file ({error})") from error


def _nested(arrays: Mapping[str, jax.Array], empty: list[list[str]], file: str) -> Any:
    """Nested dicts of arrays from their paths."""
    tree: dict[str, Any] = {}
    leaves: list[tuple[list[str], Any]] = [(name.split("."), arrays[name]) for name in sorted(arrays)]
    for names, leaf in [*leaves, *((names, {}) for names in empty)]:
        node = tree
        for name in names[:-1]:
            node = node.setdefault(name, {})
            if not isinstance(node, dict):
                raise InputError(f"{file} has an array at {name!r} and others below it: give like=", tuple(names))
        node[names[-1]] = leaf
    return tree
