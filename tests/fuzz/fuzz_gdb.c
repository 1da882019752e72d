/*
 * fuzz_gdb.c - what a debugger may send, to the stub on a machine that is only a model.
 *
 * The first byte chooses the number of CPUs and the architecture.  Lines follow: the payload of a
 * packet, for which the frame is made here; or ! and a stop of the machine; or % and bytes as they
 * are.  Besides what the sanitizers see: each answer is a frame that gdb could read, a client that
 * does not wait gets one to each packet, and none of its breakpoints is left behind.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/gdb/stub.h"
#include "base/types.h"

#define MEMORY_AT    0x200000u
#define MEMORY_BYTES 0x3000u
#define BREAKS_MAX   40u

struct ringer { /* the model */
    unsigned cpus;
    bool paused;
    struct ringer_registers registers[2];
    struct ringer_fpu fpu[2];
    u8 memory[MEMORY_BYTES];
    struct {
        enum ringer_break kind;
        u64 gva, size;
    } breaks[BREAKS_MAX];
    unsigned break_count;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok) {
        abort();
    }
}

/* ------------------------------------------------------------------ the API */

static int look(const struct ringer *m, unsigned cpu)
{
    return cpu >= m->cpus ? -EINVAL : m->paused ? 0 : -EBUSY;
}

int ringer_get_registers(struct ringer *m, unsigned cpu, struct ringer_registers *r)
{
    int error = look(m, cpu);

    if (error == 0) {
        *r = m->registers[cpu];
    }
    return error;
}

int ringer_set_registers(struct ringer *m, unsigned cpu, const struct ringer_registers *r)
{
    int error = look(m, cpu);

    if (error == 0) {
        m->registers[cpu] = *r;
    }
    return error;
}

int ringer_get_fpu(struct ringer *m, unsigned cpu, struct ringer_fpu *fpu)
{
    int error = look(m, cpu);

    if (error == 0) {
        *fpu = m->fpu[cpu];
    }
    return error;
}

int ringer_set_fpu(struct ringer *m, unsigned cpu, const struct ringer_fpu *fpu)
{
    int error = look(m, cpu);

    if (error == 0) {
        m->fpu[cpu] = *fpu;
    }
    return error;
}

static u8 *memory(struct ringer *m, u64 gva, size_t size)
{
    u64 offset = gva - MEMORY_AT;

    return offset <= MEMORY_BYTES && size <= MEMORY_BYTES - offset ? m->memory + offset : NULL;
}

int ringer_read_virtual(struct ringer *m, unsigned cpu, uint64_t gva, void *buffer, size_t size)
{
    const u8 *p = memory(m, gva, size);

    if (look(m, cpu) == 0 && p) {
        memcpy(buffer, p, size);
        return 0;
    }
    return -EFAULT;
}

int ringer_write_virtual(struct ringer *m, unsigned cpu, uint64_t gva, const void *buffer,
                         size_t size)
{
    u8 *p = memory(m, gva, size);

    if (look(m, cpu) == 0 && p) {
        memcpy(p, buffer, size);
        return 0;
    }
    return -EFAULT;
}

static unsigned find(const struct ringer *m, enum ringer_break kind, u64 gva, u64 size)
{
    unsigned i;

    for (i = 0; i < m->break_count; i++) {
        if (m->breaks[i].kind == kind && m->breaks[i].gva == gva &&
            (kind == RINGER_BREAK_EXECUTE || m->breaks[i].size == size)) {
            break;
        }
    }
    return i;
}

int ringer_set_breakpoint(struct ringer *m, enum ringer_break kind, uint64_t gva, uint64_t size)
{
    if (!m->paused) {
        return -EBUSY;
    }
    check(find(m, kind, gva, size) == m->break_count); /* the stub knows what it has set */
    if (m->break_count == BREAKS_MAX) {
        return -ENOSPC;
    }
    m->breaks[m->break_count].kind = kind;
    m->breaks[m->break_count].gva = gva;
    m->breaks[m->break_count++].size = size;
    return 0;
}

int ringer_clear_breakpoint(struct ringer *m, enum ringer_break kind, uint64_t gva, uint64_t size)
{
    unsigned i = find(m, kind, gva, size);

    check(m->paused && i < m->break_count);
    m->breaks[i] = m->breaks[--m->break_count];
    return 0;
}

int ringer_go(struct ringer *m, const struct ringer_order *orders, unsigned count)
{
    bool any = false;

    check(m->paused && count == m->cpus);
    for (unsigned i = 0; i < count; i++) {
        any |= orders[i].move != RINGER_STAY;
    }
    check(any);
    m->paused = false;
    return 0;
}

int ringer_pause(struct ringer *m)
{
    m->paused = true;
    return 0;
}

bool ringer_is_paused(const struct ringer *m)
{
    return m->paused;
}

