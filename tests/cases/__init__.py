"""The table that drives every check of every rule: one row per rule and kind of argument.

A new rule is a new row, in the file of its family.
"""

from tests.cases import activation, affine, batch_norm, cross_entropy, dropout, penalty

CASES = [
    *activation.CASES,
    *affine.CASES,
    *batch_norm.CASES,
    *cross_entropy.CASES,
    *dropout.CASES,
    *penalty.CASES,
]
