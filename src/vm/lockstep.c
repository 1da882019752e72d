/*
 * lockstep.c - the same guest under two engines: to the first instruction after which they differ.
 *
 * Both machines keep a trail (struct trail in vm.h): a digest of the registers at each event.  They
 * run a batch of events side by side, then the digests are compared; RAM now and then, and at the
 * end.  What is known of a difference is then only the event before which it lies.  Since runs
 * repeat themselves, new machines are run to the last event at which all was equal, and stepped
 * from there:
 *
 *      RAM differed already before the event at which registers do (a wrong store, loaded later):
 *      which pages those are is known then, and so few are compared at each event from the last one
 *      at which all RAM was equal.
 *
 *      From the event before the first difference: a step at a time; if it is far, in larger steps
 *      first, and by new machines again.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cpu/state.h"
#include "host/tsc.h"
#include "vm/machine.h"

#define BATCH_EVENTS_FIRST 8u
#define BATCH_EVENTS_MAX   (TRAIL_EVENTS / 2)
#define BATCH_NS           500000000ull  /* of the host's time, about */
#define MEMORY_INTERVAL_NS 3000000000ull /* of the host's time */
#define PAGES_MAX          64u
#define NEAR_STEPS         20000u
#define FAR_STEP           65536u
#define FAR_PARTS          256u /* FAR_STEP is this squared */
#define SHOWN_VALUES       20u  /* of struct cpu_state, whether they differ or not */
#define SHOWN_WORDS        8u   /* of memory */

struct side {
    struct ringer *m;
    struct ringer_exit end;
    bool ended;
    int error;
    u64 start; /* icount at the event from which it is stepped */
};

struct pages { /* of RAM, by their place in the file, that differ */
    u32 count;
    u64 at[PAGES_MAX];
};

struct lockstep {
    const struct ringer_lockstep *request;
    struct ringer_lockstep_figures *figures;
    struct side side[2];
};

static void say(struct lockstep *l, const char *text, ...)
    __attribute__((__format__(printf, 2, 3)));

static void say(struct lockstep *l, const char *text, ...)
{
    char line[512];
    va_list args;

    va_start(args, text);
    vsnprintf(line, sizeof(line), text, args);
    va_end(args);
    l->request->say(l->request->context, line);
}

/* ------------------------------------------------------------------ two machines */

static void destroy(struct lockstep *l)
{
    for (unsigned i = 0; i < 2; i++) {
        struct ringer *m = l->side[i].m;
        if (m && l->request->destroy) {
            l->request->destroy(l->request->context, i, m);
        } else {
            ringer_destroy(m);
        }
        l->side[i] = (struct side){0};
    }
}

/* New machines at power-on.  False: whoever makes them has said why. */
static bool make(struct lockstep *l)
{
    destroy(l);
    for (unsigned i = 0; i < 2; i++) {
        l->side[i].m = l->request->make(l->request->context, i);
        if (!l->side[i].m) {
            return false;
        }
    }
    return true;
}

static struct trail *trail_of(const struct side *s)
{
    return s->m->vm->trail;
}

static u64 events(const struct side *s)
{
    return atomic_load(&trail_of(s)->count);
}

static const struct cpu *cpu_of(const struct side *s)
{
    return &s->m->vm->cpus[0];
}

static void run(struct side *s, u64 until_event, u64 until_icount)
{
    if (s->ended || events(s) >= until_event || cpu_of(s)->icount >= until_icount) {
        return;
    }
    atomic_store(&trail_of(s)->stop_at, until_event);
    s->error = ringer_run_until(s->m, until_icount, &s->end);
    s->ended = s->error < 0 || s->end.reason != RINGER_EXIT_COUNT;
}

struct job {
    struct side *side;
    u64 until_event;
};

static void *run_job(void *argument)
{
    const struct job *job = argument;

    run(job->side, job->until_event, UINT64_MAX);
    return NULL;
}

