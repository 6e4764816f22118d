/* Memory for a call, kept for the next one.
 *
 * A block of some megabytes that goes back to the system comes again as pages of zeros, and touching them costs as much
 * as the work that is done in them. So blocks that were released are kept, in a free list of a few slots. A slot is one
 * atomic word: nothing is locked, and a fork() in between is harmless. The free list may hold up to twice the recent
 * peak of live bytes (blocks of many sizes serve a call one after the other), at least KEEP_LITTLE and at most
 * KEEP_MOST.
 *
 * Large blocks are mapped by ourselves: an allocator that was given back some of them serves the next ones from its
 * heap, of which nothing goes back to the system as long as something small lies behind (70 MB at the peak of VGG-16).
 * Sanitizers watch an allocator's blocks alone.
 */

#include "lrp.h"

#include <stdint.h>
#include <stdlib.h>

enum {
    SLOTS = 64,
    KEEP_LEAST = 1 << 14,
    KEEP_LITTLE = 112 << 20,
    KEEP_MOST = 1024 << 20,
    MAP_LEAST = 1 << 20,
    HUGE_LEAST = 4 << 20
};

#if !defined(_WIN32) && !defined(LRP_NO_THREADS)
#include <sys/mman.h>
#if defined(MAP_ANONYMOUS)
#define LRP_MAPS
#endif
#endif

/* Stands in the 64 bytes in front of a block. */
typedef struct {
    size_t bytes, mapped; /* mapped: all of it, 0 where it is the allocator's */
    size_t live;          /* its bytes as they count in live_bytes: 0 in the free list */
} lrp_block;

#define BLOCK_OF(memory) ((lrp_block *)((char *)(memory) - 64))

/* A block with `spare` bytes at its end that may never be touched: no large page is wished for these. */
static void *allocate_block(size_t bytes, size_t spare) {
    void *found = NULL;
    if (bytes > PTRDIFF_MAX / 2) return NULL;
    bytes += spare;
#if defined(LRP_MAPS)
    if (bytes >= MAP_LEAST) {
        found = mmap(NULL, bytes + 128, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (found == MAP_FAILED) return NULL;
/* a wish: fewer, larger pages, which are cleared and found faster (VGG-16: a twentieth of the time) */
#if defined(MADV_HUGEPAGE)
        if (bytes - spare >= HUGE_LEAST) madvise(found, bytes - spare, MADV_HUGEPAGE);
#endif
        *(lrp_block *)found = (lrp_block){.bytes = bytes, .mapped = bytes + 128};
        return (char *)found + 64;
    }
#endif
#if defined(_WIN32)
    found = _aligned_malloc(bytes + 128, 64);
#else
    if (posix_memalign(&found, 64, bytes + 128)) return NULL;
#endif
    if (!found) return NULL;
    *(lrp_block *)found = (lrp_block){.bytes = bytes};
    return (char *)found + 64;
}

static void free_block(void *memory) {
    if (!memory) return;
    LRP_ASSERT((uintptr_t)memory % 64 == 0);
#if defined(LRP_MAPS)
    if (BLOCK_OF(memory)->mapped) {
        munmap(BLOCK_OF(memory), BLOCK_OF(memory)->mapped);
        return;
    }
#endif
#if defined(_WIN32)
    _aligned_free(BLOCK_OF(memory));
#else
    free(BLOCK_OF(memory));
#endif
}

#ifdef LRP_NO_THREADS

void *lrp_allocate_exactly(size_t bytes) { return allocate_block(bytes, 0); }
void *lrp_allocate(size_t bytes) { return allocate_block(bytes, 0); }
void lrp_release(void *memory) { free_block(memory); }

#else

#include <stdatomic.h>

static _Atomic(void *) slots[SLOTS];
static _Atomic size_t kept_bytes, live_bytes, peak_bytes; /* in the free list; in use; the most in use of late */
static atomic_uint next_slot;

/* The block in a slot, which is empty then; NULL if it was. */
static void *take(int slot) {
    void *found = atomic_exchange(&slots[slot], NULL);
    if (found) atomic_fetch_sub(&kept_bytes, BLOCK_OF(found)->bytes);
    return found;
}

/* Put a block into a slot; what was there is freed. */
static void put(int slot, void *memory) {
    atomic_fetch_add(&kept_bytes, BLOCK_OF(memory)->bytes);
    void *found = atomic_exchange(&slots[slot], memory);
    if (found) atomic_fetch_sub(&kept_bytes, BLOCK_OF(found)->bytes);
    free_block(found);
}

/* The smallest block of the free list that holds `bytes` and is not much too large; NULL if there is none. */
static void *best_kept(size_t bytes) {
    void *best = NULL;
    for (int i = 0; i < SLOTS; i++) {
        void *found = atomic_load_explicit(&slots[i], memory_order_relaxed) ? take(i) : NULL;
        if (!found) continue;
        const size_t size = BLOCK_OF(found)->bytes;
        if (size >= bytes && size <= bytes * 4 && (!best || size < BLOCK_OF(best)->bytes)) {
            void *other = best;
            best = found;
            found = other;
        }
        if (found) put(i, found);
    }
    return best;
}

/* Where the system has no more, the free list goes back to it first. */
void *lrp_allocate_exactly(size_t bytes) {
    void *found = allocate_block(bytes, 0);
    if (found) return found;
    for (int i = 0; i < SLOTS; i++) free_block(take(i));
    return allocate_block(bytes, 0);
}

void *lrp_allocate(size_t bytes) {
    if (bytes < KEEP_LEAST) return lrp_allocate_exactly(bytes);
    void *found = best_kept(bytes);
    /* a new one serves for a little more, too: what is not touched costs nothing */
    if (!found) found = allocate_block(bytes, bytes / 4);
    if (!found) found = lrp_allocate_exactly(bytes);
    if (!found) return NULL;
    BLOCK_OF(found)->live = BLOCK_OF(found)->bytes;
    const size_t live = atomic_fetch_add(&live_bytes, BLOCK_OF(found)->live) + BLOCK_OF(found)->live;
    if (live > atomic_load(&peak_bytes)) atomic_store(&peak_bytes, live);
    return found;
}

/* How many bytes the free list may hold: twice the recent peak of live bytes, which halves in 2800 releases, some
 * dozens of calls. */
static size_t bytes_to_keep(void) {
    const size_t peak = atomic_load(&peak_bytes);
    atomic_store(&peak_bytes, peak - peak / 4096);
    const size_t wished = 2 * peak;
    if (wished < KEEP_LITTLE) return KEEP_LITTLE;
    return wished > KEEP_MOST ? KEEP_MOST : wished;
}

void lrp_release(void *memory) {
    if (!memory || BLOCK_OF(memory)->bytes < KEEP_LEAST) {
        free_block(memory);
        return;
    }
    atomic_fetch_sub(&live_bytes, BLOCK_OF(memory)->live);
    BLOCK_OF(memory)->live = 0;
    int slot = 0;
    while (slot < SLOTS && atomic_load(&slots[slot])) slot++;
    put(slot < SLOTS ? slot : (int)(atomic_fetch_add(&next_slot, 1) % SLOTS), memory);
    const size_t limit = bytes_to_keep();
    /* A child of fork() may count what it has not: so it looks into each slot once. */
    for (int i = 0; i < SLOTS && atomic_load(&kept_bytes) > limit; i++)
        free_block(take((int)(atomic_fetch_add(&next_slot, 1) % SLOTS)));
}

#endif
