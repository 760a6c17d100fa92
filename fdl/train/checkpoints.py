"""Checkpoints: all that a run is, on disk, so that a run that was killed goes on as if nothing had happened.

A checkpoint has every array of the train state under its path, and in words what else `fit` needs: the position in the
data, the history, which arrays there are, and how random keys are made. Orbax writes it in the background, under
another name until it is complete, and only then deletes what it takes the place of. So whenever a process dies, the
newest checkpoint is a whole one, of the last record or the one before.

What comes back is filled into a train state of the same paths, shapes and dtypes; the order of leaves does not matter.
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from fdl.counts import check_count
from fdl.data import Position
from fdl.errors import InputError
from fdl.extras import imported
from fdl.train.by_path import check_kinds
from fdl.train.callbacks import Mode, sign_of, value_of
from fdl.train.fit import Fitted, Record
from fdl.train.storable import filled, kinds_and_places, stored


class Checkpoints:
    """A directory of checkpoints of one run: a callback of `fit` that saves at each record, and what reads them again.

    Saving copies the arrays to the host and returns; they are written while the training goes on. Leaving the ``with``
    block, or `close`, waits for the last one, which is lost if the process ends without it. A run that broke down (its
    loss is not finite or has grown) is not saved, so the newest checkpoint is from before.

    Args:
        directory: where; it is made as needed. One process at a time may save there: the first save removes what
            another left half done when it died. Reading does not disturb a run.
        keep: how many checkpoints to keep, the newest, at least 1.
        best: a name in the records: the checkpoint that is best in it is kept too, however old.
        mode: whether less ("min") or more ("max") is better.

    Raises:
        InputError: for settings outside their range, for a step that is not newer than all that are there, and for a
            metric that the records do not have.
        ImportError: without Orbax.

    Example:
        >>> import jax, tempfile
        >>> from fdl.data import Batches
        >>> from fdl.layers import Affine
        >>> from fdl.losses import squared_error
        >>> from fdl.optim import adam
        >>> from fdl.train import fit, init_train_state, make_train_step, supervised
        >>> x = np.linspace(-1, 1, 32, dtype=np.float32)[:, None]
        >>> net, optimizer, batches = Affine(1), adam(0.01), Batches((x, 3 * x), 8, seed=0)
        >>> train_step = make_train_step(supervised(net, lambda y, t: squared_error(y, t).sum(-1)), optimizer)
        >>> def train(directory, epochs):
        ...     with Checkpoints(directory, keep=2, best="loss") as checkpoints:
        ...         run = checkpoints.resume(init_train_state(net, optimizer, jax.random.key(0), x))
        ...         print("from", run.position)
        ...         return fit(train_step, run.train_state, batches, epochs=epochs, callbacks=[checkpoints],
        ...                    history=run.history, position=run.position, progress=None)
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     _ = train(directory, epochs=3)
        ...     run = train(directory, epochs=5)  # in another process, after this one has died
        ...     [record["step"] for record in run.history]
        from Position(epoch=0, batch=0)
        from Position(epoch=3, batch=0)
        [4, 8, 12, 16, 20]
    """

    def __init__(
        self, directory: str | os.PathLike[str], *, keep: int = 3, best: str | None = None, mode: Mode = "min"
    ):
        check_count("Checkpoints", "keep", keep)
        self._directory = Path(directory).absolute()
        self._kept = _Kept(keep, best, sign_of(mode, best or ""))
        self._orbax = imported("orbax.checkpoint", "checkpoints are written by Orbax", "train")
        self._saves = False
        self._manager = self._opened()

    def __call__(self, run: Fitted) -> None:
        """Begins to save the run as it is at its last record; waits first for what is still being written."""
        if run.stopped is not None:
            return
        step = int(run.history[-1]["step"])
        if not self._saves:
            self._manager.reload()  # another process may have saved here since this one looked
        if self.latest is not None and step <= self.latest:
            raise InputError(
                f"step {step} cannot be saved in {self._directory}, which has step {self.latest} already: go on from "
                "there with resume, delete what is newer with delete, or use another directory"
            )
        self._kept.best(run.history, ())  # looks for the metric
        if not self._saves:
            self._manager.close()
            self._saves = True
            self._manager = self._opened()
        arrays, kinds, keys = stored(run.train_state)
        history = [{name: _number(value) for name, value in record.items()} for record in run.history]
        words = {"arrays": kinds, "keys": keys, "position": list(run.position), "history": history}
        self._kept.history = run.history
        save = self._orbax.args
        items = save.Composite(arrays=save.PyTreeSave(arrays), run=save.JsonSave(words))
        self._manager.save(step, args=items, force=True)

    @property
    def steps(self) -> tuple[int, ...]:
        """After how many steps there are checkpoints, in order; those too that are still being written."""
        return tuple(sorted(self._manager.all_steps()))

    @property
    def latest(self) -> int | None:
        """The last of these; None if there are none."""
        return self.steps[-1] if self.steps else None

    @property
    def best(self) -> int | None:
        """The one with the best metric; None if no metric was asked for, or none was a number.

        Raises:
            InputError: when the newest checkpoint, which has the history, cannot be read.
        """
        if self.latest is None:
            return None
        return self._kept.best(self._words(self.latest)["history"], self.steps)

    def resume(self, train_state: Any) -> Fitted:
        """Where to go on: at the newest checkpoint, or with this train state when there is none yet.

        Args:
            train_state: what the run starts from, and what a checkpoint has to fit.

        Raises:
            InputError: as `restore`.
        """
        return Fitted(train_state) if self.latest is None else self.restore(train_state)

    def restore(self, like: Any, step: int | None = None) -> Fitted:
        """Reads a checkpoint.

        Args:
            like: a train state with the paths, shapes and dtypes that are expected; only these are looked at, so
                ``jax.eval_shape`` of what makes it will do. Arrays come back to the devices that it was put on.
            step: which checkpoint, such as ``checkpoints.best``; the newest by default.

        Returns:
            The run as it was. `fit` takes its train state, history and position.

        Raises:
            InputError: when there is no such checkpoint; when it does not fit ``like``, with the path of the first
                mismatch; when its files are missing, cut off or not from here. It is left as it is then: `delete`
                removes it, and the newest is the one before.
        """
        if step is None and self.latest is None:
            raise InputError(f"{self._directory} has no checkpoints yet")
        step = self._checked(self.latest if step is None else step)
        words = self._words(step)
        kinds, places = kinds_and_places(like)
        check_kinds(kinds, words["arrays"], f"checkpoint {step}")
        how = {path: self._how_to_read(place) for path, place in places.items()}
        arrays = self._read(step, "arrays", self._orbax.args.PyTreeRestore(restore_args=how))
        train_state = filled(like, arrays, words["keys"])
        return Fitted(train_state, tuple(words["history"]), Position(*words["position"]))

    def delete(self, step: int) -> None:
        """Removes a checkpoint.

        Raises:
            InputError: when there is no such checkpoint.
        """
        self.wait()
        self._manager.delete(self._checked(step))

    def wait(self) -> None:
        """Waits until everything is on disk; raises what went wrong in writing it, such as a full disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits as `wait` does, and ends the threads that write."""
        self._manager.close()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _opened(self) -> Any:
        # What a process that died left half done is removed by the one that saves, not by one that only reads.
        options = self._orbax.CheckpointManagerOptions(
            preservation_policy=self._kept, cleanup_tmp_directories=self._saves, save_root_metadata=False
        )
        return self._orbax.CheckpointManager(self._directory, options=options)

    def _checked(self, step: Any) -> int:
        if step not in self.steps:
            raise InputError(f"{self._directory} has no checkpoint {step}; there are {list(self.steps)}")
        return int(step)

    def _words(self, step: int) -> dict[str, Any]:
        words = self._read(step, "run", self._orbax.args.JsonRestore())
        if not isinstance(words, dict) or not {"arrays", "keys", "position", "history"} <= words.keys():
            raise self._broken(step, "no list of its arrays")
        return words

    def _read(self, step: int, item: str, how: Any) -> Any:
        self.wait()
        try:
            return self._manager.restore(step, args=self._orbax.args.Composite(**{item: how}))[item]
        except Exception as error:  # Orbax and TensorStore have no common one
            raise self._broken(step, str(error).partition("\n")[0]) from error

    def _broken(self, step: int, why: str) -> InputError:
        before = [one for one in self.steps if one < step]
        then = f"go on from checkpoint {before[-1]}" if before else "begin anew: there is none before it"
        return InputError(
            f"checkpoint {step} in {self._directory} cannot be read: files of it are missing or cut off, or it is from "
            f"another program. To {then}, remove it with delete({step}). What was found: {why}"
        )

    def _how_to_read(self, place: Any) -> Any:
        if place is None:
            return self._orbax.RestoreArgs(restore_type=np.ndarray)
        return self._orbax.ArrayRestoreArgs(sharding=place)


class _Kept:
    """What Orbax asks which checkpoints to keep: the newest, and the best according to the history."""

    def __init__(self, keep: int, metric: str | None, sign: float):
        self._keep, self._metric, self._sign = keep, metric, sign
        self.history: Sequence[Record] = ()

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        steps = [checkpoint.step for checkpoint in checkpoints]
        kept = {*sorted(steps)[-self._keep :], self.best(self.history, steps)}
        return [step in kept for step in steps]

    def best(self, history: Sequence[Record], steps: Sequence[int]) -> int | None:
        if self._metric is None:
            return None
        values = {int(record["step"]): self._sign * value_of(record, self._metric) for record in history}
        values = {step: value for step, value in values.items() if step in steps and not math.isnan(value)}
        return min(values, key=values.__getitem__) if values else None


def _number(value: Any) -> float:
    return value if isinstance(value, int) else float(value)
