/*
 * pcid.c - address spaces with PCIDs and what drops translations: MOV CR3 with and without bit 63,
 * INVPCID of every type, INVLPG, CR4's bits, global pages; and what all of these refuse.
 *
 * Intel SDM vol. 3A, "Process-Context Identifiers (PCIDs)", "Operations that Invalidate TLBs and
 * Paging-Structure Caches"; vol. 2, INVPCID, MOV to control registers.
 *
 * A translation that may be kept may also be gone: only what has to be gone is looked for, and that
 * each address space has its own pages.  With "tlb" on the command line the machine is one that
 * keeps them: then what may stay has to.
 */
#include "guest.h"

enum { P = 1, W = 2, G = 0x100, SPACES = 4, PAGES = 4, CR4_PGE = 1 << 7, CR4_PCIDE = 1 << 17 };
#define NO_FLUSH (1ull << 63)
#define WINDOW   (1ull << 39) /* of PML4 entry 1 */

static u64 pml4[SPACES][512] __attribute__((aligned(4096)));
static u64 pdpt[SPACES][512] __attribute__((aligned(4096)));
static u64 directory[SPACES][512] __attribute__((aligned(4096)));
static u64 table[SPACES][512] __attribute__((aligned(4096)));
static u8 pages[2 * SPACES][4096] __attribute__((aligned(4096)));

static word at_page(unsigned n)
{
    return WINDOW + n * 4096;
}

/* Page n of a space shows page 2 * space or, if `other`, the one after it. */
static void map(unsigned space, unsigned n, bool other, u64 bits)
{
    table[space][n] = (word)pages[2 * space + other] | P | bits;
}

static unsigned seen(unsigned n)
{
    return *(volatile u8 *)at_page(n);
}

static void init(void)
{
    u64 low = ((u64 *)(read_cr3() & ~0xfffull))[0];

    for (unsigned i = 0; i < SPACES; i++) {
        pml4[i][0] = low;
        pml4[i][1] = (word)pdpt[i] | P | W;
        pdpt[i][0] = (word)directory[i] | P | W;
        directory[i][0] = (word)table[i] | P | W;
        pages[2 * i][0] = (u8)(0x10 + i);
        pages[2 * i + 1][0] = (u8)(0x20 + i);
        for (unsigned n = 0; n < PAGES; n++) {
            map(i, n, false, 0);
        }
    }
}

static void enter(unsigned space, unsigned pcid, bool flush)
{
    write_cr3((word)pml4[space] | pcid | (flush ? 0 : NO_FLUSH));
}

static void invpcid(word type, u64 pcid, u64 address)
{
    u64 descriptor[2] = {pcid, address};

    __asm__ volatile("invpcid %0, %1" ::"m"(descriptor), "r"(type) : "memory");
}
static void invlpg(word address)
{
    __asm__ volatile("invlpg (%0)" ::"r"(address) : "memory");
}

/* ------------------------------------------------------------------ what is refused */

static word invpcid_type;
static u64 invpcid_pcid, invpcid_address;
static void do_invpcid(word unused)
{
    (void)unused;
    invpcid(invpcid_type, invpcid_pcid, invpcid_address);
}
static void put_cr3(word value)
{
    write_cr3(value);
}
static void put_cr4(word value)
{
    write_cr4(value);
}

static void try_invpcid(word type, u64 pcid, u64 address, u32 vector, const char *name)
{
    invpcid_type = type;
    invpcid_pcid = pcid;
    invpcid_address = address;
    check_fault(do_invpcid, 0, vector, 0, name);
}

