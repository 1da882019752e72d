/*
 * threads.c - a program for a Linux guest with several CPUs: what one thread does to memory and
 * to mappings, the others must see when the manual says so.
 *
 *   threads [ROUNDS]      prints a line for each check, ends with status 1 if one went wrong
 *
 * A stale TLB entry, a locked instruction that is none, a lost wake-up or interrupt, or state of
 * one thread in another's registers shows as a wrong number here, or as a hang.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, THREADS_MAX = 8, FILE_PAGES = 16 };

static unsigned rounds = 2000;
static atomic_ulong wrongs;
static atomic_bool stop;

static void die(const char *what)
{
    printf("%s: %s\n", what, strerror(errno));
    exit(2);
}

static void *map(size_t bytes, int protection)
{
    void *p = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        die("mmap");
    }
    return p;
}

static pthread_t begin(void *(*function)(void *), void *argument)
{
    pthread_t thread;

    errno = pthread_create(&thread, NULL, function, argument);
    if (errno) {
        die("pthread_create");
    }
    return thread;
}

static void wrong(const char *what, uint64_t got, uint64_t wanted)
{
    if (wrongs++ < 20) {
        printf("WRONG %s: %lu, wanted %lu\n", what, (unsigned long)got, (unsigned long)wanted);
    }
}

static void expect(const char *what, uint64_t got, uint64_t wanted)
{
    if (got != wanted) {
        wrong(what, got, wanted);
    }
}

/* ------------------------------------------------------------------ futexes */

