"""Data: arrays in memory, split and shuffled by functions of a seed."""

from fdl.data.batches import Batches, shuffled_batches
from fdl.data.digits import digits
from fdl.data.split import split

__all__ = ["Batches", "digits", "shuffled_batches", "split"]