static void check_faults(bool has_invpcid)
{
    enter(0, 0, true);
    check_fault(put_cr3, (word)pml4[0] | 1ull << 52, VECTOR_GP, 0, "a reserved bit of CR3");
    check_fault(put_cr3, (word)pml4[0] | 1ull << 62, VECTOR_GP, 0, "bit 62 of CR3");
    write_cr4(read_cr4() & ~(word)CR4_PCIDE);
    check_fault(put_cr3, (word)pml4[0] | NO_FLUSH, VECTOR_GP, 0, "bit 63 of CR3 without PCIDE");
    write_cr3((word)pml4[0] | 0x18);
    check_fault(put_cr4, read_cr4() | CR4_PCIDE, VECTOR_GP, 0, "PCIDE while CR3 has a PCID");
    write_cr3((word)pml4[0]);
    check_fault(put_cr4, read_cr4() | CR4_PCIDE, NO_FAULT, 0, "PCIDE");
    check_fault(put_cr4, read_cr4() & ~(word)(1u << 5), VECTOR_GP, 0, "PAE off in long mode");
    if (!has_invpcid) {
        try_invpcid(0, 0, 0, VECTOR_UD, "INVPCID that there is not");
        return;
    }
    for (word type = 0; type < 4; type++) {
        try_invpcid(type, 0, WINDOW, NO_FAULT, "INVPCID");
        try_invpcid(type, 1ull << 12, 0, VECTOR_GP, "  with reserved bits in its descriptor");
        try_invpcid(type, 1ull << 63, 0, VECTOR_GP, "  with bit 63");
    }
    try_invpcid(4, 0, 0, VECTOR_GP, "INVPCID of type 4");
    try_invpcid(1ull << 32, 0, 0, VECTOR_GP, "INVPCID of a large type");
    try_invpcid(0, 1, 1ull << 47, VECTOR_GP, "INVPCID of what is not canonical");
    try_invpcid(1, 1, 1ull << 47, NO_FAULT, "  which only type 0 looks at");
    attempt_user(do_invpcid, 0);
    check_is(fault.vector, VECTOR_GP, "INVPCID at CPL 3");
    write_cr4(read_cr4() & ~(word)CR4_PCIDE);
    try_invpcid(0, 1, 0, VECTOR_GP, "without PCIDE a PCID has to be 0");
    try_invpcid(1, 1, 0, VECTOR_GP, "  for type 1, too");
    try_invpcid(0, 0, WINDOW, NO_FAULT, "  which it may be");
    try_invpcid(2, 1, 0, NO_FAULT, "  and does not matter to type 2");
    write_cr4(read_cr4() | CR4_PCIDE);
}

/* ------------------------------------------------------------------ address spaces */

static bool keeps;

/* The entry has changed: what is seen is the new page, or, where that may be, the old one. */
static void expect(unsigned n, unsigned space, bool gone, const char *name)
{
    unsigned now = seen(n), old_page = 0x10 + space, new_page = 0x20 + space;

    check(now == new_page || (!gone && now == old_page), name);
    if (keeps && !gone) {
        check(now == old_page, "  and it has been kept");
    }
}

/* All four spaces with their pages loaded, and then all their entries changed; in space 0. */
static void prepare(u64 bits)
{
    write_cr4(read_cr4() & ~(word)CR4_PGE);
    write_cr4(read_cr4() | CR4_PGE);
    for (unsigned i = 0; i < SPACES; i++) {
        for (unsigned n = 0; n < PAGES; n++) {
            map(i, n, false, n == 3 ? bits : 0);
        }
    }
    for (unsigned i = SPACES; i-- > 0;) {
        enter(i, i, true);
        for (unsigned n = 0; n < PAGES - 1; n++) {
            check_case(seen(n) == 0x10 + i, "space %u, page %u: %x", i, n, seen(n));
        }
    }
    for (unsigned i = 0; i < SPACES; i++) {
        for (unsigned n = 0; n < PAGES; n++) {
            map(i, n, true, n == 3 ? bits : 0);
        }
    }
}

static void check_spaces(void)
{
    prepare(0);
    expect(0, 0, false, "a changed entry");
    enter(1, 1, false);
    expect(0, 1, false, "another space, without a flush, is not this one");
    enter(2, 2, true);
    expect(0, 2, true, "another space with a flush");
    enter(1, 1, false);
    expect(1, 1, false, "  which has dropped nothing of others");
    enter(1, 1, true);
    expect(1, 1, true, "  until it is flushed itself");
    enter(0, 0, false);
    invlpg(at_page(0));
    expect(0, 0, true, "INVLPG");
    expect(1, 0, false, "  of this page");
    enter(3, 3, false);
    expect(0, 3, false, "  and of this space");
    /* The same PCID for another space needs a flush. */
    enter(2, 3, true);
    check(seen(0) == 0x22, "a PCID that is used again, with a flush");
}

