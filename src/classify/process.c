/*
 * process.c - the processes of the experiments: one for each kind of code in the laboratory, one
 * after the other for the host's CPU, since an instruction may end its process.
 */
#include "classify/process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/native.h"

#define SAMPLES        96u /* of each row and kind of code */
#define SAMPLES_VECTOR 6u  /* x87 and vector rows: there are many, and the host executes them */
#define SAMPLES_NATIVE 8u
#define SEED           1974u

#define LAB_SECONDS    600u /* after which a process is taken for stuck: a busy machine is slow */
#define NATIVE_SECONDS 300u
#define MAX_DEATHS     200u

#ifndef ARCH_SET_CPUID
#define ARCH_SET_CPUID 0x1012
#endif

/* ------------------------------------------------------------------ in the children */

static unsigned samples_of(unsigned row)
{
    const u32 vector = ATTR_X87 | ATTR_MMX | ATTR_SSE | ATTR_AVX;
    return insn_rows[row].attributes & vector ? SAMPLES_VECTOR : SAMPLES;
}

static int in_laboratory(struct experiments *x, enum code_kind kind)
{
    struct lab *lab = lab_new();

    if (!lab || !lab_signals(lab)) {
        return ENOMEM;
    }
    for (unsigned row = 0; row < INSN_ROWS; row++) {
        experiment_run(lab, row, kind, samples_of(row), SEED, &x->row[row][kind].finding);
    }
    return 0;
}

/* What Linux lets a process make privileged for itself: RDTSC, and on some hosts CPUID. */
static void set_guards(struct experiments *x)
{
    x->guard_tsc = !prctl(PR_SET_TSC, PR_TSC_SIGSEGV);
    x->guard_cpuid = !syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
}

static int on_host(struct experiments *x)
{
    struct native *native = experiment_native_area() ? native_new() : NULL;

    if (!native) {
        return 0; /* can_run_natively stays false */
    }
    x->can_run_natively = true;
    if (!x->umip_done) {
        x->umip_done = true; /* even if it ends in one of them */
        umip_probe_all(native, x);
    }
    for (; x->native_pass < NATIVE_PASSES; x->native_pass++, x->native_row = 0) {
        if (x->native_pass == NATIVE_GUARDED) {
            set_guards(x);
        }
        for (; x->native_row < INSN_ROWS; x->native_row++, x->native_kind = 0) {
            for (; x->native_kind < CODE_KINDS; x->native_kind++) {
                experiment_native(native, x->native_row, x->native_kind, SAMPLES_NATIVE,
                                  &x->row[x->native_row][x->native_kind].native[x->native_pass]);
            }
        }
    }
    return 0;
}

/* ------------------------------------------------------------------ in the parent */

enum work { LAB_32, LAB_64, NATIVE, WORKS };

static pid_t start(struct experiments *x, enum work work)
{
    pid_t parent = getpid(), pid = fork();

    if (pid) {
        return pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_DUMPABLE, 0); /* nobody wants a core of one that was meant to end so */
    if (getppid() != parent) {
        _exit(EIO);
    }
    signal(SIGALRM, SIG_DFL);
    alarm(work == NATIVE ? NATIVE_SECONDS : LAB_SECONDS);
    _exit(work == NATIVE ? on_host(x) : in_laboratory(x, work == LAB_32 ? CODE_32 : CODE_64));
}

static int wait_for(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return -1;
        }
    }
    return status;
}

/* The native experiments, to their end: each death is counted where it happened. */
static int run_native(struct experiments *x)
{
    for (unsigned deaths = 0; deaths < MAX_DEATHS; deaths++) {
        pid_t pid = start(x, NATIVE);
        if (pid < 0) {
            return -errno;
        }
        int status = wait_for(pid);
        if (WIFEXITED(status)) {
            return -WEXITSTATUS(status);
        }
        if (x->native_pass < NATIVE_PASSES && x->native_row < INSN_ROWS &&
            x->native_kind < CODE_KINDS) {
            x->row[x->native_row][x->native_kind].native[x->native_pass].died++;
        }
    }
    return -EIO;
}

static int run_all(struct experiments *x, char *error, size_t error_size)
{
    pid_t pid[] = {[LAB_32] = start(x, LAB_32), [LAB_64] = start(x, LAB_64)};
    int result = pid[LAB_32] < 0 || pid[LAB_64] < 0 ? -EAGAIN : run_native(x);

    if (result) {
        snprintf(error, error_size, "cannot run the experiments on the host's CPU: %s",
                 strerror(-result));
    }
    for (unsigned i = 0; i < ARRAY_SIZE(pid); i++) {
        int status = pid[i] < 0 ? 0 : wait_for(pid[i]);
        if (status && !result) {
            result = WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
            snprintf(error, error_size, "a process of the experiments ended by %s %d",
                     WIFSIGNALED(status) ? "signal" : "status",
                     WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        }
    }
    return result;
}

int experiments_run(struct experiments **experiments, char *error, size_t error_size)
{
    struct experiments *x =
        mmap(NULL, sizeof(*x), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    *experiments = NULL;
    if (x == MAP_FAILED) {
        snprintf(error, error_size, "no memory");
        return -ENOMEM;
    }
    int result = run_all(x, error, error_size);
    if (result) {
        experiments_free(x);
        return result;
    }
    *experiments = x;
    return 0;
}

void experiments_free(struct experiments *x)
{
    if (x) {
        munmap(x, sizeof(*x));
    }
}
