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
from fdl.data.pca import PCA, color_axes, fit_pca, project, reconstruct
from fdl.data.prefetch import prefetch
from fdl.data.preprocess import Moments, channel_moments, feature_moments, mean_image, standardise, unstandardise
from fdl.data.quality import ArrayRow, DataReport, Duplicate, data_report
from fdl.data.resample import MemberBatches, bootstrap
from fdl.data.split import k_folds, split
from fdl.data.text import Vocabulary, next_character_windows, read_text, tiny_shakespeare, vocabulary
from fdl.data.whitening import unwhiten, whiten, zca_unwhiten, zca_whiten

__all__ = [
    "PCA",
    "ArrayRow",
    "Batches",
    "DataReport",
    "Dataset",
    "DownloadError",
    "Duplicate",
    "Epoch",
    "ImageFiles",
    "MemberBatches",
    "Moments",
    "Position",
    "Subset",
    "Vocabulary",
    "bootstrap",
    "channel_moments",
    "cifar10",
    "cifar100",
    "color_axes",
    "data_report",
    "digits",
    "download",
    "feature_moments",
    "fit_pca",
    "image_folder",
    "k_folds",
    "mean_image",
    "mnist",
    "next_character_windows",
    "ordered_batches",
    "prefetch",
    "project",
    "read_idx",
    "read_text",
    "reconstruct",
    "shuffled_batches",
    "split",
    "standardise",
    "tiny_shakespeare",
    "unstandardise",
    "unwhiten",
    "vocabulary",
    "whiten",
    "zca_unwhiten",
    "zca_whiten",
]
