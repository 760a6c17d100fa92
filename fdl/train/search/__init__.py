"""Hyperparameter search: what to try, trained one by one or many at once, and what came of it.

    space = {"learning_rate": LogUniform(1e-4, 1e-1), "penalty": LogUniform(1e-6, 1e-2)}
    results = Results(space, "validation_accuracy", "max")
    for config in random(space, 20, seed=0):
        results = results.add(config, train(config))  # metrics, or what `fdl.train.fit` returned
        results.save("search.jsonl")
    print(results)
    finer = narrow(results)  # a smaller space, for a second round

The table points out where the best value lies at an end of its range. `successive_halving` spends more on what looks
good early; `fit_many` trains many configurations of one architecture in one compiled step.

A search that was interrupted goes on with `Results.load` and ``results.untried(configs)``; `fdl.train.stop_on_signal`
belongs around each single run.
"""

from fdl.train.search.candidates import grid, narrow, random
from fdl.train.search.fit_many import alike, fit_many, init_many
from fdl.train.search.halving import one_by_one, rungs, successive_halving
from fdl.train.search.results import Results, Trial
from fdl.train.search.space import Choice, Integers, LogIntegers, LogUniform, Range, Uniform

__all__ = [
    "Choice",
    "Integers",
    "LogIntegers",
    "LogUniform",
    "Range",
    "Results",
    "Trial",
    "Uniform",
    "alike",
    "fit_many",
    "grid",
    "init_many",
    "narrow",
    "one_by_one",
    "random",
    "rungs",
    "successive_halving",
]
