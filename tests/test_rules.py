"""Every rule, by every property that makes it proven, over the table of cases."""

import inspect

import jax.numpy as jnp
import pytest

import fdl
from tests.cases import CASES
from tests.proof import checks

SMOOTH = [case for case in CASES if case.smooth]
FIRST = {case.rule: case for case in reversed(SMOOTH)}.values()
FIRST_OF_FILE = {case.rule.__module__: case for case in reversed(SMOOTH)}.values()


def parameters(cases, slow=()):
    """All tests of a case run in one process, where they share what they compile."""
    return [
        pytest.param(
            case, id=str(case), marks=[pytest.mark.xdist_group(str(case)), *[pytest.mark.slow] * (case in slow)]
        )
        for case in cases
    ]


every_case = pytest.mark.parametrize("case", parameters(CASES))
# What depends on how a rule is made more than on its arguments: quickly for one case of each rule.
first_case = pytest.mark.parametrize("case", parameters(CASES, slow=set(CASES) - set(FIRST)))
first_smooth_case = pytest.mark.parametrize("case", parameters(SMOOTH, slow=set(SMOOTH) - set(FIRST)))
# What depends on how all rules are made: for one case of each file.
first_of_file = pytest.mark.parametrize("case", parameters(SMOOTH, slow=set(SMOOTH) - set(FIRST_OF_FILE)))
narrow_dtype = pytest.mark.parametrize(
    "dtype", [jnp.float32, jnp.bfloat16, pytest.param(jnp.float16, marks=pytest.mark.slow)], ids=lambda d: d.__name__
)


def test_every_public_rule_has_a_case():
    rooms = [fdl.layers, fdl.losses]
    rules = {value for room in rooms for _, value in inspect.getmembers(room) if isinstance(value, fdl.Rule)}
    assert rules == {case.rule for case in CASES}


def test_no_two_cases_have_one_name():
    assert len({str(case) for case in CASES}) == len(CASES)


@every_case
def test_value(case):
    checks.value_is_the_formula(case, case.batch)


@every_case
def test_gradient_against_jax(case):
    checks.gradient_is_jax_s(case, case.batch)


@first_case
@pytest.mark.parametrize("n", [1, 0])
def test_small_batches(case, n):
    checks.value_is_the_formula(case, n)
    checks.gradient_is_jax_s(case, n)


@first_smooth_case
def test_gradient_against_central_differences(case):
    checks.jacobian_is_central_differences(case)


@first_case
@narrow_dtype
def test_dtypes(case, dtype):
    checks.forward_keeps_types(case, dtype)


@first_smooth_case
@narrow_dtype
def test_precision(case, dtype):
    checks.precision_is_near_jax_s(case, dtype)


@first_smooth_case
def test_vmap(case):
    checks.vmap_is_a_loop(case)


@first_of_file
@pytest.mark.parametrize(
    "dtype", [jnp.bfloat16, pytest.param(jnp.float64, marks=pytest.mark.slow)], ids=lambda d: d.__name__
)
def test_scan_and_remat(case, dtype):
    checks.scan_and_remat_change_nothing(case, dtype)


@first_of_file
def test_sharding(case):
    checks.sharding_changes_nothing(case)


@first_of_file
def test_second_derivatives(case):
    checks.second_derivatives_are_jax_s(case)


@every_case
def test_residuals(case):
    checks.remembers_no_more_than_it_says(case)
