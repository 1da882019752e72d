/*
 * start.c - the CPU states in which kernels are entered, with the GDT and page tables they need.
 *
 * Sources: Linux, Documentation/arch/x86/boot.rst, "32-bit Boot Protocol" and "64-bit Boot
 * Protocol"; Multiboot Specification 0.6.96, "Machine state"; Xen, docs/misc/pvh.pandoc.
 */
#include <errno.h>
#include <string.h>

#include "boot/bios.h"
#include "boot/start.h"
#include "isa/control.h"

#define GDT_SIZE 0x30 /* null, unused, code, data, and a TSS descriptor of 16 bytes */

#define CODE_32 0xc09b /* G, 32-bit, P, code: execute, read, accessed */
#define CODE_64 0xa09b /* G, 64-bit */
#define DATA_32 0xc093 /* G, 32-bit, P, data: read, write, accessed */
#define TSS_32  0x008b /* P, busy TSS */
#define LDT     0x0082

#define PTE_PRESENT_RW 3ull
#define PDE_LARGE      (1ull << 7)

/* The 8 bytes of a descriptor; SDM vol. 3A, "Segment Descriptors". */
static u64 descriptor(u16 attributes, u32 limit)
{
    u64 field = attributes & 0x8000 ? limit >> 12 : limit;
    return (field & 0xffff) | (u64)attributes << 40 | (field & 0xf0000) << 32;
}

static int write_gdt(struct boot_job *job, u16 code)
{
    gpa_t base;
    u8 *gdt = job_place_low(job, "GDT", GDT_SIZE, 64, BIOS_LOADER_START, BIOS_EBDA, &base);
    if (!gdt) {
        return -EINVAL;
    }
    memset(gdt, 0, GDT_SIZE);
    put_u64(gdt + START_CS, descriptor(code, 0xffffffff));
    put_u64(gdt + START_DS, descriptor(DATA_32, 0xffffffff));
    put_u64(gdt + START_TR, descriptor(TSS_32, 0x67));
    job->entry->gdt_base = base;
    job->entry->gdt_limit = GDT_SIZE - 1;
    return 0;
}

static int start_flat(struct boot_job *job, gpa_t rip, u16 code)
{
    struct boot_segment data = {.limit = 0xffffffff, .selector = START_DS, .attributes = DATA_32};
    *job->entry = (struct boot_entry){
        .rip = rip,
        .rflags = 2,
        .cr0 = CR0_PE | CR0_ET,
        .cs = {.limit = 0xffffffff, .selector = START_CS, .attributes = code},
        .ds = data,
        .es = data,
        .fs = data,
        .gs = data,
        .ss = data,
        .tr = {.limit = 0x67, .selector = START_TR, .attributes = TSS_32},
        .ldt = {.limit = 0xffff, .attributes = LDT},
    };
    return write_gdt(job, code);
}

int start_protected(struct boot_job *job, gpa_t rip)
{
    int result = start_flat(job, rip, CODE_32);
    job->entry->mode = BOOT_PROTECTED;
    return result;
}

/* One PML4, one PDPT and four page directories, in this order. */
static int write_page_tables(struct boot_job *job)
{
    gpa_t pml4;
    u8 *p = job_place_low(job, "page tables", 6 * PAGE_SIZE, PAGE_SIZE, BIOS_LOADER_START,
                          MEM_HIGH_START, &pml4);
    if (!p) {
        return -EINVAL;
    }
    memset(p, 0, 2 * PAGE_SIZE);
    put_u64(p, (pml4 + PAGE_SIZE) | PTE_PRESENT_RW);
    for (unsigned i = 0; i < 4; i++) {
        put_u64(p + PAGE_SIZE + i * 8, (pml4 + (2 + i) * PAGE_SIZE) | PTE_PRESENT_RW);
    }
    for (u64 i = 0; i < 4 * 512; i++) {
        put_u64(p + 2 * PAGE_SIZE + i * 8, i << 21 | PTE_PRESENT_RW | PDE_LARGE);
    }
    job->entry->cr3 = pml4;
    return 0;
}

int start_long(struct boot_job *job, gpa_t rip)
{
    int result = start_flat(job, rip, CODE_64);
    struct boot_entry *entry = job->entry;
    entry->mode = BOOT_LONG;
    entry->cr0 |= CR0_PG;
    entry->cr4 = CR4_PAE;
    entry->efer = EFER_LME | EFER_LMA;
    return result ? result : write_page_tables(job);
}
