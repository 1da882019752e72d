/* session.c - see session.h. */
#include "session.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cpu/cpu.h"
#include "feature.h"
#include "shrink.h"

#define SEQUENCES_IN_100 12 /* of the single instructions */
#define NO_ROWS_IN_100   6

/* ------------------------------------------------------------------ what is generated */

static bool row_usable(void *context, unsigned row)
{
    return ((struct session *)context)->row_usable[row];
}

static void find_rows(struct session *s)
{
    enum vendor vendor = s->comparison.vendor;

    for (unsigned row = 0; row < INSN_ROWS; row++) {
        unsigned id = insn_rows[row].id;
        const char *reason = differences_not_run(id, vendor);
        if (!reason) {
            reason = feature_missing(s->guest, insn_rows[row].cpuid);
        }
        s->report.row[row].reason = reason;
        s->row_usable[row] = !reason && !differences_any(id, vendor);
    }
}

static void add_slot(struct session *s, unsigned row, unsigned mode)
{
    s->slot[s->slots++] = (struct slot){(u16)row, (u8)mode};
}

/* All rows in all modes, integer ones twice, and sequences, in random order. */
static void make_slots(struct session *s, const char *only, bool ldt)
{
    struct random r = random_from(s->seed);
    unsigned first = ldt ? INSN_MODE_16 : INSN_MODE_32, singles;

    for (unsigned row = 0; row < INSN_ROWS; row++) {
        if (s->report.row[row].reason || (only && strcmp(insn_rows[row].mnemonic, only) != 0)) {
            continue;
        }
        u32 vector = ATTR_X87 | ATTR_MMX | ATTR_SSE | ATTR_AVX;
        for (unsigned mode = first; mode <= INSN_MODE_64; mode++) {
            unsigned times = insn_rows[row].attributes & vector ? 1 : 2;
            while (encode_possible(row, mode) && times--) {
                add_slot(s, row, mode);
            }
        }
    }
    singles = s->slots;
    for (unsigned i = 0; !only && i < singles * SEQUENCES_IN_100 / 100; i++) {
        add_slot(s, SLOT_SEQUENCE, first + i % (3 - first));
    }
    for (unsigned i = 0; !only && i < singles * NO_ROWS_IN_100 / 100; i++) {
        add_slot(s, SLOT_NO_ROW, first + i % (3 - first));
    }
    for (unsigned i = s->slots; i > 1; i--) {
        unsigned k = (unsigned)random_below(&r, i);
        struct slot swap = s->slot[i - 1];
        s->slot[i - 1] = s->slot[k];
        s->slot[k] = swap;
    }
}

/* Intel's may raise an exception when a locked operand crosses a cache line, for which Linux then
 * makes the program wait. */
static bool locks_are_punished(enum vendor vendor)
{
    return vendor == VENDOR_INTEL;
}

struct session *session_new(u64 seed, const char *only, const char **reason)
{
    struct session *s = case_alloc(sizeof(*s));
    bool ldt = false;

    s->seed = seed;
    s->most_failures = 10;
    s->native = native_process_new(reason, &ldt);
    if (!s->native) {
        free(s);
        return NULL;
    }
    s->guest = guest_new();
    s->comparison.vendor = vendor_of_host();
    s->comparison.used = s->report.used;
    encodings_init(&s->generator.encodings);
    s->generator.ldt = ldt;
    s->generator.aligned_locks = locks_are_punished(s->comparison.vendor);
    s->generator.usable = row_usable;
    s->generator.context = s;
    find_rows(s);
    make_slots(s, only, ldt);
    return s;
}

void session_free(struct session *s)
{
    native_process_free(s->native);
    guest_free(s->guest);
    free(s);
}

/* ------------------------------------------------------------------ one case */

static void print_side(const char *who, const struct outcome *o)
{
    const struct registers *r = &o->after;

    fprintf(stderr,
            "  %-6s vector %u error %#x cr2 %#lx rip %lx flags %lx cs %lx ss %lx ds %lx es "
            "%lx fs %lx gs %lx\n        ",
            who, o->vector, o->error, o->cr2, r->rip, r->flags, r->cs, r->ss, r->ds, r->es, r->fs,
            r->gs);
    for (unsigned i = 0; i < 16; i++) {
        fprintf(stderr, " %lx", r->gpr[i]);
    }
    fprintf(stderr,
            "\n         fcw %x fsw %x ftw %x fop %x fip %lx fdp %lx mxcsr %x, %u words changed",
            o->fpu.fcw, o->fpu.fsw, o->fpu.ftw, o->fpu.fop, o->fpu.fip, o->fpu.fdp, o->fpu.mxcsr,
            o->changes);
    fprintf(stderr, "\n");
}

