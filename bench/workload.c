/*
 * workload.c - guest/host benchmark multi-tool.
 *
 *   workload list                        print the benchmark names
 *   workload NAME                        run one benchmark
 *   workload run NAME OPS OP CMD ARG...  time an external command of OPS ops
 *   workload gentext FILE BYTES          write deterministic pseudo-text
 *   workload nop                         exit at once (for the exec benchmark)
 *
 * A benchmark prints
 *
 *   BEGIN name
 *   RESULT name seconds cpu-seconds ops op-name check
 *
 * where "seconds" comes from CLOCK_MONOTONIC, "cpu-seconds" is what the kernel
 * says the benchmark's processes used (less than "seconds" on a host whose own
 * hypervisor steals time), and "check" is a checksum of what was computed,
 * equal on every machine that executed the program correctly (0 where there is
 * nothing to check).  WL_SCALE=n in the environment divides the amount of work
 * by n, for slow machines, and WL_TIMES=n multiplies it, so that a program's
 * start counts for less.
 *
 * Build: gcc -O2 -static -o workload workload.c -lm
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
    fprintf(stderr, "workload: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ------------------------------------------------------------------ clock */

static uint64_t clock_start;
static double cpu_start;

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Of this process and of the children it has waited for. */
static double cpu_seconds(void)
{
    struct rusage own, children;

    getrusage(RUSAGE_SELF, &own);
    getrusage(RUSAGE_CHILDREN, &children);
    return (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec + children.ru_utime.tv_sec +
                    children.ru_stime.tv_sec) +
           (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec + children.ru_utime.tv_usec +
                    children.ru_stime.tv_usec) /
               1e6;
}

/* Called before every benchmark, and again by those with a set-up phase. */
static void start_clock(void)
{
    cpu_start = cpu_seconds();
    clock_start = now_ns();
}

static void begin(const char *name)
{
    printf("BEGIN %s\n", name);
    fflush(stdout);
    tcdrain(STDOUT_FILENO); /* a slow serial console */
    start_clock();
}

static void result(const char *name, uint64_t ops, const char *op, uint64_t check)
{
    double seconds = (double)(now_ns() - clock_start) / 1e9;

    printf("RESULT %s %.6f %.6f %llu %s %016llx\n", name, seconds, cpu_seconds() - cpu_start,
           (unsigned long long)ops, op, (unsigned long long)check);
    fflush(stdout);
}

/* ---------------------------------------------------------------- helpers */

static uint64_t rng_state;

