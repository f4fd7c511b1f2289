/* What compiled loops need of Numba's run time: counted buffers (numba/core/runtime/nrt.h), and nothing of Python. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Set by the caller once: bytes of a Python object before its own fields, and NumPy's type of arrays. */
__attribute__((visibility("default"))) int64_t header, ndarray;

typedef struct {
    size_t count;
    void (*destructor)(void *, size_t, void *);
    void *destructor_info, *data;
    size_t size;
    void *external;
} MemInfo;

void *NRT_MemInfo_alloc_aligned(size_t size, unsigned align) {
    size_t room = sizeof(MemInfo) + align;
    char *base = size > SIZE_MAX - room ? NULL : malloc(size + room);
    if (!base) return NULL;
    MemInfo *info = (MemInfo *)base;
    uintptr_t data = ((uintptr_t)(base + sizeof(MemInfo)) + align - 1) / align * align;
    *info = (MemInfo){1, NULL, NULL, (void *)data, size, NULL};
    return info;
}

void *NRT_MemInfo_alloc(size_t size) { return NRT_MemInfo_alloc_aligned(size, 64); }

/* The compiled code counts by itself and calls this at the end. */
void NRT_MemInfo_call_dtor(MemInfo *info) { free(info); }

void *NRT_Allocate(size_t size) { return malloc(size); }
void NRT_Free(void *pointer) { free(pointer); }

/* For the caller of a loop that returns arrays; two of them may share their memory. */
__attribute__((visibility("default"))) void release(MemInfo *info) {
    if (__atomic_sub_fetch(&info->count, 1, __ATOMIC_ACQ_REL) == 0) free(info);
}

/* A ufunc's loop returns no status; Numba would print the same. */
void loop_failed(void) { fputs("MemoryError ignored in a loop of fastmoments: its results are not valid\n", stderr); }

/* Views of contiguous arrays only: 0 says, as Numba's does, that the array would have to be copied. */
int numba_attempt_nocopy_reshape(intptr_t ndim, const intptr_t *dims, const intptr_t *strides, intptr_t newndim,
                                 const intptr_t *newdims, intptr_t *newstrides, intptr_t itemsize, int fortran) {
    if (fortran) return 0;
    for (intptr_t k = ndim - 1, step = itemsize; k >= 0; step *= dims[k--])
        if (dims[k] != 1 && strides[k] != step) return 0;
    for (intptr_t k = newndim - 1, step = itemsize; k >= 0; step *= newdims[k--]) newstrides[k] = step;
    return 1;
}

/* Numba makes the texts of its errors with these; a loop's status is all that is returned of one. */
void *PyExc_RuntimeError = NULL;
void PyErr_SetString(void *type, const char *text) {}
void *PyUnicode_FromKindAndData(int kind, const void *text, intptr_t length) { return NULL; }
intptr_t PyObject_Hash(void *object) { return -1; }
void *PyTuple_Pack(intptr_t count, ...) { return NULL; }
void *numba_unpickle(void *data, int length, void *hash) { return NULL; }