static void print_code(const struct diff_case *c)
{
    struct insn insn;
    char text[128] = "(undefined)";

    for (unsigned at = 0; at < c->code_size; at += insn.length) {
        if (insn_decode(&insn, c->mode, c->code + at, c->code_size - at) == INSN_OK) {
            insn_format(&insn, c->mode, c->before.rip + at, text, sizeof(text));
        }
        fprintf(stderr, "  %lx %s\n", c->before.rip + at, text);
        if (c->kind == CASE_UNDEFINED || !insn.length) {
            return;
        }
    }
}

/* The first words of memory that differ. */
static void print_memory(const struct outcome *native, const struct outcome *guest)
{
    unsigned printed = 0;

    for (unsigned i = 0; i < CASE_CHANGES && printed < 8; i++) {
        const struct change *n = i < native->changes ? &native->change[i] : NULL;
        const struct change *g = i < guest->changes ? &guest->change[i] : NULL;
        if (n && g && n->offset == g->offset && n->value == g->value) {
            continue;
        }
        if (n) {
            fprintf(stderr, "  host   wrote %x: %lx\n", AREA + n->offset, n->value);
        }
        if (g) {
            fprintf(stderr, "  Ringer wrote %x: %lx\n", AREA + g->offset, g->value);
        }
        printed++;
    }
}

/* Each register of many bytes that differs. */
static void print_registers(const char *name, const u8 *native, const u8 *guest, unsigned count,
                            unsigned size)
{
    for (unsigned i = 0; i < count * 16; i += 16) {
        if (memcmp(native + i, guest + i, size) == 0) {
            continue;
        }
        fprintf(stderr, "  %s%u host ", name, i / 16);
        for (unsigned k = size; k--;) {
            fprintf(stderr, "%02x", native[i + k]);
        }
        fprintf(stderr, " Ringer ");
        for (unsigned k = size; k--;) {
            fprintf(stderr, "%02x", guest[i + k]);
        }
        fprintf(stderr, "\n");
    }
}

void session_print(struct session *s, const struct diff_case *c, const char *what,
                   const struct outcome *native, const struct outcome *guest)
{
    char text[REPRO_MAX];

    fprintf(stderr, "%s differs, in %u-bit code:\n", what, 16u << c->mode);
    print_code(c);
    print_side("host", native);
    print_side("Ringer", guest);
    print_registers("st", native->fpu.st[0], guest->fpu.st[0], 8, 10);
    print_registers("xmm", native->fpu.xmm[0], guest->fpu.xmm[0], 16, 16);
    print_registers("ymm", native->fpu.ymm_high[0], guest->fpu.ymm_high[0], 16, 16);
    print_memory(native, guest);
    repro_write(c, text, sizeof(text));
    fprintf(stderr, "%s --repro '%s'\n\n", s->program, text);
}

const char *session_try(struct session *s, const struct diff_case *c, struct outcome *native,
                        struct outcome *guest)
{
    struct native_batch *batch = native_batch(s->native);

    if (!compare_possible(&s->comparison, c)) {
        return NULL;
    }
    if (guest_run(s->guest, c, native_ranges(s->native), guest) != GUEST_EXCEPTION) {
        return NULL;
    }
    batch->cases[0] = *c;
    batch->count = 1;
    native_start(s->native, 0);
    if (native_wait(s->native) != 1) {
        return "the host's process, which was lost,";
    }
    *native = batch->outcomes[0];
    return compare_outcomes(&s->comparison, c, native, guest);
}

/* ------------------------------------------------------------------ batches */

static bool generate(struct session *s, u64 number, struct diff_case *c)
{
    const struct slot *slot = &s->slot[number % s->slots];
    struct random r = random_from(s->seed ^ number * 0x9e3779b97f4a7c15ull);

    if (slot->row == SLOT_SEQUENCE) {
        return generate_sequence(&s->generator, &r, slot->mode, c);
    }
    if (slot->row == SLOT_NO_ROW) {
        return generate_no_row(&s->generator, &r, slot->mode, c);
    }
    return generate_single(&s->generator, &r, slot->row, slot->mode, c) &&
           !(c->kind == CASE_SINGLE && s->report.row[c->row].reason);
}

static void count_end(struct session *s, enum guest_end end)
{
    s->report.endless += end == GUEST_ENDLESS;
    s->report.kernel += end == GUEST_KERNEL;
    s->report.elsewhere += end == GUEST_ELSEWHERE;
}

