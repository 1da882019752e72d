/* snapshot_state.c - a machine as sections of a file, and back: snapshot_state.h has their order.
 */
#include "vm/snapshot_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/kvm.h"
#include "cpu/snapshot.h"
#include "dev/mc146818.h"
#include "host/tsc.h"
#include "vm/disk.h"
#include "vm/machine.h"
#include "vm/snapshot_file.h"
#include "vm/sync.h"

#define NS_PER_SECOND 1000000000ll
#define TSC_DRIFT_PPM 250u /* what a guest is not told of */

/* ------------------------------------------------------------------ the board's own */

/* Time goes on where it stood: the machine does not see that it was away, but by its real-time
 * clock. */
struct board_state {
    u64 ns;      /* since power-on */
    u64 tsc;     /* without MSR_IA32_TSC_ADJUST */
    u64 wall_ns; /* at power-on, as it was found from ns and the host's clock */
    u32 tsc_khz;
    u64 warp_ns, now_ns, random; /* --icount */
    bool a20_on;
    bool pci_lines[ARRAY_SIZE(((struct pc *)0)->pci_lines)];
};

static const struct field board_fields[] = {
    FIELD_MAX(struct board_state, ns, 1ull << 62),
    FIELD(struct board_state, tsc),
    FIELD_MAX(struct board_state, wall_ns, 1ull << 62),
    FIELD(struct board_state, tsc_khz),
    FIELD_MAX(struct board_state, warp_ns, 1ull << 62),
    FIELD_MAX(struct board_state, now_ns, 1ull << 62),
    FIELD(struct board_state, random),
    FIELD(struct board_state, a20_on),
    FIELD_ARRAY(struct board_state, pci_lines),
    FIELDS_END,
};

static struct board_state board_now(const struct ringer *m)
{
    const struct vm_clock *clock = &m->vm->clock;
    struct board_state b = {
        .wall_ns = clock->wall_ns_start,
        .tsc_khz = clock->tsc_khz,
        .warp_ns = atomic_load(&m->shared->clock.warp_ns),
        .now_ns = m->now_ns,
        .random = m->random_state,
        .a20_on = m->a20.on,
    };

    if (!clock->icount) {
        b.ns = clock_host_ns(clock);
        b.tsc = __builtin_ia32_rdtsc() - clock->host_tsc_start + clock->tsc_start;
    }
    memcpy(b.pci_lines, m->pc.pci_lines, sizeof(b.pci_lines));
    return b;
}

/* Both copies of the clock: the vCPUs', and ours. */
static void set_clock(struct ringer *m, const struct board_state *b)
{
    struct vm_clock *clock = &m->vm->clock, *shared = &m->shared->clock;
    u64 now = __builtin_ia32_rdtsc();
    u64 ticks = (u64)(((unsigned __int128)b->ns << 32) / clock->ns_per_tsc_32);

    if (clock->icount) {
        atomic_store(&shared->warp_ns, b->warp_ns);
        clock->wall_ns_start = b->wall_ns;
        m->now_ns = b->now_ns;
    } else {
        clock->host_tsc_start = now - ticks;
        clock->wall_ns_start = host_wall_ns() - b->ns;
        clock->tsc_start = b->tsc - ticks;
        clock->tsc_traps = true;
    }
    shared->wall_ns_start = clock->wall_ns_start;
    shared->host_tsc_start = clock->host_tsc_start;
    shared->tsc_start = clock->tsc_start;
    shared->tsc_traps = clock->tsc_traps;
}

/* The same frequency, for all that a guest can tell?  Its kvmclock is told of another. */
static void check_tsc(struct ringer *m, const struct board_state *b)
{
    u32 here = m->vm->clock.tsc_khz, there = b->tsc_khz;
    u64 difference = here > there ? here - there : there - here;

    if (difference * 1000000 / (there ? there : 1) > TSC_DRIFT_PPM) {
        device_log(&m->slot,
                   "the TSC runs at %u kHz here and at %u kHz where the snapshot was taken: only "
                   "guests with kvmclock keep time",
                   here, there);
    }
}

static bool load_board(struct ringer *m, struct field_reader *r, struct board_state *b)
{
    if (!fields_load(r, board_fields, b)) {
        return false;
    }
    set_clock(m, b);
    check_tsc(m, b);
    m->random_state = b->random;
    m->a20.on = b->a20_on;
    memcpy(m->pc.pci_lines, b->pci_lines, sizeof(b->pci_lines));
    return true;
}

/* ------------------------------------------------------------------ saving */

static void save_cpus(struct ringer *m, struct field_writer *w)
{
    for (unsigned i = 0; i < m->vm->cpu_count; i++) {
        u64 at = section_begin(w, "cpu", i, 1);
        cpu_save(&m->vm->cpus[i], w);
        section_end(w, at);
        at = section_begin(w, "inbox", i, 1);
        cpu_inbox_save(&m->vm->inboxes[i], w);
        section_end(w, at);
    }
}

static void save_device(const struct device *device, unsigned number, struct field_writer *w)
{
    u64 at;

    if (device) {
        at = section_begin(w, device->name, number, device->state_version);
        device_save(device, w);
        section_end(w, at);
    }
}

