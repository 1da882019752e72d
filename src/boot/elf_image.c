/*
 * elf_image.c - reads an ELF file and loads its segments.
 *
 * Source: System V ABI, "Object Files" and "Program Loading"; the structures are in <elf.h>.
 */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "boot/elf_image.h"

bool elf_probe(const u8 *bytes, u64 size)
{
    return size >= EI_NIDENT && !memcmp(bytes, ELFMAG, SELFMAG);
}

/* What is wrong with the header, or NULL. */
static const char *read_header(const u8 *bytes, u64 size, struct elf_image *image)
{
    *image = (struct elf_image){.bytes = bytes, .size = size};
    if (!elf_probe(bytes, size)) {
        return "is not an ELF file";
    }
    image->is_64 = bytes[EI_CLASS] == ELFCLASS64;
    if (bytes[EI_CLASS] != ELFCLASS32 && !image->is_64) {
        return "is neither an ELF32 nor an ELF64 file";
    }
    if (bytes[EI_DATA] != ELFDATA2LSB) {
        return "is a big-endian ELF file, not one for x86";
    }
    if (size < (image->is_64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr))) {
        return "is cut short: its ELF header is not complete";
    }
    image->machine = get_u16(bytes + offsetof(Elf64_Ehdr, e_machine));
    if (image->machine != EM_386 && image->machine != EM_X86_64) {
        return "is an ELF file for another processor, not for x86";
    }
    u16 type = get_u16(bytes + offsetof(Elf64_Ehdr, e_type));
    if (type == ET_REL) {
        return "is an object file that was not linked, not a kernel";
    }
    if (type != ET_EXEC && type != ET_DYN) {
        return "is an ELF file, but not an executable";
    }
    if (image->is_64) {
        image->entry = get_u64(bytes + offsetof(Elf64_Ehdr, e_entry));
        image->table = get_u64(bytes + offsetof(Elf64_Ehdr, e_phoff));
        image->entry_size = get_u16(bytes + offsetof(Elf64_Ehdr, e_phentsize));
        image->count = get_u16(bytes + offsetof(Elf64_Ehdr, e_phnum));
    } else {
        image->entry = get_u32(bytes + offsetof(Elf32_Ehdr, e_entry));
        image->table = get_u32(bytes + offsetof(Elf32_Ehdr, e_phoff));
        image->entry_size = get_u16(bytes + offsetof(Elf32_Ehdr, e_phentsize));
        image->count = get_u16(bytes + offsetof(Elf32_Ehdr, e_phnum));
    }
    if (!image->count) {
        return "is an ELF file without program headers: there is nothing to load";
    }
    if (image->entry_size < (image->is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr))) {
        return "has program headers that are too small";
    }
    if (image->table > size || (u64)image->entry_size * image->count > size - image->table) {
        return "is cut short: its program headers are not inside the file";
    }
    return NULL;
}

struct elf_segment elf_segment(const struct elf_image *image, unsigned index)
{
    const u8 *p = image->bytes + image->table + (u64)index * image->entry_size;
    if (image->is_64) {
        return (struct elf_segment){
            .type = get_u32(p + offsetof(Elf64_Phdr, p_type)),
            .offset = get_u64(p + offsetof(Elf64_Phdr, p_offset)),
            .vaddr = get_u64(p + offsetof(Elf64_Phdr, p_vaddr)),
            .paddr = get_u64(p + offsetof(Elf64_Phdr, p_paddr)),
            .file_size = get_u64(p + offsetof(Elf64_Phdr, p_filesz)),
            .mem_size = get_u64(p + offsetof(Elf64_Phdr, p_memsz)),
            .align = get_u64(p + offsetof(Elf64_Phdr, p_align)),
        };
    }
    return (struct elf_segment){
        .type = get_u32(p + offsetof(Elf32_Phdr, p_type)),
        .offset = get_u32(p + offsetof(Elf32_Phdr, p_offset)),
        .vaddr = get_u32(p + offsetof(Elf32_Phdr, p_vaddr)),
        .paddr = get_u32(p + offsetof(Elf32_Phdr, p_paddr)),
        .file_size = get_u32(p + offsetof(Elf32_Phdr, p_filesz)),
        .mem_size = get_u32(p + offsetof(Elf32_Phdr, p_memsz)),
        .align = get_u32(p + offsetof(Elf32_Phdr, p_align)),
    };
}

bool elf_open_quietly(const u8 *bytes, u64 size, struct elf_image *image)
{
    return !read_header(bytes, size, image);
}

