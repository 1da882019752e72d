/*
 * paging.c - 4-level paging: what faults, with which error code and CR2, and accessed and dirty
 * bits.
 *
 * Intel SDM vol. 3A, "Page-Fault Exceptions" and "Access Rights".
 */
#include "guest.h"

enum {
    P = 1,
    W = 2,
    U = 4,
    PWT = 8,
    A = 0x20,
    D = 0x40,
    LARGE = 0x80,
    ERROR_P = 1,
    ERROR_W = 2,
    ERROR_U = 4,
    ERROR_RSVD = 8,
    ERROR_I = 0x10,
};
#define NX       (1ull << 63)
#define CR0_WP   (1u << 16)
#define CR4_SMEP (1u << 20)
#define CR4_SMAP (1u << 21)
#define CR4_PGE  (1u << 7)
#define MSR_EFER 0xc0000080u
#define EFER_NXE (1u << 11)
#define FLAGS_AC (1u << 18)
#define WINDOW   0x8000000000ull /* of PML4 entry 1: nothing else is there */
#define PAGE     4096

static u64 pdpt[512] __attribute__((aligned(4096)));
static u64 directory[512] __attribute__((aligned(4096)));
static u64 table[512] __attribute__((aligned(4096)));
static u8 page[4096] __attribute__((aligned(4096)));
static u64 *pml4;

static void load(word address)
{
    (void)*(volatile u8 *)address;
}
static void store(word address)
{
    *(volatile u8 *)address = 0xc3;
}
static void execute(word address)
{
    ((void (*)(void))address)();
}
static void store_with_ac(word address)
{
    __asm__ volatile("stac; movb $0, (%0); clac" ::"r"(address) : "memory");
}

static void flush(void)
{
    write_cr3(read_cr3());
}

/* Entry 0 of the window's table. */
static word map(u64 entry)
{
    pml4[1] = (word)pdpt | P | W | U;
    pdpt[0] = (word)directory | P | W | U;
    directory[0] = (word)table | P | W | U;
    table[0] = entry;
    flush();
    return WINDOW;
}

static word map_page(u64 bits)
{
    return map((word)page | bits);
}

static void expect(void (*what)(word), word address, u32 error, const char *name)
{
    check_fault(what, address, VECTOR_PF, error, name);
    check(fault.cr2 == address, "  CR2");
}

static void check_supervisor(void)
{
    word at = map_page(P | W | U);

    check_fault(load, at, NO_FAULT, 0, "read");
    check(table[0] & A && !(table[0] & D), "a read sets A only");
    check_fault(store, at, NO_FAULT, 0, "write");
    check(table[0] & D, "a write sets D");
    check(pdpt[0] & A && directory[0] & A && !(pdpt[0] & D), "A in upper entries, never D");
    check(page[0] == 0xc3, "the write has come through");
    check_fault(execute, at, NO_FAULT, 0, "fetch");

    at = map(0);
    expect(load, at + 5, 0, "not present, read");
    expect(store, at + 5, ERROR_W, "not present, write");
    expect(execute, at + 5, ERROR_I, "not present, fetch");
    at = map_page(P | U);
    write_cr0(read_cr0() & ~CR0_WP);
    check_fault(store, at, NO_FAULT, 0, "read-only, without WP");
    at = map_page(P | U);
    write_cr0(read_cr0() | CR0_WP);
    expect(store, at, ERROR_P | ERROR_W, "read-only, with WP");
    check(!(table[0] & D), "a refused write sets no D");
    at = map_page(P | W | NX);
    expect(execute, at, ERROR_P | ERROR_I, "NX");
    at = map_page(P | W | 1ull << 51);
    expect(load, at, ERROR_P | ERROR_RSVD, "reserved bit of an entry");
    map_page(P | W);
    pdpt[0] |= 1ull << 51;
    flush();
    expect(load, at, ERROR_P | ERROR_RSVD, "reserved bit of an upper entry");
    map_page(P | W);
    pml4[1] |= LARGE;
    flush();
    expect(load, at, ERROR_P | ERROR_RSVD, "PS in a PML4 entry");
    map_page(P | W);
    directory[0] = ((word)page & ~0x1fffffull) | 1 << 13 | P | W | LARGE;
    flush();
    expect(store, at, ERROR_P | ERROR_W | ERROR_RSVD, "misaligned large page");
}