/* Both to that many events, side by side.  False where Ringer itself failed. */
static bool run_to(struct lockstep *l, u64 event)
{
    struct job job = {&l->side[1], event};
    pthread_t thread;
    bool threaded = pthread_create(&thread, NULL, run_job, &job) == 0;

    run(&l->side[0], event, UINT64_MAX);
    if (threaded) {
        pthread_join(thread, NULL);
    } else {
        run_job(&job);
    }
    for (unsigned i = 0; i < 2; i++) {
        if (l->side[i].ended && l->side[i].end.reason == RINGER_EXIT_STOPPED) {
            return false;
        }
        if (l->side[i].error < 0 ||
            (l->side[i].ended && l->side[i].end.reason == RINGER_EXIT_FAILURE)) {
            say(l, "%s: %s", l->request->names[i], ringer_error(l->side[i].m));
            return false;
        }
    }
    return true;
}

/* ------------------------------------------------------------------ comparing */

static bool same_registers(const struct lockstep *l)
{
    struct cpu_state a, b;

    cpu_state_get(cpu_of(&l->side[0]), &a);
    cpu_state_get(cpu_of(&l->side[1]), &b);
    return memcmp(a.value, b.value, cpu_state_count() * sizeof(a.value[0])) == 0;
}

/* Have the devices been told the same, and have they told the same? */
static bool same_exits(const struct lockstep *l)
{
    return trail_of(&l->side[0])->exits == trail_of(&l->side[1])->exits;
}

static const u8 *page_of(const struct side *s, u64 at)
{
    return (const u8 *)s->m->arena.ram.base + at;
}

static bool same_page(const struct lockstep *l, u64 at)
{
    return memcmp(page_of(&l->side[0], at), page_of(&l->side[1], at), PAGE_SIZE) == 0;
}

static bool is_listed(const struct pages *pages, u64 at)
{
    for (u32 i = 0; i < pages->count; i++) {
        if (pages->at[i] == at) {
            return true;
        }
    }
    return false;
}

/* Compare all pages that either has ever touched; the first PAGES_MAX that differ are listed. */
static void compare_memory(const struct lockstep *l, struct pages *pages)
{
    pages->count = 0;
    for (unsigned i = 0; i < 2; i++) {
        const struct host_memory *ram = &l->side[i].m->arena.ram;
        off_t size = (off_t)ram->size, at = 0;
        while (at < size && (at = lseek(ram->fd, at, SEEK_DATA)) >= 0) {
            off_t end = lseek(ram->fd, at, SEEK_HOLE);
            for (end = end < 0 ? size : end; at < end; at += PAGE_SIZE) {
                if (!same_page(l, (u64)at) && pages->count < PAGES_MAX &&
                    !is_listed(pages, (u64)at)) {
                    pages->at[pages->count++] = (u64)at;
                }
            }
        }
    }
}

/* Whether there are any that are new. */
static bool add_pages(struct pages *pages, const struct pages *more)
{
    u32 before = pages->count;

    for (u32 i = 0; i < more->count && pages->count < PAGES_MAX; i++) {
        if (!is_listed(pages, more->at[i])) {
            pages->at[pages->count++] = more->at[i];
        }
    }
    return pages->count > before;
}

static bool same_pages(const struct lockstep *l, const struct pages *pages)
{
    for (u32 i = 0; i < pages->count; i++) {
        if (!same_page(l, pages->at[i])) {
            return false;
        }
    }
    return true;
}

static bool same_end(const struct lockstep *l)
{
    const struct side *a = &l->side[0], *b = &l->side[1];

    return a->ended == b->ended &&
           (!a->ended || (a->end.reason == b->end.reason && a->end.code == b->end.code));
}

/* The number of events up to the first in [done, ...) that differs, or 0.  Both have had a batch.
 */
static u64 first_difference(const struct lockstep *l, u64 done)
{
    u64 counts[] = {events(&l->side[0]), events(&l->side[1])};
    u64 least = counts[0] < counts[1] ? counts[0] : counts[1];

    for (u64 i = done; i < least; i++) {
        if (trail_of(&l->side[0])->events[i % TRAIL_EVENTS].digest !=
            trail_of(&l->side[1])->events[i % TRAIL_EVENTS].digest) {
            return i + 1;
        }
    }
    return counts[0] != counts[1] || !same_end(l) ? least + 1 : 0;
}

