/*
 * go.c - the packets that let the guest go.
 *
 * Signals to deliver are ignored: a machine has none.
 */
#include "app/gdb/go.h"

#include <errno.h>

#include "app/gdb/breakpoints.h"

static void go(struct gdb_stub *s, const struct ringer_order orders[GDB_CPUS])
{
    int error = ringer_go(s->machine, orders, s->cpus);

    if (error < 0) {
        gdb_reply_error(s, error);
    } else {
        s->waits = true; /* the reply is the next stop */
    }
}

/* ------------------------------------------------------------------ c and s */

/* "[ADDRESS]": where to go on. */
static bool set_address(struct gdb_stub *s, const char *args)
{
    struct ringer_registers r;
    uint64_t address;

    if (!*args) {
        return true;
    }
    if (!gdb_parse_hex(&args, &address) || *args ||
        ringer_get_registers(s->machine, s->cpu, &r) < 0) {
        return false;
    }
    r.rip = address;
    return ringer_set_registers(s->machine, s->cpu, &r) == 0;
}

/* All vCPUs go on.  One of them steps, if it is to be. */
static void go_all(struct gdb_stub *s, const char *args, bool step)
{
    struct ringer_order orders[GDB_CPUS] = {{.move = RINGER_RUN}};

    if (!set_address(s, args)) {
        gdb_reply_error(s, -EINVAL);
        return;
    }
    if (step) {
        orders[s->step_cpu < GDB_CPUS ? s->step_cpu : s->cpu].move = RINGER_STEP;
    }
    go(s, orders);
}

void gdb_go_continue(struct gdb_stub *s, const char *args, size_t size)
{
    (void)size;
    go_all(s, args, false);
}

void gdb_go_step(struct gdb_stub *s, const char *args, size_t size)
{
    (void)size;
    go_all(s, args, true);
}

/* "SIGNAL[;ADDRESS]" */
static void go_with_signal(struct gdb_stub *s, const char *args, bool step)
{
    uint64_t number;

    if (!gdb_parse_hex(&args, &number) || (*args && !gdb_parse_char(&args, ';'))) {
        gdb_reply_error(s, -EINVAL);
        return;
    }
    go_all(s, args, step);
}

void gdb_go_continue_signal(struct gdb_stub *s, const char *args, size_t size)
{
    (void)size;
    go_with_signal(s, args, false);
}

void gdb_go_step_signal(struct gdb_stub *s, const char *args, size_t size)
{
    (void)size;
    go_with_signal(s, args, true);
}

/* ------------------------------------------------------------------ bc and bs */

static void go_back(struct gdb_stub *s, bool step)
{
    if (s->host->back) { /* else the reply is empty: not known */
        s->waits = true;
        s->host->back(s->host->context, step);
    }
}

void gdb_go_back(struct gdb_stub *s, const char *args, size_t size)
{
    (void)args;
    (void)size;
    go_back(s, false);
}

void gdb_go_step_back(struct gdb_stub *s, const char *args, size_t size)
{
    (void)args;
    (void)size;
    go_back(s, true);
}

/* ------------------------------------------------------------------ vCont */

void gdb_go_what(struct gdb_stub *s, const char *args, size_t size)
{
    (void)args;
    (void)size;
    gdb_writer_add(&s->reply, "vCont;c;C;s;S;r");
}

/* One action: "c", "C SIGNAL", "s", "S SIGNAL" or "r START,END". */
static bool parse_action(const char **args, struct ringer_order *order)
{
    uint64_t number;
    char letter = **args;

    *order =
        (struct ringer_order){.move = letter == 'c' || letter == 'C' ? RINGER_RUN : RINGER_STEP};
    *args += letter != 0;
    switch (letter) {
    case 'c':
    case 's':
        return true;
    case 'C':
    case 'S':
        return gdb_parse_hex(args, &number);
    case 'r':
        return gdb_parse_hex(args, &order->step_start) && gdb_parse_char(args, ',') &&
               gdb_parse_hex(args, &order->step_end);
    default:
        return false;
    }
}

/* "ACTION[:THREAD][;ACTION...]".  Of the actions for a thread the leftmost counts; a thread without
 * one stays where it is. */
void gdb_go_each(struct gdb_stub *s, const char *args, size_t size)
{
    struct ringer_order orders[GDB_CPUS], order;
    bool any = false;

    (void)size;
    for (unsigned i = 0; i < s->cpus; i++) {
        orders[i] = (struct ringer_order){.move = RINGER_STAY};
    }
    do {
        unsigned cpu = GDB_CPUS;
        if (!parse_action(&args, &order) ||
            (gdb_parse_char(&args, ':') && !gdb_parse_thread(s, &args, &cpu))) {
            gdb_reply_error(s, -EINVAL);
            return;
        }
        for (unsigned i = 0; i < s->cpus; i++) {
            if (orders[i].move == RINGER_STAY && (cpu == GDB_CPUS || cpu == i)) {
                orders[i] = order;
                any = true;
            }
        }
    } while (gdb_parse_char(&args, ';'));
    if (*args || !any) {
        gdb_reply_error(s, -EINVAL);
        return;
    }
    go(s, orders);
}