static void futex_wait(atomic_uint *word, unsigned value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(atomic_uint *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

static atomic_uint turn;
static uint64_t handed; /* without any lock: whose turn it is has it */

static void *take_turns(void *argument)
{
    unsigned own = (unsigned)(uintptr_t)argument;

    for (unsigned i = 0; i < rounds; i++) {
        unsigned value;
        while ((value = turn) != own) {
            futex_wait(&turn, value);
        }
        handed++;
        turn = !own;
        futex_wake(&turn, 1);
    }
    return NULL;
}

static void check_hand_overs(void)
{
    pthread_t other = begin(take_turns, (void *)1);

    take_turns(NULL);
    pthread_join(other, NULL);
    expect("hand-overs", handed, 2 * (uint64_t)rounds);
}

/* 0 free, 1 held, 2 held and somebody may wait. */
static atomic_uint lock;
static uint64_t guarded[2]; /* equal while nobody has the lock */

static void acquire(void)
{
    unsigned expected = 0;

    if (!atomic_compare_exchange_strong(&lock, &expected, 1)) {
        while (atomic_exchange(&lock, 2) != 0) {
            futex_wait(&lock, 2);
        }
    }
}

static void release(void)
{
    if (atomic_exchange(&lock, 0) == 2) {
        futex_wake(&lock, 1);
    }
}

static void *use_lock(void *argument)
{
    for (unsigned i = 0; i < 4 * rounds; i++) {
        acquire();
        expect("what a lock guards", guarded[1], guarded[0]);
        guarded[0]++;
        if (i % 64 == 0) {
            sched_yield();
        }
        guarded[1]++;
        release();
    }
    return argument;
}

static void run_threads(void *(*function)(void *), unsigned count)
{
    pthread_t threads[THREADS_MAX];

    for (unsigned i = 0; i < count; i++) {
        threads[i] = begin(function, (void *)(uintptr_t)i);
    }
    for (unsigned i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void check_lock(void)
{
    run_threads(use_lock, 4);
    expect("a lock's counter", guarded[0], 16 * (uint64_t)rounds);
}

/* ------------------------------------------------------------------ locked instructions */

static uint64_t sums[4];
static _Alignas(16) uint64_t pair[2];
static uint8_t unaligned[128] __attribute__((aligned(64)));

static void *add_up(void *argument)
{
    uint32_t *across = (uint32_t *)(unaligned + 62); /* two cache lines */

    for (unsigned i = 0; i < 20 * rounds; i++) {
        uint64_t one = 1, low = pair[0], high = pair[1];
        bool same;
        __asm__ volatile("lock incq %0" : "+m"(sums[0]));
        __asm__ volatile("lock xaddq %1, %0" : "+m"(sums[1]), "+r"(one));
        __asm__ volatile("lock subl $1, %0" : "+m"(*across));
        __asm__ volatile("lock btcq %1, %0" : "+m"(sums[2]) : "r"((uint64_t)argument));
        do {
            __asm__ volatile("lock cmpxchg16b %1"
                             : "=@ccz"(same), "+m"(pair), "+a"(low), "+d"(high)
                             : "b"(low + 1), "c"(high - 1));
        } while (!same);
    }
    return argument;
}

static void check_locked(void)
{
    uint64_t count = 4 * 20 * (uint64_t)rounds;
    uint32_t across;

    run_threads(add_up, 4);
    memcpy(&across, unaligned + 62, sizeof(across));
    expect("lock inc", sums[0], count);
    expect("lock xadd", sums[1], count);
    expect("lock sub over two lines", across, (uint32_t)-count);
    expect("lock btc", sums[2], 0); /* an even number of times for each bit */
    expect("lock cmpxchg16b", pair[0], count);
    expect("lock cmpxchg16b, high", pair[1], (uint64_t)-count);
}

/* ------------------------------------------------------------------ mappings that change */

static volatile uint64_t *slot; /* a page that is mapped anew all the time */
static atomic_ulong published;  /* the number that it has had since its last change */
static _Thread_local sigjmp_buf after_fault;
static _Thread_local volatile bool may_fault;

static void on_fault(int number)
{
    if (!may_fault) {
        static const char text[] = "WRONG: a fault where none can be\n";
        if (write(1, text, sizeof(text) - 1) < 0) {
            _exit(3);
        }
        _exit(1);
    }
    siglongjmp(after_fault, number);
}

/* Numbers only grow, and a page keeps the last that it has been given: whoever reads through a
 * stale translation sees a number older than what has been published. */
static void *read_slot(void *argument)
{
    while (!stop) {
        uint64_t least = published, got = *slot;
        if (got < least) {
            wrong("a page mapped in place of another", got, least);
        }
    }
    return argument;
}

static void check_remapping(void)
{
    int file = memfd_create("pages", 0);
    uint64_t *pages;
    pthread_t readers[2];

    if (file < 0 || ftruncate(file, FILE_PAGES * PAGE) < 0) {
        die("memfd");
    }
    pages = mmap(NULL, FILE_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    slot = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file, 0);
    if (pages == MAP_FAILED || slot == MAP_FAILED) {
        die("mmap");
    }
    stop = false;
    for (unsigned i = 0; i < 2; i++) {
        readers[i] = begin(read_slot, NULL);
    }
    for (uint64_t number = 1; number <= rounds; number++) {
        uint64_t page = number % FILE_PAGES;
        pages[page * PAGE / sizeof(*pages)] = number;
        if (mmap((void *)(uintptr_t)slot, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, file,
                 (off_t)(page * PAGE)) == MAP_FAILED) {
            die("mmap");
        }
        published = number;
    }
    stop = true;
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(readers[i], NULL);
    }
    munmap(pages, FILE_PAGES * PAGE);
    munmap((void *)(uintptr_t)slot, PAGE);
    close(file);
    published = 0;
}

static void *write_slot(void *argument)
{
    may_fault = true;
    sigsetjmp(after_fault, 1); /* again, until it is writable again */
    while (!stop) {
        (*slot)++;
    }
    may_fault = false;
    return argument;
}

static void check_protection(void)
{
    pthread_t writer;

    slot = map(PAGE, PROT_READ | PROT_WRITE);
    stop = false;
    writer = begin(write_slot, NULL);
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t before;
        if (mprotect((void *)(uintptr_t)slot, PAGE, PROT_READ) < 0) {
            die("mprotect");
        }
        before = *slot;
        for (unsigned n = 0; n < 200; n++) {
            expect("a page that may only be read", *slot, before);
        }
        if (mprotect((void *)(uintptr_t)slot, PAGE, PROT_READ | PROT_WRITE) < 0) {
            die("mprotect");
        }
        while (i % 8 == 0 && *slot == before) { /* it goes on writing */
            sched_yield();
        }
    }
    stop = true;
    pthread_join(writer, NULL);
    munmap((void *)(uintptr_t)slot, PAGE);
}

/* published: even while the page is there, with that number in it; odd while it is not; 0 while it
 * changes. */
static void *touch_slot(void *argument)
{
    may_fault = true;
    while (!stop) {
        volatile uint64_t before = published, got = ~0ull;
        volatile bool faulted = true;
        if (sigsetjmp(after_fault, 1) == 0) {
            got = *slot;
            faulted = false;
        }
        if (before != published) {
            continue;
        }
        if (before % 2) {
            expect("a page that may not be accessed faults", faulted, true);
        } else if (before) {
            expect("a page that is mapped does not fault", faulted, false);
            expect("the new page", got, before);
        }
    }
    may_fault = false;
    return argument;
}

static void check_presence(void)
{
    void *place = map(PAGE, PROT_NONE);
    pthread_t toucher;
    unsigned i;

    slot = place;
    published = 0;
    stop = false;
    toucher = begin(touch_slot, NULL);
    for (i = 1; i <= rounds; i++) {
        uint64_t *page = map(PAGE, PROT_READ | PROT_WRITE);
        *page = 2 * (uint64_t)i;
        if (page != place &&
            mremap(page, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place) != place) {
            die("mremap");
        }
        published = 2 * i;
        if (i % 4 == 0) {
            sched_yield();
        }
        published = 0;
        if (i % 2 ? munmap(place, PAGE) < 0 : mprotect(place, PAGE, PROT_NONE) < 0) {
            die("munmap");
        }
        published = 2 * i + 1;
        if (i % 4 == 1) {
            sched_yield();
        }
        published = 0;
    }
    stop = true;
    pthread_join(toucher, NULL);
    munmap(place, PAGE);
}

/* fork write-protects the pages of a process whose other threads are writing them. */
static void check_fork(void)
{
    pthread_t writer;

    slot = map(PAGE, PROT_READ | PROT_WRITE);
    stop = false;
    writer = begin(write_slot, NULL);
    for (unsigned i = 0; i < rounds / 50 + 1; i++) {
        int status;
        pid_t child = fork();
        if (child < 0) {
            die("fork");
        }
        if (child == 0) {
            uint64_t before = *slot;
            for (unsigned n = 0; n < 2000; n++) {
                if (*slot != before) {
                    _exit(1);
                }
            }
            _exit(0);
        }
        if (waitpid(child, &status, 0) < 0) {
            die("waitpid");
        }
        expect("a child's memory", (unsigned)status, 0);
    }
    stop = true;
    pthread_join(writer, NULL);
    munmap((void *)(uintptr_t)slot, PAGE);
}

/* ------------------------------------------------------------------ code and registers */

static uint8_t *code; /* mov eax, NUMBER; ret */
static atomic_uint code_turn;

static void *run_code(void *argument)
{
    for (unsigned i = 1; i <= rounds; i++) {
        unsigned value, a = 0, b, c = 0, d;
        while ((value = code_turn) != 2 * i - 1) {
            futex_wait(&code_turn, value);
        }
        __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d)::"memory");
        expect("code of another thread's", ((unsigned (*)(void))(uintptr_t)code)(), i);
        code_turn = 2 * i;
        futex_wake(&code_turn, 1);
    }
    return argument;
}

