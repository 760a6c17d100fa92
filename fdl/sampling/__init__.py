"""Sampling: from a model's scores for the next token to tokens, to sequences, to the most probable sequence."""

from fdl.sampling.beam_search import Beams, beam_search
from fdl.sampling.decoding import NONE, Step, StreamStep, stream_step
from fdl.sampling.distribution import greedy, min_p, sample, temperature, top_k, top_p
from fdl.sampling.generate import generate

__all__ = [
    "NONE",
    "Beams",
    "Step",
    "StreamStep",
    "beam_search",
    "generate",
    "greedy",
    "min_p",
    "sample",
    "stream_step",
    "temperature",
    "top_k",
    "top_p",
]
