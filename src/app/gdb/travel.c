/* travel.c - back in a replay; see travel.h. */
#include "app/gdb/travel.h"

#include <errno.h>
#include <string.h>

#define INTERVAL 50000000u /* instructions between checkpoints that are taken on the way */
#define NEAR     20000u    /* before a place that the machine has been taken back to */

/* ------------------------------------------------------------------ checkpoints */

static uint64_t at(const struct gdb_travel *t, unsigned i)
{
    return ringer_checkpoint_instructions(t->kept[i]);
}

/* The index of the last checkpoint that is not after instructions; 0 if none is. */
static unsigned last_before(const struct gdb_travel *t, uint64_t instructions)
{
    unsigned i = t->count - 1;

    while (i > 0 && at(t, i) > instructions) {
        i--;
    }
    return i;
}

/* Drop the one between whose neighbours there is the least; never the first. */
static void thin_out(struct gdb_travel *t)
{
    unsigned least = 1;

    for (unsigned i = 2; i + 1 < t->count; i++) {
        if (at(t, i + 1) - at(t, i - 1) < at(t, least + 1) - at(t, least - 1)) {
            least = i;
        }
    }
    ringer_checkpoint_destroy(t->kept[least]);
    t->count--;
    memmove(&t->kept[least], &t->kept[least + 1], (t->count - least) * sizeof(t->kept[0]));
}

/* Take one here, unless there is one. */
static int keep(struct gdb_travel *t)
{
    struct ringer_checkpoint *c;
    uint64_t here = gdb_travel_position(t);
    unsigned before = t->count ? last_before(t, here) : 0;

    if (t->count && at(t, before) == here) {
        return 0;
    }
    int error = ringer_checkpoint_take(t->machine, t->count ? t->kept[before] : NULL, &c);
    if (error < 0) {
        return error;
    }
    if (t->count == GDB_CHECKPOINTS) {
        thin_out(t);
        before = last_before(t, here);
    }
    unsigned place = t->count ? before + 1 : 0;
    memmove(&t->kept[place + 1], &t->kept[place], (t->count - place) * sizeof(t->kept[0]));
    t->kept[place] = c;
    t->count++;
    return 0;
}

int gdb_travel_begin(struct gdb_travel *t, struct ringer *machine)
{
    *t = (struct gdb_travel){.machine = machine};
    return keep(t);
}

void gdb_travel_end(struct gdb_travel *t)
{
    for (unsigned i = 0; i < t->count; i++) {
        ringer_checkpoint_destroy(t->kept[i]);
    }
    *t = (struct gdb_travel){0};
}

/* ------------------------------------------------------------------ forward */

uint64_t gdb_travel_position(const struct gdb_travel *t)
{
    struct ringer_registers r = {0};

    ringer_get_registers(t->machine, 0, &r);
    return r.instructions;
}

uint64_t gdb_travel_start(const struct gdb_travel *t)
{
    return at(t, 0);
}

uint64_t gdb_travel_next(const struct gdb_travel *t)
{
    uint64_t here = gdb_travel_position(t), last = at(t, last_before(t, here));

    return (here > last + INTERVAL ? here : last) + INTERVAL;
}

int gdb_travel_pass(struct gdb_travel *t)
{
    return keep(t);
}

/* ------------------------------------------------------------------ back */

/* Run to an instruction ahead, or until somebody has cancelled the journey. */
static int run_until(struct gdb_travel *t, uint64_t instructions)
{
    struct ringer_exit end;

    if (t->cancelled || gdb_travel_position(t) >= instructions) {
        return 0;
    }
    ringer_resume(t->machine);
    int error = ringer_run_until(t->machine, instructions, &end);
    if (error < 0) {
        return error;
    }
    t->cancelled |= end.reason == RINGER_EXIT_STOPPED; /* by whoever has stopped it */
    return end.reason == RINGER_EXIT_COUNT || end.reason == RINGER_EXIT_STOPPED ? 0 : -EIO;
}

int gdb_travel_to(struct gdb_travel *t, uint64_t instructions)
{
    unsigned from = last_before(t, instructions);
    int error = ringer_checkpoint_restore(t->machine, t->kept[from]);

    if (error == 0 && instructions > at(t, from) + 2 * NEAR) {
        error = run_until(t, instructions - NEAR);
        if (error == 0 && !t->cancelled) {
            error = keep(t);
        }
    }
    return error < 0 ? error : run_until(t, instructions);
}

static void note(void *context, const struct ringer_stop *stop)
{
    struct gdb_travel *t = context;

    t->found = true;
    t->last = *stop;
    if (!t->cancelled) {
        ringer_resume(t->machine);
    }
}

int gdb_travel_search(struct gdb_travel *t, uint64_t before)
{
    int error = 0;

    t->found = false;
    ringer_on_stop(t->machine, note, t);
    while (error == 0 && !t->found && !t->cancelled && before > at(t, 0)) {
        unsigned from = last_before(t, before - 1);
        error = ringer_checkpoint_restore(t->machine, t->kept[from]);
        if (error == 0) {
            uint64_t to = before;
            before = at(t, from);
            error = run_until(t, to);
        }
    }
    return error;
}

void gdb_travel_cancel(struct gdb_travel *t)
{
    t->cancelled = true;
    ringer_stop(t->machine);
}
