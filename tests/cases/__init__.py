"""The table that drives every check of every rule: one row per rule and kind of argument.

A new rule is a new row, in the file of its family.
"""

from tests.cases import (
    activation,
    affine,
    batch_norm,
    classification,
    conv,
    cross_entropy,
    divergence,
    dropout,
    embedding,
    gated,
    graph,
    group_norm,
    layer_norm,
    linear_cross_entropy,
    maxout,
    overlap,
    penalty,
    pool,
    regression,
    resize,
    sandwich,
    softmax,
)

CASES = [
    *activation.CASES,
    *affine.CASES,
    *batch_norm.CASES,
    *classification.CASES,
    *conv.CASES,
    *cross_entropy.CASES,
    *divergence.CASES,
    *dropout.CASES,
    *embedding.CASES,
    *gated.CASES,
    *graph.CASES,
    *group_norm.CASES,
    *layer_norm.CASES,
    *linear_cross_entropy.CASES,
    *maxout.CASES,
    *overlap.CASES,
    *penalty.CASES,
    *pool.CASES,
    *regression.CASES,
    *resize.CASES,
    *sandwich.CASES,
    *softmax.CASES,
]
