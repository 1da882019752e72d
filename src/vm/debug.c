/*
 * debug.c - the board's side of a debugger.
 *
 * Breakpoints are kept in a list of the board's own and copied into the arena, where the vCPUs
 * look, while these are held.  A vCPU that stops holds by itself (VCPU_STOPPED); the board holds
 * the others, and tells when all are held.  If several have stopped by then only one is told:
 * breakpoints of the others will be met again, for they stand before their instruction; accesses
 * will not, so these stay pending.
 */
#include "vm/debug.h"

#include <errno.h>
#include <string.h>

#include "vm/machine.h"
#include "vm/vcpus.h"

/* ------------------------------------------------------------------ stops */

bool debug_is_pending(const struct ringer *m)
{
    for (unsigned i = 0; i < m->vm->cpu_count; i++) {
        if (m->vm->cpus[i].debugger.stop) {
            return true;
        }
    }
    return false;
}

static enum ringer_break kind_of(const struct mmu_watch *w)
{
    return w->reads && w->writes ? RINGER_BREAK_ACCESS
           : w->reads            ? RINGER_BREAK_READ
                                 : RINGER_BREAK_WRITE;
}

/* What a held vCPU has to tell; the record in the arena may hold anything. */
static struct ringer_stop describe(const struct ringer *m, unsigned index)
{
    const struct debugger *d = &m->vm->cpus[index].debugger;
    struct ringer_stop stop = {.reason = RINGER_STOP_BREAK,
                               .cpu = index,
                               .address = d->address,
                               .instructions = d->icount};
    u32 watch = d->watch;

    if (d->stop == DEBUGGER_STEPPED) {
        stop.reason = RINGER_STOP_STEP;
    } else if (d->stop == DEBUGGER_BREAKPOINT) {
        stop.kind = RINGER_BREAK_EXECUTE;
    } else {
        stop.kind = kind_of(&m->debug.list.watches.watch[watch < MMU_WATCHES ? watch : 0]);
    }
    return stop;
}

static void take(struct cpu *cpu)
{
    struct debugger *d = &cpu->debugger;

    d->passed = d->stop == DEBUGGER_BREAKPOINT ? cpu->icount + 1 : 0;
    d->stop = DEBUGGER_GO_ON;
}

/* The orders of the last ringer_go() have been carried out. */
static void end_orders(struct ringer *m)
{
    for (unsigned i = 0; i < m->vm->cpu_count; i++) {
        m->vcpus[i].stays = false;
        m->vm->cpus[i].debugger.stepping = false;
    }
}

void debug_serve(struct ringer *m)
{
    struct ringer_stop stop = {0};
    bool found = false;

    if (m->paused || !vcpus_are_held(m)) {
        return;
    }
    for (unsigned i = 0; i < m->vm->cpu_count; i++) {
        struct cpu *cpu = &m->vm->cpus[i];
        if (!cpu->debugger.stop) {
            continue;
        }
        if (!found) {
            found = true;
            stop = describe(m, i);
            take(cpu);
        } else if (cpu->debugger.stop != DEBUGGER_WATCHPOINT) {
            cpu->debugger.stop = DEBUGGER_GO_ON;
        }
    }
    if (found) {
        vcpus_hold(
            m); /* its message may still be on the way: only an order to hold lets it go on */
        m->held = m->paused = true;
        end_orders(m);
        if (m->debug.stopped) {
            m->debug.stopped(m->debug.context, &stop);
        }
    }
}

void ringer_on_stop(struct ringer *m,
                    void (*stopped)(void *context, const struct ringer_stop *stop), void *context)
{
    m->debug.stopped = stopped;
    m->debug.context = context;
}

/* ------------------------------------------------------------------ breakpoints */

static void add_offset(struct debugger_list *list, gva_t gva)
{
    unsigned offset = gva & ~PAGE_MASK;

    list->offsets[offset / 64] |= 1ull << (offset % 64);
}

/* The vCPUs get the list as it is now, and drop what they have made by the old one. */
static int publish(struct ringer *m)
{
    struct debugger_list *list = &m->debug.list;

    memset(list->offsets, 0, sizeof(list->offsets));
    for (u32 i = 0; i < list->breakpoint_count; i++) {
        add_offset(list, list->breakpoints[i]);
    }
    memcpy(m->vm->debugger, list, sizeof(*list));
    for (unsigned i = 0; i < m->vm->cpu_count; i++) {
        atomic_store(&m->vm->controls[i].flush, 1);
    }
    return 0;
}

/* The index of the first breakpoint not below gva. */
static u32 place_of(const struct debugger_list *list, gva_t gva)
{
    u32 i;

    for (i = 0; i < list->breakpoint_count && list->breakpoints[i] < gva; i++) {}
    return i;
}

