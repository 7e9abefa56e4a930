"""Portable arithmetic: libraries use no instruction beyond AVX2, so that every x86-64 processor that has it gives the
same bits.

AVX-512 and AMX sum in another order, and their exponentials and logarithms end in other last bits. A library chooses
its instructions when it is imported, and only the environment can tell it which. Only the standard library is imported
here, so that this can be done before anything else. Child processes inherit it.
"""

import os
import sys

NUMPY = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # NumPy's names for all that is above AVX2
    "OPENBLAS_CORETYPE": "Haswell",  # OpenBLAS of NumPy and SciPy
    "OPENBLAS_NUM_THREADS": "1",  # threads split sums, and their number is that of the cores
    "OPENCV_IPP": "avx2",  # Intel's primitives in OpenCV
}
TORCH = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own kernels
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # convolutions
    "MKL_CBWR": "COMPATIBLE",  # matrix products; its AVX2 branch is for Intel's processors only
}


def pin_instructions(*, torch: bool) -> None:
    """From now on libraries that are imported use no instruction beyond AVX2.

    Args:
        torch: whether torch is one of them; else it uses the best that the processor has.
    Raises:
        RuntimeError: a library has been imported already, and uses others.
    """
    if is_pinned(torch=torch):
        return
    if early := [name for name in ("numpy", "cv2", *(["torch"] if torch else [])) if name in sys.modules]:
        raise RuntimeError(f"{', '.join(early)}: imported before pin_instructions(); call it first")
    chosen = variables(torch=torch)
    for name, value in chosen.items():
        if os.environ.get(name, value) != value:
            print(f"{name}={os.environ[name]} is ignored: portable arithmetic needs {value}", file=sys.stderr)
    os.environ.update(chosen)


def is_pinned(*, torch: bool) -> bool:
    """Whether this process was told in time to use no instruction beyond AVX2."""
    return all(os.environ.get(name) == value for name, value in variables(torch=torch).items())


def variables(*, torch: bool) -> dict[str, str]:
    """The environment of portable arithmetic, with or without torch's part."""
    return NUMPY | TORCH if torch else NUMPY


def require_pinned(work: str) -> None:
    """Refuse work whose bytes would depend on the processor.

    Raises:
        RuntimeError: this process was not told in time to use no instruction beyond AVX2.
    """
    if not is_pinned(torch=True):
        raise RuntimeError(
            f"{work}: call pin_instructions(torch=True) of stages.common.core.arithmetic before any import of NumPy"
        )
