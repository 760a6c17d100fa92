"""JSON lines: one JSON object per line, which `jq`, pandas and every other JSON parser read.

JSON has no NaN and no infinity: what is not finite is written as null.
"""

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.train.whole_file import whole_file


def plain(value: Any, digits: int = 17) -> Any:
    """A value in what JSON has: dicts, lists, strings, numbers, true, false and null.

    Args:
        value: dicts, lists and tuples of anything. Arrays become lists, numbers that are not finite null, and what
            JSON has no form for, such as a layer, the expression that makes it.
        digits: how many digits of a float are kept.

    Example:
        >>> from fdl.layers import Affine
        >>> plain({"net": Affine(3), "rates": (0.1, math.inf), "w": np.ones(2)})
        {'net': 'Affine(3)', 'rates': [0.1, None], 'w': [1.0, 1.0]}
    """
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(name): plain(one, digits) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one, digits) for one in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.ndarray | np.generic | jax.Array) and _has_numbers(value.dtype):
        array = np.asarray(value)
        wide = array.astype(np.float64) if jnp.issubdtype(array.dtype, np.floating) else array  # bfloat16 too
        return plain(wide.tolist(), digits)
    return repr(value)


def number_of(value: Any) -> Any:
    """What a number was before it was `plain`: NaN for null.

    Example:
        >>> number_of(0.5), number_of(None)
        (0.5, nan)
    """
    return math.nan if value is None else value


def append_line(path: Path, line: Mapping[str, Any]) -> None:
    """Adds a line to the end of a file, for whoever reads it meanwhile too."""
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{_json(line)}\n")


def write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Puts a file with these lines in the place of what was there, at once and as a whole."""
    with whole_file(path) as part:
        part.write_text("".join(f"{_json(line)}\n" for line in lines), encoding="utf-8")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file, without those that are no JSON object: a process that is killed may leave half of one.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     path = Path(directory, "records.jsonl")
        ...     write_lines(path, [{"step": 1, "loss": 0.5}, {"step": 2, "loss": None}])
        ...     with path.open("a") as file:
        ...         _ = file.write('{"step": 3, "lo')
        ...     read_lines(path)
        [{'step': 1, 'loss': 0.5}, {'step': 2, 'loss': None}]
    """
    if not path.exists():
        return []
    # As bytes: the last line may end within a letter, and str.splitlines takes more characters for the end of a line.
    lines = (_parsed(line) for line in path.read_bytes().split(b"\n"))
    return [line for line in lines if isinstance(line, dict)]


def _has_numbers(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, np.number) or jnp.issubdtype(dtype, np.bool_)


def _json(line: Mapping[str, Any]) -> str:
    return json.dumps(line, allow_nan=False, ensure_ascii=False)


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:  # no JSON, or no text
        return None