/* ------------------------------------------------------------------ the monitor */

void monitor_init(struct monitor *monitor, ringer_output_fn *output, void *context)
{
    *monitor = (struct monitor){.output = output, .context = context};
}

bool monitor_execute(struct monitor *monitor)
{
    check(strlen(monitor->line) < sizeof(monitor->line));
    monitor->output(monitor->context, monitor->line, strlen(monitor->line));
    if (monitor->line[0] == 'c') {
        monitor->machine->paused = false;
    }
    return monitor->line[0] == 'q';
}

/* ------------------------------------------------------------------ the client */

struct client {
    struct gdb_stub stub;
    struct gdb_host host;
    struct gdb_reader reader; /* of what it is sent */
    bool travels;             /* the machine is to be taken back */
    unsigned answers;
    struct ringer machine;
};

static void on_send(void *context, const void *bytes, size_t size)
{
    struct client *c = context;

    for (size_t i = 0; i < size; i++) {
        switch (gdb_reader_take(&c->reader, ((const u8 *)bytes)[i])) {
        case GDB_PACKET:
            c->answers++;
            break;
        case GDB_DAMAGED:
        case GDB_TOO_LONG:
        case GDB_INTERRUPT:
            abort();
        case GDB_NOTHING:
        case GDB_ACK:
        case GDB_NAK:
            break;
        }
    }
}

static void on_kill(void *context)
{
    (void)context;
}

static void on_detach(void *context)
{
    struct client *c = context;

    gdb_stub_disconnect(&c->stub);
    check(c->machine.break_count == 0);
}

static void on_back(void *context, bool step)
{
    struct client *c = context;

    (void)step;
    check(c->machine.paused && c->stub.waits);
    c->travels = true;
}

static void packet(struct client *c, const u8 *payload, size_t size)
{
    char sum[4];
    u8 total = 0;
    unsigned answers = c->answers;
    bool waited = c->stub.waits, clean = c->stub.reader.state == GDB_OUTSIDE;

    gdb_stub_input(&c->stub, "$", 1);
    for (size_t i = 0; i < size; i++) {
        total += payload[i];
    }
    gdb_stub_input(&c->stub, payload, size);
    snprintf(sum, sizeof(sum), "#%02x", total);
    gdb_stub_input(&c->stub, sum, 3);
    if (!clean || memchr(payload, '$', size) || memchr(payload, '#', size)) {
        return; /* it was no frame, or several */
    }
    if (waited || c->stub.waits || !c->stub.arch) {
        return;
    }
    check(c->answers > answers || (size && payload[size - 1] == '}'));
}

static void stop(struct client *c, const u8 *bytes, size_t size)
{
    struct ringer_stop s = {.reason = size && bytes[0] & 1 ? RINGER_STOP_STEP : RINGER_STOP_BREAK};

    if (c->travels && c->stub.arch) { /* it arrives */
        c->travels = false;
        if (size) {
            gdb_stub_tell(&c->stub, 0, bytes[0] & 1 ? "05" : "05replaylog:begin;");
        } else {
            gdb_stub_fail(&c->stub, -EIO);
        }
        return;
    }
    if (c->machine.paused) {
        return;
    }
    if (size > 1) {
        s.cpu = bytes[0] >> 1 & (c->machine.cpus - 1);
        s.kind = (enum ringer_break)(bytes[1] & 3);
        s.address = bytes[1] * 0x0101010101010101ull;
    }
    c->machine.paused = true;
    gdb_stub_stopped(&c->stub, &s);
}

static void line(struct client *c, const u8 *bytes, size_t size)
{
    if (size && bytes[0] == '!') {
        stop(c, bytes + 1, size - 1);
    } else if (size && bytes[0] == '%') {
        gdb_stub_input(&c->stub, bytes + 1, size - 1);
    } else {
        packet(c, bytes, size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct client *c = calloc(1, sizeof(*c));
    unsigned how = size ? data[0] : 0;

    check(c != NULL);
    c->machine.cpus = 1 + (how & 1);
    c->machine.paused = true;
    c->host = (struct gdb_host){on_send, on_kill, on_detach, how & 4 ? on_back : NULL, c};
    gdb_stub_init(&c->stub, &c->host);
    gdb_stub_attach(&c->stub, &c->machine);
    gdb_stub_connect(&c->stub, how & 2 ? &gdb_i386 : &gdb_amd64);
    for (size_t at = 1; at < size;) {
        const u8 *end = memchr(data + at, '\n', size - at);
        size_t length = end ? (size_t)(end - data) - at : size - at;
        line(c, data + at, length);
        at += length + 1;
    }
    c->machine.paused = true;
    gdb_stub_disconnect(&c->stub);
    check(c->machine.break_count == 0);
    gdb_stub_destroy(&c->stub);
    free(c);
    return 0;
}
