"""What is measured: one row per rule and size, in the file of its family, as in tests/cases."""

import importlib
import pkgutil

from rows.row import Row, compiled

__all__ = ["Row", "compiled", "every_row"]

FAMILIES = [
    importlib.import_module(f"{__name__}.{file.name}") for file in pkgutil.iter_modules(__path__) if file.name != "row"
]


def every_row(scale: int) -> list[Row]:
    """All rows, with batches divided by ``scale``."""
    return [row for family in FAMILIES for row in family.rows(scale)]
