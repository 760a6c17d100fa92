"""Is the data what it should be? The report of `fdl.data`, as a finding."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from fdl.data import DataReport, data_report
from fdl.train.diagnosis.finding import Finding, verdict_of


@dataclasses.dataclass(frozen=True)
class DataCheck(Finding):
    """What `data_check` found.

    Attributes:
        report: the whole `fdl.data.DataReport`, whose ``str`` is a table of all arrays.
    """

    title: ClassVar[str] = "data"
    report: DataReport

    @property
    def measured(self) -> str:
        """The arrays, with their shapes and ranges."""
        return "; ".join(f"{row.name} {list(row.shape)} {row.low:.3g} to {row.high:.3g}" for row in self.report.rows)


def data_check(parts: Mapping[str, Any]) -> DataCheck:
    """Looks at ranges, at the balance of classes, and for examples that are there twice, in all parts of the data.

    Args:
        parts: the parts by name, as for `fdl.data.data_report`, which says what is looked for.

    Raises:
        InputError: as `fdl.data.data_report`.

    Example:
        >>> import numpy as np
        >>> x, labels = np.linspace(-1, 1, 12).reshape(6, 2), np.array([1, 2, 1, 2, 1, 2])
        >>> print(data_check({"training": (x, labels)}))
        [!!] data: training.0 [6, 2] -1 to 1; training.1 [6] 1 to 2
             -> 1: there is class 2, but none of class 0
    """
    report = data_report(parts)
    return DataCheck(verdict_of(list(report.warnings)), report)
