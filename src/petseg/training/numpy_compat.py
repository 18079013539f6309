"""Private NumPy APIs, in one place. Checked with NumPy 2.4.

`numpy.show_config` names only the instruction sets that NumPy has kernels for, under names that
change between its versions.
"""

from numpy._core._multiarray_umath import __cpu_features__ as _cpu_features


def has_cpu_feature(name: str) -> bool:
    """Whether the processor has an instruction set, by NumPy's name for it, such as "AVX2"."""
    return bool(_cpu_features.get(name))
