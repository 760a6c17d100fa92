"""Hyperparameter search: what is tried, what came of it, and that training many at once is training each."""

import gc
import json
import math
import weakref

import jax
import numpy as np
import pytest

from fdl import InputError
from fdl.data import Batches
from fdl.layers import Affine, Dropout, Relu, Serial
from fdl.losses import l2, softmax_cross_entropy
from fdl.optim import adam, chain, clip_by_global_norm
from fdl.train import Fitted, accuracy, evaluate, fit, init_train_state, make_eval_step, make_train_step, supervised
from fdl.train.search import (
    Choice,
    Integers,
    LogIntegers,
    LogUniform,
    Results,
    Uniform,
    alike,
    fit_many,
    grid,
    init_many,
    narrow,
    one_by_one,
    random,
    rungs,
    successive_halving,
)

SPACE = {"rate": LogUniform(1e-5, 1e-1), "width": LogIntegers(16, 256), "norm": Choice("batch", "layer", None)}


def config(rate=1e-3, width=64, norm="batch"):
    return {"rate": rate, "width": width, "norm": norm}


def results_of(values, name="rate", space=SPACE, **settings):
    """Results in which the metric depends on one hyperparameter."""
    results = Results(space, **settings)
    for value, metric in values:
        results = results.add({**config(), name: value}, {results.metric: metric})
    return results


# What is tried.


def test_random_values_are_even_on_their_own_scale():
    space = {"log": LogUniform(1e-5, 1e-1), "flat": Uniform(-1, 3), "whole": Integers(1, 4), "size": LogIntegers(1, 99)}
    configs = random(space | {"choice": Choice("a", "b", "c")}, 4000, seed=0)
    column = {name: [one[name] for one in configs] for name in configs[0]}
    assert np.mean(np.array(column["log"]) < 1e-3) == pytest.approx(0.5, abs=0.03)
    assert np.mean(np.array(column["flat"]) < 0) == pytest.approx(0.25, abs=0.03)
    assert np.mean(np.array(column["size"]) < 10) == pytest.approx(math.log(19) / math.log(199), abs=0.03)
    for value in (1, 2, 3, 4):
        assert np.mean(np.array(column["whole"]) == value) == pytest.approx(0.25, abs=0.03)
    for value in "abc":
        assert np.mean(np.array(column["choice"]) == value) == pytest.approx(1 / 3, abs=0.03)
    assert {type(value) for value in column["whole"]} == {int}
    assert {type(value) for value in column["log"]} == {float}
    assert all(space[name].low <= value <= space[name].high for name in space for value in column[name])


def test_a_seed_gives_the_same_configurations_and_more_of_them():
    assert random(SPACE, 3, seed=1) == random(SPACE, 9, seed=1)[:3] != random(SPACE, 3, seed=2)


def test_a_grid_has_all_combinations_from_end_to_end():
    configs = grid(SPACE, points={"rate": 5, "width": 3})
    assert len(configs) == len({repr(one) for one in configs}) == 5 * 3 * 3
    np.testing.assert_allclose(sorted({one["rate"] for one in configs}), [1e-5, 1e-4, 1e-3, 1e-2, 1e-1])
    assert sorted({one["width"] for one in configs}) == [16, 64, 256]
    assert {one["rate"] for one in configs} >= {1e-5, 1e-1}  # the ends themselves


@pytest.mark.parametrize("values", [LogUniform(1e-3, 10), Uniform(-2, 5), Integers(3, 9), LogIntegers(2, 200)])
def test_place_and_at_are_inverse(values):
    for value in values.points(5):
        assert values.at(values.place(value)) == pytest.approx(value)
    assert (values.place(values.low), values.place(values.high)) == (0, 1)


# What came of it.