static uint64_t rng(void)
{
    uint64_t z = (rng_state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t mix(uint64_t sum, uint64_t value)
{
    sum = (sum ^ value) * 0x100000001b3u;
    return sum ^ (sum >> 29);
}

static void *alloc(size_t bytes)
{
    void *p = aligned_alloc(4096, (bytes + 4095) & ~(size_t)4095);

    if (!p)
        die("alloc");
    memset(p, 0, bytes);
    return p;
}

/* ------------------------------------------------ CPU-bound, in user mode */

static void sort_u32(uint32_t *a, long n)
{
    while (n > 16) {
        uint32_t pivot = a[n / 2];
        long i = 0, j = n - 1;

        while (i <= j) {
            while (a[i] < pivot)
                i++;
            while (a[j] > pivot)
                j--;
            if (i <= j) {
                uint32_t t = a[i];
                a[i++] = a[j];
                a[j--] = t;
            }
        }
        sort_u32(a, j + 1);
        a += i;
        n -= i;
    }
    for (long i = 1; i < n; i++) {
        uint32_t v = a[i];
        long j = i;

        for (; j > 0 && a[j - 1] > v; j--)
            a[j] = a[j - 1];
        a[j] = v;
    }
}

/* One round: sieve to 2^19, 2^15 hash inserts + 2^17 lookups, sort 2^15. */
static uint64_t bench_int(uint64_t rounds)
{
    enum { SIEVE = 1 << 19, SLOTS = 1 << 16, KEYS = 1 << 15 };
    uint8_t *composite = alloc(SIEVE);
    struct {
        uint32_t key, value;
    } *map = alloc(SLOTS * sizeof *map);
    uint32_t *keys = alloc(KEYS * sizeof *keys);
    uint64_t sum = 0;

    start_clock();
    for (uint64_t r = 0; r < rounds; r++) {
        uint32_t primes = 0;

        memset(composite, 0, SIEVE);
        for (uint32_t i = 2; i < SIEVE; i++) {
            if (composite[i])
                continue;
            primes++;
            for (uint64_t j = (uint64_t)i * i; j < SIEVE; j += i)
                composite[j] = 1;
        }
        sum = mix(sum, primes);

        memset(map, 0, SLOTS * sizeof *map);
        for (uint32_t i = 0; i < KEYS; i++) {
            uint32_t key = (uint32_t)rng() | 1;
            uint32_t slot = (key * 0x9e3779b1u) >> 16;

            while (map[slot].key && map[slot].key != key)
                slot = (slot + 1) % SLOTS;
            map[slot].key = key;
            map[slot].value += i;
            keys[i] = key;
        }
        for (uint32_t i = 0; i < 4 * KEYS; i++) {
            uint32_t key = keys[(i * 40503u) % KEYS] + (i & 2);
            uint32_t slot = (key * 0x9e3779b1u) >> 16;

            while (map[slot].key && map[slot].key != key)
                slot = (slot + 1) % SLOTS;
            sum += map[slot].value;
        }

        sort_u32(keys, KEYS);
        for (uint32_t i = 0; i < KEYS; i += 64)
            sum = mix(sum, keys[i]);
    }
    return sum;
}

/* Dependent loads around a random cycle through 1 MiB of cache lines. */
static uint64_t bench_chase(uint64_t steps)
{
    enum { NODES = (1 << 20) / 64 };
    struct node {
        struct node *next;
        uint64_t id;
        char pad[48];
    } * node, *p;
    uint32_t *order;

    _Static_assert(sizeof(struct node) <= 64, "one node per cache line");
    node = alloc(NODES * sizeof *node);
    order = alloc(NODES * sizeof *order);
    for (uint32_t i = 0; i < NODES; i++)
        order[i] = i;
    for (uint32_t i = NODES - 1; i > 0; i--) {
        uint32_t j = rng() % i, t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    for (uint32_t i = 0; i < NODES; i++) {
        node[order[i]].next = &node[order[(i + 1) % NODES]];
        node[order[i]].id = i;
    }
    p = node;
    start_clock();
    for (uint64_t i = 0; i < steps; i++)
        p = p->next;
    return mix(1, p->id);
}

/*
 * A register bytecode machine with one indirect branch per instruction; one op
 * is one Collatz sequence, of some 700 bytecode instructions.
 */
enum { OP_LI, OP_ADD, OP_SHR1, OP_MUL3, OP_ANDI, OP_JZ, OP_JNE, OP_JMP, OP_STORE, OP_HALT };

struct insn {
    uint8_t op, a, b;
    int8_t target;
    int32_t imm;
};

static uint64_t bench_interp(uint64_t sequences)
{
    /* r0 n, r1 x, r2 steps, r3 scratch, r4 one, r5 total, r6 limit */
    static const struct insn prog[] = {
        /*  0 */ {OP_LI, 4, 0, 0, 1},
        /*  1 */ {OP_LI, 0, 0, 0, 1},
        /*  2 */ {OP_LI, 2, 0, 0, 0},
        /*  3 */ {OP_ADD, 0, 4, 0, 0},
        /*  4 */ {OP_LI, 1, 0, 0, 0},
        /*  5 */ {OP_ADD, 1, 0, 0, 0},
        /*  6 */ {OP_ANDI, 3, 1, 0, 1},
        /*  7 */ {OP_JZ, 3, 0, 11, 0},
        /*  8 */ {OP_MUL3, 1, 0, 0, 0},
        /*  9 */ {OP_ADD, 1, 4, 0, 0},
        /* 10 */ {OP_JMP, 0, 0, 12, 0},
        /* 11 */ {OP_SHR1, 1, 0, 0, 0},
        /* 12 */ {OP_ADD, 2, 4, 0, 0},
        /* 13 */ {OP_JNE, 1, 4, 6, 0},
        /* 14 */ {OP_STORE, 2, 0, 0, 0},
        /* 15 */ {OP_ADD, 5, 2, 0, 0},
        /* 16 */ {OP_JNE, 0, 6, 2, 0},
        /* 17 */ {OP_HALT, 0, 0, 0, 0},
    };
    static const void *const label[] = {&&li, &&add, &&shr1, &&mul3,  &&andi,
                                        &&jz, &&jne, &&jmp,  &&store, &&halt};
    static uint64_t mem[256];
    uint64_t r[8] = {0};
    const struct insn *pc = prog;

    r[6] = sequences + 1;
#define NEXT goto *label[pc->op]
    NEXT;
li:
    r[pc->a] = (uint64_t)(int64_t)pc->imm;
    pc++;
    NEXT;
add:
    r[pc->a] += r[pc->b];
    pc++;
    NEXT;
shr1:
    r[pc->a] >>= 1;
    pc++;
    NEXT;
mul3:
    r[pc->a] *= 3;
    pc++;
    NEXT;
andi:
    r[pc->a] = r[pc->b] & (uint64_t)pc->imm;
    pc++;
    NEXT;
jz:
    pc = r[pc->a] ? pc + 1 : prog + pc->target;
    NEXT;
jne:
    pc = r[pc->a] != r[pc->b] ? prog + pc->target : pc + 1;
    NEXT;
jmp:
    pc = prog + pc->target;
    NEXT;
store:
    mem[r[pc->a] & 255] += r[pc->b];
    pc++;
    NEXT;
halt:
#undef NEXT
    for (int i = 0; i < 256; i++)
        r[5] = mix(r[5], mem[i]);
    return r[5];
}

/* The empty asms keep the compiler from turning either call into a loop. */
static __attribute__((noipa)) uint64_t fib(unsigned n)
{
    uint64_t a, b;

    if (n < 2)
        return n;
    a = fib(n - 1);
    __asm__ volatile("" : "+r"(a));
    b = fib(n - 2);
    __asm__ volatile("" : "+r"(b));
    return a + b;
}

static uint64_t bench_fib(uint64_t calls)
{
    uint64_t sum = 0;

    for (; calls >= 2692537; calls -= 2692537) /* calls in fib(30) */
        sum = mix(sum, fib(30));
    return sum;
}

/* Packed doubles: n*n*n multiply-adds a round. */
static uint64_t bench_matmul(uint64_t rounds)
{
    enum { N = 256 };
    double(*a)[N] = alloc(sizeof(double[N][N]));
    double(*b)[N] = alloc(sizeof(double[N][N]));
    double(*c)[N] = alloc(sizeof(double[N][N]));
    uint64_t sum = 0, bits;

    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            a[i][j] = (double)(rng() >> 40) / (1 << 24) - 0.5;
            b[i][j] = (double)(rng() >> 40) / (1 << 24) - 0.5;
        }
    start_clock();
    for (uint64_t r = 0; r < rounds; r++) {
        memset(c, 0, sizeof(double[N][N]));
        for (int i = 0; i < N; i++)
            for (int k = 0; k < N; k++) {
                double f = a[i][k];
                for (int j = 0; j < N; j++)
                    c[i][j] += f * b[k][j];
            }
        a[r % N][r % N] += c[0][0];
    }
    for (int i = 0; i < N; i++) {
        memcpy(&bits, &c[i][i], sizeof bits);
        sum = mix(sum, bits);
    }
    return sum;
}

/* Scalar doubles with divide and square root. */
static uint64_t bench_nbody(uint64_t steps)
{
    enum { BODIES = 5 };
    struct {
        double x[3], v[3], m;
    } body[BODIES];
    const double dt = 1e-3, soft = 1e-2;
    uint64_t sum = 0, bits;

    for (int i = 0; i < BODIES; i++) {
        for (int d = 0; d < 3; d++) {
            body[i].x[d] = (double)(rng() >> 44) / (1 << 20) - 0.5;
            body[i].v[d] = 0;
        }
        body[i].m = 1.0 + i;
    }
    for (uint64_t s = 0; s < steps; s++) {
        for (int i = 0; i < BODIES; i++)
            for (int j = i + 1; j < BODIES; j++) {
                double d[3], r2 = soft, f;

                for (int k = 0; k < 3; k++) {
                    d[k] = body[j].x[k] - body[i].x[k];
                    r2 += d[k] * d[k];
                }
                f = dt / (r2 * sqrt(r2));
                for (int k = 0; k < 3; k++) {
                    body[i].v[k] += d[k] * f * body[j].m;
                    body[j].v[k] -= d[k] * f * body[i].m;
                }
            }
        for (int i = 0; i < BODIES; i++)
            for (int k = 0; k < 3; k++)
                body[i].x[k] += dt * body[i].v[k];
    }
    for (int i = 0; i < BODIES; i++)
        for (int k = 0; k < 3; k++) {
            memcpy(&bits, &body[i].x[k], sizeof bits);
            sum = mix(sum, bits);
        }
    return sum;
}

/* SHA-256 as FIPS 180-4 defines it, its constants computed, not tabulated. */
static uint32_t sha_k[64], sha_h0[8];

static uint32_t root_bits(double root)
{
    return (uint32_t)((root - floor(root)) * 4294967296.0);
}

static void sha256_init(void)
{
    int n = 0;

    for (int p = 2; n < 64; p++) {
        int prime = 1;

        for (int d = 2; d * d <= p; d++)
            if (p % d == 0)
                prime = 0;
        if (!prime)
            continue;
        if (n < 8)
            sha_h0[n] = root_bits(sqrt(p));
        sha_k[n++] = root_bits(cbrt(p));
    }
}

static inline uint32_t ror(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static void sha256_block(uint32_t h[8], const uint8_t *p)
{
    uint32_t w[64], a = h[0], b = h[1], c = h[2], d = h[3];
    uint32_t e = h[4], f = h[5], g = h[6], i = h[7];

    for (int t = 0; t < 16; t++)
        w[t] = (uint32_t)p[4 * t] << 24 | (uint32_t)p[4 * t + 1] << 16 |
               (uint32_t)p[4 * t + 2] << 8 | p[4 * t + 3];
    for (int t = 16; t < 64; t++) {
        uint32_t s0 = ror(w[t - 15], 7) ^ ror(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = ror(w[t - 2], 17) ^ ror(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = s1 + w[t - 7] + s0 + w[t - 16];
    }
    for (int t = 0; t < 64; t++) {
        uint32_t t1 =
            i + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) + ((e & f) ^ (~e & g)) + sha_k[t] + w[t];
        uint32_t t2 = (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        i = g;
        g = f;
        f = e;
        e = d + t1;
        d = c;
        c = b;
        b = a;
        a = t1 + t2;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
    h[5] += f;
    h[6] += g;
    h[7] += i;
}

/* Whole 64-byte blocks first, then one padded block; enough for our use. */
static void sha256(uint32_t h[8], const uint8_t *p, uint64_t n, int passes)
{
    uint8_t last[64] = {0};
    uint64_t bits = n * (uint64_t)passes * 8, tail = n % 64;

    memcpy(h, sha_h0, sizeof sha_h0);
    for (int k = 0; k < passes; k++)
        for (uint64_t i = 0; i + 64 <= n; i += 64)
            sha256_block(h, p + i);
    memcpy(last, p + n - tail, tail);
    last[tail] = 0x80;
    for (int i = 0; i < 8; i++)
        last[63 - i] = (uint8_t)(bits >> 8 * i);
    sha256_block(h, last);
}

static uint64_t bench_sha256(uint64_t mib)
{
    enum { BUF = 1 << 20 };
    uint8_t *buf = alloc(BUF);
    uint32_t h[8];

    sha256_init();
    sha256(h, (const uint8_t *)"abc", 3, 1);
    if (h[0] != 0xba7816bf || h[7] != 0xf20015ad) {
        fprintf(stderr, "workload: sha256 self-test failed\n");
        exit(1);
    }
    for (int i = 0; i < BUF; i++)
        buf[i] = (uint8_t)rng();
    start_clock();
    sha256(h, buf, BUF, (int)mib);
    return (uint64_t)h[0] << 32 | h[7];
}

/* Read-modify-write of one word in random pages of 64 MiB: TLB misses. */
static uint64_t bench_tlb(uint64_t touches)
{
    enum { PAGES = 16384, WORDS = 4096 / 8 };
    uint64_t *mem = mmap(NULL, (size_t)PAGES * 4096, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t x = 12345, sum = 0;

    if (mem == MAP_FAILED)
        die("mmap");
    madvise(mem, (size_t)PAGES * 4096, MADV_NOHUGEPAGE);
    for (uint32_t i = 0; i < PAGES; i++)
        mem[(uint64_t)i * WORDS + i % WORDS] = i;
    start_clock();
    for (uint64_t i = 0; i < touches; i++) {
        uint64_t page;

        x = x * 6364136223846793005u + 1442695040888963407u;
        page = x >> 50;
        sum += mem[page * WORDS + page % WORDS]++;
    }
    return sum;
}

/* The x86 string instruction, in 64 KiB pieces. */
static uint64_t bench_repmovs(uint64_t mib)
{
    enum { CHUNK = 1 << 16 };
    uint8_t *a = alloc(CHUNK), *b = alloc(CHUNK);
    uint64_t sum = 0;

    for (int i = 0; i < CHUNK; i++)
        a[i] = (uint8_t)rng();
    start_clock();
    for (uint64_t i = 0; i < mib * 16; i++) {
        void *dst = i & 1 ? a : b, *src = i & 1 ? b : a;
        size_t n = CHUNK / sizeof(long);

        __asm__ volatile(
#ifdef __x86_64__
            "rep movsq"
#else
            "rep movsl"
#endif
            : "+D"(dst), "+S"(src), "+c"(n)
            :
            : "memory");
    }
    for (int i = 0; i < CHUNK; i++)
        sum = mix(sum, b[i]);
    return sum;
}

/* Code written, run and rewritten in place: one op is one rewrite + call. */
static uint64_t bench_smc(uint64_t rewrites)
{
    uint8_t *code =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t sum = 0;

    if (code == MAP_FAILED)
        die("mmap");
    code[0] = 0xb8; /* mov $imm32,%eax */
    code[5] = 0xc3; /* ret */
    for (uint64_t i = 0; i < rewrites; i++) {
        uint32_t imm = (uint32_t)(i * 2654435761u);

        memcpy(code + 1, &imm, sizeof imm);
        __asm__ volatile("" : : : "memory");
        sum += ((uint32_t(*)(void))(uintptr_t)code)();
    }
    return sum;
}

/* -------------------------------------------- across the kernel boundary */

static void wait_child(pid_t pid)
{
    int status;

    if (waitpid(pid, &status, 0) != pid || status != 0)
        die("child");
}

static uint64_t bench_syscall(uint64_t n)
{
    while (n--)
        syscall(SYS_getppid);
    return 0;
}

static uint64_t bench_pipe(uint64_t trips)
{
    int to[2], from[2];
    char c = 0;
    pid_t pid;

    if (pipe(to) || pipe(from))
        die("pipe");
    pid = fork();
    if (pid == 0) {
        close(to[1]);
        close(from[0]);
        while (read(to[0], &c, 1) == 1)
            if (write(from[1], &c, 1) != 1)
                _exit(1);
        _exit(0);
    }
    close(to[0]);
    close(from[1]);
    start_clock();
    while (trips--)
        if (write(to[1], &c, 1) != 1 || read(from[0], &c, 1) != 1)
            die("pipe i/o");
    close(to[1]);
    wait_child(pid);
    return 0;
}

/* What each does when it is its turn: some 0.2 ms in 32 pages. */
static uint64_t take_turn(uint8_t *memory, uint64_t sum)
{
    for (unsigned i = 0; i < 80000; i++) {
        sum = sum * 6364136223846793005u + 1442695040888963407u;
        if (i % 16 == 0)
            memory[(sum >> 33) % (32 * 4096)] += (uint8_t)(sum >> 60);
    }
    return sum + memory[sum % (32 * 4096)];
}

/* Two processes compute in turn; one op is one turn. */
static uint64_t bench_turns(uint64_t turns)
{
    int to[2], from[2];
    uint8_t *memory = alloc(32 * 4096);
    uint64_t sum = 1;
    pid_t pid;

    if (pipe(to) || pipe(from))
        die("pipe");
    pid = fork();
    if (pid == 0) {
        close(to[1]);
        close(from[0]);
        while (read(to[0], &sum, sizeof sum) == sizeof sum) {
            sum = take_turn(memory, sum);
            if (write(from[1], &sum, sizeof sum) != sizeof sum)
                _exit(1);
        }
        _exit(0);
    }
    close(to[0]);
    close(from[1]);
    start_clock();
    for (uint64_t i = 0; i < turns / 2; i++) {
        sum = take_turn(memory, sum);
        if (write(to[1], &sum, sizeof sum) != sizeof sum ||
            read(from[0], &sum, sizeof sum) != sizeof sum)
            die("pipe i/o");
    }
    close(to[1]);
    wait_child(pid);
    return sum;
}

/* Two processes on one CPU give it to each other; one op is one yield. */
static uint64_t bench_yield(uint64_t yields)
{
    int go[2];
    cpu_set_t one;
    pid_t pid;
    char c;

    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    if (pipe(go) || sched_setaffinity(0, sizeof one, &one))
        die("yield set-up");
    pid = fork();
    if (pid == 0) {
        if (read(go[0], &c, 1) != 1)
            _exit(1);
        for (uint64_t i = 0; i < yields / 2; i++)
            sched_yield();
        _exit(0);
    }
    start_clock();
    if (write(go[1], "", 1) != 1)
        die("pipe i/o");
    for (uint64_t i = 0; i < yields / 2; i++)
        sched_yield();
    wait_child(pid);
    return 0;
}

static volatile sig_atomic_t signals;

static void on_signal(int sig)
{
    (void)sig;
    signals++;
}

static uint64_t bench_signal(uint64_t n)
{
    struct sigaction sa = {.sa_handler = on_signal};
    pid_t self = getpid();

    sigaction(SIGUSR1, &sa, NULL);
    for (uint64_t i = 0; i < n; i++)
        kill(self, SIGUSR1);
    return (uint64_t)signals == n ? 0 : 1;
}

static uint64_t bench_fork(uint64_t n)
{
    while (n--) {
        pid_t pid = fork();

        if (pid == 0)
            _exit(0);
        wait_child(pid);
    }
    return 0;
}

static uint64_t bench_exec(uint64_t n)
{
    while (n--) {
        pid_t pid = fork();

        if (pid == 0) {
            execl("/proc/self/exe", "workload", "nop", NULL);
            _exit(127);
        }
        wait_child(pid);
    }
    return 0;
}

/* Map 1 MiB, touch every page, unmap; one op is one page. */
static uint64_t bench_mmap(uint64_t pages)
{
    enum { BATCH = 256 };

    for (uint64_t i = 0; i < pages; i += BATCH) {
        char *p =
            mmap(NULL, BATCH * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
            die("mmap");
        for (int j = 0; j < BATCH; j++)
            p[j * 4096] = 1;
        munmap(p, BATCH * 4096);
    }
    return 0;
}

/* Create, write 16 KiB, read it back, unlink, in the current directory. */
static uint64_t bench_file(uint64_t files)
{
    static char out[4096], in[4096];

    for (uint64_t i = 0; i < files; i++) {
        int fd = open("wl.tmp", O_CREAT | O_EXCL | O_RDWR, 0600);

        if (fd < 0)
            die("wl.tmp");
        memset(out, (int)i, sizeof out);
        for (int j = 0; j < 4; j++)
            if (write(fd, out, sizeof out) != sizeof out)
                die("write");
        lseek(fd, 0, SEEK_SET);
        for (int j = 0; j < 4; j++)
            if (read(fd, in, sizeof in) != sizeof in || in[j] != out[j])
                die("read");
        close(fd);
        unlink("wl.tmp");
    }
    return 0;
}

/* ------------------------------------------------------- other commands */

/* Words of a fixed random vocabulary, the early ones the likelier. */
static void gentext(const char *path, long bytes)
{
    enum { WORDS = 4096 };
    static char word[WORDS][12];
    FILE *f = fopen(path, "w");

    if (!f)
        die(path);
    for (int i = 0; i < WORDS; i++) {
        int len = 2 + (int)(rng() % 9);

        for (int j = 0; j < len; j++)
            word[i][j] = (char)('a' + rng() % 26 * (rng() % 26) / 26);
    }
    while (bytes > 0) {
        uint64_t r = rng();
        const char *w = word[(r % WORDS) * (r >> 20 & 4095) / 4096];

        bytes -= fprintf(f, r >> 60 == 0 ? "%s.\n" : "%s ", w);
    }
    if (fclose(f))
        die(path);
}

static int run(const char *name, uint64_t ops, const char *op, char **argv)
{
    pid_t pid;
    int status;

    begin(name);
    pid = fork();
    if (pid == 0) {
        execvp(argv[0], argv);
        die(argv[0]);
    }
    if (waitpid(pid, &status, 0) != pid)
        die("waitpid");
    result(name, ops, op, 0);
    if (status)
        printf("FAILED %s\n", name);
    return status != 0;
}

static const struct bench {
    const char *name, *op;
    uint64_t ops;
    uint64_t (*fn)(uint64_t ops);
} benches[] = {
    {"int", "round", 40, bench_int},
    {"chase", "load", 50000000, bench_chase},
    {"interp", "sequence", 200000, bench_interp},
    {"fib", "call", 107701480, bench_fib},
    {"matmul", "round", 16, bench_matmul},
    {"nbody", "step", 1000000, bench_nbody},
    {"sha256", "MiB", 64, bench_sha256},
    {"tlb", "touch", 20000000, bench_tlb},
    {"repmovs", "MiB", 8192, bench_repmovs},
    {"smc", "rewrite", 500000, bench_smc},
    {"syscall", "call", 2000000, bench_syscall},
    {"pipe", "trip", 50000, bench_pipe},
    {"turns", "turn", 10000, bench_turns},
    {"yield", "yield", 200000, bench_yield},
    {"signal", "signal", 100000, bench_signal},
    {"fork", "fork", 2000, bench_fork},
    {"exec", "exec", 1000, bench_exec},
    {"mmap", "page", 262144, bench_mmap},
    {"file", "file", 10000, bench_file},
};

int main(int argc, char **argv)
{
    const char *scale = getenv("WL_SCALE"), *times = getenv("WL_TIMES");
    const char *cmd = argc > 1 ? argv[1] : "";

    rng_state = 42;
    if (!strcmp(cmd, "nop"))
        return 0;
    if (!strcmp(cmd, "list")) {
        for (size_t i = 0; i < sizeof benches / sizeof *benches; i++)
            puts(benches[i].name);
        return 0;
    }
    if (!strcmp(cmd, "gentext") && argc == 4) {
        gentext(argv[2], atol(argv[3]));
        return 0;
    }
    if (!strcmp(cmd, "run") && argc > 5)
        return run(argv[2], strtoull(argv[3], NULL, 10), argv[4], argv + 5);
    for (size_t i = 0; i < sizeof benches / sizeof *benches; i++) {
        const struct bench *b = &benches[i];
        uint64_t ops = b->ops, check;

        if (strcmp(cmd, b->name))
            continue;
        if (scale && atol(scale) > 1)
            ops /= (uint64_t)atol(scale);
        if (times && atol(times) > 1)
            ops *= (uint64_t)atol(times);
        if (ops == 0)
            ops = 1;
        begin(b->name);
        check = b->fn(ops);
        result(b->name, ops, b->op, check);
        return 0;
    }
    fprintf(stderr, "usage: workload list | NAME | run NAME OPS OP CMD... |"
                    " gentext FILE BYTES | nop\n");
    return 2;
}
