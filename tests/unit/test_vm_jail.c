/* test_vm_jail.c - what a vCPU process has given up: address space and system calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vm/cpu_process.h"
#include "vm_fixture.h"

static const u8 asleep[] = {0xfa, 0xf4, 0xeb, 0xfd}; /* cli; hlt; jmp back */

/* ------------------------------------------------------------------ the real process */

static FILE *open_proc(const struct ringer *m, const char *name)
{
    char path[64];
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/%s", m->vcpus[0].process.pid, name);
    file = fopen(path, "re");
    assert_non_null(file);
    return file;
}

/* But for a page that is the kernel's own, everything lies in the hidden zone; and what can be
 * executed cannot be written, the thunks apart. */
static void test_address_space(void **state)
{
    struct ringer_config config = small_config();
    struct ringer *m = machine_with_code(&config, asleep, sizeof(asleep));
    FILE *maps = open_proc(m, "maps");
    unsigned mappings = 0, writable_code = 0;
    char line[512], rights[8];
    unsigned long start, end;

    (void)state;
    while (fgets(line, sizeof(line), maps)) {
        assert_int_equal(sscanf(line, "%lx-%lx %7s", &start, &end, rights), 3);
        if (!strstr(line, "[vsyscall]")) {
            assert_true(start >= VM_HIDDEN_START && end <= VM_HIDDEN_END);
            writable_code += rights[1] == 'w' && rights[2] == 'x';
            mappings++;
        }
    }
    fclose(maps);
    assert_true(mappings >= 5); /* the program, its stacks, arena, RAM */
    assert_int_equal(writable_code, 1);
    ringer_destroy(m);
}

static void test_is_jailed(void **state)
{
    struct ringer_config config = small_config();
    struct ringer *m = machine_with_code(&config, asleep, sizeof(asleep));
    FILE *status = open_proc(m, "status");
    int mode = 0, no_new_privileges = 0;
    char line[512];

    (void)state;
    while (fgets(line, sizeof(line), status)) {
        sscanf(line, "Seccomp: %d", &mode);
        sscanf(line, "NoNewPrivs: %d", &no_new_privileges);
    }
    fclose(status);
    assert_int_equal(mode, 2); /* SECCOMP_MODE_FILTER */
    assert_int_equal(no_new_privileges, 1);
    ringer_destroy(m);
}

static void *stop_and_continue(void *machine)
{
    struct ringer *m = machine;
    pid_t pid = m->vcpus[0].process.pid;

    for (int i = 0; i < 5; i++) {
        usleep(20000);
        kill(pid, SIGSTOP);
        usleep(20000);
        kill(pid, SIGCONT);
    }
    usleep(20000);
    ringer_stop(m);
    return NULL;
}

/* As by a shell's job control; the kernel resumes what it was in by another system call. */
static void test_stopped_and_continued(void **state)
{
    struct ringer_config config = small_config();
    struct ringer *m = machine_with_code(&config, asleep, sizeof(asleep));
    struct ringer_exit end;
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, stop_and_continue, m), 0);
    assert_int_equal(ringer_run(m, &end), 0);
    pthread_join(thread, NULL);
    assert_int_equal(end.reason, RINGER_EXIT_STOPPED);
    ringer_destroy(m);
}

/* ------------------------------------------------------------------ the filter */

struct call {
    const char *what;
    long number, argument[6];
    bool allowed;
};

#define WORD    0x10000000l /* pages that the child has mapped */
#define PRIVATE 0x10001000l

