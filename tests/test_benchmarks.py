"""What the benchmark measures, as far as it does not depend on the machine: every rule, and its memory."""

import jax
import jax.numpy as jnp
import pytest
from comparison import Measured, measure, table
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


def test_both_are_run_in_turn_and_the_first_runs_do_not_count():
    both, runs = tuple(jax.jit(f).lower(jnp.ones(3)).compile() for f in (jnp.sin, jnp.cos)), []
    result = measure("sin", both, lambda which: (runs.append(which), both[which](jnp.ones(3))), seconds=0.0)
    assert runs == [1, 0, 0, 1, 1, 0, 0, 1, 1, 0]
    assert result.name == "sin"
    assert min(result.seconds) > 0


def test_the_table_has_geometric_means_and_counts_less_than_a_page_as_a_page():
    results = [Measured("a", (1.0, 4.0), (0, 8192)), Measured("b", (1.0, 1.0), (8192, 100))]
    lines = table(results).splitlines()
    assert [line.split()[-1] for line in lines[1:3]] == ["0.00x", "81.92x"]
    assert lines[-1].split() == ["geometric", "mean", "2.00x", "1.00x"]