static void check_invpcid(void)
{
    prepare(G);
    invpcid(0, 1, at_page(0));
    enter(1, 1, false);
    expect(0, 1, true, "INVPCID of one address");
    expect(1, 1, false, "  leaves others");
    invpcid(1, 2, 0);
    expect(2, 1, false, "INVPCID of another PCID");
    enter(2, 2, false);
    expect(0, 2, true, "  drops all of that");
    enter(3, 3, false);
    invpcid(3, 0, 0);
    for (unsigned i = 0; i < SPACES; i++) {
        enter(i, i, false);
        expect(2, i, true, "INVPCID of all but global ones");
    }
    prepare(G);
    invpcid(2, 0, 0);
    for (unsigned i = 0; i < SPACES; i++) {
        enter(i, i, false);
        expect(0, i, true, "INVPCID of all");
        check(seen(3) == 0x20 + i || i, "  and global ones");
    }
}

/* A global page is the same in all spaces, while it is kept. */
static void check_global(void)
{
    write_cr4(read_cr4() & ~(word)CR4_PGE);
    write_cr4(read_cr4() | CR4_PGE);
    for (unsigned i = 0; i < SPACES; i++) {
        map(i, 3, false, G);
        table[i][3] = (word)pages[0] | P | G;
    }
    enter(0, 0, true);
    check_is(seen(3), 0x10, "a global page");
    for (unsigned i = 0; i < SPACES; i++) {
        table[i][3] = (word)pages[1] | P | G;
    }
    enter(1, 1, true);
    unsigned now = seen(3);
    check(now == 0x20 || now == 0x10, "  may survive MOV CR3");
    invlpg(at_page(3));
    check_is(seen(3), 0x20, "  not INVLPG");
    enter(0, 0, false);
    check_is(seen(3), 0x20, "  which is for all spaces");
    for (unsigned i = 0; i < SPACES; i++) {
        table[i][3] = (word)pages[0] | P | G;
    }
    write_cr4(read_cr4() & ~(word)CR4_PGE);
    check_is(seen(3), 0x10, "  nor a change of CR4.PGE");
    write_cr4(read_cr4() | CR4_PGE);
}

static void check_controls(void)
{
    prepare(0);
    write_cr4(read_cr4() & ~(word)CR4_PCIDE);
    expect(0, 0, true, "PCIDE off drops everything");
    map(0, 0, false, 0);
    enter(0, 0, true);
    check_is(seen(0), 0x10, "without PCIDs MOV CR3 drops everything");
    write_cr4(read_cr4() | CR4_PCIDE);
    /* Paging structures that are cached: an entry above is changed. */
    prepare(0);
    directory[0][0] = (word)table[1] | P | W;
    invlpg(at_page(1));
    check_is(seen(1), 0x21, "INVLPG drops cached upper entries");
    directory[0][0] = (word)table[0] | P | W;
    enter(0, 0, true);
    check_is(seen(1), 0x20, "and so does MOV CR3");
}

void guest_main(void)
{
    u32 one[4], seven[4];

    cpuid(1, 0, one);
    cpuid(7, 0, seven);
    keeps = option("tlb");
    open_pages_to_user();
    init();
    if (!(one[2] >> 17 & 1)) {
        check_fault(put_cr4, read_cr4() | CR4_PCIDE, VECTOR_GP, 0, "PCIDE that there is not");
        return;
    }
    write_cr3((word)pml4[0]);
    write_cr4(read_cr4() | CR4_PCIDE | CR4_PGE);
    check_faults(seven[1] >> 10 & 1);
    check_spaces();
    if (seven[1] >> 10 & 1) {
        check_invpcid();
    }
    check_global();
    check_controls();
}
