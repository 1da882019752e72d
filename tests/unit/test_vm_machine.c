/* test_vm_machine.c - whole machines by the API: how they run, stop, end and fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm/vm.h"
#include "vm_fixture.h"

/* ------------------------------------------------------------------ endings */

static void test_built_in_guest(void **state)
{
    struct transcript *t = calloc(1, sizeof(*t));
    struct ringer_config config = small_config();
    struct ringer_exit end;
    struct ringer_stats stats;
    struct ringer *m;

    (void)state;
    config.serial[0].backend = "callback";
    config.serial[0].output = transcript_add;
    config.serial[0].context = t;
    assert_int_equal(ringer_create(&config, &m, NULL, 0), 0);
    assert_int_equal(ringer_load(m, RINGER_PROTOCOL_AUTO, NULL, NULL, NULL), 0);
    assert_int_equal(ringer_run(m, &end), 0);
    assert_int_equal(end.reason, RINGER_EXIT_POWER_OFF);
    assert_non_null(strstr(t->text, "Hello"));
    assert_non_null(strstr(t->text, "32 MiB"));
    assert_int_equal(ringer_get_stats(m, &stats), 0);
    assert_true(stats.instructions > 1000);
    assert_true(stats.resident_bytes > 0 && stats.resident_bytes < 64u << 20);
    assert_int_equal(ringer_run(m, &end), -EBUSY); /* it has ended */
    ringer_destroy(m);
    free(t);
}

static void test_debug_exit(void **state)
{
    static const u8 code[] = {0xb0, 0x2a, CODE_EXIT, 0xeb, 0xfe}; /* mov al, 42 */
    struct ringer_config config = small_config();
    struct ringer *m = machine_with_code(&config, code, sizeof(code));
    struct ringer_exit end;

    (void)state;
    assert_int_equal(ringer_run(m, &end), 0);
    assert_int_equal(end.reason, RINGER_EXIT_DEBUG);
    assert_int_equal(end.code, 42);
    ringer_destroy(m);
}

/* vCPUs know which page needs no order among them: that of the one device's doorbell. */
static void test_doorbells(void **state)
{
    static const u8 code[] = {0xb0, 0x2a, CODE_EXIT, 0xeb, 0xfe};
    static const struct ringer_device devices[] = {{.kind = RINGER_DEVICE_RNG}};
    struct ringer_config config = small_config();
    struct ringer_exit end;
    struct ringer *m;

    (void)state;
    config.devices = devices;
    config.device_count = 1;
    m = machine_with_code(&config, code, sizeof(code));
    assert_int_equal(ringer_run(m, &end), 0);
    assert_int_equal(atomic_load(&m->shared->doorbells[0]), MEM_PCI_START + 0x3000);
    assert_int_equal(atomic_load(&m->shared->doorbells[1]), 0);
    ringer_destroy(m);
}

static void test_triple_fault(void **state)
{
    static const u8 code[] = {0x0f, 0x0b}; /* ud2, without an IDT */
    struct ringer_config config = small_config();
    struct ringer *m = machine_with_code(&config, code, sizeof(code));
    struct ringer_registers r;
    struct ringer_exit end;

    (void)state;
    assert_int_equal(ringer_get_registers(m, 0, &r), 0);
    r.idtr.limit = 0;
    assert_int_equal(ringer_set_registers(m, 0, &r), 0);
    assert_int_equal(ringer_run(m, &end), 0);
    assert_int_equal(end.reason, RINGER_EXIT_TRIPLE_FAULT);
    assert_int_equal(ringer_get_registers(m, 0, &r), 0);
    assert_int_equal(r.rip, CODE_AT);
    ringer_destroy(m);
}

/* ------------------------------------------------------------------ stop and pause */

static const u8 endless[] = {0x40, 0xeb, 0xfd}; /* inc eax; jmp back */

static void *stop_later(void *machine)
{
    usleep(50000);
    ringer_stop(machine);
    return NULL;
}

static void test_stop_and_run_again(void **state)
{
    static const u8 counting[] = CODE_COUNTING;
    struct ringer_config config = small_config();
    struct ringer *m = machine_with_code(&config, counting, sizeof(counting));
    u64 before = 0;

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct ringer_registers r;
        struct ringer_exit end;
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, stop_when_counted, m), 0);
        assert_int_equal(ringer_run(m, &end), 0);
        pthread_join(thread, NULL);
        assert_int_equal(end.reason, RINGER_EXIT_STOPPED);
        assert_int_equal(ringer_get_registers(m, 0, &r), 0);
        assert_true(r.instructions > before);
        before = r.instructions;
    }
    ringer_destroy(m);
}

