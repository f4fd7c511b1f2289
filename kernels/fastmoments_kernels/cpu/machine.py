"""The processor that Numba compiles for; the widths of loops and the cache's folder depend on it.

It may differ from the one at hand: NUMBA_CPU_NAME, NUMBA_CPU_FEATURES and NUMBA_ENABLE_AVX choose another.
"""

from numba.core.registry import cpu_target

# LLVM's triple, the processor's name, and its features as LLVM lists them: "+avx2,-avx512f,..."
TARGET: tuple[str, str, str] = cpu_target.target_context.codegen().magic_tuple()
AVX512 = "+avx512f" in TARGET[2].split(",")
VECTOR = 64 if AVX512 else 32  # bytes of the widest vector register
