"""The driver: where it records, where it stops, and that two halves of a run are the run."""

import gc
import math
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import InputError
from fdl.data import Batches, Position
from fdl.layers import Affine, Cast
from fdl.losses import squared_error
from fdl.optim import adam, scale_loss, sgd, skip_nonfinite
from fdl.train import (
    Fitted,
    KeepBest,
    accuracy,
    binary_accuracy,
    confusion_matrix,
    early_stopping,
    evaluate,
    fit,
    init_train_state,
    make_eval_step,
    make_train_step,
    mean_iou,
    perplexity,
    precision,
    recall,
    scan_steps,
    supervised,
    top_k_accuracy,
)

NET = Affine(1)
X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = X @ np.array([[1.0], [2.0], [3.0]], np.float32)
BATCHES = Batches((X, Y), 8, seed=0)
OPTIMIZER = adam(1e-2)
STEP = make_train_step(supervised(NET, lambda y, t: squared_error(y, t).sum(-1)), OPTIMIZER)
QUIET = {"progress": None}


def start():
    return init_train_state(NET, OPTIMIZER, jax.random.key(0), X)


def numbers(run):
    """What a run is, without the time that it took."""
    leaves = jax.tree.leaves((run.train_state.params, run.train_state.opt_state, run.train_state.step))
    history = [{k: v for k, v in record.items() if k != "seconds"} for record in run.history]
    return [np.asarray(leaf).tolist() for leaf in leaves], history, run.position, run.stopped


@pytest.mark.parametrize(
    ("ends", "records", "position"),
    [
        ({"epochs": 2}, [(1, 5), (2, 10)], (2, 0)),
        ({"steps": 7}, [(1, 5), (2, 7)], (1, 2)),
        ({"steps": 7, "record_every": 3}, [(1, 3), (2, 6), (2, 7)], (1, 2)),
        ({"steps": 100, "epochs": 1, "record_every": 2}, [(1, 2), (1, 4), (1, 5)], (1, 0)),
        ({"steps": 5}, [(1, 5)], (0, 5)),
        ({"steps": 6, "record_every": 2, "steps_per_call": 4}, [(1, 4), (2, 6)], (1, 1)),
    ],
)
def test_records_and_ends(ends, records, position):
    run = fit(STEP, start(), BATCHES, **ends, **QUIET)
    assert [(record["epoch"], record["step"]) for record in run.history] == records
    assert run.position == position
    assert run.train_state.step == records[-1][1]


@pytest.mark.parametrize("record_every", [None, 2])
@pytest.mark.parametrize("half", [5, 6])
def test_a_run_in_two_parts_is_the_run_in_one(half, record_every):
    ends = {"epochs": 3, "record_every": record_every}
    whole = fit(STEP, start(), BATCHES, **ends, **QUIET)
    saved = fit(STEP, start(), BATCHES, **ends, steps=half, **QUIET)
    rest = fit(STEP, saved.train_state, BATCHES, **ends, history=saved.history, position=saved.position, **QUIET)
    assert numbers(rest)[0] == numbers(whole)[0]
    assert rest.history[-1]["step"] == 15
    if record_every == 2 and half == 6:
        assert numbers(rest) == numbers(whole)


def test_batches_of_any_loader_can_be_gone_on_with():
    def loader(epoch):
        return iter(list(BATCHES(epoch)))  # without a length

    whole = fit(STEP, start(), BATCHES, epochs=2, **QUIET)
    saved = fit(STEP, start(), loader, epochs=2, steps=7, **QUIET)
    rest = fit(STEP, saved.train_state, loader, epochs=2, history=saved.history, position=saved.position, **QUIET)
    assert numbers(rest)[0] == numbers(whole)[0]


@pytest.mark.parametrize("batches", [BATCHES, lambda epoch: iter(list(BATCHES(epoch)))])
def test_a_position_that_the_data_do_not_have_is_refused(batches):
    with pytest.raises(InputError, match=r"no 6 batches of epoch 1 .* batches\(1\) gave 5. A saved position is of use"):
        fit(STEP, start(), batches, epochs=3, position=(1, 6), **QUIET)
    run = fit(STEP, start(), batches, epochs=3, position=(1, 5), **QUIET)  # where a number of steps may end
    assert (run.position, run.history[-1]["step"]) == ((3, 0), 5)
    with pytest.raises(InputError, match=r"at least 0, got \(0, -1\)"):
        fit(STEP, start(), batches, epochs=3, position=(0, -1), **QUIET)