/* Each INC and each JMP is an instruction: after 2 * n of them EAX has been raised n times. */
static void run_to_counts(bool icount)
{
    static const u64 counts[] = {1, 2, 3, 200, 200, 1000001, 3000000};
    struct ringer_config config = small_config();
    struct ringer_registers first, r;
    struct ringer_exit end;
    struct ringer *m;

    config.icount = icount;
    m = machine_with_code(&config, endless, sizeof(endless));
    assert_int_equal(ringer_get_registers(m, 0, &first), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(counts); i++) {
        assert_int_equal(ringer_run_until(m, counts[i], &end), 0);
        assert_int_equal(end.reason, RINGER_EXIT_COUNT);
        assert_int_equal(ringer_get_registers(m, 0, &r), 0);
        assert_int_equal(r.instructions, counts[i]);
        assert_int_equal(r.rip, CODE_AT + counts[i] % 2);
        assert_int_equal(r.gpr[RAX], first.gpr[RAX] + (counts[i] + 1) / 2);
    }
    assert_int_equal(ringer_run_until(m, 5, &end), 0); /* that is past: at once */
    assert_int_equal(end.reason, RINGER_EXIT_COUNT);
    ringer_destroy(m);
}

static void test_run_until(void **state)
{
    struct ringer_config config = small_config();
    struct ringer_exit end;
    struct ringer *m;

    (void)state;
    run_to_counts(false);
    run_to_counts(true);
    config.cpus = 2;
    m = machine_with_code(&config, endless, sizeof(endless));
    assert_int_equal(ringer_run_until(m, 5, &end), -EINVAL);
    ringer_destroy(m);
}

/* #AC at CPL 3 with a handler at CPL 3 on a stack that is not aligned: see cpu_deliver_fault(). */
static void run_endless_faults(bool icount)
{
    static const u8 code[] = {0xff, 0x30}; /* push [eax], which is not aligned */
    const struct ringer_segment user_code = {.limit = ~0u, .selector = 0x43, .attributes = 0xc0fb};
    const struct ringer_segment user_data = {.limit = ~0u, .selector = 0x4b, .attributes = 0xc0f3};
    struct ringer_config config = small_config();
    struct ringer_registers r;
    struct ringer_exit end;
    struct ringer *m;
    pthread_t thread;

    config.icount = icount;
    m = machine_with_code(&config, code, sizeof(code));
    const u64 gdt[] = {0x00cffb000000ffff, 0x00cff3000000ffff}; /* 0x40, 0x48 */
    const u64 gate = 0x0040ee0000430000 | (CODE_AT & 0xffff);   /* at CODE_AT */
    assert_int_equal(ringer_write_memory(m, 0x500040, gdt, sizeof(gdt)), 0);
    assert_int_equal(ringer_write_memory(m, 0x600000 + 17 * 8, &gate, sizeof(gate)), 0);
    assert_int_equal(ringer_get_registers(m, 0, &r), 0);
    r.gdtr.base = 0x500000;
    r.gdtr.limit = 0x4f;
    r.idtr.base = 0x600000;
    r.idtr.limit = 0x7ff;
    r.segment[RINGER_CS] = user_code;
    r.segment[RINGER_SS] = r.segment[RINGER_DS] = user_data;
    r.rflags = RFLAGS_AC | RFLAGS_FIXED;
    r.cr0 |= CR0_AM;
    r.gpr[RAX] = 0x700001;
    r.gpr[RSP] = 0x700103;
    assert_int_equal(ringer_set_registers(m, 0, &r), 0);
    assert_int_equal(pthread_create(&thread, NULL, stop_later, m), 0);
    assert_int_equal(ringer_run(m, &end), 0);
    pthread_join(thread, NULL);
    assert_int_equal(end.reason, RINGER_EXIT_STOPPED);
    assert_int_equal(ringer_get_registers(m, 0, &r), 0);
    assert_int_equal(r.rip, CODE_AT);
    ringer_destroy(m);
}

static void test_endless_faults(void **state)
{
    (void)state;
    run_endless_faults(false);
    run_endless_faults(true);
}

struct pauser {
    struct ringer *m;
    int fd;
    bool held_still, moved;
};

