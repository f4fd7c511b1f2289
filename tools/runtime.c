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
    size_t size, room; /* room: bytes from here on; Numba's run time has another field of this length there */
} MemInfo;

/* Buffers of loops that have ended, for those to come: the C library would give them back to the system, which clears
   every page again, in five times the time that a small matrix takes. At most KEPT of at most MOST bytes stay. */
enum { KEPT = 16, LEAST = 1 << 15, MOST = 1 << 21 };
static MemInfo *kept[KEPT];
static unsigned next;

static MemInfo *take(size_t room) {
    for (int i = 0; i < KEPT; i++) {
        MemInfo *found = __atomic_exchange_n(&kept[i], NULL, __ATOMIC_ACQ_REL), *none = NULL;
        if (!found) continue;
        if (found->room >= room && found->room / 2 <= room) return found;
        if (!__atomic_compare_exchange_n(&kept[i], &none, found, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) free(found);
    }
    return NULL;
}

static void give(MemInfo *info) {
    if (info->room >= LEAST && info->room <= MOST) {
        unsigned i = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED) % KEPT;
        info = __atomic_exchange_n(&kept[i], info, __ATOMIC_ACQ_REL);
    }
    free(info);
}

void *NRT_MemInfo_alloc_aligned(size_t size, unsigned align) {
    size_t beside = sizeof(MemInfo) + align, room = size + beside;
    if (size > SIZE_MAX - beside) return NULL;
    MemInfo *info = room >= LEAST && room <= MOST ? take(room) : NULL;
    if (!info) {
        info = malloc(room);
        if (!info) return NULL;
        info->room = room;
    }
    uintptr_t data = ((uintptr_t)(info + 1) + align - 1) / align * align;
    *info = (MemInfo){1, NULL, NULL, (void *)data, size, info->room};
    return info;
}

void *NRT_MemInfo_data_fast(MemInfo *info) { return info->data; }

/* The compiled code counts by itself and calls this at the end. */
void NRT_MemInfo_call_dtor(MemInfo *info) { give(info); }

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