static void save_all(struct ringer *m, const struct disk_identity *disks,
                     const struct memory_pieces *memory, const struct board_state *board,
                     struct field_writer *w)
{
    u64 at;

    snapshot_file_begin(w);
    state_save_description(&m->made, disks, memory, w);
    at = section_begin(w, "board", 0, 1);
    fields_save(w, board_fields, board);
    section_end(w, at);
    save_cpus(m, w);
    at = section_begin(w, "keyboard", 0, 1);
    fields_save(w, keyboard_fields, m->keyboard);
    section_end(w, at);
    for (unsigned i = 0; i < PC_SLOTS; i++) {
        save_device(m->pc.devices[i], i, w);
    }
    for (unsigned i = 0; i < m->pc.card_count; i++) {
        save_device(m->pc.cards[i], PC_SLOTS + i, w);
    }
    snapshot_file_end(w);
}

int state_save(struct ringer *m, const struct memory_pieces *memory, u8 **bytes, u64 *size)
{
    const struct board_state board = board_now(m);
    struct disk_identity *disks = calloc(m->made.device_count + 1, sizeof(*disks));
    struct field_writer w = {.bytes = NULL};

    for (unsigned i = 0; disks && i < m->made.device_count; i++) {
        disks[i] = disk_identity(m, i);
    }
    if (disks) {
        save_all(m, disks, memory, &board, &w); /* how much is it? */
    }
    *bytes = disks ? malloc(w.size) : NULL;
    if (*bytes) {
        w = (struct field_writer){.bytes = *bytes, .capacity = w.size};
        save_all(m, disks, memory, &board, &w);
        *size = w.size;
    }
    free(disks);
    return *bytes ? 0 : -ENOMEM;
}

const char *state_hindrance(const struct ringer *m)
{
    for (unsigned i = 0; i < PC_SLOTS; i++) {
        if (m->pc.devices[i] && !device_has_state(m->pc.devices[i])) {
            return m->pc.devices[i]->name;
        }
    }
    for (unsigned i = 0; i < m->pc.card_count; i++) {
        if (!device_has_state(m->pc.cards[i]) || !made_device_fields(m->made.devices[i].kind)) {
            return m->pc.cards[i]->name;
        }
    }
    return NULL;
}

/* ------------------------------------------------------------------ loading */

static bool load_cpu(struct ringer *m, unsigned i, struct field_reader *sections)
{
    struct field_reader s;

    return section_open(sections, "cpu", i, 1, &s) &&
           section_finish(sections, &s, cpu_load(&m->vm->cpus[i], &s)) &&
           section_open(sections, "inbox", i, 1, &s) &&
           section_finish(sections, &s, cpu_inbox_load(&m->vm->inboxes[i], &s));
}

static bool load_device(struct device *device, unsigned number, struct field_reader *sections)
{
    struct field_reader s;

    return !device || (section_open(sections, device->name, number, device->state_version, &s) &&
                       section_finish(sections, &s, device_load(device, &s)));
}

/* The guest's time structure, whose page is brought first: here that is done by our own copy of
 * struct mem. */
static void update_kvm_clock(struct ringer *m, struct cpu *cpu)
{
    gpa_t page = cpu->msr.kvm_system_time & PAGE_MASK;

    mem_ptr(&m->vm->mem, page);
    mem_ptr(&m->vm->mem, page + PAGE_SIZE); /* it may reach into the next */
    kvm_update_system_time(cpu);
}

/* What follows from the clock having moved. */
static void start_again(struct ringer *m, const struct board_state *b)
{
    s64 away_s = ((s64)m->vm->clock.wall_ns_start - (s64)b->wall_ns) / NS_PER_SECOND;

    if (!m->vm->clock.icount) {
        mc146818_step(m->pc.devices[PC_MC146818], away_s);
    }
    for (unsigned i = 0; i < m->vm->cpu_count; i++) {
        if (!m->vm->clock.icount) {
            update_kvm_clock(m, &m->vm->cpus[i]);
        }
        atomic_store(&m->vm->controls[i].flush, 1);
    }
    sync_publish(m);
}

bool state_load(struct ringer *m, struct field_reader *sections)
{
    struct board_state board;
    struct field_reader s;
    bool good = section_open(sections, "board", 0, 1, &s) &&
                section_finish(sections, &s, load_board(m, &s, &board));

    for (unsigned i = 0; i < m->vm->cpu_count && good; i++) {
        good = load_cpu(m, i, sections);
    }
    good = good && section_load(sections, "keyboard", 0, keyboard_fields, m->keyboard) &&
           keyboard_loaded(m->keyboard);
    for (unsigned i = 0; i < PC_SLOTS && good; i++) {
        good = load_device(m->pc.devices[i], i, sections);
    }
    for (unsigned i = 0; i < m->pc.card_count && good; i++) {
        good = load_device(m->pc.cards[i], PC_SLOTS + i, sections);
    }
    if (good) {
        start_again(m, &board);
        good = section_close(sections);
    }
    return good;
}
