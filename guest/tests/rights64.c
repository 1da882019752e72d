/* rights64.c - access rights in 4-level paging, with pages of 4 KiB, 2 MiB and 1 GiB: rights.h. */
#include "rights.h"

/* PML4 entries of our own: nothing else is there. */
#define WINDOW      (1ull << 39)
#define USER_WINDOW (2ull << 39)
#define GIGABYTE    (1ull << 30)
#define TWO_MIB     (1ull << 21)
/* Available bits, PWT, PCD and, where they are not reserved, G and the like. */
#define IGNORED       0x7f0000000000018ull
#define IGNORED_ABOVE (IGNORED | 0xf00)

static u64 pdpt[512] __attribute__((aligned(4096)));
static u64 directory[512] __attribute__((aligned(4096)));
static u64 table[512] __attribute__((aligned(4096)));
static u64 user_tables[3][512] __attribute__((aligned(4096)));
static u64 *pml4;

static void map_user_code(void)
{
    pml4[2] = (word)user_tables[0] | P | W | U;
    user_tables[0][0] = (word)user_tables[1] | P | W | U;
    user_tables[1][0] = (word)user_tables[2] | P | W | U;
    user_tables[2][0] = (word)rights_user_code | P | U;
    write_cr3(read_cr3());
}

/* The LDT of rights.c is at the beginning of the page. */
static void load_ldt(word at)
{
    set_descriptor(FREE_SELECTOR, (u32)at, 0xfff, 0x0082);
    gdt[FREE_SELECTOR / 8 + 1] = (u64)at >> 32;
    __asm__ volatile("lldt %w0" ::"r"(FREE_SELECTOR));
}

void guest_main(void)
{
    struct features f = rights_features();
    u64 high = f.physical_bits < 52 ? 1ull << 51 : 0, page = (word)rights_page;
    u64 in_2m = page & (TWO_MIB - 1), in_1g = page & (GIGABYTE - 1);

    pml4 = (u64 *)(read_cr3() & ~0xfffull);
    map_user_code();
    rights_init(USER_WINDOW);

    struct step top = {&pml4[1], (word)pdpt, high | PS, IGNORED_ABOVE & ~(u64)PS};
    struct space small = {
        "4-level, 4 KiB",
        true,
        true,
        4,
        {top,
         {&pdpt[0], (word)directory, high ? high : 0, IGNORED_ABOVE},
         {&directory[0], (word)table, high, IGNORED_ABOVE},
         {&table[0], page, high, IGNORED | 0xf80}},
        WINDOW,
    };
    load_ldt(small.at);
    rights_run(&small);

    struct space large = small;
    large.name = "4-level, 2 MiB";
    large.depth = 3;
    large.steps[2] =
        (struct step){&directory[0], (page - in_2m) | PS, high | 1 << 13, IGNORED | 0x1f00};
    large.at = WINDOW + in_2m;
    load_ldt(large.at);
    rights_run(&large);

    if (f.gigabyte) {
        struct space huge = small;
        huge.name = "4-level, 1 GiB";
        huge.depth = 2;
        huge.steps[1] =
            (struct step){&pdpt[0], (page - in_1g) | PS, high | 1 << 29, IGNORED | 0x1f00};
        huge.at = WINDOW + in_1g;
        load_ldt(huge.at);
        rights_run(&huge);
    }
}
