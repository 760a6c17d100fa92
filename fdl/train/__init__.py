"""Training: pure steps from one train state to the next, and a small loop that drives them."""

from fdl.train import search
from fdl.train.callbacks import KeepBest, early_stopping
from fdl.train.check_batch import check_batch
from fdl.train.checkpoints import Checkpoints
from fdl.train.confusion import confusion_matrix, iou, mean_iou, precision, recall
from fdl.train.diagnosis import Diagnosis, diagnose
from fdl.train.ensemble import init_ensemble, out_of_fold, predict_ensemble, vmap_steps
from fdl.train.evaluate import evaluate, make_eval_step
from fdl.train.export import export_model
from fdl.train.fit import Fitted, fit
from fdl.train.interrupt import stop_on_signal
from fdl.train.metrics import accuracy, binary_accuracy, perplexity, top_k_accuracy
from fdl.train.monitor import layer_outputs, make_monitor_step
from fdl.train.objective import Objective, supervised
from fdl.train.parameters import load_parameters, save_parameters
from fdl.train.pictures import filters, mistakes
from fdl.train.predict import in_batches, predict, predict_monte_carlo, predict_views
from fdl.train.read_log import Log, read_log
from fdl.train.reporting.report import report
from fdl.train.run_log import RunLog
from fdl.train.step import TrainState, init_train_state, make_train_step, scan_steps
from fdl.train.tensorboard import TensorBoard

__all__ = [
    "Checkpoints",
    "Diagnosis",
    "Fitted",
    "KeepBest",
    "Log",
    "Objective",
    "RunLog",
    "TensorBoard",
    "TrainState",
    "accuracy",
    "binary_accuracy",
    "check_batch",
    "confusion_matrix",
    "diagnose",
    "early_stopping",
    "evaluate",
    "export_model",
    "filters",
    "fit",
    "in_batches",
    "init_ensemble",
    "init_train_state",
    "iou",
    "layer_outputs",
    "load_parameters",
    "make_eval_step",
    "make_monitor_step",
    "make_train_step",
    "mean_iou",
    "mistakes",
    "out_of_fold",
    "perplexity",
    "precision",
    "predict",
    "predict_ensemble",
    "predict_monte_carlo",
    "predict_views",
    "read_log",
    "recall",
    "report",
    "save_parameters",
    "scan_steps",
    "search",
    "stop_on_signal",
    "supervised",
    "top_k_accuracy",
    "vmap_steps",
]
