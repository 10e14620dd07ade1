/* Put before a process's own malloc (LD_PRELOAD): counts the bytes handed out, and the most of them at any time.
 *
 * Sizes are those of the blocks as glibc rounds them. A block that realloc moves counts once. */

#include <errno.h>
#include <malloc.h>
#include <stddef.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *block);

static size_t used, peak;

size_t heap_used(void) { return __atomic_load_n(&used, __ATOMIC_SEQ_CST); }

size_t heap_peak(void) { return __atomic_load_n(&peak, __ATOMIC_SEQ_CST); }

void heap_peak_from_now(void) { __atomic_store_n(&peak, heap_used(), __ATOMIC_SEQ_CST); }

static void *taken(void *block) {
    size_t now = __atomic_add_fetch(&used, malloc_usable_size(block), __ATOMIC_SEQ_CST);
    size_t most = heap_peak();
    while (now > most && !__atomic_compare_exchange_n(&peak, &most, now, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
    return block;
}

static void given_back(size_t size) { __atomic_sub_fetch(&used, size, __ATOMIC_SEQ_CST); }

void *malloc(size_t size) { return taken(__libc_malloc(size)); }

void *calloc(size_t count, size_t size) { return taken(__libc_calloc(count, size)); }

void *memalign(size_t alignment, size_t size) { return taken(__libc_memalign(alignment, size)); }

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **block, size_t alignment, size_t size) {
    *block = memalign(alignment, size);
    return *block ? 0 : ENOMEM;
}

void *realloc(void *block, size_t size) {
    size_t before = malloc_usable_size(block);
    void *moved = __libc_realloc(block, size);
    if (moved || size == 0) {
        given_back(before);
        taken(moved);
    }
    return moved;
}

void free(void *block) {
    given_back(malloc_usable_size(block));
    __libc_free(block);
}
