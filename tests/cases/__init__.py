"""The table that drives every check of every rule: one row per rule and kind of argument.

A new rule is a new row, in the file of its family. All files beside `row`, which says what a row is, are tables.
"""

import importlib
import pkgutil

FAMILIES = [
    importlib.import_module(f"{__name__}.{file.name}") for file in pkgutil.iter_modules(__path__) if file.name != "row"
]
CASES = [case for family in FAMILIES for case in family.CASES]