static bool is_at(const struct debugger_list *list, u32 place, gva_t gva)
{
    return place < list->breakpoint_count && list->breakpoints[place] == gva;
}

static int set_execute(struct ringer *m, gva_t gva)
{
    struct debugger_list *list = &m->debug.list;
    u32 place = place_of(list, gva);

    if (is_at(list, place, gva)) {
        return machine_fail(m, -EEXIST, "there is a breakpoint at %#lx", (unsigned long)gva);
    }
    if (list->breakpoint_count == DEBUGGER_BREAKPOINTS) {
        return machine_fail(m, -ENOSPC, "there are %u breakpoints, and can be no more",
                            DEBUGGER_BREAKPOINTS);
    }
    memmove(&list->breakpoints[place + 1], &list->breakpoints[place],
            (list->breakpoint_count - place) * sizeof(gva));
    list->breakpoints[place] = gva;
    list->breakpoint_count++;
    return publish(m);
}

static int clear_execute(struct ringer *m, gva_t gva)
{
    struct debugger_list *list = &m->debug.list;
    u32 place = place_of(list, gva);

    if (!is_at(list, place, gva)) {
        return machine_fail(m, -ENOENT, "there is no breakpoint at %#lx", (unsigned long)gva);
    }
    list->breakpoint_count--;
    memmove(&list->breakpoints[place], &list->breakpoints[place + 1],
            (list->breakpoint_count - place) * sizeof(gva));
    return publish(m);
}

static struct mmu_watch *find_watch(struct ringer *m, enum ringer_break kind, gva_t gva, u64 size)
{
    struct mmu_watches *w = &m->debug.list.watches;

    for (u32 i = 0; i < w->count; i++) {
        if (w->watch[i].start == gva && w->watch[i].size == size && kind_of(&w->watch[i]) == kind) {
            return &w->watch[i];
        }
    }
    return NULL;
}

static int set_watch(struct ringer *m, enum ringer_break kind, gva_t gva, u64 size)
{
    struct mmu_watches *w = &m->debug.list.watches;

    if (size == 0 || gva + size < gva) {
        return machine_fail(m, -EINVAL, "%#lx bytes at %#lx are not a range to watch",
                            (unsigned long)size, (unsigned long)gva);
    }
    if (find_watch(m, kind, gva, size)) {
        return machine_fail(m, -EEXIST, "%#lx is watched so already", (unsigned long)gva);
    }
    if (w->count == MMU_WATCHES) {
        return machine_fail(m, -ENOSPC, "%u ranges are watched, and can be no more", MMU_WATCHES);
    }
    w->watch[w->count++] = (struct mmu_watch){
        .start = gva,
        .size = size,
        .reads = kind != RINGER_BREAK_WRITE,
        .writes = kind != RINGER_BREAK_READ,
    };
    return publish(m);
}

static int clear_watch(struct ringer *m, enum ringer_break kind, gva_t gva, u64 size)
{
    struct mmu_watches *w = &m->debug.list.watches;
    struct mmu_watch *found = find_watch(m, kind, gva, size);

    if (!found) {
        return machine_fail(m, -ENOENT, "%#lx is not watched so", (unsigned long)gva);
    }
    *found = w->watch[--w->count];
    return publish(m);
}

static int check_held(struct ringer *m)
{
    return m->held ? 0 : machine_fail(m, -EBUSY, "the guest is running: pause it first");
}

int ringer_set_breakpoint(struct ringer *m, enum ringer_break kind, uint64_t gva, uint64_t size)
{
    int error = check_held(m);

    if (error < 0) {
        return error;
    }
    return kind == RINGER_BREAK_EXECUTE ? set_execute(m, gva) : set_watch(m, kind, gva, size);
}

int ringer_clear_breakpoint(struct ringer *m, enum ringer_break kind, uint64_t gva, uint64_t size)
{
    int error = check_held(m);

    if (error < 0) {
        return error;
    }
    return kind == RINGER_BREAK_EXECUTE ? clear_execute(m, gva) : clear_watch(m, kind, gva, size);
}

/* ------------------------------------------------------------------ orders */

int ringer_go(struct ringer *m, const struct ringer_order *orders, unsigned count)
{
    if (count != m->vm->cpu_count) {
        return machine_fail(m, -EINVAL, "%u orders for %u CPUs", count, m->vm->cpu_count);
    }
    if (check_held(m) < 0) {
        return -EBUSY;
    }
    for (unsigned i = 0; i < count; i++) {
        struct debugger *d = &m->vm->cpus[i].debugger;
        m->vcpus[i].stays = orders[i].move == RINGER_STAY;
        d->stepping = orders[i].move == RINGER_STEP;
        d->step_start = orders[i].step_start;
        d->step_end = orders[i].step_end;
    }
    return ringer_resume(m);
}