static void check_user(void)
{
    word at = map_page(P | W | U);

    check(attempt_user(store, at) == NO_FAULT, "user writes a user's page");
    at = map_page(P | W);
    attempt_user(load, at);
    check_is(fault.error, ERROR_P | ERROR_U, "user reads a supervisor's page");
    attempt_user(store, at);
    check_is(fault.error, ERROR_P | ERROR_U | ERROR_W, "user writes a supervisor's page");
    attempt_user(execute, at);
    check_is(fault.error, ERROR_P | ERROR_U | ERROR_I, "user fetches from a supervisor's page");
    at = map(0);
    attempt_user(load, at);
    check_is(fault.error, ERROR_U, "user reads what is not present");
    at = map_page(P | W | U);
    directory[0] &= ~(u64)U;
    flush();
    attempt_user(load, at);
    check_is(fault.error, ERROR_P | ERROR_U, "one entry above without U is enough");
}

static void check_protections(void)
{
    word at = map_page(P | W | U);

    /* The code here is on pages that CPL 3 may use: SMEP would stop it. */
    u64 *low = (u64 *)(pml4[0] & ~0xfffull);
    low[0] &= ~(u64)U;
    flush();
    write_cr4(read_cr4() | CR4_SMEP);
    expect(execute, at, ERROR_P | ERROR_I, "SMEP");
    check_fault(load, at, NO_FAULT, 0, "SMEP lets it be read");
    write_cr4((read_cr4() & ~(word)CR4_SMEP) | CR4_SMAP);
    expect(load, at, ERROR_P, "SMAP, read");
    expect(store, at, ERROR_P | ERROR_W, "SMAP, write");
    check_fault(store_with_ac, at, NO_FAULT, 0, "SMAP with AC");
    write_cr4(read_cr4() & ~(word)CR4_SMAP);
    low[0] |= U;
    flush();
}

static void check_tlb(void)
{
    word at = map_page(P | W);

    page[0] = 0xc3;
    load(at);
    table[0] = 0;
    __asm__ volatile("invlpg (%0)" ::"r"(at) : "memory");
    expect(load, at, 0, "INVLPG");
    write_cr4(read_cr4() | CR4_PGE);
    at = map_page(P | W | 1 << 8);
    load(at);
    table[0] = 0;
    write_cr4(read_cr4() & ~(word)CR4_PGE);
    expect(load, at, 0, "clearing PGE drops global pages");
    /* From not present to present no invalidation is due. */
    table[0] = (word)page | P | W;
    check_fault(load, at, NO_FAULT, 0, "an entry that becomes present works at once");
    /* The same page at two addresses. */
    table[1] = (word)page | P | W;
    *(volatile u32 *)(at + 16) = 0x12345678;
    check_is(*(volatile u32 *)(at + PAGE + 16), 0x12345678, "one page at two addresses");
}

static u8 over[8192] __attribute__((aligned(4096)));

static void store_wide(word address)
{
    *(volatile u64 *)address = 0x1122334455667788;
}

static void check_crossing(void)
{
    word at;

    map((word)over | P | W);
    table[1] = 0;
    flush();
    at = WINDOW + PAGE - 4;
    attempt(store_wide, at);
    check(fault.vector == VECTOR_PF && fault.error == ERROR_W && fault.cr2 == WINDOW + PAGE,
          "a write across pages faults on the second");
    check_is(*(u32 *)(over + PAGE - 4), 0, "  and has written nothing");
    check_fault(load, 0x800000000000, VECTOR_GP, 0, "non-canonical");
    __asm__ volatile("" ::: "memory");
}

void guest_main(void)
{
    pml4 = (u64 *)(read_cr3() & ~0xfffull);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
    open_pages_to_user();
    page[5] = page[0] = 0xc3;
    check_supervisor();
    check_user();
    check_protections();
    check_tlb();
    check_crossing();
}