def test_several_steps_in_one_call_are_the_steps():
    one = fit(STEP, start(), BATCHES, epochs=2, **QUIET)
    several = fit(STEP, start(), BATCHES, epochs=2, steps_per_call=3, **QUIET)
    for a, b in zip(numbers(one)[0], numbers(several)[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    assert several.history[-1]["loss"] == pytest.approx(one.history[-1]["loss"], rel=1e-5)
    ragged = fit(STEP, start(), Batches((X, Y), 16, seed=0, drop_last=False), epochs=1, steps_per_call=3, **QUIET)
    assert ragged.train_state.step == 3
    begin = start()
    _, metrics = scan_steps(STEP)(begin, (jnp.stack([X, X]), jnp.stack([Y, Y])))
    assert metrics["loss"].shape == (2,)
    assert begin.params["w"].is_deleted()  # taken over, as by a step


def test_several_steps_in_one_call_of_what_cannot_be_kept():
    class Step:
        __slots__ = ()  # no room for weak references

        def __call__(self, train_state, batch):
            return STEP(train_state, batch)

    run = fit(Step(), start(), BATCHES, epochs=1, steps_per_call=2, **QUIET)
    assert run.train_state.step == 5


def test_several_steps_in_one_call_are_compiled_once(caplog):
    step = make_train_step(supervised(NET, lambda y, t: squared_error(y, t).sum(-1)), OPTIMIZER)
    with jax.log_compiles():
        for _ in range(2):
            fit(step, start(), BATCHES, epochs=1, steps_per_call=5, **QUIET)
    assert caplog.text.count("Finished XLA compilation of jit(_scanned)") == 1


@pytest.mark.parametrize("steps_per_call", [1, 5])
def test_what_an_objective_closes_over_is_forgotten_with_its_step(steps_per_call):
    class Data:
        pass

    def train(data):
        objective = supervised(NET, lambda y, t: squared_error(y, t).sum(-1), penalty=lambda params, _=data: 0.0)
        step = make_train_step(objective, OPTIMIZER)
        for _ in range(2):
            fit(step, start(), BATCHES, epochs=1, steps_per_call=steps_per_call, **QUIET)
        return weakref.ref(data)

    data = train(Data())
    gc.collect()
    assert data() is None


def test_stops_when_the_loss_is_not_finite():
    def broken(epoch):
        return [(X, Y), (X, Y * math.nan)] + [(X, Y)] * 200

    seen = []
    run = fit(STEP, start(), broken, epochs=2, callbacks=[seen.append], validate=lambda state: 1 / 0, **QUIET)
    assert "the loss is not finite any more" in run.stopped
    assert run.history[-1]["step"] == 50
    assert [late.stopped for late in seen] == [run.stopped]


def test_stops_when_the_loss_grows():
    optimizer = sgd(1.0)
    step = make_train_step(supervised(NET, lambda y, t: squared_error(y, t).sum(-1)), optimizer)
    state = init_train_state(NET, optimizer, jax.random.key(0), X)
    run = fit(step, state, BATCHES, epochs=9, record_every=1, **QUIET)
    first, last = run.history[0]["loss"], run.history[-1]["loss"]
    assert last > 3 * first
    assert run.stopped.startswith(f"the loss is {last:.3g}, more than 3 times the {first:.3g}")
    assert all(record["loss"] <= 3 * first for record in run.history[:-1])
    state = init_train_state(NET, optimizer, jax.random.key(0), X)
    assert fit(step, state, BATCHES, steps=6, record_every=1, diverged=math.inf, **QUIET).stopped is None


@pytest.mark.parametrize(("first", "later", "is_over"), [(-0.2, 0.4, False), (0.1, 0.25, False), (0.1, 0.4, True)])
def test_losses_near_zero_and_below(first, later, is_over):
    def step(count, batch):
        return count + 1, {"loss": jnp.array([first, later])[count]}

    assert (fit(step, jnp.array(0), lambda _: [X], epochs=2, **QUIET).stopped is not None) == is_over


def test_a_batch_without_examples_ends_a_run_as_bad_data_do():
    run = fit(STEP, start(), lambda _: [(X, Y), (X[:0], Y[:0]), (X, Y)], epochs=1, record_every=1, **QUIET)
    assert [math.isnan(record["loss"]) for record in run.history] == [False, True]
    assert "look for bad data" in run.stopped


SKIPPING = skip_nonfinite(OPTIMIZER)
SKIPPING_STEP = make_train_step(supervised(NET, lambda y, t: squared_error(y, t).sum(-1)), SKIPPING)


@pytest.mark.parametrize("steps_per_call", [1, 2])
@pytest.mark.parametrize("bad", [0, 3])
def test_goes_on_where_the_optimizer_leaves_a_step_out(steps_per_call, bad):
    batches = [(X, Y * math.nan) if i == bad else (X + i, Y) for i in range(4)]
    begin = init_train_state(NET, SKIPPING, jax.random.key(0), X)
    settings = {"epochs": 2, "record_every": 4, "steps_per_call": steps_per_call, **QUIET}
    run = fit(SKIPPING_STEP, begin, lambda _: batches, **settings)
    assert (run.stopped, [record["skipped"] for record in run.history]) == (None, [0.25, 0.25])
    good = [batch for i, batch in enumerate(batches) if i != bad]
    alone = fit(STEP, start(), lambda _: good, epochs=2, **QUIET)
    for ours, theirs in zip(run.history, alone.history, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)


def test_not_where_it_leaves_out_many_in_a_row():
    begin = init_train_state(NET, SKIPPING, jax.random.key(0), X)
    run = fit(SKIPPING_STEP, begin, lambda _: [(X, Y), *[(X, Y * math.nan)] * 300], epochs=1, **QUIET)
    assert run.stopped.startswith("the optimizer has left out ")
    assert 50 <= run.history[-1]["step"] <= 150
    assert math.isfinite(run.history[-1]["loss"])


@pytest.mark.parametrize("steps_per_call", [1, 60])
@pytest.mark.parametrize(("number", "reason"), [(49, None), (50, "the optimizer has left out 50 steps in a row")])
def test_fifty_in_a_row_are_many(number, reason, steps_per_call):
    def step(count, batch):
        return count + 1, {"loss": 1.0 * count, "skipped_in_a_row": jnp.where(count < number, count + 1, 0)}

    settings = {"epochs": 1, "steps_per_call": steps_per_call, "diverged": math.inf, **QUIET}
    stopped = fit(step, jnp.array(0), lambda _: [X] * 60, **settings).stopped
    assert (stopped or "").partition(",")[0] == (reason or "")


def test_a_record_in_which_all_steps_were_left_out_has_no_loss():
    begin = init_train_state(NET, SKIPPING, jax.random.key(0), X)
    batches = [(X, Y * math.nan), (X, Y)]
    run = fit(SKIPPING_STEP, begin, lambda _: batches, epochs=1, record_every=1, **QUIET)
    assert [record["skipped"] for record in run.history] == [1, 0]
    assert [math.isnan(record["loss"]) for record in run.history] == [True, False]


def test_a_finite_loss_counts_although_its_step_was_left_out():
    net = Cast(NET, "float16")
    optimizer = scale_loss(adam(1e-2), 2.0**24)
    step = make_train_step(supervised(net, lambda y, t: squared_error(y, t).sum(-1)), optimizer)
    run = fit(step, init_train_state(net, optimizer, jax.random.key(0), X), BATCHES, epochs=6, record_every=1, **QUIET)
    assert run.stopped is None
    assert run.history[0]["skipped"] == 1 > run.history[-1]["skipped"]
    assert all(math.isfinite(record["loss"]) for record in run.history)


def test_looks_for_nothing_if_told_so():
    broken = [(X, Y), (X, Y * math.nan), (X, Y)]
    run = fit(STEP, start(), lambda _: broken, epochs=2, diverged=None, **QUIET)
    assert (run.stopped, len(run.history)) == (None, 2)


@pytest.mark.parametrize("losses", [[10.0, 1, 1, 1], [10.0, 4, 4, 4], [2.0, 14, 14, 14]])
@pytest.mark.parametrize("later", [8.0, 12.0, 17.0])
def test_what_went_on_grows_from_where_the_run_did(losses, later):
    def step(count, batch):
        return count + 1, {"loss": jnp.array(losses + [later] * 8)[count]}

    def four(epoch):
        return [X] * 4

    whole = fit(step, jnp.array(0), four, epochs=3, **QUIET)
    part = fit(step, jnp.array(0), four, epochs=1, **QUIET)
    if part.stopped is None:
        rest = {"history": part.history, "position": part.position}
        part = fit(step, part.train_state, four, epochs=3, **rest, **QUIET)
    assert (part.stopped, len(part.history)) == (whole.stopped, len(whole.history))


def test_callbacks_see_the_run_and_may_stop_it():
    seen = []

    def callback(run):
        seen.append((run.position, run.history[-1]["step"], int(run.train_state.step)))
        return "enough" if len(seen) == 2 else None

    run = fit(STEP, start(), BATCHES, epochs=9, callbacks=[callback, lambda run: None], **QUIET)
    assert seen == [(Position(1, 0), 5, 5), (Position(2, 0), 10, 10)]
    assert run.stopped == "enough"


@pytest.mark.parametrize("number", [0.5, np.float32(0.5), np.array(0.5), jnp.array(0.5), jnp.bfloat16(0.5)])
def test_validation_gives_numbers(number):
    run = fit(STEP, start(), BATCHES, epochs=1, validate=lambda _: {"error": number}, **QUIET)
    assert (type(run.history[0]["validation_error"]), run.history[0]["validation_error"]) == (float, 0.5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, r'validate gives numbers by name, such as {"accuracy": 0.9}, got None'),
        (0.5, "numbers by name, .* got 0.5"),
        ([("error", 1.0)], "numbers by name"),
        ({"iou": np.ones(2)}, r"an array of shape \[2\] as 'iou': for several, one name each: iou_0, iou_1, ..."),
        ({"iou": jnp.ones(1)}, r"an array of shape \[1\] as 'iou'"),
        ({"iou": (0.5, 0.1)}, "as 'iou'"),
        ({"iou": None}, "got None as 'iou'"),
        ({"note": "good"}, "got 'good' as 'note'"),
        ({"iou": {"cat": 0.5}}, "got {'cat': 0.5} as 'iou'"),
        ({1: 0.5}, "got 0.5 as 1"),
    ],
)
def test_and_nothing_else(given, message):
    with pytest.raises(InputError, match=message):
        fit(STEP, start(), BATCHES, epochs=1, validate=lambda _: given, **QUIET)