def test_trials_are_ranked_and_what_is_not_finite_comes_last():
    results = results_of([(1e-1, math.nan), (1e-2, 0.5), (1e-3, math.inf), (1e-4, 0.7)])
    assert [trial.config["rate"] for trial in results.ranked[:2]] == [1e-2, 1e-4]
    most = results_of([(1e-1, math.nan), (1e-2, 0.5), (1e-3, -math.inf), (1e-4, 0.7)], metric="accuracy", mode="max")
    assert most.best.config["rate"] == 1e-4
    assert "the highest accuracy" in most.table()


def test_results_are_values():
    before = Results(SPACE)
    assert len(before.add(config(), {"validation_loss": 1.0})) == 1
    assert len(before) == 0


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("rate", 9.5e-2, "The best rate, 0.095, lies at the upper end of LogUniform(low=1e-05, high=0.1): try larger"),
        (
            "rate",
            1.2e-5,
            "The best rate, 1.2e-05, lies at the lower end of LogUniform(low=1e-05, high=0.1): try smaller",
        ),
        ("width", 256, "The best width, 256, lies at the upper end of LogIntegers(low=16, high=256): try larger"),
        ("rate", 3e-2, None),
        ("norm", None, None),
    ],
)
def test_the_best_at_an_end_of_its_range_is_pointed_out(name, value, says):
    results = results_of([(value, 0.1)], name)
    assert ([] if says is None else [f"{says} ones."]) == results.edges()
    assert (says or "3 trials") in results.table() or says is None


def test_the_largest_of_several_numbers_is_an_end_too():
    space = {**SPACE, "width": Choice(128, 32, 64)}
    assert "upper end of Choice(128, 32, 64): try larger" in results_of([(128, 0.1)], "width", space).edges()[0]
    assert results_of([(64, 0.1)], "width", space).edges() == []


def test_the_table():
    results = Results({"rate": SPACE["rate"], "width": SPACE["width"]}, "accuracy", "max")
    results = results.add({"rate": 3e-4, "width": 64}, {"loss": 0.25, "accuracy": 0.9})
    results = results.add({"rate": 2e-2, "width": 128}, {"accuracy": 0.95, "epoch": 12})
    assert results.table().splitlines() == [
        "2 trials, the best first by the highest accuracy",
        "   rate    width  accuracy  epoch  loss",
        "1  0.02    128    0.950     12",
        "2  0.0003  64     0.900            0.250",
    ]
    assert results.table(rows=1).splitlines()[-1] == "... and 1 more"
    assert repr(Results(SPACE)).startswith("0 trials")


def test_results_survive_a_file(tmp_path):
    prompts = Choice("add:\u2028", "über\x85")  # ends of lines to str.splitlines
    space = {**SPACE, "decay": Uniform(0, 0.3), "depth": Integers(1, 3), "prompt": prompts}
    results = Results(space, "accuracy", "max")
    for number, one in enumerate(random(space, 4, seed=0)):
        results = results.add(one, {"accuracy": 0.1 * number, "loss": math.nan if number == 2 else 1 / 3}, number + 1)
    results.save(tmp_path / "search.jsonl")
    again = Results.load(tmp_path / "search.jsonl")
    assert repr(again) == repr(results)
    assert (again.space, again.metric, again.mode) == (results.space, "accuracy", "max")
    assert [trial.config for trial in again.trials] == [trial.config for trial in results.trials]
    assert math.isnan(again.trials[2].metrics["loss"])
    assert again.trials[3] == results.trials[3]
    assert all(json.loads(line) for line in (tmp_path / "search.jsonl").read_bytes().splitlines())


def test_what_is_left_of_an_interrupted_search():
    configs = random(SPACE, 5, seed=0)
    results = Results(SPACE).add(configs[1], {"validation_loss": 1.0})
    assert results.untried(configs) == [configs[0], *configs[2:]]


