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
#define SECTIONS_MAX  4096u /* devices, vCPUs: nobody has more */
#define TSC_DRIFT_PPM 250u  /* what a guest is not told of */

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

static const struct field kind_fields[] = {
    FIELD(struct ringer_device, kind),
    FIELDS_END,
};

static const struct field identity_fields[] = {
    FIELD(struct disk_identity, bytes),
    FIELD(struct disk_identity, modified_ns),
    FIELDS_END,
};

static void save_configuration(const struct ringer *m, struct field_writer *w)
{
    u64 at = section_begin(w, "machine", 0, 1);

    fields_save(w, made_fields, &m->made);
    section_end(w, at);
    for (unsigned i = 0; i < m->made.device_count; i++) {
        const struct ringer_device *device = &m->made.devices[i];
        struct disk_identity identity = disk_identity(m, i);
        at = section_begin(w, "configuration", i, 1);
        fields_save(w, kind_fields, device);
        fields_save(w, made_device_fields(device->kind), device);
        fields_save(w, identity_fields, &identity);
        section_end(w, at);
    }
}

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

static void save_all(struct ringer *m, const struct memory_pieces *memory,
                     const struct board_state *board, struct field_writer *w)
{
    u64 at;

    snapshot_file_begin(w);
    save_configuration(m, w);
    at = section_begin(w, "memory", 0, 1);
    memory_pieces_save(memory, w);
    section_end(w, at);
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
    struct field_writer w = {.bytes = NULL};

    save_all(m, memory, &board, &w); /* how much is it? */
    *bytes = malloc(w.size);
    if (!*bytes) {
        return -ENOMEM;
    }
    w = (struct field_writer){.bytes = *bytes, .capacity = w.size};
    save_all(m, memory, &board, &w);
    *size = w.size;
    return 0;
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

/* What is wrong in a section is wrong in the file. */
static bool pass_on(struct field_reader *sections, const struct field_reader *section)
{
    sections->field = section->field;
    sections->error = section->error;
    return false;
}

/* Of a section that has been read, well or not. */
static bool end_section(struct field_reader *sections, struct field_reader *section, bool good)
{
    return (good && section_close(section)) || pass_on(sections, section);
}

static bool load_fields(struct field_reader *sections, const char *name, unsigned number,
                        const struct field *fields, void *base)
{
    struct field_reader s;

    return section_open(sections, name, number, 1, &s) &&
           end_section(sections, &s, fields_load(&s, fields, base));
}

static bool load_configuration(struct snapshot_description *d, unsigned i,
                               struct field_reader *sections)
{
    struct field_reader s;
    const struct field *fields;
    bool good;

    if (!section_open(sections, "configuration", i, 1, &s)) {
        return false;
    }
    good = fields_load(&s, kind_fields, &d->devices[i]);
    fields = good ? made_device_fields(d->devices[i].kind) : NULL;
    if (good && !fields) {
        sections->field = "kind";
        sections->error = "is one that this Ringer does not know";
        return false;
    }
    good = good && fields_load(&s, fields, &d->devices[i]) &&
           fields_load(&s, identity_fields, &d->disks[i]);
    return end_section(sections, &s, good);
}

bool state_load_description(struct snapshot_description *d, struct field_reader *sections)
{
    struct field_reader s;

    *d = (struct snapshot_description){.devices = NULL};
    if (!load_fields(sections, "machine", 0, made_fields, &d->made)) {
        return false;
    }
    if (d->made.device_count > SECTIONS_MAX || d->made.memory_bytes == 0 ||
        d->made.memory_bytes % PAGE_SIZE || d->made.memory_bytes > VM_RAM_MAX) {
        sections->field = "memory_bytes";
        sections->error = "holds what cannot be";
        return false;
    }
    d->devices = calloc(d->made.device_count + 1, sizeof(*d->devices));
    d->disks = calloc(d->made.device_count + 1, sizeof(*d->disks));
    for (unsigned i = 0; d->devices && d->disks && i < d->made.device_count; i++) {
        if (!load_configuration(d, i, sections)) {
            return false;
        }
    }
    return d->devices && d->disks && section_open(sections, "memory", 0, 1, &s) &&
           end_section(sections, &s, memory_pieces_load(&d->memory, d->made.memory_bytes, &s));
}

void state_description_destroy(struct snapshot_description *d)
{
    free(d->devices);
    free(d->disks);
    memory_pieces_destroy(&d->memory);
    *d = (struct snapshot_description){.devices = NULL};
}

static bool load_cpu(struct ringer *m, unsigned i, struct field_reader *sections)
{
    struct field_reader s;

    return section_open(sections, "cpu", i, 1, &s) &&
           end_section(sections, &s, cpu_load(&m->vm->cpus[i], &s)) &&
           section_open(sections, "inbox", i, 1, &s) &&
           end_section(sections, &s, cpu_inbox_load(&m->vm->inboxes[i], &s));
}

static bool load_device(struct device *device, unsigned number, struct field_reader *sections)
{
    struct field_reader s;

    return !device || (section_open(sections, device->name, number, device->state_version, &s) &&
                       end_section(sections, &s, device_load(device, &s)));
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
                end_section(sections, &s, load_board(m, &s, &board));

    for (unsigned i = 0; i < m->vm->cpu_count && good; i++) {
        good = load_cpu(m, i, sections);
    }
    good = good && load_fields(sections, "keyboard", 0, keyboard_fields, m->keyboard) &&
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