/* ------------------------------------------------------------------ telling */

static u64 gpa_of(const struct side *s, u64 at)
{
    u64 low = s->m->vm->mem.low_size;

    return at < low ? at : at - low + MEM_HIGH_START;
}

static void tell_registers(struct lockstep *l)
{
    struct cpu_state a, b;
    char name[32];

    cpu_state_get(cpu_of(&l->side[0]), &a);
    cpu_state_get(cpu_of(&l->side[1]), &b);
    say(l, "  %-20s %-16s   %s", "register", l->request->names[0], l->request->names[1]);
    for (unsigned i = 0; i < cpu_state_count(); i++) {
        bool differs = a.value[i] != b.value[i];
        if (differs || i < SHOWN_VALUES) {
            cpu_state_name(i, name, sizeof(name));
            say(l, "%c %-20s %016lx   %016lx%s", differs ? '*' : ' ', name,
                (unsigned long)a.value[i], (unsigned long)b.value[i], differs ? "   *" : "");
        }
    }
}

static void tell_memory(struct lockstep *l)
{
    struct pages pages;
    unsigned shown = 0;

    compare_memory(l, &pages);
    for (u32 i = 0; i < pages.count; i++) {
        for (unsigned at = 0; at < PAGE_SIZE && shown < SHOWN_WORDS; at += 8) {
            u64 a, b;
            memcpy(&a, page_of(&l->side[0], pages.at[i]) + at, 8);
            memcpy(&b, page_of(&l->side[1], pages.at[i]) + at, 8);
            if (a != b) {
                shown++;
                say(l, "* memory %012lx  %016lx   %016lx   *",
                    (unsigned long)gpa_of(&l->side[0], pages.at[i]) + at, (unsigned long)a,
                    (unsigned long)b);
            }
        }
    }
    if (shown == SHOWN_WORDS) {
        say(l, "  and maybe more of memory, in %u pages", pages.count);
    }
}

static void tell_exits(struct lockstep *l)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct ring_message *e = &trail_of(&l->side[i])->last_exit;
        say(l, "* %s: last %s %s %lx size %u value %lx at %lu ns", l->request->names[i],
            e->kind == RING_WRITE ? "wrote to" : "asked", e->space == BUS_PIO ? "port" : "address",
            (unsigned long)e->addr, e->size, (unsigned long)e->value, (unsigned long)e->time_ns);
    }
}

static void tell_end(struct lockstep *l)
{
    static const char *const reasons[] = {
        [RINGER_EXIT_POWER_OFF] = "powers off",     [RINGER_EXIT_RESET] = "resets",
        [RINGER_EXIT_DEBUG] = "a debug exit",       [RINGER_EXIT_TRIPLE_FAULT] = "a triple fault",
        [RINGER_EXIT_STOPPED] = "stopped",          [RINGER_EXIT_COUNT] = "goes on",
        [RINGER_EXIT_REPLAYED] = "sleeps for ever", [RINGER_EXIT_DIVERGED] = "goes on",
        [RINGER_EXIT_FAILURE] = "Ringer failed",
    };

    for (unsigned i = 0; i < 2; i++) {
        const struct side *s = &l->side[i];
        say(l, "  %s: %s", l->request->names[i], s->ended ? reasons[s->end.reason] : "goes on");
    }
}

/* ------------------------------------------------------------------ steps */

static bool same_all(const struct lockstep *l, const struct pages *pages)
{
    return same_end(l) && same_registers(l) && same_exits(l) && same_pages(l, pages);
}

/* New machines, so many instructions after that event. */
static bool make_at(struct lockstep *l, u64 event, u64 offset)
{
    if (!make(l) || !run_to(l, event)) {
        return false;
    }
    for (unsigned i = 0; i < 2; i++) {
        l->side[i].start = cpu_of(&l->side[i])->icount;
        run(&l->side[i], UINT64_MAX, l->side[i].start + offset);
    }
    return true;
}

/* The instructions after which something differs: one, unless an engine cannot stop after it. */
#define STEP_INSNS 4u