def test_numbers_of_numpy_are_known_again_in_a_file(tmp_path):
    space = {
        "rate": LogUniform(np.float32(0.25), np.float64(4)),
        "width": Integers(np.int64(1), 64),
        "decay": Choice(*np.logspace(-4, -2, 3)),
    }
    configs = [{"rate": rate, "width": np.int32(8), "decay": np.float64(1e-3)} for rate in np.linspace(0.5, 1, 3)]
    results = Results(space)
    for one in configs[:2]:
        results = results.add(one, {"validation_loss": 1.0})
    results.save(tmp_path / "search.jsonl")
    again = Results.load(tmp_path / "search.jsonl")
    assert again.untried(configs) == results.untried(configs) == configs[2:]
    assert again.space == space
    assert len(again.add(configs[2], {"validation_loss": 0.5}).untried(configs)) == 0


def test_a_run_counts_by_its_last_record():
    done = Fitted(None, ({"epoch": 1, "validation_loss": 2.0}, {"epoch": 2, "validation_loss": 1.0}))
    broken = Fitted(None, ({"epoch": 1, "loss": 9.0},), stopped="the loss is 9, more than 3 times ...")
    results = Results(SPACE).add(config(1e-3), done).add(config(1e-2), broken)
    assert results.best.metrics["validation_loss"] == 1.0
    assert math.isnan(results.ranked[1].metrics["validation_loss"])
    with pytest.raises(InputError, match=r'have to have "validation_loss", got \[\'epoch\', \'loss\'\]'):
        results.add(config(), broken._replace(stopped=None))
    with pytest.raises(InputError, match="an outcome is a dict of metrics by name, or what fit returned, got"):
        results.add(config(), 0.3)
    at_once = results.add(config(), Fitted(None, stopped="stopped by SIGTERM"))  # before its first record
    assert math.isnan(at_once.trials[-1].metrics["validation_loss"])
    with pytest.raises(InputError, match=r'have to have "validation_loss", got \[\]'):
        results.add(config(), Fitted(None))


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        (0.1, r"write Choice\(0.1\) for what is fixed"),
        ((1e-4, 1e-1), r"write Uniform\(0.0001, 0.1\) or LogUniform\(0.0001, 0.1\) .*, Choice\(0.0001, 0.1\) for one"),
        (["relu", "tanh"], r"write Choice\('relu', 'tanh'\) for one of them"),
    ],
)
def test_a_space_says_what_may_have_been_meant(values, hint):
    with pytest.raises(InputError, match=hint):
        random({"rate": values}, 3, seed=0)


# Coarse, then fine.


def test_narrow_goes_to_the_neighbours_of_the_best():
    rates = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
    results = results_of([(rate, abs(math.log10(rate) + 2)) for rate in rates])
    assert narrow(results, 0.2)["rate"] == LogUniform(1e-3, 1e-1)
    assert narrow(results, 0.4)["rate"].low == 1e-4 or narrow(results, 0.4)["rate"].high == 1e-1
    assert narrow(results, 1.0)["rate"] == SPACE["rate"]
    at_the_end = results_of([(rate, -rate) for rate in rates])
    assert narrow(at_the_end, 0.2)["rate"] == LogUniform(1e-2, 1e-1)
    assert narrow(at_the_end, 0.2)["norm"] == Choice("batch")


def test_narrow_shrinks_what_matters_and_keeps_what_does_not():
    space = {"rate": LogUniform(1e-5, 1e-1), "idle": Uniform(0, 1)}
    results = Results(space)
    for one in random(space, 40, seed=3):
        results = results.add(one, {"validation_loss": abs(math.log10(one["rate"]) + 3)})
    finer = narrow(results)
    assert finer["rate"].low < 1e-3 < finer["rate"].high
    assert math.log10(finer["rate"].high / finer["rate"].low) < 2
    assert finer["idle"].high - finer["idle"].low > 0.7
    for one in random(finer, 20, seed=0):
        results = results.add(one, {"validation_loss": abs(math.log10(one["rate"]) + 3)})
    assert len(results) == 60


# Successive halving.


