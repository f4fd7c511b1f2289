"""Object code that a wheel brings: the loops of `cpu`, compiled before it was installed, for several processors.

A source checkout has none, and `cpu` compiles. `entry` and `loop` return what `cpu` would compile, under the same
label, or None: where there is no library for this processor, and for what no library holds, such as mixtures,
whose loops depend on the number of components.

    levels    which library this processor can run
    library   functions of a library as Python and NumPy call them
"""

from fastmoments_kernels.ahead.levels import level, vector
from fastmoments_kernels.ahead.library import Loop, entry, holds, loop

__all__ = ["Loop", "entry", "holds", "level", "loop", "vector"]
