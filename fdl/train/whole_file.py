"""Files that are there as a whole or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a path to write to, whose file takes the place of ``path`` when the block ends without an error.

    So there is never half a file, and a file that was there before stays until there is a whole new one.

    Args:
        path: where the file shall be; directories are made as needed.

    Example:
        >>> folder = tempfile.TemporaryDirectory()
        >>> file = Path(folder.name, "numbers.txt")
        >>> with whole_file(file) as part:
        ...     _ = part.write_text("1 2 3")
        ...     file.exists()
        False
        >>> file.read_text()
        '1 2 3'
        >>> folder.cleanup()
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        part = Path(folder, path.name)
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())  # on the disk, before it takes the place of what may be the only good one
        part.replace(path)
