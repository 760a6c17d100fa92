"""Trees by path: what a file keeps, and the comparison of what it has with what is expected of it.

A tree is saved as {path: array}, as in {"params.affine1.w": ..., "opt_state.0.step": ...}, so that what is read back is
found by its name, wherever a refactored tree has it. What stands at a path is described by one word, its kind:

    float32[64, 10]     int32[]     key<fry>[]

Two trees go together when they have the same paths and the same kinds there.
"""

import difflib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from fdl.errors import InputError
from fdl.paths import path_of


def leaves_by_path(tree: Any) -> dict[str, Any]:
    """The leaves of a tree under their paths, in the order of the tree.

    Raises:
        InputError: for two leaves with one path, such as those of {"a.b": ..., "a": {"b": ...}}.

    Example:
        >>> leaves_by_path({"affine1": {"w": 1.0, "b": 2.0}, "moments": (3.0,)})
        {'affine1.b': 2.0, 'affine1.w': 1.0, 'moments.0': 3.0}
    """
    leaves: dict[str, Any] = {}
    for keys, leaf in jax.tree.leaves_with_path(tree):
        path = path_of(keys)
        if path in leaves:
            raise InputError("two arrays have this path, and could not be told apart in a file: rename one", (path,))
        leaves[path] = leaf
    return leaves


def kind_of(leaf: Any) -> str:
    """The dtype and shape of an array, or of its `jax.ShapeDtypeStruct`, in writing.

    Example:
        >>> kind_of(jnp.ones((64, 10))), kind_of(jax.random.key(0)), kind_of(2)
        ('float32[64, 10]', 'key<fry>[]', 'int32[]')
    """
    dtype = leaf.dtype if hasattr(leaf, "dtype") else jnp.result_type(leaf)
    return f"{dtype}{list(jnp.shape(leaf))}"


def check_kinds(expected: Mapping[str, str], found: Mapping[str, str], file: str, others: bool = False) -> None:
    """Compares what a file has, or a tree, with what is expected of it.

    Args:
        expected, found: the kinds at each path.
        file: what to call it.
        others: whether it may have other paths as well.

    Raises:
        InputError: with the path of the first mismatch.

    Example:
        >>> check_kinds({"encoder.w": "float32[64, 10]"}, {"encoder.w": "float32[64, 12]"}, "checkpoint 40")
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: encoder.w: expected float32[64, 10], checkpoint 40 has float32[64, 12]: it was made \
with other settings
        >>> check_kinds({"encoder.w": "float32[3]"}, {"encoder1.w": "float32[3]"}, "checkpoint 40")
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: encoder.w: expected float32[3], checkpoint 40 has nothing there; it has encoder1.w
    """
    for path, kind in expected.items():
        if path not in found:
            near = difflib.get_close_matches(path, found, n=3, cutoff=0.5) or list(found)[:3]
            has = f"it has {', '.join(near)}" if near else "it is empty"
            raise InputError(f"expected {kind}, {file} has nothing there; {has}", (path,))
        if found[path] != kind:
            raise InputError(f"expected {kind}, {file} has {found[path]}: it was made with other settings", (path,))
    if not others and (more := [path for path in found if path not in expected]):
        path = more[0]
        near = difflib.get_close_matches(path, expected, n=1, cutoff=0.5)
        expects = f"; the nearest that is expected is {near[0]}" if near else ""
        raise InputError(f"{file} has {found[path]} there, and nothing was expected{expects}", (path,))
