"""The report: that it shows what the directories have, in HTML that is whole, safe and needs nothing else."""

import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from fdl import InputError
from fdl.train import Fitted, RunLog, report
from fdl.train.reporting.charts import Series, curves, ridges

VOID = ("meta", "img")


class Page(HTMLParser):
    """A page, parsed: that all elements are closed in turn, its texts, and what it refers to."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.elements, self.references = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.references += [value for name, value in attributes if name in ("src", "href", "xlink:href", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def within(self, tag):
        return [text for one, text in self.texts if one == tag]

    def attributes(self, tag, name):
        return [attributes[name] for one, attributes in self.elements if one == tag and name in attributes]


def activations(step):
    counts = np.zeros(50, int)
    counts[step % 50] = 7
    return {"mean": 0.5, "std": 0.1, "dead": 0.25, "low": -1.0, "high": float(step), "counts": counts}


def log_of_a_run(directory, rate, records=5, measured=True, images=True, config=None):
    history = ()
    step = 0

    def measure(train_state):
        layers = ("encoder.affine1", "relu1")
        return {
            "gradient_norm": {"(all)": 2.0, **dict.fromkeys(layers, 1.0 / step)},
            "update_ratio": dict.fromkeys(layers, rate / step),
            "activations": {name: activations(step) for name in layers},
            "hyperparameters": {"learning_rate": rate / step, "b1": 0.9},
        }

    log = RunLog(
        directory, config={"learning rate": rate, "batch": 8} | (config or {}), measure=measure if measured else None
    )
    for i in range(records):
        step = 10 * (i + 1)
        record = {"epoch": i + 1, "step": step, "seconds": 30.0, "loss": rate / step, "accuracy": 0.1 * i}
        history += ({**record, "validation_loss": 2 * rate / step},)
        log(Fitted((), history))
    if images:
        log.images("worst mistakes", np.arange(18).reshape(2, 3, 3), ["3, read as 8", "1 < 7"])
        log.images("first-layer filters", np.zeros((3, 3, 3, 3), np.uint8))
    return log, Fitted((), history)


def headings(page):
    return page.within("h2")


ALL = [
    "Runs",
    "Values",
    "Curves",
    "Updates and gradients",
    "Activations",
    "First-layer filters",
    "Worst mistakes",
    "Configuration",
    "Versions",
]


def test_one_run_has_every_section(tmp_path):
    log, run = log_of_a_run(tmp_path / "a", 0.5)
    log.end(run)
    file = report(tmp_path / "a")
    assert file == tmp_path / "a" / "report.html"
    page = Page(file.read_text())
    assert headings(page) == ALL
    assert page.within("h1") == ["Training: a"]
    charts = page.attributes("svg", "aria-label")
    assert len(charts) == 3 + 2 + 2
    assert charts[0] == (
        "loss: training from 0.05 at step 10 to 0.01 at step 50; validation from 0.1 at step 10 to 0.02 at step 50"
    )
    assert any(text.startswith("learning rate: from 0.05 at step 10") for text in charts)
    assert not any("b1" in text for text in charts)  # it never changes
    assert {"ended after all steps", "2.5\N{NO-BREAK SPACE}min", "0.01 (50)", "0.05 (10)"} <= set(page.within("td"))
    assert page.attributes("img", "alt") == [f"first-layer filters, number {i}" for i in (1, 2, 3)] + [
        "3, read as 8",
        "1 < 7",
    ]
    assert "mean 0.5, standard deviation 0.1, 25% dead" in page.within("figcaption")


def test_several_runs_are_compared(tmp_path):
    for name, rate in (("a", 0.5), ("b", 1.0)):
        log, run = log_of_a_run(tmp_path / name, rate, records=5 if name == "a" else 3)
        log.end(run._replace(stopped=None if name == "a" else "validation_loss has not been better"))
    file = report([tmp_path / "a", tmp_path / "b"])
    assert file == tmp_path / "report.html"
    page = Page(file.read_text())
    assert headings(page) == ALL
    assert page.within("h1") == ["Training: a, b"]
    assert {"a, training", "b, validation"} <= set(page.within("span"))
    assert "stopped: validation_loss has not been better" in page.within("td")
    assert "learning rate (differs)" in page.within("th")
    assert "batch" in page.within("th")
    assert len(page.attributes("svg", "aria-label")) == 3 + 2 * 2 + 2 * 2
    assert page.within("h3").count("a") == page.within("h3").count("b") == 3


def test_an_ensemble_has_hyperparameters_of_each_member_where_they_differ(tmp_path):
    steps = iter([10, 20])

    def measure(train_state):
        rate = 1e-2 / next(steps)
        return {"hyperparameters": {"learning_rate": np.array([rate, 2 * rate]), "b1": np.array([0.9, 0.9])}}

    log = RunLog(tmp_path / "run", measure=measure)
    history = tuple({"epoch": i, "step": 10 * i, "seconds": 1.0, "loss": 0.5} for i in (1, 2))
    for i in (1, 2):
        log(Fitted((), history[:i]))
    page = Page(report(tmp_path / "run").read_text(encoding="utf-8"))
    assert "learning rate" in page.within("h3")
    assert "b1" not in page.within("h3")  # the same all the time for all
    assert {"member 1", "member 2"} <= {text for _, text in page.texts}


def test_what_a_run_does_not_have_is_left_out(tmp_path):
    log_of_a_run(tmp_path / "a", 0.5, measured=False, images=False)
    page = Page(report(tmp_path / "a", tmp_path / "new" / "page.html").read_text())
    assert headings(page) == ["Runs", "Values", "Curves", "Configuration", "Versions"]
    assert "no end is logged: it goes on, or it was killed" in page.within("td")
    RunLog(tmp_path / "b").end(Fitted((), ()))
    assert headings(Page(report(tmp_path / "b").read_text())) == ["Runs", "Versions"]
    assert headings(Page(report([tmp_path / "a", tmp_path / "b"]).read_text()))[2] == "Curves"


def test_needs_nothing_from_elsewhere_and_runs_nothing(tmp_path):
    bad = '<script src="https://example.org/x.js">&</script>'
    log, run = log_of_a_run(tmp_path / "a & <b>", 0.5, config={bad: bad})
    log.images('"><img src=x>', np.zeros((1, 2, 2)), [bad])
    log.end(run._replace(stopped=bad))
    text = report(tmp_path / "a & <b>").read_text()
    page = Page(text)
    assert all(reference.startswith("data:image/png;base64,") for reference in page.references)
    assert not {tag for tag, _ in page.elements} & {"script", "link", "iframe", "object"}
    assert not re.search(r"url\(|@import|<script", text)
    assert page.within("h1") == ["Training: a & <b>"]
    assert page.within("td").count(bad) == 1
    assert bad in page.within("th")
    assert f"stopped: {bad}" in page.within("td")
    assert bad in page.within("figcaption")
    assert bad in page.attributes("img", "alt")
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_says_in_words_what_its_pictures_show(tmp_path):
    log_of_a_run(tmp_path, 0.5)
    page = Page(report(tmp_path).read_text())
    assert dict(page.elements)["html"]["lang"] == "en"
    for tag, attributes in page.elements:
        if tag == "img":
            assert attributes["alt"]
        if tag == "svg":
            assert attributes.get("aria-hidden") == "true" or (attributes["role"] == "img" and attributes["aria-label"])
    assert page.within("summary") == ["Numbers"] * 5  # below each chart of curves, as a table


def test_a_run_that_broke_down_has_gaps(tmp_path):
    log = RunLog(tmp_path, measure=lambda state: {"activations": {"relu1": activations(3) | {"low": math.nan}}})
    values = (0.5, math.nan, 0.25, math.inf)
    history = tuple({"epoch": 1, "step": i + 1, "loss": value, "f1": math.nan} for i, value in enumerate(values))
    for i in range(len(values)):
        log(Fitted((), history[: i + 1]))
    log.end(Fitted((), history, stopped="the loss is not finite any more"))
    page = Page(report(tmp_path).read_text())
    assert page.attributes("path", "d")[0].count("M") == 2
    assert {"There is nothing to draw.", "No activation was finite."} <= set(page.within("p"))
    assert "not finite" in page.within("td")


def test_runs_of_one_name_are_told_apart(tmp_path):
    for parent in ("one", "two"):
        log_of_a_run(tmp_path / parent / "run", 0.5, records=1)
    page = Page(report([tmp_path / "one/run", tmp_path / "two/run"]).read_text())
    assert page.within("h1") == [f"Training: {tmp_path / 'one/run'}, {tmp_path / 'two/run'}"]


def test_long_runs_have_small_pages(tmp_path):
    log = RunLog(tmp_path)
    log.end(Fitted((), tuple({"epoch": 1, "step": i, "loss": 1 / i, "accuracy": 1.0} for i in range(1, 20_001))))
    assert report(tmp_path).stat().st_size < 60_000


@pytest.mark.parametrize(
    ("ys", "ticks", "heading"),
    [
        ((0.0, 1.0, 2.0), ["0", "0.5", "1", "1.5", "2"], "loss"),
        ((-1.0, 4.0), ["-1", "0", "1", "2", "3", "4"], "loss"),
        ((1.0, 1000.0), ["1", "10", "100", "1000"], "loss (logarithmic)"),
        ((0.0, 1000.0), ["0", "200", "400", "600", "800", "1000"], "loss"),
        ((5.0, 5.0), ["3", "4", "5", "6", "7"], "loss"),
        ((0.0, 0.0), ["-0.4", "-0.2", "0", "0.2", "0.4"], "loss"),
        ((0.002, 0.2), ["0.01", "0.1"], "loss (logarithmic)"),
        ((1e-12, 2e-12), ["1e-12", "1.2e-12", "1.4e-12", "1.6e-12", "1.8e-12", "2e-12"], "loss"),
    ],
)
def test_axes_have_round_numbers(ys, ticks, heading):
    page = Page(curves("loss", [Series("", range(1, len(ys) + 1), ys)]))
    assert page.within("text")[: len(ticks)] == ticks
    assert page.within("h3") == [heading]


def test_curves_are_where_their_numbers_are():
    page = Page(curves("loss", [Series("", [0, 10], [0.0, 1.0]), Series("b", [10], [0.5])], guide=0.5))
    path, alone, *_ = page.attributes("path", "d")
    (x0, y0), (x1, y1) = (map(float, point.split()) for point in path.strip("M").split("L"))
    assert x0 < x1
    assert y0 > y1  # upwards
    (x2, y2) = map(float, alone.strip("M").split())
    assert (x2, y2) == (x1, pytest.approx((y0 + y1) / 2))
    guides = [attributes for tag, attributes in page.elements if attributes.get("class") == "guide"]
    assert [float(line["y1"]) for line in guides] == [y2]


def test_a_short_logarithmic_axis_has_numbers_too():
    page = Page(curves("ratio", [Series("", [1, 2], [0.012, 0.09])], scale="log"))
    assert page.within("text")[:4] == ["0.02", "0.04", "0.06", "0.08"]


def test_a_logarithmic_axis_leaves_out_what_is_not_positive():
    page = Page(curves("ratio", [Series("", [1, 2, 3], [0.0, 0.1, 0.001])], scale="log"))
    assert len(page.attributes("path", "d")[0].split("L")) == 2


def test_histograms_share_their_axis():
    page = Page(ridges("relu1", [(1, 0.0, 1.0, [1, 1]), (2, 0.0, 2.0, [1, 1])], "fine"))
    first, second = (re.findall(r"[ML]([\d.]+) ", d) for d in page.attributes("path", "d"))
    width = [float(xs[-1]) - float(xs[0]) for xs in (first, second)]
    assert width[1] == pytest.approx(2 * width[0], abs=0.2)


@pytest.mark.parametrize(("runs", "message"), [([], "at least one run"), ("nowhere", "nowhere has no run.json")])
def test_refuses_what_is_no_log(runs, message):
    with pytest.raises(InputError, match=message):
        report(runs)
