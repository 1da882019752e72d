/* vcpus.c - the vCPU processes: start, orders, deaths. */
#define _GNU_SOURCE

#include "vm/vcpus.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/futex.h"
#include "vm/board.h"
#include "vm/image.h"
#include "vm/inspect.h"
#include "vm/machine.h"

/* ------------------------------------------------------------------ start */

/* RINGER_CPU names another program than the one that is built in: for debuggers and profilers,
 * which want a file. */
static int open_program(struct ringer *m)
{
    const char *path = getenv("RINGER_CPU");

    if (path && *path) {
        m->program = open(path, O_RDONLY | O_CLOEXEC);
        return m->program < 0 ? machine_fail(m, -errno, "RINGER_CPU '%s': %m", path) : 0;
    }
    m->program = host_program_create("ringer-cpu", image_ringer_cpu,
                                     (size_t)(image_ringer_cpu_end - image_ringer_cpu));
    return m->program < 0 ? machine_fail(m, m->program, "cannot make an executable memfd: %s",
                                         strerror(-m->program))
                          : 0;
}

static int start(struct ringer *m, unsigned index)
{
    struct vcpu *v = &m->vcpus[index];
    const int fds[] = {STDERR_FILENO, m->arena.memory.fd, m->arena.ram.fd, m->kick_fd,
                       m->source.fd};
    unsigned count = ARRAY_SIZE(fds) - (m->source.fd < 0);
    char name[] = "ringer-cpu", argument[64];
    char *argv[] = {name, argument, NULL};
    int error;

    snprintf(argument, sizeof(argument), "%lx,%lx,%x", (unsigned long)m->arena.memory.base,
             (unsigned long)m->arena.memory.size, index);
    error = host_process_start(&v->process, m->program, argv, fds, count);
    return error < 0 ? machine_fail(m, error, "cannot start ringer-cpu: %s", strerror(-error)) : 0;
}

static void on_ended(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    vcpus_check_deaths(((struct vcpu *)poll->data)->machine);
}

int vcpus_create(struct ringer *m)
{
    int error;

    m->vcpus = calloc(m->vm->cpu_count, sizeof(*m->vcpus));
    if (!m->vcpus) {
        return machine_fail(m, -ENOMEM, "out of memory");
    }
    for (unsigned i = 0; i < m->vm->cpu_count; i++) {
        m->vcpus[i] = (struct vcpu){.machine = m, .index = i, .process.pidfd = -1};
    }
    error = open_program(m);
    for (unsigned i = 0; i < m->vm->cpu_count && error >= 0; i++) {
        struct vcpu *v = &m->vcpus[i];
        error = start(m, i);
        if (error >= 0 && uv_poll_init(&m->loop, &v->poll, v->process.pidfd) == 0) {
            v->poll.data = v;
            v->polled = true;
            uv_poll_start(&v->poll, UV_READABLE, on_ended);
        }
    }
    return error < 0 ? error : board_wait_held(m);
}

static void stop_polling(struct vcpu *v)
{
    if (v->polled) {
        v->polled = false;
        uv_close((uv_handle_t *)&v->poll, NULL);
    }
}

void vcpus_destroy(struct ringer *m)
{
    for (unsigned i = 0; m->vcpus && i < m->vm->cpu_count; i++) {
        stop_polling(&m->vcpus[i]);
        host_process_end(&m->vcpus[i].process);
    }
    if (m->program >= 0) {
        close(m->program);
        m->program = -1;
    }
}

/* ------------------------------------------------------------------ orders */

static bool is_held(const struct ringer *m, unsigned index)
{
    enum vcpu_state state = vcpu_state_now(&m->vm->controls[index]);

    return (state != VCPU_STARTING && state != VCPU_RUNNING) || m->vcpus[index].process.pid <= 0;
}

bool vcpus_are_held(const struct ringer *m)
{
    for (unsigned i = 0; i < m->vm->cpu_count; i++) {
        if (!is_held(m, i)) {
            return false;
        }
    }
    return true;
}

