"""What is known of the state that optimizers keep for each parameter.

A moment of the gradient has the shape of its parameter, and follows it through whatever moves elements. Where a weight is scaled by a, its
gradient is scaled by 1/a, and so the moment of order n by a^-n; an average of the weight itself goes as the weight does.
Source: the `state` entries that torch.optim's classes make in their `step` (torch 2.13), and the optimizers they are taken after.
"""

from __future__ import annotations

from typing import Final

ORDERS: Final = {
    "exp_avg": 1,  # Adam, AdamW, NAdam, RAdam, Lion, LAMB
    "exp_avg_sq": 2,
    "max_exp_avg_sq": 2,  # amsgrad
    "momentum_buffer": 1,  # SGD, RMSprop, Muon
    "square_avg": 2,  # RMSprop, Adadelta
    "grad_avg": 1,
    "sum": 2,  # Adagrad
    "acc_delta": -2,  # Adadelta: of the steps of the weight
    "ax": -1,  # ASGD: the averaged weight
    "prev": 1,  # Rprop
    "exp_avg_var": 2,  # AdaBelief
    "exp_avg_diff": 1,  # Adan
    "exp_avg_slow": 1,  # AdEMAMix
    "hessian": 2,  # Sophia: of the weight's second derivative
}
"""By how much each entry scales with the gradient; negative for what scales with the weight."""

LENGTHS: Final = {
    "exp_inf": 1,  # Adamax: the largest gradient
    "step_size": -1,  # Rprop: the step of each element
}
"""What is never negative, nor sensibly zero: it follows where elements only move."""

WHOLE: Final = frozenset({*LENGTHS, "variance"})  # Adafactor's, of what has one dimension
"""Further entries that have the shape of their parameter."""

FACTORED: Final = (
    ("row_var", "col_var", True),  # torch's Adafactor: (..., rows, 1) and (..., 1, columns)
    ("exp_avg_sq_row", "exp_avg_sq_col", False),  # fairseq's and transformers': (..., rows) and (..., columns)
)
"""Pairs of entries in the place of one of the parameter's shape: means over columns and rows, and whether these keep a dimension of 1."""

BUFFERS: Final = frozenset(
    {
        "running_mean",
        "running_var",
        "num_batches_tracked",
        "position_ids",
        "inv_freq",
        "relative_position_index",
        "attn_mask",
        "causal_mask",
    }
)
"""Last parts of names that are buffers' wherever they are met: what no optimizer has among its parameters."""
