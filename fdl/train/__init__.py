"""Training: pure steps from one train state to the next, and a small loop that drives them."""

from fdl.train.callbacks import KeepBest, early_stopping
from fdl.train.check_batch import check_batch
from fdl.train.checkpoints import Checkpoints
from fdl.train.confusion import confusion_matrix, mean_iou, precision, recall
from fdl.train.evaluate import evaluate, make_eval_step
from fdl.train.fit import Fitted, fit
from fdl.train.interrupt import stop_on_signal
from fdl.train.metrics import accuracy, perplexity, top_k_accuracy
from fdl.train.objective import Objective, supervised
from fdl.train.parameters import load_parameters, save_parameters
from fdl.train.step import TrainState, init_train_state, make_train_step, scan_steps

__all__ = [
    "Checkpoints",
    "Fitted",
    "KeepBest",
    "Objective",
    "TrainState",
    "accuracy",
    "check_batch",
    "confusion_matrix",
    "early_stopping",
    "evaluate",
    "fit",
    "init_train_state",
    "load_parameters",
    "make_eval_step",
    "make_train_step",
    "mean_iou",
    "perplexity",
    "precision",
    "recall",
    "save_parameters",
    "scan_steps",
    "stop_on_signal",
    "supervised",
    "top_k_accuracy",
]
