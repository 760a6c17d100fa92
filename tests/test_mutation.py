"""The proof of the proof: every fault that is put into a rule makes a check fail."""

import jax
import numpy as np
import pytest

from tests.cases import CASES
from tests.proof import checks, mutation

MODULES = sorted({case.rule.__module__ for case in CASES})
FUNCTIONS = [function for module in MODULES for function in mutation.functions(module)]


def is_caught(rules, cases):
    """Whether the checks of the value and of the gradient refuse one of the cases, computed by these rules."""
    for case in cases:
        unchecked = rules[case.rule.__name__].replace(validate=lambda **_: None)
        try:
            with jax.enable_x64(True):
                results = checks.compute(case, case.make(), unchecked)
            checks.value_is_the_formula(case, case.batch, results)
            checks.gradient_is_jax_s(case, case.batch, results)
        except Exception:  # a wrong number, or a fault that does not even run
            return True
    return False


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
def test_every_fault_is_caught(function):
    cases = [case for case in CASES if case.rule.__module__ == function.module]
    cases = [case for case in cases if function.rule in (None, case.rule.__name__)]
    with np.errstate(all="ignore"):
        results = {fault: is_caught(rules, cases) for fault, rules in mutation.mutants(function)}
    missed = [fault for fault, caught in results.items() if not caught]
    assert not missed, "\n".join(missed)
    assert len(results) >= 3 or not function.name.endswith(".backward"), "too few faults to mean anything"


@pytest.mark.parametrize("module", MODULES)
def test_what_is_refused_is_the_fault(module):
    """And not the way in which mutants are made: the original, made in the same way, passes."""
    assert not is_caught(mutation.original(module), [case for case in CASES if case.rule.__module__ == module])
