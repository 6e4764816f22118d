/* A pool of threads of its own: `lrp_parallel`.
 *
 * OpenMP is not used: its pool does not survive fork(), and two runtimes in one process fight for the cores. Here a
 * worker first spins for a fifth of a millisecond (the next layer usually follows within that, and to wake a thread
 * takes 50 to 100 microseconds, on a virtual machine above all) and then sleeps: a longer spin takes the core from
 * others, and where they have taken it from the worker, the caller's time as well. The caller never waits for a worker
 * that has not begun: a worker *joins* a job while its gate is open, and after the last item is handed out the caller
 * closes the gate and waits for those inside alone. On a busy machine that is the difference between a slow worker and
 * a slow explanation.
 *
 * The gate is one atomic word: the job's number, whether it is open, and how many workers are inside. The caller writes
 * the job's fields before it opens the gate, and a worker reads them between joining and leaving; the two are ordered
 * by the gate. Sleeping and waking are ordered by a mutex.
 */
#include "lrp.h"

#ifdef LRP_NO_THREADS /* a platform without pthreads and C11 atomics: everything is done by the caller */

void lrp_parallel(idx items, int threads, void (*body)(void *, idx, int), void *context) {
    (void)threads;
    LRP_ASSERT(items >= 0 && threads >= 1);
    for (idx item = 0; item < items; item++) body(context, item, 0);
}

#else

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

enum { SPINS = 64, SPIN_NANOSECONDS = 200000, MOST_WORKERS = 255, STACK_BYTES = 1 << 20 };

#define OPEN ((uint64_t)1 << 31)       /* in the gate: the job takes workers */
#define INSIDE(gate) ((gate) & (OPEN - 1))
#define NUMBER(gate) ((gate) >> 32)    /* which job: a worker joins each at most once */

typedef struct {
    _Atomic uint64_t gate;
    atomic_int sleepers;
    atomic_flag busy;                  /* a Python thread is in the pool */
    int workers;                       /* that were started; only whoever holds `busy` looks at it */
    pthread_mutex_t mutex;
    pthread_cond_t wake, done;
    /* the job */
    void (*body)(void *, idx, int);
    void *context;
    idx items;
    int threads;
    _Atomic idx next;
} pool_t;

typedef struct {
    pool_t *pool;
    int worker;
} start_t;

static _Atomic(pool_t *) the_pool;

static inline void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void run_items(pool_t *p, int worker) {
    for (;;) {
        idx item = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
        if (item >= p->items) return;
        p->body(p->context, item, worker);
    }
}

/* Whether the gate is open for a job that this worker has not joined yet. */
static inline int inviting(uint64_t gate, uint64_t last_job) { return (gate & OPEN) && NUMBER(gate) != last_job; }

static void leave(pool_t *p) {
    uint64_t before = atomic_fetch_sub(&p->gate, 1);
    LRP_ASSERT(INSIDE(before) >= 1 && INSIDE(before) <= MOST_WORKERS);
    if (!(before & OPEN) && INSIDE(before) == 1) { /* the caller may be asleep until the last one leaves */
        pthread_mutex_lock(&p->mutex);
        pthread_cond_signal(&p->done);
        pthread_mutex_unlock(&p->mutex);
    }
}

static void sleep_until_invited(pool_t *p, uint64_t last_job) {
    for (int64_t end = now() + SPIN_NANOSECONDS; now() < end;)
        for (int i = 0; i < SPINS; i++) {
            if (inviting(atomic_load_explicit(&p->gate, memory_order_relaxed), last_job)) return;
            pause_briefly();
        }
    pthread_mutex_lock(&p->mutex);
    /* Whoever opens the gate looks for sleepers afterwards, and here the gate is read after the count was raised: one
     * of the two sees the other. */
    atomic_fetch_add(&p->sleepers, 1);
    while (!inviting(atomic_load(&p->gate), last_job)) pthread_cond_wait(&p->wake, &p->mutex);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->mutex);
}

