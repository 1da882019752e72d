/* rights32.c - access rights in 32-bit paging, with and without PSE, and in PAE paging: rights.h.
 */
#include "rights.h"

enum { WINDOW = 0x40000000, USER_WINDOW = 0x80000000u, FOUR_MIB = 1 << 22, TWO_MIB = 1 << 21 };
#define IGNORED     0x018u
#define IGNORED_PAE 0x000000000000018ull

static u32 directory[1024] __attribute__((aligned(4096)));
static u32 table[1024] __attribute__((aligned(4096)));
static u32 user_table[1024] __attribute__((aligned(4096)));
static u64 pdpt[4] __attribute__((aligned(32)));
static u64 pae_directories[3][512] __attribute__((aligned(4096)));
static u64 pae_table[512] __attribute__((aligned(4096)));
static u64 pae_user_table[512] __attribute__((aligned(4096)));

static void load_ldt(word at)
{
    set_descriptor(FREE_SELECTOR, at, 0xfff, 0x0082);
    __asm__ volatile("lldt %w0" ::"r"(FREE_SELECTOR));
}

/* The first 8 MiB to themselves. */
static u32 low_tables[2][1024] __attribute__((aligned(4096)));

static void start_32(void)
{
    for (u32 i = 0; i < 2048; i++) {
        low_tables[i / 1024][i % 1024] = i << 12 | P | W;
    }
    directory[0] = (word)low_tables[0] | P | W;
    directory[1] = (word)low_tables[1] | P | W;
    directory[USER_WINDOW >> 22] = (word)user_table | P | W | U;
    user_table[0] = (word)rights_user_code | P | U;
    write_cr3((word)directory);
    write_cr0(read_cr0() | CR0_PG);
}

static void try_32(void)
{
    word page = (word)rights_page, in_4m = page & (FOUR_MIB - 1);
    u32 *pde = &directory[WINDOW >> 22];
    struct space small = {
        "32-bit, 4 KiB",
        false,
        false,
        2,
        {{pde, (word)table, 0, IGNORED | 0xf00}, {&table[0], page, 0, IGNORED | 0xf80}},
        WINDOW,
    };

    load_ldt(small.at);
    small.name = "32-bit without PSE";
    small.steps[0].ignored |= PS;
    rights_run(&small);

    write_cr4(read_cr4() | CR4_PSE);
    small.name = "32-bit, 4 KiB";
    small.steps[0].ignored &= ~(u64)PS;
    rights_run(&small);

    struct space large = small;
    large.name = "32-bit, 4 MiB";
    large.depth = 1;
    large.steps[0] = (struct step){pde, (page - in_4m) | PS, 1 << 21, IGNORED | 0x1f00};
    large.at = WINDOW + in_4m;
    load_ldt(large.at);
    rights_run(&large);
    write_cr4(read_cr4() & ~(word)CR4_PSE);
}

static void start_pae(void)
{
    write_cr0(read_cr0() & ~CR0_PG);
    for (u32 i = 0; i < 512; i++) {
        pae_directories[0][i] = (u64)i << 21 | P | W | PS;
    }
    for (u32 i = 0; i < 3; i++) {
        pdpt[i] = (word)pae_directories[i] | P;
    }
    pae_directories[2][0] = (word)pae_user_table | P | W | U;
    pae_user_table[0] = (word)rights_user_code | P | U;
    write_cr4(read_cr4() | CR4_PAE);
    write_cr3((word)pdpt);
    write_cr0(read_cr0() | CR0_PG);
}

static void try_pae(void)
{
    word page = (word)rights_page, in_2m = page & (TWO_MIB - 1);
    u64 *pde = &pae_directories[1][0];
    struct space small = {
        "PAE, 4 KiB",
        true,
        true,
        2,
        {{pde, (word)pae_table, 1ull << 62, IGNORED_PAE | 0xf00},
         {&pae_table[0], page, 1ull << 62, IGNORED_PAE | 0xf80}},
        WINDOW,
    };
    struct space large = small;

    load_ldt(small.at);
    rights_run(&small);
    large.name = "PAE, 2 MiB";
    large.depth = 1;
    large.steps[0] =
        (struct step){pde, (page - in_2m) | PS, 1ull << 62 | 1 << 13, IGNORED_PAE | 0x1f00};
    large.at = WINDOW + in_2m;
    load_ldt(large.at);
    rights_run(&large);
}

void guest_main(void)
{
    rights_init(USER_WINDOW);
    start_32();
    try_32();
    start_pae();
    try_pae();
}