def recorded(*values):
    return Fitted(None, tuple({"validation_loss": value} for value in values))


@pytest.mark.parametrize(
    ("values", "settings", "stops"),
    [
        ((3.0, 2.0, 2.5), {"patience": 2}, False),
        ((3.0, 2.0, 2.5, 2.0), {"patience": 2}, True),
        ((3.0, 2.0, 2.5, 1.9), {"patience": 2}, False),
        ((3.0, 2.0, 1.95, 1.91), {"patience": 2, "min_delta": 0.1}, True),
        ((1.0, 2.0, 1.0), {"patience": 2, "mode": "max"}, False),
        ((2.0, 1.0, 1.0), {"patience": 2, "mode": "max"}, True),
        ((math.nan, math.nan), {"patience": 2}, True),
        ((math.nan, 1.0), {"patience": 2}, False),
    ],
)
def test_early_stopping(values, settings, stops):
    assert (early_stopping(**settings)(recorded(*values)) is not None) == stops


def test_a_run_that_is_over_stays_over():
    def train(before):
        seen, errors = [], iter([1.0, 2.0, 3.0])
        validate = lambda _: {"error": next(errors)}  # noqa: E731
        callbacks = [seen.append, early_stopping("validation_error", patience=2)]
        rest = {"history": before.history, "position": before.position, "validate": validate, **QUIET}
        return fit(STEP, before.train_state, BATCHES, epochs=9, callbacks=callbacks, **rest), len(seen)

    run, records = train(Fitted(start()))
    assert (len(run.history), records) == (3, 3)
    again, records = train(run)
    assert (again.stopped, again.history, records) == (run.stopped, run.history, 0)
    assert again.train_state is run.train_state