static void *work(void *argument) {
    start_t start = *(start_t *)argument;
    free(argument);
    pool_t *p = start.pool;
    for (uint64_t last_job = 0;;) {
        sleep_until_invited(p, last_job);
        uint64_t gate = atomic_load(&p->gate);
        if (!inviting(gate, last_job)) continue;
        if (!atomic_compare_exchange_weak(&p->gate, &gate, gate + 1)) continue;
        last_job = NUMBER(gate);
        if (start.worker < p->threads) run_items(p, start.worker);
        leave(p);
    }
    return NULL;
}

static void start_worker(pool_t *p, int worker, const pthread_attr_t *attributes) {
    start_t *start = malloc(sizeof *start);
    pthread_t thread;
    if (!start) return;
    *start = (start_t){.pool = p, .worker = worker};
    if (pthread_create(&thread, attributes, work, start)) free(start);
    else p->workers = worker;
}

/* Start what is missing of `wanted` workers. Where the system refuses, the pool stays smaller: that costs time only. */
static void grow(pool_t *p, int wanted) {
    sigset_t all, before;
    pthread_attr_t attributes;
    if (p->workers >= wanted || pthread_attr_init(&attributes)) return;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all); /* signals are the interpreter's business; threads inherit the mask */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int started = -1; p->workers < wanted && started != p->workers;) {
        started = p->workers;
        start_worker(p, started + 1, &attributes);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

/* After fork() only the caller's thread is left, and the old pool may be in any state: it is left behind. */
static void forget_pool(void) { atomic_store(&the_pool, NULL); }

static void watch_forks(void) { pthread_atfork(NULL, NULL, forget_pool); }

static pool_t *find_pool(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    pool_t *p = atomic_load(&the_pool), *none = NULL;
    if (p) return p;
    if (!(p = calloc(1, sizeof *p))) return NULL;
    atomic_flag_clear(&p->busy);
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->done, NULL);
    if (atomic_compare_exchange_strong(&the_pool, &none, p)) return p;
    free(p); /* another Python thread was faster */
    return none;
}

static void open_gate(pool_t *p) {
    LRP_ASSERT(INSIDE(atomic_load(&p->gate)) == 0); /* nobody is left of the job before */
    uint64_t number = NUMBER(atomic_load(&p->gate)) + 1;
    if (number >> 32) number = 1; /* 0 is no job: a new worker has joined none */
    atomic_store(&p->gate, number << 32 | OPEN);
    if (atomic_load(&p->sleepers)) {
        pthread_mutex_lock(&p->mutex);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->mutex);
    }
}

static void close_gate(pool_t *p) {
    atomic_fetch_and(&p->gate, ~OPEN);
    for (int64_t end = now() + SPIN_NANOSECONDS; now() < end;)
        for (int i = 0; i < SPINS; i++) {
            if (!INSIDE(atomic_load(&p->gate))) return;
            pause_briefly();
        }
    pthread_mutex_lock(&p->mutex);
    while (INSIDE(atomic_load(&p->gate))) pthread_cond_wait(&p->done, &p->mutex);
    pthread_mutex_unlock(&p->mutex);
}

void lrp_parallel(idx items, int threads, void (*body)(void *, idx, int), void *context) {
    LRP_ASSERT(items >= 0 && threads >= 1);
    if (threads > MOST_WORKERS + 1) threads = MOST_WORKERS + 1;
    if (threads > items) threads = (int)items;
    pool_t *p = threads > 1 ? find_pool() : NULL;
    if (!p || atomic_flag_test_and_set(&p->busy)) {
        for (idx item = 0; item < items; item++) body(context, item, 0);
        return;
    }
    grow(p, threads - 1);
    p->body = body;
    p->context = context;
    p->items = items;
    p->threads = threads;
    atomic_store(&p->next, 0);
    open_gate(p);
    run_items(p, 0);
    close_gate(p);
    atomic_flag_clear(&p->busy);
}

#endif