/* Make and interpret a batch. */
static void fill(struct session *s, struct half *half, u64 *number)
{
    half->count = 0;
    for (unsigned tries = 0; half->count < NATIVE_BATCH && tries < 8 * NATIVE_BATCH; tries++) {
        struct diff_case *c = &half->cases[half->count];
        if (!generate(s, (*number)++, c)) {
            continue;
        }
        if (!compare_possible(&s->comparison, c)) {
            s->report.open++;
            report_row(&s->report, c)->open++;
            continue;
        }
        enum guest_end end =
            guest_run(s->guest, c, native_ranges(s->native), &half->guest[half->count]);
        count_end(s, end);
        half->count += end == GUEST_EXCEPTION;
    }
}

/* native and guest: what differs; NULL if the host's process was lost. */
static void failed(struct session *s, const struct diff_case *c, const char *what,
                   const struct outcome *native, const struct outcome *guest)
{
    struct outcome *again = case_alloc(2 * sizeof(*again));
    struct diff_case *shrunk = case_alloc(sizeof(*shrunk));

    s->report.different++;
    *shrunk = *c;
    if (s->report.different <= s->most_failures) {
        shrink(s, shrunk, what);
        const char *still = session_try(s, shrunk, &again[0], &again[1]);
        if (still || !native) {
            session_print(s, shrunk, still ? still : what, &again[0], &again[1]);
        } else {
            fprintf(stderr, "Only once: ");
            session_print(s, c, what, native, guest);
        }
    }
    free(shrunk);
    free(again);
}

/* Each time of a few? */
static bool differs_again(struct session *s, const struct diff_case *c)
{
    struct outcome *again = case_alloc(2 * sizeof(*again));
    bool differs = true;

    for (unsigned i = 0; i < 5 && differs; i++) {
        differs = session_try(s, c, &again[0], &again[1]);
    }
    free(again);
    return differs;
}

static void compare_one(struct session *s, const struct diff_case *c, const struct outcome *native,
                        const struct outcome *guest)
{
    const char *what = compare_outcomes(&s->comparison, c, native, guest);
    bool at_start = guest->after.rip == c->before.rip && guest->vector != VECTOR_BP;

    if (s->comparison.hidden) {
        s->report.hidden++;
    } else if (s->comparison.not_compared) {
        s->report.open++;
        report_row(&s->report, c)->open++;
    } else {
        report_count(&s->report, c, at_start);
    }
    if (what && !(s->comparison.once && !differs_again(s, c))) {
        failed(s, c, what, native, guest);
    }
}

/* Send a batch. */
static void send(struct session *s, const struct half *half)
{
    struct native_batch *batch = native_batch(s->native);

    memcpy(batch->cases, half->cases, half->count * sizeof(half->cases[0]));
    batch->count = half->count;
    native_start(s->native, 0);
}

/* Wait for a batch, and go on after cases that cost the process its life. */
static void finish(struct session *s, struct outcome *outcomes, bool *lost, unsigned count)
{
    struct native_batch *batch = native_batch(s->native);
    unsigned done;

    memset(lost, 0, count * sizeof(*lost));
    while ((done = native_wait(s->native)) < count) {
        lost[done] = true;
        native_start(s->native, done + 1);
    }
    memcpy(outcomes, batch->outcomes, count * sizeof(outcomes[0]));
}

static void compare_batch(struct session *s, const struct half *half,
                          const struct outcome *outcomes, const bool *lost)
{
    for (unsigned i = 0; i < half->count; i++) {
        if (lost[i]) {
            failed(s, &half->cases[i], "the host's process, which was lost,", NULL, NULL);
        } else {
            compare_one(s, &half->cases[i], &outcomes[i], &half->guest[i]);
        }
    }
}

/* A line of progress on a terminal, now and then. */
static void progress(const struct session *s, time_t *last)
{
    time_t now = time(NULL);

    if (now - *last >= 5 && isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r%.1f million cases, %lu differ ", (double)s->report.compared / 1e6,
                s->report.different);
        *last = now;
    }
}

void session_run(struct session *s, u64 cases, unsigned seconds)
{
    struct outcome *outcomes = case_alloc(NATIVE_BATCH * sizeof(*outcomes));
    bool lost[NATIVE_BATCH];
    time_t start = time(NULL), last = start;
    unsigned current = 0;
    u64 number = 0;

    fill(s, &s->half[current], &number);
    while (s->half[current].count && s->report.different < s->most_failures &&
           (s->report.compared < cases || time(NULL) - start < seconds)) {
        send(s, &s->half[current]);
        fill(s, &s->half[!current], &number);
        finish(s, outcomes, lost, s->half[current].count);
        compare_batch(s, &s->half[current], outcomes, lost);
        current = !current;
        progress(s, &last);
    }
    free(outcomes);
}