def test_the_best_parameters_are_kept_although_the_run_goes_on():
    values, params = iter([0.3, 0.1, 0.2]), []
    best = KeepBest("validation_error")

    def validate(train_state):
        params.append(np.asarray(train_state.params["w"]).tolist())
        return {"error": next(values)}

    run = fit(STEP, start(), BATCHES, epochs=3, validate=validate, callbacks=[best], **QUIET)
    assert best.params["w"].tolist() == params[1] != run.train_state.params["w"].tolist()
    assert best.record["step"] == 10


def test_the_best_may_have_been_before_the_run_went_on():
    def train(epochs, values, before=None, best=None):
        best, values = best or KeepBest("validation_error"), iter(values)
        rest = {} if before is None else {"history": before.history, "position": before.position}
        state = start() if before is None else before.train_state
        settings = {"validate": lambda _: {"error": next(values)}, "callbacks": [best], **rest, **QUIET}
        return best, fit(STEP, state, BATCHES, epochs=epochs, **settings)

    first, before = train(2, [0.1, 0.3])
    again, run = train(4, [0.2, 0.4], before)
    assert (again.record["step"], again.params, again.state) == (5, None, None)
    again, run = train(6, [0.05, 0.2], run, again)
    assert (again.record["step"], again.params is None) == (25, False)
    kept = first.params["w"].tolist()
    same, _ = train(4, [0.2, 0.4], before._replace(train_state=start()), first)  # in the process that has them
    assert (same.record["step"], same.params["w"].tolist()) == (5, kept)


