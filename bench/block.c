/*
 * block.c - how fast a disk is, past all caches of the system that this runs in.
 *
 *   block DEVICE        overwrites its first 64 MiB
 *
 * For each measurement a line "BEGIN name" and, after it, "RESULT name seconds operations bytes".
 *
 * Build: gcc -O2 -static -pthread -o block block.c
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { AREA = 64 << 20, THREADS_MAX = 8 };

struct measurement {
    const char *name;
    unsigned block_bytes, operations, threads;
    bool writes, random, flushes;
};

struct worker {
    const struct measurement *m;
    unsigned first; /* of its operations; every threads-th is its own */
};

static int device;

static void die(const char *what)
{
    fprintf(stderr, "block: %s: %s\n", what, strerror(errno));
    exit(1);
}

static off_t place(const struct measurement *m, unsigned operation)
{
    unsigned blocks = AREA / m->block_bytes;
    uint64_t number = operation;

    if (m->random) { /* the same for everyone, and far from the one before */
        number = (number + 1) * 0x9e3779b97f4a7c15;
        number ^= number >> 29;
    }
    return (off_t)(number % blocks * m->block_bytes);
}

static void *work(void *context)
{
    const struct worker *w = context;
    const struct measurement *m = w->m;
    void *buffer;

    if (posix_memalign(&buffer, 4096, m->block_bytes)) {
        die("memory");
    }
    memset(buffer, 0x5a, m->block_bytes);
    for (unsigned i = w->first; i < m->operations; i += m->threads) {
        ssize_t done = m->writes ? pwrite(device, buffer, m->block_bytes, place(m, i))
                                 : pread(device, buffer, m->block_bytes, place(m, i));
        if (done != (ssize_t)m->block_bytes) {
            die(m->name);
        }
        if (m->flushes && fdatasync(device) < 0) {
            die("fdatasync");
        }
    }
    free(buffer);
    return NULL;
}

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void measure(const struct measurement *m)
{
    struct worker workers[THREADS_MAX];
    pthread_t threads[THREADS_MAX];
    double start;

    printf("BEGIN %s\n", m->name);
    start = now();
    for (unsigned i = 0; i < m->threads; i++) {
        workers[i] = (struct worker){.m = m, .first = i};
        errno = pthread_create(&threads[i], NULL, work, &workers[i]);
        if (errno) {
            die("thread");
        }
    }
    for (unsigned i = 0; i < m->threads; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("RESULT %s %.6f %u %u\n", m->name, now() - start, m->operations, m->block_bytes);
}

int main(int count, char **arguments)
{
    static const struct measurement measurements[] = {
        {"write-1M", 1 << 20, 128, 1, .writes = true},
        {"read-1M", 1 << 20, 128, 1, .writes = false},
        {"write-4K", 4096, 2000, 1, .writes = true, .random = true},
        {"read-4K", 4096, 2000, 1, .random = true},
        {"write-4K-x8", 4096, 4000, 8, .writes = true, .random = true},
        {"read-4K-x8", 4096, 4000, 8, .random = true},
        {"write-4K-flush", 4096, 200, 1, .writes = true, .random = true, .flushes = true},
    };

    if (count != 2) {
        fprintf(stderr, "block DEVICE\n");
        return 2;
    }
    device = open(arguments[1], O_RDWR | O_DIRECT);
    if (device < 0) {
        die(arguments[1]);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (unsigned i = 0; i < sizeof(measurements) / sizeof(measurements[0]); i++) {
        measure(&measurements[i]);
    }
    printf("BLOCK-DONE\n");
    return 0;
}