struct step {
    u64 offset; /* instructions from the event on; all is equal there */
    unsigned count;
    struct {
        u64 rip;
        unsigned cpl;
        char text[160];
    } insn[STEP_INSNS];
};

static u64 steps_of(const struct side *s)
{
    return cpu_of(s)->icount - s->start;
}

/* The instruction that is next on the side that has done fewer of them. */
static void note_instruction(const struct lockstep *l, struct step *step)
{
    const struct side *s = &l->side[steps_of(&l->side[1]) < steps_of(&l->side[0])];
    const struct cpu *cpu = cpu_of(s);

    if (step->count == STEP_INSNS) {
        return;
    }
    step->insn[step->count].rip = cpu->rip;
    step->insn[step->count].cpl = cpu->cpl;
    ringer_disassemble(s->m, 0, cpu->seg[SEG_CS].base + cpu->rip, step->insn[step->count].text,
                       sizeof(step->insn[0].text));
    step->count++;
}

/* Step by so many instructions, at most `limit` times, until something differs: then true, and
 * *step is the place before. */
static bool walk(struct lockstep *l, const struct pages *pages, struct step *step, u64 size,
                 u64 limit)
{
    u64 at = step->offset;

    step->count = 0;
    for (u64 n = 0; n < limit && !(l->side[0].ended && l->side[1].ended); n++) {
        if (size == 1) {
            note_instruction(l, step);
        }
        at += size;
        for (unsigned i = 0; i < 2; i++) {
            run(&l->side[i], UINT64_MAX, l->side[i].start + at);
        }
        if (same_end(l) && !l->side[0].ended && steps_of(&l->side[0]) != steps_of(&l->side[1])) {
            continue; /* one cannot be stopped here */
        }
        if (!same_all(l, pages)) {
            return true;
        }
        step->offset = at;
        step->count = 0;
    }
    return false;
}

enum search { SEARCH_FOUND, SEARCH_NOTHING, SEARCH_FAILED };

/* All is equal at `event`: where it first is not, in registers or the given pages. */
static enum search search(struct lockstep *l, u64 event, const struct pages *pages,
                          struct step *step)
{
    *step = (struct step){0};
    if (!make_at(l, event, 0)) {
        return SEARCH_FAILED;
    }
    if (walk(l, pages, step, 1, NEAR_STEPS)) {
        return SEARCH_FOUND;
    }
    for (u64 size = FAR_STEP, limit = UINT64_MAX; size > 0; size /= FAR_PARTS) {
        if (!walk(l, pages, step, size, limit)) {
            return SEARCH_NOTHING;
        }
        if (size > 1 && !make_at(l, event, step->offset)) {
            return SEARCH_FAILED;
        }
        limit = FAR_PARTS;
    }
    return SEARCH_FOUND;
}

/* The count of the one that has counted all: the other may have run user code uncounted. */
static u64 instruction_number(const struct lockstep *l)
{
    u64 a = cpu_of(&l->side[0])->icount, b = cpu_of(&l->side[1])->icount;

    return a > b ? a : b;
}

static enum ringer_lockstep_result tell(struct lockstep *l, const struct step *step)
{
    say(l, "the engines differ after %s, number %lu at CPL %u:",
        step->count == 1 ? "this instruction" : "these, between which one of them cannot stop",
        (unsigned long)instruction_number(l), step->insn[0].cpl);
    for (unsigned i = 0; i < step->count; i++) {
        say(l, "  %016lx  %s", (unsigned long)step->insn[i].rip, step->insn[i].text);
    }
    tell_registers(l);
    tell_memory(l);
    if (!same_exits(l)) {
        tell_exits(l);
    }
    if (!same_end(l)) {
        tell_end(l);
    }
    return RINGER_LOCKSTEP_DIFFERENT;
}

/* All is equal at `event`, and not long after it.  What differs in registers may have been stored
 * before: then RAM differs already where they do not yet, and in which pages, is known next time.
 */
static enum ringer_lockstep_result step_from(struct lockstep *l, u64 event, struct pages *pages)
{
    struct step step;

