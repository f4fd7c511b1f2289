"""Another setting of compilation for a while."""

from contextlib import contextmanager

import fastmoments as fm
from fastmoments_kernels.serving import compilation


@contextmanager
def chosen(when):
    """Another setting for a while."""
    before, compiled, ufuncs = fm.compilation(), compilation.compiled.copy(), compilation.ufuncs.copy()
    fm.set_compilation(when)
    yield
    fm.set_compilation(before)
    compilation.compiled.update(compiled)
    compilation.ufuncs.update(ufuncs)
