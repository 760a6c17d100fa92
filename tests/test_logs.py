"""Logs: that they are those of the history whatever happens to a run, and that what is measured is what is trained."""

import json
import math
import struct
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import InputError, network
from fdl.data import Batches
from fdl.layers import LSTM, Affine, Dropout, Relu, Repeat, Residual, Serial
from fdl.losses import softmax_cross_entropy
from fdl.optim import adam, exponential, scale_loss
from fdl.train import (
    Fitted,
    RunLog,
    TensorBoard,
    early_stopping,
    filters,
    fit,
    init_train_state,
    layer_outputs,
    make_monitor_step,
    make_train_step,
    mistakes,
    read_log,
    supervised,
)

generator = np.random.default_rng(0)
X, LABELS = generator.normal(size=(40, 3)).astype(np.float32), generator.integers(0, 4, 40)
BATCHES, BATCH = Batches((X, LABELS), 8, seed=0), (X[:16], LABELS[:16])
NET = Serial(Affine(6), Relu(), Dropout(0.2), scores=Affine(4))
OPTIMIZER = adam(exponential(0.1, decay=0.1))
OBJECTIVE = supervised(NET, softmax_cross_entropy)
STEP, MONITOR_STEP = make_train_step(OBJECTIVE, OPTIMIZER), make_monitor_step(NET, OBJECTIVE, OPTIMIZER)
START = jax.jit(lambda: init_train_state(NET, OPTIMIZER, jax.random.key(0), X))


def train(epochs, callbacks, **options):
    options = {"validate": lambda state: {"error": float(state.step) / 100}, "progress": None} | options
    return fit(STEP, options.pop("train_state", START()), BATCHES, epochs=epochs, callbacks=callbacks, **options)


def measure(train_state):
    return MONITOR_STEP(train_state, BATCH)


def lines(file):
    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in file.read_text().splitlines()]


