/* mem.c - copying to and from guest-physical RAM; mem.h has the layout. */
#include "mem/mem.h"

#include "base/string.h"

/* Whether the size bytes at start lie in [0, limit); size is not 0. */
static bool fits(u64 start, u64 size, u64 limit)
{
    return start < limit && size <= limit - start;
}

/* Where a piece was to come from a process that has died it would never come. */
#define PATIENCE 0x80000000u

void mem_bring(const struct mem *m, u64 offset, u64 size)
{
    const struct mem_absence *a = &m->absence;
    u64 last = (offset + (size ? size - 1 : 0)) >> a->piece_shift;

    for (u64 i = offset >> a->piece_shift; i <= last; i++) {
        u8 state = MEM_ABSENT;
        u32 tries = 0;
        if (atomic_load(&a->pieces[i]) == MEM_PRESENT) {
            continue;
        }
        if (!atomic_compare_exchange_strong(&a->pieces[i], &state, MEM_COMING)) {
            while (atomic_load(&a->pieces[i]) == MEM_COMING && tries++ < PATIENCE) {
                __builtin_ia32_pause();
            }
            if (atomic_load(&a->pieces[i]) == MEM_PRESENT) {
                continue;
            }
        }
        a->bring(a->context, i);
        atomic_store(&a->pieces[i], MEM_PRESENT);
    }
}

/* Offset of [gpa, gpa + size) in the RAM file if it is RAM in one piece, else -1. */
static s64 range_offset(const struct mem *m, gpa_t gpa, u64 size)
{
    if (fits(gpa, size, m->low_size)) {
        bool in_vga_window = gpa < MEM_VGA_END && gpa + size > MEM_VGA_START;
        return in_vga_window ? -1 : (s64)gpa;
    }
    if (gpa >= MEM_HIGH_START && fits(gpa - MEM_HIGH_START, size, m->high_size)) {
        return (s64)(gpa - MEM_HIGH_START + m->low_size);
    }
    return -1;
}

u8 *mem_range(const struct mem *m, gpa_t gpa, u64 size)
{
    s64 offset;

    if (size == 0) {
        return mem_ptr(m, gpa);
    }
    offset = range_offset(m, gpa, size);
    if (offset < 0) {
        return NULL;
    }
    mem_need(m, (u64)offset, size);
    return m->base + offset;
}

bool mem_read(const struct mem *m, gpa_t gpa, void *buffer, u64 size)
{
    const u8 *from = mem_range(m, gpa, size);

    if (size == 0) {
        return true;
    }
    if (!from) {
        return false;
    }
    memcpy(buffer, from, size);
    return true;
}

void mem_tell_stale(struct mem_coherence *vcpu, gpa_t gpa, u64 size)
{
    u64 place = gpa << 13 | size;

    for (unsigned i = 0; size <= PAGE_SIZE && i < MEM_STALE_SLOTS; i++) {
        u64 slot = 0; /* a free one; or one that says the same, which has not been looked at yet */
        if (atomic_compare_exchange_strong(&vcpu->stale_at[i], &slot, place) || slot == place) {
            atomic_fetch_or(&vcpu->stale, MEM_STALE_SLOT);
            return;
        }
    }
    atomic_fetch_or(&vcpu->stale, MEM_STALE_ALL);
}

void mem_changed(const struct mem *m, gpa_t gpa, u64 size)
{
    bool has_code = false;

    if (!m->coherence) {
        return;
    }
    for (gpa_t page = gpa & PAGE_MASK; page < gpa + size; page += PAGE_SIZE) {
        has_code = has_code || mem_has_code(m, page);
    }
    for (unsigned i = 0; has_code && i < m->cpu_count; i++) {
        mem_tell_stale(&m->coherence[i], gpa, size);
    }
}

bool mem_write(const struct mem *m, gpa_t gpa, const void *buffer, u64 size)
{
    u8 *to = mem_range(m, gpa, size);

    if (size == 0) {
        return true;
    }
    if (!to) {
        return false;
    }
    memcpy(to, buffer, size);
    mem_changed(m, gpa, size);
    return true;
}
