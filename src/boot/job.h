/*
 * job.h - one boot_load() under way, as the protocols see it: what to load, where to, and which
 * guest-physical memory is taken already.
 *
 * Everything that goes into RAM is claimed first: at a fixed address that the file asks for, or
 * wherever there is room.  So two things can never lie over each other, and nothing lies outside of
 * RAM or over the firmware's tables, whatever a malformed file says.
 */
#ifndef BOOT_JOB_H
#define BOOT_JOB_H

#include "boot/boot.h"
#include "boot/e820.h"

#define JOB_CLAIMS_MAX 256

struct job_claim {
    gpa_t start;
    u64 size;
};

struct boot_job {
    const struct boot_config *config;
    const struct mem *mem;
    struct boot_entry *entry;
    struct boot_error *error;
    struct e820_entry map[E820_MAX];
    unsigned map_count;
    gpa_t rsdp; /* of the ACPI tables; 0 if they are not written */
    struct job_claim claims[JOB_CLAIMS_MAX];
    unsigned claim_count;
};

/* Claim everything below 0x500 (the BIOS's); the rest of the map's RAM is free. */
void job_start(struct boot_job *job);

/* Write "name: message" into *error, one line without control characters.  Always -EINVAL, so that
 * a function can return it. */
int boot_fail(struct boot_error *error, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same, about the kernel. */
#define job_fail(job, ...) boot_fail((job)->error, (job)->config->kernel.name, __VA_ARGS__)

/* Claim [start, start + size) and return where it is in our memory, or NULL with the error set:
 * what (as "segment 2") of file name is not wholly in free RAM.  size may be 0: then nothing is
 * claimed, and the pointer only is not NULL. */
u8 *job_claim(struct boot_job *job, const char *name, const char *what, gpa_t start, u64 size);

/* Would that succeed? */
bool job_is_free(const struct boot_job *job, gpa_t start, u64 size);

/* Claim size bytes at a multiple of align (a power of two) within [min, max): as low as possible,
 * or as high.  Sets *start and returns the hva; NULL, with the error set, where there is no room.
 */
u8 *job_place_low(struct boot_job *job, const char *name, u64 size, u64 align, gpa_t min, gpa_t max,
                  gpa_t *start);
u8 *job_place_high(struct boot_job *job, const char *name, u64 size, u64 align, gpa_t min,
                   gpa_t max, gpa_t *start);

/* Bytes of RAM in the map. */
u64 job_ram_size(const struct boot_job *job);

/* The command line, never NULL. */
const char *job_command_line(const struct boot_job *job);

/* Place command line (with its 0) below 4 GiB, and set *start. */
int job_place_command_line(struct boot_job *job, gpa_t *start);

/* The initrd and the modules as one list: NULL past its end. */
const struct boot_file *job_module(const struct boot_job *job, unsigned index);
unsigned job_module_count(const struct boot_job *job);

/* "512 MiB", "3 KiB", "17 bytes". */
struct size_text {
    char text[32];
};
struct size_text size_text(u64 size);

/* Little-endian numbers at any alignment. */
static inline u16 get_u16(const u8 *p)
{
    return (u16)(p[0] | p[1] << 8);
}

static inline u32 get_u32(const u8 *p)
{
    return (u32)get_u16(p) | (u32)get_u16(p + 2) << 16;
}

static inline u64 get_u64(const u8 *p)
{
    return (u64)get_u32(p) | (u64)get_u32(p + 4) << 32;
}

static inline void put_u16(u8 *p, u16 value)
{
    p[0] = (u8)value;
    p[1] = (u8)(value >> 8);
}

static inline void put_u32(u8 *p, u32 value)
{
    put_u16(p, (u16)value);
    put_u16(p + 2, (u16)(value >> 16));
}

static inline void put_u64(u8 *p, u64 value)
{
    put_u32(p, (u32)value);
    put_u32(p + 4, (u32)(value >> 32));
}

#endif
