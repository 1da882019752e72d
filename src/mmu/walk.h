/*
 * walk.h - the page walker: from a guest-virtual address to a guest-physical one.
 *
 * It takes a small context, not the CPU, and is tested alone.  Intel SDM vol. 3A, "Paging".
 */
#ifndef MMU_WALK_H
#define MMU_WALK_H

#include "base/types.h"
#include "mem/mem.h"

/* The registers that govern paging.  struct cpu keeps them nowhere else. */
struct paging {
    u64 cr0, cr3, cr4, efer;
    u64 pdpte[4];     /* PAE paging: loaded from memory by MOV CR3, used until the next */
    u8 physical_bits; /* MAXPHYADDR */
    u64 a20_off;      /* BIT(20) while the A20 gate is shut: 0 in every physical address; else 0 */
};

/* What an access is: one kind, and how privileged. */
enum {
    ACCESS_READ = 0,
    ACCESS_WRITE = 1 << 0,
    ACCESS_FETCH = 1 << 1,
    ACCESS_USER =
        1 << 2,         /* made at CPL 3, and not by the CPU itself on a descriptor table or TSS */
    ACCESS_AC = 1 << 3, /* an explicit supervisor access with RFLAGS.AC set: SMAP does not apply */
    ACCESS_PEEK = 1 << 4, /* for debuggers: set no accessed or dirty bits */
};

struct walk {
    gpa_t gpa;     /* of the byte at gva */
    u64 page_size; /* 4 KiB, 2 MiB, 4 MiB or 1 GiB; 4 KiB where paging or A20 is off */
    bool writable; /* by an access as privileged as this one, and the dirty bit is set already */
    bool executable, user, global;
    bool accessed; /* by an earlier access: its accessed bits were set (always where paging is off)
                    */
};

/* True and *walk filled, or false and the #PF error code in *error.  Sets accessed bits on success,
 * and the dirty bit for ACCESS_WRITE, atomically.  Page tables outside RAM read as all ones. */
bool mmu_walk(const struct mem *mem, const struct paging *paging, gva_t gva, unsigned access,
              struct walk *walk, u32 *error);

#endif