static void on_byte(void *context)
{
    struct pauser *p = context;
    struct ringer_registers first, second;
    char byte;

    assert_int_equal(read(p->fd, &byte, 1), 1);
    assert_int_equal(ringer_get_registers(p->m, 0, &first), -EBUSY);
    assert_int_equal(ringer_pause(p->m), 0);
    assert_true(ringer_is_paused(p->m));
    assert_int_equal(ringer_get_registers(p->m, 0, &first), 0);
    usleep(20000);
    assert_int_equal(ringer_get_registers(p->m, 0, &second), 0);
    p->held_still = first.instructions == second.instructions;
    assert_int_equal(ringer_resume(p->m), 0);
    usleep(20000);
    assert_int_equal(ringer_pause(p->m), 0);
    assert_int_equal(ringer_get_registers(p->m, 0, &second), 0);
    p->moved = first.instructions < second.instructions;
    ringer_resume(p->m);
    ringer_stop(p->m);
}

static void pause_from_callback(bool icount)
{
    struct ringer_config config = small_config();
    struct ringer_exit end;
    struct pauser p = {0};
    int fds[2];

    config.icount = icount;
    p.m = machine_with_code(&config, endless, sizeof(endless));
    assert_int_equal(pipe(fds), 0);
    p.fd = fds[0];
    assert_int_equal(ringer_watch_fd(p.m, fds[0], on_byte, &p), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(ringer_run(p.m, &end), 0);
    assert_int_equal(end.reason, RINGER_EXIT_STOPPED);
    assert_true(p.held_still);
    assert_true(p.moved);
    ringer_destroy(p.m);
    close(fds[0]);
    close(fds[1]);
}

static void test_pause_from_callback(void **state)
{
    (void)state;
    pause_from_callback(false);
    pause_from_callback(true);
}

/* ------------------------------------------------------------------ virtual time */

static u64 run_hello_by_icount(struct transcript *t)
{
    struct ringer_config config = small_config();
    struct ringer_registers r;
    struct ringer_exit end;
    struct ringer *m;

    config.icount = true;
    config.serial[0].backend = "callback";
    config.serial[0].output = transcript_add;
    config.serial[0].context = t;
    assert_int_equal(ringer_create(&config, &m, NULL, 0), 0);
    assert_int_equal(ringer_load(m, RINGER_PROTOCOL_AUTO, NULL, NULL, NULL), 0);
    assert_int_equal(ringer_run(m, &end), 0);
    assert_int_equal(end.reason, RINGER_EXIT_POWER_OFF);
    assert_int_equal(ringer_get_registers(m, 0, &r), 0);
    ringer_destroy(m);
    return r.instructions;
}

static void test_icount_repeats_itself(void **state)
{
    struct transcript *first = calloc(1, sizeof(*first)), *second = calloc(1, sizeof(*second));

    (void)state;
    assert_int_equal(run_hello_by_icount(first), run_hello_by_icount(second));
    assert_true(first->size > 0);
    assert_string_equal(first->text, second->text);
    free(first);
    free(second);
}

/* ------------------------------------------------------------------ two machines */

static void test_two_machines_in_one_process(void **state)
{
    static const u8 code[] = {0xa1, 0, 0, 0x50, 0, CODE_EXIT, 0xeb, 0xfe}; /* mov eax, [5 MiB] */
    struct ringer_config config = small_config();
    struct ringer *m[2];
    struct ringer_exit end;

    (void)state;
    for (u32 i = 0; i < 2; i++) {
        u32 value = 10 + i;
        m[i] = machine_with_code(&config, code, sizeof(code));
        assert_int_equal(ringer_write_memory(m[i], 0x500000, &value, 4), 0);
    }
    for (u32 i = 0; i < 2; i++) {
        assert_int_equal(ringer_run(m[i], &end), 0);
        assert_int_equal(end.code, 10 + i);
    }
    ringer_destroy(m[0]);
    ringer_destroy(m[1]);
}

/* ------------------------------------------------------------------ deaths */

static void *kill_later(void *machine)
{
    struct ringer *m = machine;

    usleep(50000);
    kill(m->vcpus[0].process.pid, SIGKILL);
    return NULL;
}

static void die(const void *code, size_t size)
{
    struct ringer_config config = small_config();
    struct ringer *m = machine_with_code(&config, code, size);
    struct ringer_registers r;
    struct ringer_exit end;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, kill_later, m), 0);
    assert_int_equal(ringer_run(m, &end), 0);
    pthread_join(thread, NULL);
    assert_int_equal(end.reason, RINGER_EXIT_FAILURE);
    assert_non_null(strstr(ringer_error(m), "signal 9"));
    assert_non_null(strstr(ringer_error(m), "rip=0x4000"));
    assert_int_equal(ringer_get_registers(m, 0, &r), 0);
    ringer_destroy(m);
}

static void test_death_of_a_vcpu(void **state)
{
    static const u8 asleep[] = {0xfa, 0xf4, 0xeb, 0xfd}; /* cli; hlt; jmp back */

    (void)state;
    die(endless, sizeof(endless));
    die(asleep, sizeof(asleep));
}