void vcpus_run(struct ringer *m)
{
    for (unsigned i = 0; i < m->vm->cpu_count; i++) {
        struct vcpu_control *control = &m->vm->controls[i];
        u32 order = atomic_load(&control->order);
        if (!m->vcpus[i].stays && !vcpu_order_is_run(order)) {
            atomic_store(&control->state, vcpu_state_word(order + 1, VCPU_RUNNING));
            atomic_store(&control->order, order + 1);
            host_futex_wake(&control->order);
        }
    }
}

void vcpus_hold(struct ringer *m)
{
    for (unsigned i = 0; i < m->vm->cpu_count; i++) {
        struct vcpu_control *control = &m->vm->controls[i];
        if (vcpu_order_is_run(atomic_load(&control->order))) {
            atomic_fetch_add(&control->order, 1);
            interrupt_post_event(&m->fabric, i, INBOX_PAUSE);
        }
    }
}

void vcpus_check_states(struct ringer *m)
{
    for (unsigned i = 0; i < m->vm->cpu_count; i++) {
        enum vcpu_state state = vcpu_state_now(&m->vm->controls[i]);
        if (state == VCPU_SHUTDOWN) {
            machine_end(m, RINGER_EXIT_TRIPLE_FAULT, i, 0);
        } else if (state == VCPU_REFUSED) {
            machine_fail(m, -ENOTSUP,
                         "the guest's kernel runs at %#lx, in the upper half of the address space, "
                         "where engine '%s' cannot map it; use -e hybrid or -e interp",
                         (unsigned long)m->vm->cpus[i].rip, m->vm->engine);
            machine_end(m, RINGER_EXIT_UNSUPPORTED, i, 0);
        } else if (state == VCPU_STOPPED &&
                   m->vm->cpus[i]
                       .debugger.stop) { /* debug_serve() tells, once the others are held too */
            vcpus_hold(m);
        }
        m->counted |= state == VCPU_COUNTED;
    }
}

/* ------------------------------------------------------------------ deaths */

static void describe(char *text, size_t size, const struct vcpu_death *death, int status)
{
    u32 signal = atomic_load(&death->signal);

    if (signal) {
        snprintf(text, size, "a fault of its own (%s at %#lx, code %d, ringer-cpu's rip %#lx)",
                 strsignal((int)signal), (unsigned long)death->address, death->code,
                 (unsigned long)death->host_rip);
    } else if (status != -1 && WIFSIGNALED(status)) {
        snprintf(text, size, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else if (status != -1) {
        snprintf(text, size, "exit status %d", WEXITSTATUS(status));
    } else {
        snprintf(text, size, "an unknown cause");
    }
}

static void report(struct ringer *m, unsigned index, int status)
{
    const struct cpu *cpu = &m->vm->cpus[index];
    char cause[192], insn[128];

    if (status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == VCPU_EXIT_DAMAGED) {
        machine_fail(m, -EIO, "the snapshot's memory is damaged, where the guest needs it now");
        machine_end(m, RINGER_EXIT_FAILURE, index, 0);
        return;
    }
    describe(cause, sizeof(cause), &m->vm->controls[index].death, status);
    if (vcpu_state_now(&m->vm->controls[index]) == VCPU_STARTING) {
        machine_fail(m, -EIO, "ringer-cpu did not start: it died of %s", cause);
        machine_end(m, RINGER_EXIT_FAILURE, index, 0);
        return;
    }
    inspect_instruction(m, index, insn, sizeof(insn));
    machine_fail(m, -EIO,
                 "the process of vCPU %u died of %s; the guest was at rip=%#lx (%s), rsp=%#lx, "
                 "cr3=%#lx, after %lu instructions",
                 index, cause, (unsigned long)cpu->rip, insn, (unsigned long)cpu->gpr[RSP],
                 (unsigned long)cpu->mmu.paging.cr3, (unsigned long)cpu->icount);
    machine_end(m, RINGER_EXIT_FAILURE, index, 0);
}

void vcpus_check_deaths(struct ringer *m)
{
    for (unsigned i = 0; i < m->vm->cpu_count; i++) {
        struct vcpu *v = &m->vcpus[i];
        if (host_process_has_ended(&v->process)) {
            stop_polling(v); /* before its descriptor is closed */
            report(m, i, host_process_end(&v->process));
        }
    }
}