# Metrics that are no means.

LOGITS = np.random.default_rng(1).normal(size=(6, 4, 3)).astype(np.float32)
LABELS = np.random.default_rng(2).integers(0, 3, (6, 4))


@pytest.mark.parametrize("masked", [False, True])
def test_confusion_counts(masked):
    where = LABELS != 1 if masked else None
    counts = np.zeros((3, 3), int)
    for index in np.ndindex(LABELS.shape):
        if where is None or where[index]:
            counts[LABELS[index], LOGITS[index].argmax()] += 1
    ours = confusion_matrix(LOGITS, LABELS, where)
    np.testing.assert_array_equal(ours, counts)
    hits = counts.diagonal()
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(precision(ours), hits / counts.sum(0), rtol=1e-6)
        np.testing.assert_allclose(recall(ours), hits / counts.sum(1), rtol=1e-6)
        np.testing.assert_allclose(mean_iou(ours), np.nanmean(hits / (counts.sum(0) + counts.sum(1) - hits)), rtol=1e-6)


def test_counts_may_be_more_than_int32_adds_up():
    counts = np.array([[2_000_000_000, 1_000_000_000], [10, 30]])  # the pixels of a city's streets
    hits = counts.diagonal()
    for ours in (jnp.asarray(counts, jnp.int32), counts, 4 * counts):
        np.testing.assert_allclose(recall(ours), hits / counts.sum(1), rtol=1e-6)
        np.testing.assert_allclose(precision(ours), hits / counts.sum(0), rtol=1e-6)
        np.testing.assert_allclose(mean_iou(ours), np.mean(hits / (counts.sum(0) + counts.sum(1) - hits)), rtol=1e-6)


def test_a_label_that_does_not_exist_is_not_counted():
    assert int(confusion_matrix(LOGITS, np.full_like(LABELS, -1)).sum()) == 0


@pytest.mark.parametrize(("dtype", "largest"), [("uint8", 255), ("int8", 127)])
def test_labels_in_a_byte_are_counted_among_more_classes_than_it_holds(dtype, largest):
    labels = jnp.array([1, 2, largest], dtype)
    counts = confusion_matrix(jax.nn.one_hot(labels, 300), labels)
    assert jnp.nonzero(jnp.diagonal(counts))[0].tolist() == [1, 2, largest]


def test_logits_that_are_nan_are_no_hit_and_are_not_said_to_be_the_first_class():
    logits, labels = np.full((4, 3), np.nan), np.array([0, 1, 2, 0])
    logits[3] = [np.inf, 0, -np.inf]
    assert accuracy(logits, labels).tolist() == [0, 0, 0, 1]
    assert accuracy(logits, np.eye(3)[labels]).tolist() == [0, 0, 0, 1]
    assert top_k_accuracy(logits, labels, 3).tolist() == [0, 0, 0, 1]
    assert binary_accuracy(logits[:, 0], labels == 0).tolist() == [0, 0, 0, 1]
    assert binary_accuracy(logits[:, 0], labels < 0).tolist() == [0, 0, 0, 0]
    assert confusion_matrix(logits, labels).tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_targets_that_are_nan_are_no_hit_and_no_class():
    logits, labels = np.eye(3), np.array([0, 1, 2])
    targets = np.where(labels[:, None] < 2, np.eye(3), np.nan)
    targets[0] = np.nan
    assert accuracy(logits, targets).tolist() == [0, 1, 0]
    assert top_k_accuracy(logits, targets, 3).tolist() == [0, 1, 0]
    assert binary_accuracy(np.array([-1.0, 1.0, -1.0]), np.array([np.nan, np.nan, 0.0])).tolist() == [0, 0, 1]


