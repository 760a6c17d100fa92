"""The tables of networks, a file per family of `fdl.models`.

A new network is a new row of each table: as its paper has it, small, and with what it does not take. All files beside
`row`, which says what a row is, are tables.
"""

import importlib
import pkgutil

FAMILIES = [
    importlib.import_module(f"{__name__}.{file.name}") for file in pkgutil.iter_modules(__path__) if file.name != "row"
]
PUBLISHED = [row for family in FAMILIES for row in family.PUBLISHED]
SMALL = [row for family in FAMILIES for row in family.SMALL]
REFUSED = [row for family in FAMILIES for row in family.REFUSED]
