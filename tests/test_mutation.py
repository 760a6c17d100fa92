"""The proof of the proof: every fault that is put into a rule makes a check fail."""

import numpy as np
import pytest

from tests.cases import CASES
from tests.proof import checks, mutation

MODULES = sorted({case.rule.__module__ for case in CASES})
FUNCTIONS = [
    pytest.param(function, id=str(function), marks=pytest.mark.xdist_group(module))
    for module in MODULES
    for function in mutation.functions(module)
]


def is_caught(rules, cases, reference_too=True):
    """Whether the checks of the value and of the gradient refuse one of the cases, computed by these rules."""
    for case in cases:
        unchecked = rules[case.rule.__name__].replace(validate=lambda **_: None)
        try:
            results = checks.computed(case, case.batch) | checks.by_rule(case, case.make(), unchecked)
            if reference_too:
                results |= checks.by_reference(case, case.make(), unchecked)
            checks.value_is_the_formula(case, case.batch, results)
            checks.gradient_is_jax_s(case, case.batch, results)
        except Exception:  # a wrong number, or a fault that does not even run
            return True
    return False


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_fault_is_caught(function):
    cases = [case for case in CASES if case.rule.__module__ == function.module]
    cases = [case for case in cases if function.rule in (None, case.rule.__name__)]
    is_part = function.name.endswith((".forward", ".backward"))  # which the reference does not know
    with np.errstate(all="ignore"):
        results = {
            fault: is_caught(rules, cases, reference_too=not is_part) for fault, rules in mutation.mutants(function)
        }
    missed = [fault for fault, caught in results.items() if not caught]
    assert not missed, "\n".join(missed)
    assert results or not function.name.endswith(".backward"), "a backward part that no fault fits into"


@pytest.mark.parametrize("module", [pytest.param(module, marks=pytest.mark.xdist_group(module)) for module in MODULES])
def test_what_is_refused_is_the_fault(module):
    """And not the way in which mutants are made: the original, made in the same way, passes."""
    first = {case.rule: case for case in reversed(CASES) if case.rule.__module__ == module}
    assert not is_caught(mutation.original(module), first.values())
