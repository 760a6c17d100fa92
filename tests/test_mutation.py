"""The proof of the proof: every fault that is put into a rule makes a check fail."""

import jax
import numpy as np
import pytest

from tests.cases import CASES
from tests.proof import checks, mutation

SOME = 2  # faults in each backward part, where not all are tried

MODULES = sorted({case.rule.__module__ for case in CASES})


def parameter(function):
    """Backward parts are always broken; the others share their code, so that the table refuses most of their faults."""
    marks = [pytest.mark.xdist_group(function.module), *[pytest.mark.sweep] * (not function.name.endswith(".backward"))]
    return pytest.param(function, id=str(function), marks=marks)


FUNCTIONS = [parameter(function) for module in MODULES for function in mutation.functions(module)]


def is_caught(rules, cases, parts):
    """Whether the checks of the value and of the gradient refuse one of the cases, where these rules computed it."""
    for case in cases:
        unchecked = rules[case.rule.__name__].replace(validate=lambda **_: None)
        try:
            results = checks.computed(case, case.batch) | computed_by(case, unchecked, parts)
            checks.value_is_the_formula(case, case.batch, results)
            checks.gradient_is_jax_s(case, case.batch, results)
        except Exception:  # a wrong number, or a fault that does not even run
            return True
    return False


def computed_by(case, rule, parts):
    """What this rule computes in a case, from one compilation."""

    def compute(arguments):
        return {name: value for part in parts for name, value in part(case, arguments, rule).items()}

    with jax.enable_x64(True):
        return jax.jit(compute)(case.make())


def reached_by(function):
    """What a fault in this function can change: backward parts only gradients, forward parts not the reference."""
    if function.name.endswith(".backward"):
        return [checks.by_backward]
    if function.name.endswith(".forward"):
        return [checks.by_rule]
    return [checks.by_rule, checks.by_reference]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("share", ["some", pytest.param("all", marks=pytest.mark.sweep)])
def test_every_fault_is_caught(function, share):
    cases = [case for case in CASES if case.rule.__module__ == function.module]
    cases = [case for case in cases if function.rule in (None, case.rule.__name__)]
    mutants = list(mutation.mutants(function))
    if share == "some":  # spread over the function
        mutants = mutants[:: -(-len(mutants) // SOME) or 1]
    with np.errstate(all="ignore"):
        results = {fault: is_caught(rules, cases, reached_by(function)) for fault, rules in mutants}
    missed = [fault for fault, caught in results.items() if not caught]
    assert not missed, "\n".join(missed)
    assert results or not function.name.endswith(".backward"), "a backward part that no fault fits into"


@pytest.mark.parametrize("module", [pytest.param(module, marks=pytest.mark.xdist_group(module)) for module in MODULES])
@pytest.mark.parametrize(
    "parts",
    [[checks.by_backward], pytest.param([checks.by_rule, checks.by_reference], marks=pytest.mark.slow)],
    ids=["backward", "all"],
)
def test_what_is_refused_is_the_fault(module, parts):
    """And not the way in which mutants are made: the original, made in the same way, passes."""
    first = {case.rule: case for case in reversed(CASES) if case.rule.__module__ == module}
    assert not is_caught(mutation.original(module), first.values(), parts)