int elf_open(struct boot_job *job, const u8 *bytes, u64 size, struct elf_image *image)
{
    const char *wrong = read_header(bytes, size, image);
    if (wrong) {
        return job_fail(job, "%s", wrong);
    }
    for (unsigned i = 0; i < image->count; i++) {
        if (elf_segment(image, i).type == PT_INTERP) {
            return job_fail(job, "is a Linux program, not a kernel");
        }
    }
    return 0;
}

/* Load segment number index. */
static int load_segment(struct boot_job *job, const struct elf_image *image, unsigned index,
                        const struct elf_segment *s)
{
    char what[32];
    snprintf(what, sizeof(what), "segment %u", index);
    if (s->file_size > s->mem_size) {
        return job_fail(job, "%s is larger in the file than in memory", what);
    }
    if (s->offset > image->size || s->file_size > image->size - s->offset) {
        return job_fail(job, "is cut short: %s (%s at offset 0x%llx) is not inside the file", what,
                        size_text(s->file_size).text, (unsigned long long)s->offset);
    }
    u8 *p = job_claim(job, job->config->kernel.name, what, s->paddr, s->mem_size);
    if (!p) {
        return -EINVAL;
    }
    memcpy(p, image->bytes + s->offset, s->file_size);
    memset(p + s->file_size, 0, s->mem_size - s->file_size);
    return 0;
}

int elf_load(struct boot_job *job, struct elf_image *image)
{
    unsigned loaded = 0;
    for (unsigned i = 0; i < image->count; i++) {
        struct elf_segment s = elf_segment(image, i);
        if (s.type != PT_LOAD || !s.mem_size) {
            continue;
        }
        int result = load_segment(job, image, i, &s);
        if (result) {
            return result;
        }
        if (s.paddr + s.mem_size > image->end) {
            image->end = s.paddr + s.mem_size;
        }
        loaded++;
    }
    return loaded ? 0 : job_fail(job, "is an ELF file without a segment to load");
}

static bool find_entry(const struct elf_image *image, u64 entry, bool physical, gpa_t *start)
{
    for (unsigned i = 0; i < image->count; i++) {
        struct elf_segment s = elf_segment(image, i);
        u64 base = physical ? s.paddr : s.vaddr;
        if (s.type == PT_LOAD && entry >= base && entry - base < s.mem_size) {
            *start = s.paddr + (entry - base);
            return true;
        }
    }
    return false;
}

int elf_entry(struct boot_job *job, const struct elf_image *image, u64 entry, bool prefer_physical,
              gpa_t *start)
{
    if (!find_entry(image, entry, prefer_physical, start) &&
        !find_entry(image, entry, !prefer_physical, start)) {
        return job_fail(job, "its entry point 0x%llx is in none of its segments",
                        (unsigned long long)entry);
    }
    if (*start >= MEM_HIGH_START) {
        return job_fail(job, "its entry point 0x%llx is above 4 GiB", (unsigned long long)*start);
    }
    return 0;
}

/* The note in the size bytes at p; as elf_note(). */
static const u8 *note_in(const u8 *p, u64 size, u64 align, const char *owner, u32 type,
                         u32 *note_size)
{
    u64 owner_size = strlen(owner) + 1;
    while (size >= sizeof(Elf64_Nhdr)) {
        u64 name_size = get_u32(p), desc_size = get_u32(p + 4);
        u64 desc = (sizeof(Elf64_Nhdr) + name_size + align - 1) & ~(align - 1);
        if (desc > size || desc_size > size - desc) {
            return NULL;
        }
        if (get_u32(p + 8) == type && name_size == owner_size &&
            !memcmp(p + sizeof(Elf64_Nhdr), owner, owner_size)) {
            *note_size = (u32)desc_size;
            return p + desc;
        }
        u64 next = (desc + desc_size + align - 1) & ~(align - 1);
        if (next > size) {
            return NULL;
        }
        p += next;
        size -= next;
    }
    return NULL;
}

const u8 *elf_note(const struct elf_image *image, const char *owner, u32 type, u32 *size)
{
    for (unsigned i = 0; i < image->count; i++) {
        struct elf_segment s = elf_segment(image, i);
        if (s.type != PT_NOTE || s.offset > image->size || s.file_size > image->size - s.offset) {
            continue;
        }
        const u8 *note =
            note_in(image->bytes + s.offset, s.file_size, s.align == 8 ? 8 : 4, owner, type, size);
        if (note) {
            return note;
        }
    }
    return NULL;
}