    for (;;) {
        struct pages before;
        enum search found = search(l, event, pages, &step);
        if (found == SEARCH_NOTHING) {
            break;
        }
        if (found == SEARCH_FAILED || !make_at(l, event, step.offset)) {
            return RINGER_LOCKSTEP_FAILED;
        }
        compare_memory(l, &before);
        if (!add_pages(pages, &before)) {
            walk(l, pages, &step, 1, STEP_INSNS);
            return tell(l, &step);
        }
    }
    say(l, "the engines differ after event %lu, but not when they are stepped from there",
        (unsigned long)event);
    tell_end(l);
    return RINGER_LOCKSTEP_DIFFERENT;
}

/* All was equal at the event `equal`; something differs at `bad`, if not registers then memory. */
static enum ringer_lockstep_result narrow(struct lockstep *l, u64 equal, u64 bad)
{
    struct pages pages;
    u64 event = bad - 1;

    say(l, "the engines differ at event %lu of the trail; looking for the instruction",
        (unsigned long)bad);
    if (!make(l) || !run_to(l, event)) {
        return RINGER_LOCKSTEP_FAILED;
    }
    compare_memory(l, &pages);
    if (pages.count > 0) {
        if (!make(l) || !run_to(l, equal)) {
            return RINGER_LOCKSTEP_FAILED;
        }
        for (event = equal; same_all(l, &pages); event++) {
            if (event == bad || !run_to(l, event + 1)) {
                return RINGER_LOCKSTEP_FAILED;
            }
        }
        event -= event > equal;
    }
    return step_from(l, event, &pages);
}

/* ------------------------------------------------------------------ all of it */

static bool go_on(struct lockstep *l)
{
    const struct side *s = &l->side[0];

    *l->figures = (struct ringer_lockstep_figures){.instructions = cpu_of(s)->icount,
                                                   .events = events(s),
                                                   .memory_compared = l->figures->memory_compared};
    return !l->request->progress || l->request->progress(l->request->context, l->figures);
}

/* How many events the next batch shall have: a guest that differs early is not run for long, nor
 * one that is slow. */
static u64 next_batch(u64 batch, u64 took_ns)
{
    if (took_ns > BATCH_NS) {
        return batch > 1 ? batch / 2 : 1;
    }
    return took_ns < BATCH_NS / 2 && batch < BATCH_EVENTS_MAX ? batch * 2 : batch;
}

static enum ringer_lockstep_result compare(struct lockstep *l)
{
    u64 done = 0, equal = 0, batch = BATCH_EVENTS_FIRST, memory_ns = host_monotonic_ns();

    if (!make(l)) {
        return RINGER_LOCKSTEP_FAILED;
    }
    for (;;) {
        struct pages pages = {0};
        u64 bad, start_ns = host_monotonic_ns();
        if (!run_to(l, done + batch)) {
            return RINGER_LOCKSTEP_FAILED;
        }
        batch = next_batch(batch, host_monotonic_ns() - start_ns);
        bad = first_difference(l, done);
        if (bad) {
            return narrow(l, equal, bad);
        }
        bool ended = l->side[0].ended;
        if (ended && !(same_registers(l) && same_exits(l))) {
            return narrow(l, equal, events(&l->side[0]) + 1);
        }
        done = events(&l->side[0]);
        if (ended || host_monotonic_ns() - memory_ns > MEMORY_INTERVAL_NS) {
            compare_memory(l, &pages);
            if (pages.count > 0) {
                return narrow(l, equal, done + 1);
            }
            equal = done;
            memory_ns = host_monotonic_ns();
            l->figures->memory_compared++;
        }
        if (!go_on(l)) {
            return RINGER_LOCKSTEP_STOPPED;
        }
        if (ended) {
            return RINGER_LOCKSTEP_EQUAL;
        }
    }
}

enum ringer_lockstep_result ringer_lockstep(const struct ringer_lockstep *request,
                                            struct ringer_lockstep_figures *figures)
{
    struct lockstep l = {.request = request, .figures = figures};
    enum ringer_lockstep_result result;

    *figures = (struct ringer_lockstep_figures){0};
    result = compare(&l);
    destroy(&l);
    return result;
}
