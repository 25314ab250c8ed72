"""The operations of migrations: one idea and its inverse a file. To add one, write its file and name it here."""

from ckptlint.core.operation import Operation
from ckptlint.ops.cast import Cast
from ckptlint.ops.fill import Fill
from ckptlint.ops.join import Concat, Split
from ckptlint.ops.rearrange import Rearrange
from ckptlint.ops.rows import Flip, Index, Roll, Slice
from ckptlint.ops.stack import Stack, Unstack

OPERATIONS: dict[str, type[Operation]] = {
    "cast": Cast,
    "concat": Concat,
    "fill": Fill,
    "flip": Flip,
    "index": Index,
    "rearrange": Rearrange,
    "roll": Roll,
    "slice": Slice,
    "split": Split,
    "stack": Stack,
    "unstack": Unstack,
}