static void check_code(void)
{
    pthread_t other;

    code = map(PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
    code[0] = 0xb8;
    code[5] = 0xc3;
    other = begin(run_code, NULL);
    for (unsigned i = 1; i <= rounds; i++) {
        unsigned value;
        memcpy(code + 1, &i, sizeof(i));
        code_turn = 2 * i - 1;
        futex_wake(&code_turn, 1);
        while ((value = code_turn) != 2 * i) {
            futex_wait(&code_turn, value);
        }
    }
    pthread_join(other, NULL);
    munmap(code, PAGE);
}

/* Vector registers keep their values through system calls, preemption and moves to other CPUs. */
static void *keep_registers(void *argument)
{
    uint64_t own = (uint64_t)argument + 0x1234567800000000;
    unsigned cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);

    for (unsigned i = 0; i < rounds; i++) {
        uint64_t value = own + i, got;
        long number = SYS_sched_yield;
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((i + own) % cpus, &set);
        if (i % 16 == 0 && sched_setaffinity(0, sizeof(set), &set) < 0) {
            die("sched_setaffinity");
        }
        __asm__ volatile("vmovq %2, %%xmm7; vpbroadcastq %%xmm7, %%ymm7; syscall;"
                         "vextracti128 $1, %%ymm7, %%xmm6; vpextrq $1, %%xmm6, %1"
                         : "+a"(number), "=r"(got)
                         : "r"(value)
                         : "rcx", "r11", "xmm6", "xmm7", "memory");
        expect("a vector register", got, value);
    }
    return argument;
}

static void check_registers(void)
{
    if (__builtin_cpu_supports("avx2")) {
        run_threads(keep_registers, 4);
    }
}

/* ------------------------------------------------------------------ */

int main(int count, char **arguments)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } checks[] = {
        {"hand-overs", check_hand_overs},
        {"lock", check_lock},
        {"locked", check_locked},
        {"remapping", check_remapping},
        {"protection", check_protection},
        {"presence", check_presence},
        {"fork", check_fork},
        {"code", check_code},
        {"registers", check_registers},
    };
    const struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};

    if (count > 1) {
        rounds = (unsigned)atoi(arguments[1]);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    sigaction(SIGSEGV, &action, NULL);
    for (unsigned i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        unsigned long before = wrongs;
        checks[i].run();
        printf("%s: %s\n", checks[i].name, wrongs == before ? "well" : "WRONG");
    }
    return wrongs != 0;
}
