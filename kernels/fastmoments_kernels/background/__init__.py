"""Compiling in another process: what is compiled is marked on disk, where all processes of this machine see it.

    entries    what is compiled at once, and how
    marks      the folder of marks and locks: which entries are on disk, which one a process is at
    process    the process that compiles, as its parent sees it: it is started, and told what to compile
    program    what that process does

No file imports Numba before it compiles, and only `entries` NumPy: a process that waits is a bare interpreter.
"""