static const struct call calls[] = {
    {"wait", SYS_futex, {WORD, FUTEX_WAIT, 1}, true},
    {"wake", SYS_futex, {WORD, FUTEX_WAKE, 1}, true},
    {"another futex operation", SYS_futex, {WORD, FUTEX_LOCK_PI}, false},
    {"write to standard error", SYS_write, {VCPU_FD_STDERR, WORD, 0}, true},
    {"kick", SYS_write, {VCPU_FD_KICK, WORD, 0}, true},
    {"write elsewhere", SYS_write, {1, WORD, 0}, false},
    {"write to the arena by its descriptor", SYS_write, {VCPU_FD_ARENA, WORD, 1}, false},
    {"getppid", SYS_getppid, {0}, true},
    {"unmap", SYS_munmap, {PRIVATE, 4096}, true},
    {"protect", SYS_mprotect, {PRIVATE, 4096, PROT_READ}, true},
    {"make executable", SYS_mprotect, {PRIVATE, 4096, PROT_READ | PROT_EXEC}, false},
    {"map the arena",
     SYS_mmap,
     {PRIVATE, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, VCPU_FD_ARENA, 0},
     true},
    {"map and populate RAM",
     SYS_mmap,
     {PRIVATE, 4096, PROT_READ, MAP_SHARED | MAP_FIXED | MAP_POPULATE, VCPU_FD_RAM, 0},
     true},
    {"map for execution",
     SYS_mmap,
     {PRIVATE, 4096, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, VCPU_FD_ARENA, 0},
     false},
    {"map another descriptor",
     SYS_mmap,
     {PRIVATE, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, VCPU_FD_KICK, 0},
     false},
    {"map new memory",
     SYS_mmap,
     {PRIVATE, 4096, PROT_READ, MAP_SHARED | MAP_FIXED | MAP_ANONYMOUS, VCPU_FD_RAM, 0},
     false},
    {"map privately",
     SYS_mmap,
     {PRIVATE, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED, VCPU_FD_RAM, 0},
     false},
    {"read", SYS_read, {VCPU_FD_KICK, WORD, 8}, false},
    {"open", SYS_openat, {-100, WORD, 0}, false},
    {"socket", SYS_socket, {1, 1, 0}, false},
    {"clone", SYS_clone, {SIGCHLD}, false},
    {"execute", SYS_execve, {WORD, 0, 0}, false},
    {"prctl", SYS_prctl, {1, 0}, false},
    {"kill the board", SYS_kill, {0, 0}, false},
    {"another signal handler", SYS_rt_sigaction, {SIGSEGV, 0, 0, 8}, false},
    {"grow the heap", SYS_brk, {0}, false},
    {"close", SYS_close, {VCPU_FD_RAM}, false},
    {"a call of the x32 ABI", 0x40000000 + SYS_getppid, {0}, false},
};

/* In the child: the descriptors of a vCPU process, its filter, and the call. */
static _Noreturn void make_call(const struct call *call)
{
    const struct rlimit no_core = {0};
    const long *a = call->argument;
    int arena = memfd_create("arena", 0), ram = memfd_create("ram", 0);

    setrlimit(RLIMIT_CORE, &no_core);
    if (ftruncate(arena, 4096) < 0 || ftruncate(ram, 4096) < 0 || dup2(arena, 20) < 0 ||
        dup2(ram, 21) < 0 || dup2(20, VCPU_FD_ARENA) < 0 || dup2(21, VCPU_FD_RAM) < 0 ||
        dup2(STDERR_FILENO, VCPU_FD_KICK) < 0 ||
        mmap((void *)WORD, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
             -1, 0) == MAP_FAILED ||
        vcpu_jail(false) < 0) {
        _exit(2);
    }
    syscall(call->number, a[0], a[1], a[2], a[3], a[4], a[5]);
    for (;;) { /* not _exit(), before which a sanitizer would make other calls */
        syscall(SYS_exit_group, 0);
    }
}

static void test_system_calls(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(calls); i++) {
        int status = 0;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
            make_call(&calls[i]);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        bool was_allowed = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        bool was_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
        if (calls[i].allowed ? !was_allowed : !was_killed) {
            fail_msg("%s: status %#x", calls[i].what, status);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address_space),
        cmocka_unit_test(test_is_jailed),
        cmocka_unit_test(test_stopped_and_continued),
        cmocka_unit_test(test_system_calls),
    };

    return cmocka_run_group_tests_name("vm_jail", tests, NULL, NULL);
}