/* What a guest that has broken out of its executor could do to the arena ends its own process. */
static void test_arena_overwritten(void **state)
{
    struct ringer_config config = small_config();
    struct ringer *m = machine_with_code(&config, endless, sizeof(endless));
    struct vm *shared = m->shared;
    void *nowhere = (void *)0x1000;
    struct ringer_registers r;
    struct ringer_exit end;

    (void)state;
    shared->mem = (struct mem){.base = nowhere, .low_size = ~0ull, .code_holders = nowhere};
    shared->rings = nowhere;
    shared->controls = nowhere;
    shared->traces = nowhere;
    shared->inboxes = nowhere;
    shared->cpus = nowhere;
    shared->cpu_count = ~0u;
    assert_int_equal(ringer_run(m, &end), 0);
    assert_int_equal(end.reason, RINGER_EXIT_FAILURE);
    assert_int_equal(ringer_get_registers(m, 0, &r), 0);
    assert_int_equal(r.rip, CODE_AT);
    ringer_destroy(m);
}

/* In a child: run a machine until killed; its vCPU's last words go to standard error. */
static void be_a_board(int error_fd, const void *code, size_t size)
{
    struct ringer_config config = small_config();
    struct ringer_exit end;
    struct ringer *m;

    dup2(error_fd, STDERR_FILENO);
    m = machine_with_code(&config, code, size);
    if (write(error_fd, "!", 1) == 1) {
        ringer_run(m, &end);
    }
    _exit(0);
}

static void kill_board(const void *code, size_t size)
{
    char text[1024] = "";
    size_t length = 0;
    int fds[2];
    ssize_t n;
    pid_t pid;

    assert_int_equal(pipe(fds), 0);
    pid = fork();
    if (pid == 0) {
        close(fds[0]);
        be_a_board(fds[1], code, size);
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], text, 1), 1);
    usleep(50000);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    /* Until the vCPU, too, has closed its end: it has ended. */
    while ((n = read(fds[0], text + length, sizeof(text) - 1 - length)) > 0) {
        length += (size_t)n;
        text[length] = 0;
    }
    assert_non_null(strstr(text, "has died"));
    assert_non_null(strstr(text, "rip 00000000004000"));
    close(fds[0]);
}

static void test_death_of_the_board(void **state)
{
    static const u8 asleep[] = {0xfa, 0xf4, 0xeb, 0xfd};

    (void)state;
    kill_board(endless, sizeof(endless));
    kill_board(asleep, sizeof(asleep));
}

/* ------------------------------------------------------------------ mistakes */

