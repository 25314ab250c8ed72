"""The questions that rules ask. To add one, write the function in the file whose idea it belongs to, and name it there.

The order is the order of precedence: what a check explains is not reported again by those after it.
"""

from ckptlint.checks.base import Check
from ckptlint.checks.buffers import BUFFER_CHECKS
from ckptlint.checks.cut_sizes import PARALLEL_CHECKS, SIZE_CHECKS
from ckptlint.checks.dangers import DANGER_CHECKS
from ckptlint.checks.dtypes import DTYPE_CHECKS
from ckptlint.checks.keys import KEY_CHECKS
from ckptlint.checks.leftovers import COPY_CHECKS, LEFTOVER_CHECKS
from ckptlint.checks.loading_code import LOADING_CODE_CHECKS
from ckptlint.checks.naming import NAMING_CHECKS
from ckptlint.checks.policy import POLICY_CHECKS
from ckptlint.checks.refusals import REFUSAL_CHECKS
from ckptlint.checks.renumbered import RENUMBERED_CHECKS
from ckptlint.checks.rewritten import REWRITTEN_CHECKS
from ckptlint.checks.sections import SECTION_CHECKS
from ckptlint.checks.several_files import SEVERAL_FILES_CHECKS
from ckptlint.checks.shapes import SHAPE_CHECKS, WIDTH_CHECKS
from ckptlint.checks.storages import STORAGE_CHECKS
from ckptlint.checks.suffixes import SUFFIX_CHECKS
from ckptlint.checks.ties import TIE_CHECKS
from ckptlint.checks.values import VALUE_CHECKS
from ckptlint.checks.variants import VARIANT_CHECKS

CHECKS: dict[str, Check] = {
    **SECTION_CHECKS,
    **LEFTOVER_CHECKS,
    **NAMING_CHECKS,
    **COPY_CHECKS,  # once it is known under which prefix the weights themselves are
    **REWRITTEN_CHECKS,
    **TIE_CHECKS,
    **RENUMBERED_CHECKS,
    **VARIANT_CHECKS,
    **BUFFER_CHECKS,
    **PARALLEL_CHECKS,
    **WIDTH_CHECKS,
    **SIZE_CHECKS,
    **SHAPE_CHECKS,
    **DTYPE_CHECKS,
    **KEY_CHECKS,
    **STORAGE_CHECKS,
    **SUFFIX_CHECKS,
    **VALUE_CHECKS,
    **POLICY_CHECKS,
    **REFUSAL_CHECKS,
    **SEVERAL_FILES_CHECKS,
    **DANGER_CHECKS,
    **LOADING_CODE_CHECKS,
}