class TestALog:
    def test_has_a_line_for_each_record(self, tmp_path):
        run = train(3, [RunLog(tmp_path / "new" / "run", config={"net": NET, "rates": (0.1, np.float32(0.5))})])
        assert lines(tmp_path / "new/run/records.jsonl") == list(run.history)
        log = read_log(tmp_path / "new/run")
        assert log.records == list(run.history)
        assert log.name == "run"
        assert log.metrics == ["loss", "error"]
        assert log.points("validation_error") == [(5, 0.05), (10, 0.1), (15, 0.15)]
        assert log.run["config"] == {"net": repr(NET), "rates": [0.1, 0.5]}
        assert log.run["versions"]["jax"] == jax.__version__
        rates = [rate for _, rate in log.measured("hyperparameters")["learning_rate"]]
        np.testing.assert_allclose(rates, [0.1 * math.exp(-0.1 * step) for step in (4, 9, 14)], rtol=1e-5)

    def test_is_the_same_for_a_run_that_went_on_from_an_older_checkpoint(self, tmp_path):
        whole = train(4, [RunLog(tmp_path / "whole", measure=measure)])
        part = train(2, [])
        kept = part._replace(train_state=jax.tree.map(jnp.copy, part.train_state))
        train(3, [RunLog(tmp_path / "parts", measure=measure)])  # and is killed while it writes:
        for name in ("records.jsonl", "measurements.jsonl"):
            with (tmp_path / "parts" / name).open("a") as file:
                file.write('{"step": 20, "lo')
        rest = {"train_state": kept.train_state, "history": kept.history, "position": kept.position}
        train(4, [RunLog(tmp_path / "parts", measure=measure)], **rest)
        one, two = read_log(tmp_path / "whole"), read_log(tmp_path / "parts")
        assert [{**record, "seconds": 0} for record in two.records] == [
            {**record, "seconds": 0} for record in whole.history
        ]
        assert [line["step"] for line in lines(tmp_path / "parts" / "measurements.jsonl")] == [5, 10, 15, 20]
        assert two.measurements == one.measurements
        assert [process["step"] for process in two.run["processes"]] == [0, 10]

    def test_is_that_of_the_last_run_when_a_run_starts_anew(self, tmp_path):
        train(3, [RunLog(tmp_path, config={"a": 1})])
        run = train(1, [RunLog(tmp_path, config={"a": 2})])
        log = read_log(tmp_path)
        assert log.records == list(run.history)
        assert [line["step"] for line in log.measurements] == [5]
        assert (log.run["config"], len(log.run["processes"])) == ({"a": 2}, 1)

    def test_is_that_of_the_last_run_for_a_log_that_is_used_again(self, tmp_path):
        log = RunLog(tmp_path, measure=measure)
        part = train(2, [log])
        kept = part._replace(train_state=jax.tree.map(jnp.copy, part.train_state))
        train(3, [log], train_state=part.train_state, history=part.history, position=part.position)
        assert [record["step"] for record in read_log(tmp_path).records] == [5, 10, 15]
        run = train(4, [log], train_state=kept.train_state, history=kept.history, position=kept.position)
        assert read_log(tmp_path).records == list(run.history)
        assert [process["step"] for process in read_log(tmp_path).run["processes"]] == [0, 10]
        run = train(1, [log])
        assert read_log(tmp_path).records == list(run.history)
        assert [line["step"] for line in read_log(tmp_path).measurements] == [5]

    def test_stays_where_it_is_when_the_program_changes_its_directory(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        log, elsewhere = RunLog("run"), tmp_path / "elsewhere"
        elsewhere.mkdir()
        with TensorBoard("run") as board:
            run = train(1, [log, board], validate=None)
            monkeypatch.chdir(elsewhere)
            train(2, [log, board], train_state=run.train_state, history=run.history, position=run.position)
        assert [record["step"] for record in read_log(tmp_path / "run").records] == [5, 10]
        assert list(elsewhere.iterdir()) == []

    def test_is_read_whatever_letters_its_lines_have_and_end_within(self, tmp_path):
        names = ["précision", "\u2028\x85"]  # the latter two are ends of lines to str.splitlines
        run = Fitted((), ({"epoch": 1, "step": 5, **dict.fromkeys(names, 0.5)},))
        RunLog(tmp_path, config={"prompt": names}).end(run)
        with (tmp_path / "records.jsonl").open("ab") as file:
            file.write('{"epoch": 2, "step": 10, "pré'.encode()[:-1])  # a process that was killed, or a full disk
        assert read_log(tmp_path).records == list(run.history)

    def test_can_be_read_by_any_parser_when_a_loss_is_not_finite(self, tmp_path):
        log = RunLog(tmp_path, config={"diverged": math.inf}, measure=lambda state: {"norms": np.array([1, np.inf])})
        log(Fitted((), ({"epoch": 1, "step": 5, "loss": math.nan, "validation_loss": math.inf},)))
        assert lines(tmp_path / "records.jsonl") == [{"epoch": 1, "step": 5, "loss": None, "validation_loss": None}]
        assert lines(tmp_path / "measurements.jsonl") == [{"step": 5, "norms": [1, None]}]
        assert math.isnan(read_log(tmp_path).records[0]["loss"])

    @pytest.mark.parametrize(
        ("run", "reason"), [({}, None), ({"callbacks": [early_stopping("loss", 1, min_delta=9.0)]}, "not been better")]
    )
    def test_says_why_a_run_ended(self, tmp_path, run, reason):
        log = RunLog(tmp_path)
        run = train(2, [log, *run.get("callbacks", [])])
        assert read_log(tmp_path).run["ended"] is None
        log.end(run)
        end = read_log(tmp_path).run
        assert end["ended"] >= end["processes"][0]["started"]
        assert end["stopped"] == run.stopped
        assert reason is None or reason in end["stopped"]

    def test_says_by_itself_that_a_run_broke_down(self, tmp_path):
        bad = lambda epoch: [(X * np.nan, LABELS)]  # noqa: E731
        stops = early_stopping("validation_error")
        callbacks = [RunLog(tmp_path, measure=measure), stops]
        run = fit(STEP, START(), bad, epochs=2, callbacks=callbacks, validate=lambda state: {}, progress=None)
        log = read_log(tmp_path)
        assert log.run["stopped"] == run.stopped
        assert "not finite" in run.stopped
        assert log.measured("gradient_norm") == {}

    def test_changes_nothing_of_the_training(self, tmp_path):
        with TensorBoard(tmp_path, measure=measure) as board:
            one, two = train(2, []), train(2, [RunLog(tmp_path, measure=measure), board])
        for a, b in zip(jax.tree.leaves(one.train_state.params), jax.tree.leaves(two.train_state.params), strict=True):
            np.testing.assert_array_equal(a, b)


class TestTheMonitorStep:
    def test_measures_the_step_that_comes_next(self):
        before = jax.tree.map(np.asarray, START()._replace(key=None))
        measured = MONITOR_STEP(START(), BATCH)
        after = STEP(START(), BATCH)[0].params
        for layer in ("affine1", "scores"):
            old, new = (
                np.concatenate([np.ravel(a) for a in params[layer].values()]) for params in (before.params, after)
            )
            ratio = np.linalg.norm(new - old) / np.linalg.norm(old)
            np.testing.assert_allclose(measured["update_ratio"][layer], ratio, rtol=1e-4)
        key = jax.random.fold_in(START().key, 0)
        grads = jax.jit(jax.grad(lambda params: OBJECTIVE(params, before.state, BATCH, key)[0]))(before.params)
        norms = {
            name: math.sqrt(sum(np.sum(np.square(a)) for a in grads[name].values())) for name in ("affine1", "scores")
        }
        norms["(all)"] = math.hypot(*norms.values())
        for name, norm in measured["gradient_norm"].items():
            np.testing.assert_allclose(norm, norms.pop(name), rtol=1e-5)
        assert not norms

    def test_counts_what_each_layer_gives_in_the_order_of_the_calls(self):
        state = START()
        y = BATCH[0] @ state.params["affine1"]["w"] + state.params["affine1"]["b"]
        measured = MONITOR_STEP(state, BATCH)["activations"]
        assert list(measured) == ["affine1", "relu1", "dropout1", "scores"]
        one = measured["affine1"]
        counts, edges = np.histogram(y, 50)
        assert (
            np.abs(np.cumsum(one["counts"]) - np.cumsum(counts)).max() <= 1
        )  # one may be on the other side of an edge
        np.testing.assert_allclose([one["low"], one["high"]], [edges[0], edges[-1]], rtol=1e-5)
        np.testing.assert_allclose([one["mean"], one["std"]], [y.mean(), y.std()], rtol=1e-4)
        assert int(measured["relu1"]["counts"][0]) >= int((y <= 0).sum())

    def test_finds_dead_units(self):
        state = START()
        state.params["affine1"]["b"] = jnp.array([-100.0, 0, 0, -100, 0, 0])
        measured = MONITOR_STEP(state, BATCH)["activations"]
        assert float(measured["relu1"]["dead"]) == pytest.approx(2 / 6)
        assert float(measured["affine1"]["dead"]) == 0

    def test_takes_the_scale_of_the_loss_out_of_the_gradient(self):
        optimizer = scale_loss(OPTIMIZER)
        scaled = START()._replace(opt_state=optimizer.init(START().params))
        measured = make_monitor_step(NET, OBJECTIVE, optimizer, layers="relu*")(scaled, BATCH)
        assert list(measured["activations"]) == ["relu1"]
        ours = MONITOR_STEP(START(), BATCH)
        for kind in ("gradient_norm", "update_ratio"):
            for name, value in ours[kind].items():
                np.testing.assert_allclose(measured[kind][name], value, rtol=1e-4)

    def test_refuses_a_pattern_without_a_layer(self):
        step = make_monitor_step(NET, OBJECTIVE, OPTIMIZER, layers="tanh*")
        with pytest.raises(InputError, match=r"no path fits the pattern 'tanh\*'; there are affine1, relu1"):
            step(START(), BATCH)

    def test_takes_several_inputs(self):
        net, xs, lengths = LSTM(3), jnp.ones((2, 4, 5)), jnp.array([4, 2])
        objective = supervised(net, lambda hs, t: (hs**2).mean((1, 2)))
        start = init_train_state(net, OPTIMIZER, jax.random.key(0), xs, lengths)
        measured = make_monitor_step(net, objective, OPTIMIZER)(start, ((xs, lengths), jnp.zeros(2)))
        assert int(measured["activations"]["lstm"]["counts"].sum()) == 2 * 4 * 3

    def test_sees_into_any_wiring(self):
        @network(body=Repeat(Residual(Serial(Affine(3))), 2), head=Affine(3))
        def net(net, x):
            return net.head(net.head(net.body(x)))

        def outputs(x):
            return layer_outputs(net, *net.init(jax.random.key(0), x), x)

        paths = ["body.0.body.affine1", "body.1.body.affine1", "head", "head (2)"]
        assert list(jax.eval_shape(outputs, X)) == paths
        alone = jax.eval_shape(lambda x: layer_outputs(Affine(2), *Affine(2).init(jax.random.key(0), x), x), X)
        assert list(alone) == ["affine"]


def test_gradients_go_through_what_a_layer_inside_a_network_gives():
    params, state = NET.init(jax.random.key(0), X)

    def feature(x):
        return jnp.sum(layer_outputs(NET, params, state, x)["relu1"] ** 2)

    def by_hand(x):
        return jnp.sum(jnp.maximum(x @ params["affine1"]["w"] + params["affine1"]["b"], 0) ** 2)

    np.testing.assert_allclose(jax.grad(feature)(X), jax.grad(by_hand)(X), rtol=1e-5, atol=1e-6)


class TestPictures:
    def test_of_filters_are_grey_where_weights_are_zero(self):
        w = np.zeros((2, 2, 3, 3))
        w[0, 0, 0] = [0.5, -2.0, 0.0]
        pictures = filters(w)
        assert (pictures.shape, pictures.dtype) == ((3, 2, 2, 3), np.uint8)
        assert pictures[:, 0, 0, 0].tolist() == [255, 0, 128]
        assert set(pictures[:, 1].ravel()) == {128}
        np.testing.assert_array_equal(filters(w.reshape(12, 3), (2, 2, 3)), pictures)

    def test_of_mistakes_have_the_worst_first(self):
        logits = np.array([[0.0, 3.0], [2.0, 0.0], [0.0, 9.0], [1e5, 0.0], [0.0, 1.0]])
        labels = np.array([0, 0, 0, 1, 0])
        images, captions = mistakes(np.arange(5), labels, logits, count=3)
        assert images.tolist() == [3, 2, 0]
        assert captions == ["1, read as 0, loss 100000.00", "0, read as 1, loss 9.00", "0, read as 1, loss 3.05"]
        assert mistakes(np.arange(1), labels[1:2], logits[1:2])[1] == []

    def test_are_kept_with_the_run(self, tmp_path):
        from PIL import Image

        log = RunLog(tmp_path)
        log.images("filters", np.zeros((3, 4, 5, 3), np.uint8))
        log.images("filters", np.array([[[-1.0, 0], [1, 1]]])[..., None], ["one & only"])
        folder = tmp_path / "images" / "filters"
        assert sorted(path.name for path in folder.iterdir()) == ["000.png", "captions.json"]
        with Image.open(folder / "000.png") as image:
            assert np.asarray(image).tolist() == [[0, 128], [255, 255]]
        train(1, [log])
        [(png, caption)] = read_log(tmp_path).images["filters"]
        assert png == (folder / "000.png").read_bytes()
        assert caption == "one & only"


def events(folder):
    """What is in the event files of a folder, in the order of writing: tag, step, and what it is."""
    from tensorboardX.proto.event_pb2 import Event

    for file in sorted(folder.iterdir()):
        data, place = file.read_bytes(), 0
        while place < len(data):
            (length,) = struct.unpack_from("<Q", data, place)  # length, its checksum, the event, its checksum
            event = Event.FromString(data[place + 12 : place + 12 + length])
            place += length + 16
            if event.HasField("session_log"):
                yield "start", event.step, None
            for value in event.summary.value:
                yield value.tag, event.step, value


class TestTensorBoard:
    def test_shows_training_and_validation_under_one_name(self, tmp_path):
        with TensorBoard(tmp_path, config={"rate": 0.1}, measure=measure) as board:
            run = train(2, [board])
        for part, prefix, name in (("train", "", "loss"), ("validation", "validation_", "error")):
            found = [(step, value.simple_value) for tag, step, value in events(tmp_path / part) if tag == name]
            assert found == [(r["step"], pytest.approx(r[prefix + name])) for r in run.history]
        tags = {tag: value for tag, _, value in events(tmp_path / "train")}
        assert {"learning_rate", "gradient_norm/scores", "update_ratio/affine1", "activations/relu1/dead"} <= set(tags)
        assert "seconds" not in tags
        assert b'"rate": 0.1' in tags["config/text_summary"].tensor.string_val[0]
        histogram, measured = tags["activations/scores"].histo, measure(run.train_state)["activations"]["scores"]
        assert list(histogram.bucket) == measured["counts"].tolist()
        assert histogram.num == 16 * 4
        assert histogram.bucket_limit[-1] == pytest.approx(float(measured["high"]))

    @pytest.mark.parametrize("is_used_again", [False, True])
    def test_hides_what_was_written_after_the_checkpoint(self, tmp_path, is_used_again):
        def record(*steps):
            return Fitted((), tuple({"epoch": 1, "step": step, "loss": 0.5} for step in steps))

        killed, went_on = [record(5), record(5, 10)], [record(5, 10)]  # killed at 10 with a checkpoint of 5
        for runs in [killed + went_on] if is_used_again else [killed, went_on]:
            with TensorBoard(tmp_path) as board:
                for run in runs:
                    board(run)
        found = [(tag, step) for tag, step, _ in events(tmp_path / "train")]
        assert sorted(found) == sorted([("start", 1), ("loss", 5), ("loss", 10), ("start", 6), ("loss", 10)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda log: log.images("a/b", X), "'a/b' cannot be"),
        (lambda log: log.images("", X), "'' cannot be"),
        (lambda log: log.images("a", X), r"\[N, height, width\], or .* got \[40, 3\]"),
        (lambda log: log.images("a", np.zeros((2, 3, 3)), ["one"]), "2 images need as many captions, or none; got 1"),
        (lambda log: filters(np.ones((64, 3))), r"the shape of the images that an affine layer sees"),
        (lambda log: filters(np.ones((64, 3)), (8, 9)), r"images of shape \(8, 9\) needs weights .* got \[64, 3\]"),
        (lambda log: filters(np.ones((3, 3, 8, 3))), r"\[height, width, 1 or 3, out\], got \[3, 3, 8, 3\]"),
        (lambda log: mistakes(X, LABELS, X[:5]), r"got \[40, 3\], \[40\] and \[5, 3\]"),
        (lambda log: read_log("nowhere"), "nowhere has no run.json"),
    ],
)
def test_bad_input_is_refused(tmp_path, make, message):
    with pytest.raises(InputError, match=message):
        make(RunLog(tmp_path))


@pytest.mark.parametrize(
    ("module", "make"),
    [
        ("tensorboardX", lambda path: TensorBoard(path)),
        ("PIL.Image", lambda path: RunLog(path).images("a", np.zeros((1, 2, 2)))),
    ],
)
def test_says_what_to_install(tmp_path, monkeypatch, module, make):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r'pip install "fdl\[train\]"'):
        make(tmp_path)
