"""What the benchmark measures, as far as it does not depend on the machine: every rule, and its memory."""

import jax
import pytest
from rows import compiled, every_row

from tests.cases import CASES

ROWS = every_row(scale=1)
FIRST = {row.rule: row for row in reversed(ROWS)}.values()
AS_USERS_DO = {"xla_cpu_use_fusion_emitters": True} if jax.__version_info__ < (0, 11) else {}  # unlike conftest.py


def test_every_rule_is_measured():
    assert {row.rule for row in ROWS} == {case.rule for case in CASES}


@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=[pytest.mark.slow] * (row not in FIRST)) for row in ROWS], ids=map(str, ROWS)
)
def test_rules_need_no_more_temporary_memory_than_autodiff(row):
    ours, theirs = (executable.memory_analysis().temp_size_in_bytes for executable in compiled(row, AS_USERS_DO)[0])
    assert ours <= theirs
