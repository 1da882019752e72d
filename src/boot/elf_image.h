/* elf_image.h - reads an ELF file and loads its segments; several protocols stand on it. */
#ifndef BOOT_ELF_IMAGE_H
#define BOOT_ELF_IMAGE_H

#include "boot/job.h"

struct elf_image {
    const u8 *bytes;
    u64 size;
    bool is_64;  /* ELF64; else ELF32 */
    u16 machine; /* EM_386 or EM_X86_64 */
    u64 entry;   /* e_entry */
    u64 table;   /* program headers: file offset, bytes of each, how many */
    unsigned entry_size, count;
    gpa_t end; /* after elf_load(): the first address past all segments */
};

struct elf_segment {
    u32 type; /* PT_LOAD ... */
    u64 offset, vaddr, paddr, file_size, mem_size, align;
};

/* Does it begin as an ELF file does? */
bool elf_probe(const u8 *bytes, u64 size);

/* Read and check the header: an x86 executable whose program headers are inside the file. */
int elf_open(struct boot_job *job, const u8 *bytes, u64 size, struct elf_image *image);

/* The same without messages, for probes. */
bool elf_open_quietly(const u8 *bytes, u64 size, struct elf_image *image);

struct elf_segment elf_segment(const struct elf_image *image, unsigned index);

/* Copy each PT_LOAD to its physical address and clear what the file has not.  Sets image->end. */
int elf_load(struct boot_job *job, struct elf_image *image);

/* What address is the entry point, physically?  entry lies in a segment by its physical address, or
 * by its virtual one, which is translated; prefer_physical says which is tried first.  The result
 * is below 4 GiB, or it is an error. */
int elf_entry(struct boot_job *job, const struct elf_image *image, u64 entry, bool prefer_physical,
              gpa_t *start);

/* The descriptor of the first note of that owner and type, or NULL; *size is its size. */
const u8 *elf_note(const struct elf_image *image, const char *owner, u32 type, u32 *size);

#endif