def test_halving_trains_exactly_its_rungs_and_goes_on_where_it_was():
    calls = []

    def train(one, budget, before):
        calls.append((budget, before))
        return {"validation_loss": abs(math.log10(one["rate"]) + 3)}, (before or 0) + 1

    configs = random(SPACE, 20, seed=0)
    results = successive_halving(one_by_one(train), configs, Results(SPACE), least=2)
    assert rungs(20, 2) == [(20, 2), (6, 6), (2, 18)]
    assert calls == [(2, None)] * 20 + [(6, 1)] * 6 + [(18, 2)] * 2
    assert sorted(trial.budget for trial in results.trials) == [2] * 14 + [6] * 4 + [18] * 2
    assert results.untried(configs) == []
    assert results.best.config == min(configs, key=lambda one: abs(math.log10(one["rate"]) + 3))
    assert [trial.budget for trial in results.ranked] == sorted(
        (trial.budget for trial in results.trials), reverse=True
    )


def test_halving_has_a_best_trial_though_the_last_broke_down():
    def train(configs, budget, before):
        return [({"score": math.nan if budget >= 4 else one["rate"]}, None) for one in configs]

    configs = [config(rate) for rate in (1e-1, 1e-2, 1e-4, 1e-5)]
    results = successive_halving(train, configs, Results(SPACE, "score", "max"), least=1, factor=2)
    assert [trial.budget for trial in results.ranked] == [2, 1, 1, 4]
    assert results.best.config["rate"] == 1e-2


def test_halving_drops_what_broke_down_first():
    def train(configs, budget, before):
        return [({"score": math.nan if one["rate"] > 1e-3 else one["rate"]}, None) for one in configs]

    configs = [config(rate) for rate in (1e-1, 1e-2, 1e-4, 1e-5)]
    results = successive_halving(train, configs, Results(SPACE, "score", "max"), least=1, factor=2)
    assert results.best.config["rate"] == 1e-4
    assert sorted(trial.config["rate"] for trial in results.trials if trial.budget == 1) == [1e-2, 1e-1]


# Many at once.

X = np.random.default_rng(0).normal(size=(48, 4)).astype(np.float32)
LABELS = X[:, :3].argmax(axis=1)
BATCHES = Batches((X, LABELS), 16, seed=0)
VALIDATION = [(X[:32], LABELS[:32]), (X[32:], LABELS[32:])]
NET = Serial(Relu(), Dropout(0.2), Affine(3))
CONFIGS = [
    {"rate": 1e-2, "penalty": 1e-3, "clip": 1.0, "kind": "adam"},
    {"rate": 1e20, "penalty": 1e-2, "clip": 1e9, "kind": "adam"},
    {"rate": 1e-1, "penalty": 1e-4, "clip": 0.5, "kind": "adam"},
]


def make(config):
    assert config["kind"] == "adam"
    objective = supervised(
        NET,
        softmax_cross_entropy,
        penalty=lambda params: config["penalty"] * l2(params),
        metrics={"accuracy": accuracy},
    )
    return objective, chain(clip_by_global_norm(config["clip"]), adam(config["rate"]))


def without_seconds(run):
    return [{name: value for name, value in record.items() if name != "seconds"} for record in run.history]