def test_top_k():
    for k in (1, 2, 3):
        expected = [LABELS[i] in np.argsort(-LOGITS[i])[:k] for i in np.ndindex(LABELS.shape)]
        np.testing.assert_array_equal(top_k_accuracy(LOGITS, LABELS, k).ravel(), expected)
    np.testing.assert_array_equal(top_k_accuracy(LOGITS, LABELS, 1), accuracy(LOGITS, LABELS))
    np.testing.assert_array_equal(accuracy(LOGITS, jax.nn.one_hot(LABELS, 3)), accuracy(LOGITS, LABELS))


def test_perplexity_of_a_uniform_guess_is_the_number_of_tokens():
    assert float(perplexity(jnp.log(65.0))) == pytest.approx(65.0)


def test_a_train_state_can_be_used_once():
    used = start()
    fit(STEP, used, BATCHES, epochs=1, **QUIET)
    with pytest.raises(InputError, match="fit was given a train state that an earlier step has taken over"):
        fit(STEP, used, BATCHES, epochs=1, **QUIET)
    with pytest.raises(InputError, match="evaluate was given a train state that an earlier step has taken over"):
        evaluate(lambda train_state, batch: {}, used, [(X, Y)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fit(None, None, BATCHES, epochs=1), r"fit takes a training step, .* got None"),
        (lambda: fit(STEP, None, BATCHES), "when to end: give it epochs, steps or both"),
        (lambda: fit(STEP, None, BATCHES, steps=-1), "fit needs steps as a whole number of at least 0, got -1"),
        (
            lambda: fit(STEP, None, BATCHES, epochs=1, record_every=0),
            "fit needs record_every as a whole number of at least 1, got 0",
        ),
        (
            lambda: fit(STEP, None, BATCHES, epochs=1, steps_per_call=0),
            "fit needs steps_per_call as a whole number of at least 1, got 0",
        ),
        (
            lambda: fit(STEP, start(), BATCHES, epochs=1, callbacks=[lambda run: False], **QUIET),
            "a callback returns a reason to stop, as text, or None to go on, got False",
        ),
        (
            lambda: fit(STEP, start(), BATCHES, epochs=1, callbacks=early_stopping()),
            r"write callbacks=\[_EarlyStopping",
        ),
        (
            lambda: fit(STEP, start(), BATCHES, epochs=1, validate=make_eval_step(lambda *_: None), **QUIET),
            "validate as a function of the train state alone",
        ),
        (lambda: early_stopping(patience=0), "early_stopping needs patience as a whole number of at least 1, got 0"),
        (lambda: early_stopping(mode="less"), '"min" or "max", got \'less\''),
        (
            lambda: early_stopping("validation_accuracy"),
            'of validation_accuracy, more is better: mode="max", got "min"',
        ),
        (lambda: KeepBest("accuracy"), 'of accuracy, more is better: mode="max"'),
        (lambda: early_stopping("f1")(recorded(1.0)), r"records have \['validation_loss'\], and no 'f1'"),
        (lambda: confusion_matrix(LOGITS, LABELS[0]), r"confusion_matrix of logits \[6, 4, 3\] expects labels"),
        (lambda: confusion_matrix(LOGITS, LABELS, LABELS), "where as booleans"),
        (lambda: confusion_matrix(jnp.zeros((6, 1)), jnp.zeros(6, int)), "confusion_matrix compares classes"),
        (lambda: confusion_matrix(jnp.zeros((2, 3)), [0, 1]), "labels as an array, got a list"),
        (lambda: top_k_accuracy(LOGITS, LABELS, 4), "k as a whole number from 1 to 3, the number of classes, got 4"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
