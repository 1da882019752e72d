/* paging32.c - 32-bit paging with 4 MiB pages, and PAE: mappings and error codes. */
#include "guest.h"

enum { P = 1, W = 2, A = 0x20, D = 0x40, LARGE = 0x80, WINDOW = 0x40000000, CR4_PSE = 0x10 };
enum { CR4_PAE = 0x20, MSR_EFER = 0xc0000080u, EFER_NXE = 1 << 11 };
#define CR0_PG 0x80000000u
#define CR0_WP 0x10000u

static u32 directory[1024] __attribute__((aligned(4096)));
static u32 table[1024] __attribute__((aligned(4096)));
static u64 pdpt[4] __attribute__((aligned(32)));
static u64 pae_directory[2][512] __attribute__((aligned(4096)));
static u64 pae_table[512] __attribute__((aligned(4096)));
static u8 page[4096] __attribute__((aligned(4096)));

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
static void load_cr3(word value)
{
    write_cr3(value);
}

static void flush(void)
{
    write_cr3(read_cr3());
}

static void check_32(void)
{
    for (u32 i = 0; i < 256; i++) {
        directory[i] = i << 22 | P | W | LARGE;
    }
    directory[WINDOW >> 22] = (word)table | P | W;
    table[0] = (word)page | P;
    write_cr4(read_cr4() | CR4_PSE);
    write_cr3((word)directory);
    write_cr0(read_cr0() | CR0_PG | CR0_WP);
    check(true, "32-bit paging is on");
    check_fault(load, WINDOW, NO_FAULT, 0, "read");
    check(table[0] & A && directory[WINDOW >> 22] & A, "  sets A");
    check_fault(store, WINDOW, VECTOR_PF, P | W, "write to a read-only page");
    check_fault(load, WINDOW + 4096, VECTOR_PF, 0, "not present");
    check_is(fault.cr2, WINDOW + 4096, "  CR2");
    table[0] |= W;
    flush();
    check_fault(store, WINDOW, NO_FAULT, 0, "write");
    check(table[0] & D, "  sets D");
    check_fault(execute, WINDOW, NO_FAULT, 0, "fetch");
    check(directory[0] & D, "D of a 4 MiB page");
}

static void check_pae(void)
{
    for (u32 i = 0; i < 512; i++) {
        pae_directory[0][i] = (u64)i << 21 | P | W | LARGE;
    }
    pdpt[0] = (word)pae_directory[0] | P;
    pdpt[1] = (word)pae_directory[1] | P;
    pae_directory[1][0] = (word)pae_table | P | W;
    pae_table[0] = (word)page | P | W | 1ull << 63;
    write_cr0(read_cr0() & ~CR0_PG);
    write_cr4(read_cr4() | CR4_PAE);
    wrmsr(MSR_EFER, EFER_NXE);
    write_cr3((word)pdpt);
    write_cr0(read_cr0() | CR0_PG);
    check(true, "PAE is on");
    check_fault(store, WINDOW, NO_FAULT, 0, "write");
    check_fault(execute, WINDOW, VECTOR_PF, P | 0x10, "NX");
    pdpt[1] = 0;
    check_fault(load, WINDOW, NO_FAULT, 0, "a PDPTE in memory matters only when CR3 is loaded");
    flush();
    check_fault(load, WINDOW, VECTOR_PF, 0, "  and does then");
    pdpt[1] = (word)pae_directory[1] | P | W; /* W is reserved there */
    check_fault(load_cr3, read_cr3(), VECTOR_GP, 0, "a reserved bit of a PDPTE: #GP of MOV CR3");
    pdpt[1] = (word)pae_directory[1] | P;
    flush();
    pae_table[0] = (word)page | P | 1ull << 52;
    flush();
    check_fault(load, WINDOW, VECTOR_PF, P | 8, "a reserved bit of an entry");
}

void guest_main(void)
{
    check_32();
    check_pae();
}
