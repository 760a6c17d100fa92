"""Training: pure steps from one train state to the next, and a small loop that drives them."""

from fdl.train.evaluate import evaluate, make_eval_step
from fdl.train.fit import check_batch, fit
from fdl.train.metrics import accuracy
from fdl.train.objective import Objective, supervised
from fdl.train.step import TrainState, init_train_state, make_train_step

__all__ = [
    "Objective",
    "TrainState",
    "accuracy",
    "check_batch",
    "evaluate",
    "fit",
    "init_train_state",
    "make_eval_step",
    "make_train_step",
    "supervised",
]
