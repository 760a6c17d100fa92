"""Data: arrays in memory or on disk, split, shuffled and read ahead; readers of what is common.

Without a network there are `digits`. Nothing here is needed to train on data from elsewhere: `fdl.train.fit` takes any
iterable of batches, so a Grain or PyTorch loader is one: ``fit(step, state, lambda epoch: loader, epochs=10)``.
"""

from fdl.data.arrays import Subset
from fdl.data.batches import Batches, Epoch, Position, ordered_batches, shuffled_batches
from fdl.data.cifar import cifar10, cifar100
from fdl.data.dataset import Dataset
from fdl.data.digits import digits
from fdl.data.download import DownloadError, download
from fdl.data.image_folder import ImageFiles, image_folder
from fdl.data.mnist import mnist, read_idx
from fdl.data.prefetch import prefetch
from fdl.data.quality import DataReport, data_report
from fdl.data.split import k_folds, split
from fdl.data.text import Vocabulary, next_character_windows, read_text, tiny_shakespeare, vocabulary

__all__ = [
    "Batches",
    "DataReport",
    "Dataset",
    "DownloadError",
    "Epoch",
    "ImageFiles",
    "Position",
    "Subset",
    "Vocabulary",
    "cifar10",
    "cifar100",
    "data_report",
    "digits",
    "download",
    "image_folder",
    "k_folds",
    "mnist",
    "next_character_windows",
    "ordered_batches",
    "prefetch",
    "read_idx",
    "read_text",
    "shuffled_batches",
    "split",
    "tiny_shakespeare",
    "vocabulary",
]
