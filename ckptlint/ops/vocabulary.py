"""The operations that there are, by the names that migrations call them. To add one, write its file and name it here."""

from ckptlint.core.operation import Operation
from ckptlint.ops.add import Add
from ckptlint.ops.affine import Affine
from ckptlint.ops.batch_norm import FuseBatchNorm
from ckptlint.ops.cast import Cast
from ckptlint.ops.checked import Assert
from ckptlint.ops.dequantize import Dequantize
from ckptlint.ops.einsum import Einsum
from ckptlint.ops.fill import Fill
from ckptlint.ops.fold_norm import FoldNorm
from ckptlint.ops.init import Init
from ckptlint.ops.interpolate import Interpolate
from ckptlint.ops.join import Concat, Split
from ckptlint.ops.lora import MergeLora
from ckptlint.ops.pad import Pad
from ckptlint.ops.python import Python
from ckptlint.ops.rearrange import Rearrange
from ckptlint.ops.reduce import Reduce
from ckptlint.ops.relative_positions import RelativePositions
from ckptlint.ops.remap import RemapRows
from ckptlint.ops.repeat import Repeat, Same
from ckptlint.ops.resample_patch import ResamplePatch
from ckptlint.ops.rows import Flip, Index, Roll, Slice
from ckptlint.ops.stack import Stack, Unstack
from ckptlint.ops.unary import Unary
from ckptlint.ops.weight_norm import MergeWeightNorm, SplitWeightNorm

OPERATIONS: dict[str, type[Operation]] = {
    "add": Add,
    "affine": Affine,
    "assert": Assert,
    "cast": Cast,
    "concat": Concat,
    "dequantize": Dequantize,
    "einsum": Einsum,
    "fill": Fill,
    "flip": Flip,
    "fold_norm": FoldNorm,
    "fuse_batch_norm": FuseBatchNorm,
    "index": Index,
    "init": Init,
    "interpolate": Interpolate,
    "merge_lora": MergeLora,
    "merge_weight_norm": MergeWeightNorm,
    "pad": Pad,
    "python": Python,
    "rearrange": Rearrange,
    "reduce": Reduce,
    "relative_positions": RelativePositions,
    "remap_rows": RemapRows,
    "repeat": Repeat,
    "resample_patch": ResamplePatch,
    "roll": Roll,
    "same": Same,
    "slice": Slice,
    "split": Split,
    "split_weight_norm": SplitWeightNorm,
    "stack": Stack,
    "unary": Unary,
    "unstack": Unstack,
}