def test_many_at_once_are_each_alone():
    runs = init_many(NET, make, CONFIGS, jax.random.key(0), X)
    runs = fit_many(make, CONFIGS, runs, BATCHES, epochs=1, validation=VALIDATION)
    runs = fit_many(make, CONFIGS, runs, BATCHES, epochs=3, validation=VALIDATION)  # goes on from there
    assert [len(run.history) for run in runs] == [3, 1, 3]
    assert "the loss is" in runs[1].stopped
    assert "validation_loss" not in runs[1].history[-1]
    objective, optimizer = make(CONFIGS[2])
    eval_step = make_eval_step(objective)
    alone = fit(
        make_train_step(objective, optimizer),
        init_train_state(NET, optimizer, jax.random.key(0), X),
        BATCHES,
        epochs=3,
        validate=lambda train_state: evaluate(eval_step, train_state, VALIDATION),
        progress=None,
    )
    assert (runs[2].position, int(runs[2].train_state.step)) == (alone.position, 9)
    for ours, theirs in zip(without_seconds(runs[2]), without_seconds(alone), strict=True):
        assert list(ours) == list(theirs)
        assert ours == pytest.approx(theirs, rel=1e-4)
    for ours, theirs in zip(*(jax.tree.leaves(run.train_state.params) for run in (runs[2], alone)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


def test_floats_of_numpy_are_floats():
    configs = [CONFIGS[0] | {"rate": rate} for rate in np.logspace(-3, -2, 2, dtype=np.float32)]
    assert alike(configs) == [configs]
    runs = fit_many(make, configs, init_many(NET, make, configs, jax.random.key(0), X), BATCHES, epochs=1)
    assert [len(run.history) for run in runs] == [1, 1]


def test_keys_of_their_own_and_all_stopped():
    keys = jax.random.split(jax.random.key(1), 3)
    runs = init_many(NET, make, CONFIGS, keys, X)
    assert not np.allclose(runs[0].train_state.params["affine1"]["w"], runs[2].train_state.params["affine1"]["w"])
    stopped = [run._replace(stopped="enough") for run in runs]
    assert fit_many(make, CONFIGS, stopped, BATCHES, epochs=3) == stopped


def test_many_are_compiled_once_and_forgotten_with_what_makes_them(caplog):
    class Data:
        pass

    def train(data):
        def make_one(config, _=data):
            return make(config)

        with jax.log_compiles():
            for epochs in (1, 2):
                runs = init_many(NET, make_one, CONFIGS, jax.random.key(0), X)
                fit_many(make_one, CONFIGS, runs, BATCHES, epochs=epochs, validation=VALIDATION[:1])
        return weakref.ref(data)

    data = train(Data())
    for name in ("train_one", "test_one"):
        assert caplog.text.count(f"Finished XLA compilation of jit({name})") == 1
    gc.collect()
    assert data() is None


def test_what_is_traced_cannot_be_a_setting():
    def make(config):
        return supervised(Dropout(config["rate"]), softmax_cross_entropy), adam()

    with pytest.raises(jax.errors.ConcretizationTypeError) as caught:
        init_many(NET, make, [{"rate": 0.1}, {"rate": 0.2}], jax.random.key(0), X)
    assert any("not into if, float or a layer's settings" in note for note in caught.value.__notes__)


def test_configurations_are_sorted_by_what_is_not_a_float():
    configs = [config(1e-3, 16), config(1e-2, 32), config(1e-1, 16)]
    assert alike(configs) == [[configs[0], configs[2]], [configs[1]]]


def test_parallel_coordinates(tmp_path):
    results = results_of([(rate, math.log10(rate) ** 2) for rate in (1e-4, 1e-3, 1e-2)] + [(1e-1, math.nan)])
    results.plot(tmp_path / "search.svg")
    text = (tmp_path / "search.svg").read_text()
    assert text.count("stroke: #777777") >= 1  # the one that has no metric
    with pytest.raises(InputError, match="none of 1 trials has a validation_loss that is finite"):
        results_of([(1e-3, math.nan)]).plot(tmp_path / "none.png")


FRESH = [Fitted(None)] * 3


@pytest.mark.parametrize(
    ("do", "message"),
    [
        (lambda: LogUniform(0, 1), "LogUniform has a logarithmic scale, on which all numbers are positive; got 0"),
        (lambda: Uniform(2, 1), "two finite numbers, the lower one first, got 2 and 1"),
        (lambda: Integers(1, 2.5), "Integers needs whole numbers, got 1 and 2.5"),
        (lambda: Choice(), "at least one option, each once"),
        (lambda: Choice(adam), "give it a name"),
        (lambda: random({"rate": 0.1}, 3, seed=0), r"0.1 for \"rate\": write Choice\(0.1\)"),
        (lambda: random(SPACE, 0, seed=0), "random needs count as a whole number of at least 1, got 0"),
        (lambda: random(SPACE, 1, seed=-1), "seeds and epochs are integers >= 0"),
        (lambda: grid(SPACE, points=1), r"at least 2 points for each of \['rate', 'width'\], got 1"),
        (lambda: grid(SPACE, points={"rate": 3}), "at least 2 points for each of"),
        (lambda: grid(SPACE, points=2.5), r"at least 2 points for each of .*, got 2.5"),
        (lambda: Results(SPACE, mode="most"), '"min" or "max"'),
        (lambda: Results(SPACE, "validation_accuracy"), 'more is better: mode="max"'),
        (lambda: Results(SPACE).add({"rate": 1e-3}, {"validation_loss": 1}), r"names \['norm', 'rate', 'width'\]"),
        (
            lambda: Results(SPACE).add(config(1.0), {"validation_loss": 1}),
            "rate: 1.0 is not in LogUniform.* wider space",
        ),
        (lambda: Results(SPACE).add(config(norm="no"), {"validation_loss": 1}), "norm: 'no' is not in Choice"),
        (lambda: Results(SPACE).best, "none of 0 trials"),
        (lambda: Results(SPACE).edges(0.5), "at least 0 and less than 1/2, got 0.5"),
        (lambda: Results(SPACE).edges(-0.1), "at least 0 and less than 1/2, got -0.1"),
        (lambda: narrow(Results(SPACE), 0), "more than 0 and at most 1"),
        (lambda: narrow(Results(SPACE)), "none of 0 trials"),
        (lambda: Results.load("nowhere.jsonl"), "does not begin with the space of a search"),
        (lambda: rungs(9, 0), "successive halving needs least as a whole number of at least 1, got 0"),
        (lambda: rungs(9, 1, 1), "factor as a whole number of at least 2, got 1"),
        (lambda: successive_halving(None, [], Results(SPACE), least=1), "count as a whole number of at least 1, got 0"),
        (
            lambda: successive_halving(lambda *_: [], [config()], Results(SPACE), least=1),
            "for each of 1 configurations",
        ),
        (lambda: fit_many(make, CONFIGS, FRESH[:2], BATCHES, epochs=1), "one run for each of 3 configurations, got 2"),
        (lambda: fit_many(make, [], [], BATCHES, epochs=1), "expected configurations"),
        (
            lambda: fit_many(make, [config(width=1), config(width=2)], FRESH[:2], BATCHES, epochs=1),
            r"differ in floats alone, but these in width: \[1, 2\]. `alike` sorts",
        ),
        (
            lambda: fit_many(make, CONFIGS, [Fitted(None, position=(1, 0)), *FRESH[1:]], BATCHES, epochs=1),
            "equally far, at the end of an epoch",
        ),
        (lambda: init_many(NET, make, CONFIGS, 0, X), "init_many expects a JAX random key"),
        (
            lambda: fit_many(make, [{"rate": 0.1, "widths": [3, 4]}] * 3, FRESH, BATCHES, epochs=1),
            r"cannot have \[3, 4\] as widths, which could change: make it a tuple",
        ),
        (
            lambda: init_many(NET, make, CONFIGS, jax.random.split(jax.random.key(0)), X),
            r"one for each of 3, got \[2\]",
        ),
        (
            lambda: fit_many(
                make,
                CONFIGS,
                init_many(NET, make, CONFIGS, jax.random.key(0), X),
                lambda _: [(X, LABELS + 1)],
                epochs=1,
            ),
            r"class ids in \[0, 3\)",
        ),
    ],
)
def test_bad_input_is_refused(do, message):
    with pytest.raises(InputError, match=message):
        do()