static void test_mistakes(void **state)
{
    static const struct {
        u64 memory;
        unsigned cpus;
        bool icount;
        const char *engine, *trace, *serial, *says;
    } rows[] = {
        {0, 1, false, "auto", NULL, "none", "memory"},
        {(2 << 20) - 4096, 1, false, "auto", NULL, "none", "the least is 2 MiB"},
        {(32 << 20) + 1, 1, false, "auto", NULL, "none", "multiple of 4096"},
        {(1ull << 40) + 4096, 1, false, "auto", NULL, "none", "1 TiB"},
        {1ull << 50, 1, false, "auto", NULL, "none", "1 TiB"},
        {32 << 20, 0, false, "auto", NULL, "none", "cpus"},
        {32 << 20, 65, false, "auto", NULL, "none", "cpus"},
        {32 << 20, 2, true, "auto", NULL, "none", "icount"},
        {32 << 20, 1, false, "warp", NULL, "none", "warp"},
        {32 << 20, 1, false, "auto", "exits,nonsense", "none", "nonsense"},
        {32 << 20, 1, false, "auto", NULL, "elephant", "elephant"},
        {32 << 20, 1, false, "auto", NULL, "file:", "file:"},
        {32 << 20, 1, false, "auto", NULL, "file:/nowhere/at/all", "No such file"},
        {32 << 20, 1, false, "auto", NULL, "unix:/nowhere/at/all", "No such file"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct ringer_config config = RINGER_CONFIG_DEFAULT;
        struct ringer *m;
        char error[256] = "";
        config.memory_bytes = rows[i].memory;
        config.cpus = rows[i].cpus;
        config.icount = rows[i].icount;
        config.engine = rows[i].engine;
        config.trace = rows[i].trace;
        config.serial[0].backend = rows[i].serial;
        assert_true(ringer_create(&config, &m, error, sizeof(error)) < 0);
        assert_null(m);
        assert_null(strchr(error, '\n'));
        assert_non_null(strstr(error, rows[i].says));
    }
}

/* All of RAM is there: below the hole for devices, and from 4 GiB on. */
static void test_memory_above_the_hole(void **state)
{
    struct ringer_config config = small_config();
    struct ringer *m;
    const u64 high = 0x100000000ull, high_size = (1ull << 40) - MEM_LOW_MAX;
    u64 value = 42, got = 0;

    (void)state;
    config.memory_bytes = 1ull << 40;
    assert_int_equal(ringer_create(&config, &m, NULL, 0), 0);
    assert_int_equal(ringer_write_memory(m, MEM_LOW_MAX - 8, &value, 8), 0);
    assert_int_equal(ringer_write_memory(m, MEM_LOW_MAX - 4, &value, 8), -EFAULT);
    assert_int_equal(ringer_write_memory(m, high - 4, &value, 8), -EFAULT);
    assert_int_equal(ringer_read_memory(m, high, &got, 8), 0);
    assert_int_equal(got, 0);
    assert_int_equal(ringer_write_memory(m, high + high_size - 8, &value, 8), 0);
    assert_int_equal(ringer_read_memory(m, high + high_size - 8, &got, 8), 0);
    assert_int_equal(got, 42);
    assert_int_equal(ringer_read_memory(m, high + high_size - 7, &got, 8), -EFAULT);
    ringer_destroy(m);
}

static void test_nothing_loaded(void **state)
{
    struct ringer_config config = small_config();
    struct ringer_exit end;
    struct ringer *m;
    char byte;

    (void)state;
    assert_int_equal(ringer_create(&config, &m, NULL, 0), 0);
    assert_int_equal(ringer_run(m, &end), -EINVAL);
    assert_int_equal(ringer_load(m, RINGER_PROTOCOL_AUTO, "/nowhere/kernel", NULL, NULL), -ENOENT);
    assert_non_null(strstr(ringer_error(m), "/nowhere/kernel"));
    assert_int_equal(ringer_run(m, &end), -EINVAL);
    assert_int_equal(ringer_read_memory(m, 32 << 20, &byte, 1), -EFAULT);
    assert_int_equal(ringer_read_memory(m, (32 << 20) - 1, &byte, 1), 0);
    assert_int_equal(ringer_read_memory(m, ~0ull, &byte, 1), -EFAULT);
    ringer_destroy(m);
    ringer_destroy(NULL);
}

/* What a vCPU says late, under an order that is no longer the last, is not what it does now. */
static void test_a_state_is_of_its_order(void **state)
{
    struct vcpu_control control = {0};
    static const struct {
        u32 order, said_under;
        enum vcpu_state said, now;
    } cases[] = {
        {0, 0, VCPU_STARTING, VCPU_STARTING},
        {0, 0, VCPU_HELD, VCPU_HELD},
        {7, 7, VCPU_RUNNING, VCPU_RUNNING},
        {7, 7, VCPU_COUNTED, VCPU_COUNTED}, /* it has stopped by itself, ... */
        {8, 7, VCPU_COUNTED, VCPU_COUNTED}, /* ... and stays so */
        {8, 7, VCPU_RUNNING, VCPU_RUNNING}, /* it has not seen the order yet */
        {9, 8, VCPU_COUNTED, VCPU_RUNNING}, /* it runs again, and has said this late */
        {9, 8, VCPU_HELD, VCPU_RUNNING},
        {9, 7, VCPU_SHUTDOWN, VCPU_RUNNING},
        {0x1000008, 7, VCPU_COUNTED, VCPU_COUNTED}, /* orders wrap in the word */
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        atomic_store(&control.order, cases[i].order);
        atomic_store(&control.state, vcpu_state_word(cases[i].said_under, cases[i].said));
        assert_int_equal(vcpu_state_now(&control), cases[i].now);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_built_in_guest),
        cmocka_unit_test(test_debug_exit),
        cmocka_unit_test(test_doorbells),
        cmocka_unit_test(test_triple_fault),
        cmocka_unit_test(test_stop_and_run_again),
        cmocka_unit_test(test_run_until),
        cmocka_unit_test(test_endless_faults),
        cmocka_unit_test(test_pause_from_callback),
        cmocka_unit_test(test_icount_repeats_itself),
        cmocka_unit_test(test_two_machines_in_one_process),
        cmocka_unit_test(test_death_of_a_vcpu),
        cmocka_unit_test(test_arena_overwritten),
        cmocka_unit_test(test_death_of_the_board),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_memory_above_the_hole),
        cmocka_unit_test(test_nothing_loaded),
        cmocka_unit_test(test_a_state_is_of_its_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
