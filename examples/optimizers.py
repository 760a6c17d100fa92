"""Six optimizers go down two landscapes: along a narrow valley, and off a saddle.

The valley is steep across and gentle along: a rate that is small enough for its walls is too small for its floor. The
saddle is flat where the path begins, and the slope of the way out is small at first. The picture shows the paths, and
how high each optimizer still was after each step.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from common import finish, options

from fdl.optim import adagrad, adam, apply_updates, momentum, nesterov, rmsprop, sgd

try:
    from matplotlib.figure import Figure
except ImportError:
    sys.exit('The picture is drawn by matplotlib: pip install "fdl[train,data]"')


def valley(x, y):
    """40 times as steep across as along; the lowest point is (0, 0)."""
    return (x**2 / 40 + y**2) / 2


def saddle(x, y):
    """A pass at (0, 0) with a height of 0: up along x, down along y, to a height of -1 far away."""
    return x**2 / 2 + jnp.expm1(-(y**2) / 2)


LANDSCAPES = {"Valley": (valley, (-9.0, 2.0), 0.0), "Saddle": (saddle, (-1.5, 0.001), -1.0)}  # start, lowest height
# One rate for both landscapes, small enough for the paths to be looked at. Of the rates 0.01, 0.02, 0.05, ..., 2, those
# with the lowest mean heights are larger: 1.5, 1, 1, 2, 0.2 and 1, in this order.
OPTIMIZERS = {
    "sgd": sgd(0.5),
    "momentum": momentum(0.1, 0.9),
    "nesterov": nesterov(0.1, 0.9),
    "adagrad": adagrad(0.7),
    "rmsprop": rmsprop(0.1),
    "adam": adam(0.2),
}


def descend(height, start, optimizer, steps):
    """The points of a path [steps + 1, 2], the start first."""

    def step(carry, _):
        point, opt_state = carry
        slope = jax.grad(lambda point: height(*point))(point)
        updates, opt_state = optimizer.update(slope, opt_state, point)
        point = apply_updates(point, updates)
        return (point, opt_state), point

    start = jnp.array(start)
    _, path = jax.lax.scan(step, (start, optimizer.init(start)), length=steps)
    return jnp.concatenate([start[None], path])


def draw_map(axes, name, height, paths):
    """The landscape from above, with contours close together near the lowest heights, and the paths on it."""
    points = np.concatenate(list(paths.values()))
    points = points[np.abs(points).max(axis=1) < 12]  # those that jump out of the picture are drawn as far as its rim
    (left, low), (right, high) = points.min(axis=0) - 0.5, points.max(axis=0) + 0.5
    x, y = np.meshgrid(np.linspace(left, right, 200), np.linspace(low, high, 200))
    axes.contourf(x, y, np.asarray(height(x, y)), 30, cmap="Greys", alpha=0.6)
    for optimizer, path in paths.items():
        axes.plot(*path.T, "o-", markersize=2.5, linewidth=1.2, label=optimizer)
    axes.plot(*next(iter(paths.values()))[0], "k*", markersize=12)
    axes.set(title=f"{name}, from the star", xlim=(left, right), ylim=(low, high))
    axes.legend(loc="upper right", fontsize=8)


def draw_heights(axes, heights, lowest):
    for optimizer, along in heights.items():
        axes.semilogy(np.maximum(along - lowest, 1e-5), label=optimizer)
    axes.set(title="Height above the lowest point", xlabel="step")
    axes.grid(alpha=0.3)


def main():
    chosen = options(__doc__, steps=(100, 100))
    figure, last = Figure(figsize=(12, 9), layout="constrained"), {}
    for (left, right), (name, (height, start, lowest)) in zip(figure.subplots(2, 2), LANDSCAPES.items(), strict=True):
        paths = {name: np.asarray(descend(height, start, made, chosen.steps)) for name, made in OPTIMIZERS.items()}
        heights = {optimizer: np.asarray(height(*path.T)) for optimizer, path in paths.items()}
        draw_map(left, name, height, paths)
        draw_heights(right, heights, lowest)
        print(f"\n{name}: height above the lowest point after 10, 30 and {chosen.steps} steps")
        for optimizer, along in heights.items():
            print(f"{optimizer:9}", *(f"{along[step] - lowest:9.5f}" for step in (10, 30, -1)))
        last[name] = max(float(along[-1]) - lowest for along in heights.values())
    picture = chosen.output / "paths.png"
    figure.savefig(picture, dpi=110)
    metric = "height of the last one, above the lowest point"
    finish(chosen, metric, max(last.values()), None, higher=False, show="{:.4f}", picture=picture)


if __name__ == "__main__":
    main()
