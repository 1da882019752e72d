/* job.c - where things go in guest RAM, and how errors are worded.  See job.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "boot/bios.h"
#include "boot/job.h"

int boot_fail(struct boot_error *error, const char *name, const char *format, ...)
{
    va_list args;
    int used = snprintf(error->text, sizeof(error->text), "%.300s: ", name ? name : "(no name)");
    va_start(args, format);
    vsnprintf(error->text + used, sizeof(error->text) - (size_t)used, format, args);
    va_end(args);
    for (char *c = error->text; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            *c = '?';
        }
    }
    return -EINVAL;
}

struct size_text size_text(u64 size)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    struct size_text t;
    unsigned unit = 0;
    while (unit + 1 < ARRAY_SIZE(units) && size >= 1024 && (size % 1024 == 0 || size >= 10240)) {
        size /= 1024;
        unit++;
    }
    snprintf(t.text, sizeof(t.text), "%llu %s", (unsigned long long)size, units[unit]);
    return t;
}

void job_start(struct boot_job *job)
{
    job->map_count = boot_e820_map(job->mem, job->map);
    job->claims[0] = (struct job_claim){0, BIOS_DATA_END};
    job->claim_count = 1;
}

u64 job_ram_size(const struct boot_job *job)
{
    u64 size = 0;
    for (unsigned i = 0; i < job->map_count; i++) {
        size += job->map[i].type == E820_RAM ? job->map[i].size : 0;
    }
    return size;
}

/* The map's RAM entry that holds the whole of [start, start + size), or NULL. */
static const struct e820_entry *ram_around(const struct boot_job *job, gpa_t start, u64 size)
{
    for (unsigned i = 0; i < job->map_count; i++) {
        const struct e820_entry *e = &job->map[i];
        if (e->type == E820_RAM && start >= e->base && start - e->base <= e->size &&
            size <= e->size - (start - e->base)) {
            return e;
        }
    }
    return NULL;
}

static const struct job_claim *claim_over(const struct boot_job *job, gpa_t start, u64 size)
{
    for (unsigned i = 0; i < job->claim_count; i++) {
        const struct job_claim *c = &job->claims[i];
        if (start < c->start + c->size && c->start < start + size) {
            return c;
        }
    }
    return NULL;
}

bool job_is_free(const struct boot_job *job, gpa_t start, u64 size)
{
    return ram_around(job, start, size) && !claim_over(job, start, size);
}

static u8 *take(struct boot_job *job, const char *name, gpa_t start, u64 size)
{
    if (job->claim_count == JOB_CLAIMS_MAX) {
        boot_fail(job->error, name, "has too many pieces to load (over %u)", JOB_CLAIMS_MAX - 16);
        return NULL;
    }
    job->claims[job->claim_count++] = (struct job_claim){start, size};
    return mem_ptr(job->mem, start);
}

u8 *job_claim(struct boot_job *job, const char *name, const char *what, gpa_t start, u64 size)
{
    if (!size) {
        return job->mem->base;
    }
    if (!ram_around(job, start, size)) {
        boot_fail(job->error, name, "%s (%s at 0x%llx) is not inside the machine's memory (%s)",
                  what, size_text(size).text, (unsigned long long)start,
                  size_text(job->mem->low_size + job->mem->high_size).text);
        return NULL;
    }
    const struct job_claim *other = claim_over(job, start, size);
    if (other) {
        boot_fail(job->error, name, "%s (%s at 0x%llx) lies over what is at 0x%llx already", what,
                  size_text(size).text, (unsigned long long)start,
                  (unsigned long long)other->start);
        return NULL;
    }
    return take(job, name, start, size);
}

static u8 *no_room(struct boot_job *job, const char *name, u64 size)
{
    u64 total = job->mem->low_size + job->mem->high_size;
    if (size > total) {
        boot_fail(job->error, name, "%s do not fit in %s of memory", size_text(size).text,
                  size_text(total).text);
    } else {
        boot_fail(job->error, name, "no room for %s beside the rest in %s of memory",
                  size_text(size).text, size_text(total).text);
    }
    return NULL;
}

u8 *job_place_low(struct boot_job *job, const char *name, u64 size, u64 align, gpa_t min, gpa_t max,
                  gpa_t *start)
{
    for (unsigned i = 0; size && i < job->map_count; i++) {
        const struct e820_entry *e = &job->map[i];
        gpa_t at = bits_align_up(e->base > min ? e->base : min, align);
        while (at >= min && at <= max && size <= max - at && ram_around(job, at, size) &&
               e->type == E820_RAM && at - e->base < e->size) {
            const struct job_claim *other = claim_over(job, at, size);
            if (!other) {
                *start = at;
                return take(job, name, at, size);
            }
            at = bits_align_up(other->start + other->size, align);
        }
    }
    return no_room(job, name, size);
}

u8 *job_place_high(struct boot_job *job, const char *name, u64 size, u64 align, gpa_t min,
                   gpa_t max, gpa_t *start)
{
    for (unsigned i = size ? job->map_count : 0; i-- > 0;) {
        const struct e820_entry *e = &job->map[i];
        gpa_t end = e->base + e->size < max ? e->base + e->size : max;
        while (e->type == E820_RAM && end >= e->base && size <= end - e->base) {
            gpa_t at = (end - size) & ~(align - 1);
            if (at < e->base || at < min) {
                break;
            }
            const struct job_claim *other = claim_over(job, at, size);
            if (!other) {
                *start = at;
                return take(job, name, at, size);
            }
            end = other->start;
        }
    }
    return no_room(job, name, size);
}

const char *job_command_line(const struct boot_job *job)
{
    return job->config->command_line ? job->config->command_line : "";
}

int job_place_command_line(struct boot_job *job, gpa_t *start)
{
    const char *line = job_command_line(job);
    u64 size = strlen(line) + 1;
    u8 *p = job_place_low(job, "command line", size, 16, BIOS_LOADER_START, MEM_HIGH_START, start);
    if (!p) {
        return -EINVAL;
    }
    memcpy(p, line, size);
    return 0;
}

unsigned job_module_count(const struct boot_job *job)
{
    return (job->config->initrd.size ? 1 : 0) + job->config->module_count;
}

const struct boot_file *job_module(const struct boot_job *job, unsigned index)
{
    if (job->config->initrd.size) {
        if (!index) {
            return &job->config->initrd;
        }
        index--;
    }
    return index < job->config->module_count ? &job->config->modules[index] : NULL;
}
