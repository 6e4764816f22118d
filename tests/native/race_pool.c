/* The thread pool by itself, for ThreadSanitizer (which wants a program and not an interpreter):
 * tests/native/sanitize.sh.
 *
 * Several threads use the pool at once, with pauses in between that send its workers to sleep, and a child is forked in
 * the middle of it. The result of every job is checked.
 */
#include "lrp.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CALLERS = 4, MOST = 300 };

typedef struct {
    int counts[MOST], threads;
    int inside[16]; /* by worker: no two threads may run as the same one */
    int wrong;
} job_t;

static void item_body(void *context, idx item, int worker) {
    job_t *job = context;
    if (worker < 0 || worker >= job->threads) job->wrong = 1;
    if (job->inside[worker]++) job->wrong = 1;
    for (volatile int i = 0; i < 50; i++) {}
    job->counts[item]++;
    job->inside[worker]--;
}

static int one_job(unsigned *seed) {
    job_t job;
    memset(&job, 0, sizeof job);
    int items = rand_r(seed) % MOST;
    job.threads = 1 + rand_r(seed) % 5;
    lrp_parallel(items, job.threads, item_body, &job);
    for (int i = 0; i < MOST; i++)
        if (job.counts[i] != (i < items)) job.wrong = 1;
    return job.wrong;
}

static void *caller(void *argument) {
    unsigned seed = (unsigned)(size_t)argument;
    size_t wrong = 0;
    for (int i = 0; i < 2000; i++) {
        wrong += (size_t)one_job(&seed);
        if (i % 50 == 0) {
            struct timespec a_moment = {0, 1000000}; /* long enough for the workers to fall asleep */
            nanosleep(&a_moment, NULL);
        }
    }
    return (void *)wrong;
}

static size_t many_callers(void) {
    pthread_t threads[CALLERS];
    size_t wrong = 0;
    for (size_t i = 0; i < CALLERS; i++) pthread_create(&threads[i], NULL, caller, (void *)(i + 1));
    for (size_t i = 0; i < CALLERS; i++) {
        void *found;
        pthread_join(threads[i], &found);
        wrong += (size_t)found;
    }
    return wrong;
}

int main(void) {
    size_t wrong = many_callers();
    for (int round = 0; round < 3; round++) {
        pid_t child = fork();
        if (child == 0) {
            unsigned seed = 7;
            int bad = 0;
            for (int i = 0; i < 200; i++) bad += one_job(&seed);
            _exit(bad != 0);
        }
        int status;
        waitpid(child, &status, 0);
        wrong += status != 0;
        wrong += (size_t)(long)caller((void *)(size_t)(round + 9));
    }
    printf("%zu jobs were wrong\n", wrong);
    return wrong != 0;
}
