"""Into and out of a kernel's buffers, one file per array library."""
