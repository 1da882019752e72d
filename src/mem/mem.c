/* mem.c - copying to and from guest-physical RAM; mem.h has the layout. */
#include "mem/mem.h"

#include "base/string.h"

/* Whether the size bytes at start lie in [0, limit); size is not 0. */
static bool fits(u64 start, u64 size, u64 limit)
{
    return start < limit && size <= limit - start;
}

u8 *mem_range(const struct mem *m, gpa_t gpa, u64 size)
{
    if (size == 0) {
        return mem_ptr(m, gpa);
    }
    if (fits(gpa, size, m->low_size)) {
        bool in_vga_window = gpa < MEM_VGA_END && gpa + size > MEM_VGA_START;
        return in_vga_window ? NULL : m->base + gpa;
    }
    if (gpa >= MEM_HIGH_START && fits(gpa - MEM_HIGH_START, size, m->high_size)) {
        return m->base + (gpa - MEM_HIGH_START + m->low_size);
    }
    return NULL;
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
