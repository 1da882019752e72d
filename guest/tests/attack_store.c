/*
 * attack_store.c - bytes that come to stand in user code's pages behind its back: by the guest's
 * kernel on another CPU, by a device, by the CPU's own page walks, and by page tables that are not
 * as the TLB has them.  In each case they make WRPKRU, which a guest does not have: #UD, and
 * nothing else.
 */
#include "attack.h"
#include "second.h"

/* ------------------------------------------------------------------ what the TLB still has */

enum { NOP = 0x90, RET = 0xc3 };

/* Two pages that run.  The first is exchanged for a harmless one, but the TLB is not told of it;
 * the second for one whose start makes WRPKRU with the end of the first. */
void attack_stale(void)
{
    static const u8 wrpkru[] = {0x0f, 0x01, 0xef, NOP, 0xcd, USER_END_VECTOR};
    u8 *old = page_new(), *harmless = page_new(), *second = page_new(), *bad = page_new();
    u64 at = USER_OTHERS + PAGE_BYTES - 2;
    struct frame r = user_registers();

    USER_TEXT(call_both, "call *%rbx; call *%rsi");
    USER_TEXT(call_and_jump, "call *%rsi; jmp *%r15");
    old[0] = harmless[0] = second[64] = bad[64] = RET;
    for (unsigned i = 0; i < 2; i++) {
        old[PAGE_BYTES - 2 + i] = wrpkru[i];
        harmless[PAGE_BYTES - 2 + i] = NOP;
    }
    for (unsigned i = 2; i < sizeof(wrpkru); i++) {
        bad[i - 2] = wrpkru[i];
    }
    map_page(USER_OTHERS, old, PTE_USER);
    map_page(USER_OTHERS + PAGE_BYTES, second, PTE_USER);
    r.bx = USER_OTHERS;
    r.si = USER_OTHERS + PAGE_BYTES + 64;
    r.r15 = at;
    PUT(call_both);
    check_left(run_user(&r, 10000), USER_END_VECTOR, 0, 0, "both pages");
    *page_entry(USER_OTHERS) = (u64)harmless | PTE_USER | 1;
    map_page(USER_OTHERS + PAGE_BYTES, bad, PTE_USER);
    PUT(call_and_jump);
    const struct left *left = run_user(&r, 10000);
    bool by_old = left->at.vector == VECTOR_UD && left->at.ip == at;
    bool by_new = left->at.vector == VECTOR_GP && left->at.ip == at + 2; /* OUT DX, EAX */
    check(by_old || by_new, "WRPKRU, by a page that only the TLB still has");
}

/* ------------------------------------------------------------------ page walks */

USER_TEXT(touch_between, "call *%rbx; mov (%rdi), %cl; jmp *%r15");

/* User code can execute its own page table.  There is 0F 01 CF until the CPU sets the accessed bit
 * of the entry that begins with CF. */
void attack_tables(void)
{
    u64 *table = page_entry(USER_OTHERS + (2 << 20));
    struct frame r = user_registers();

    table[8] = 0x010f000000000000;
    table[9] = (u64)page_new() | 0xcf; /* present, to be written and used by users, dirty */
    table[16] = RET << 8;
    map_page(USER_OTHERS, table, PTE_USER);
    PUT(touch_between);
    r.bx = USER_OTHERS + 16 * 8 + 1;
    r.di = USER_OTHERS + (2 << 20) + 9 * PAGE_BYTES;
    r.r15 = USER_OTHERS + 8 * 8 + 6;
    const struct left *left = run_user(&r, 10000);
    check_left(left, VECTOR_UD, 0, 0, "WRPKRU, by an accessed bit");
    check_case(left->at.ip == r.r15 && (table[9] & 0xff) == 0xef, "at %l, the entry is %l",
               (u64)left->at.ip, table[9]);
    check(true, "WRPKRU by an accessed bit");
}

/* ------------------------------------------------------------------ another CPU, a device */

/* NOP; ADD EDI, EBP; RET.  With another first byte it is WRPKRU; RET, and EDI stays. */
static const u8 harmless[] = {NOP, 0x01, 0xef, RET};
enum { FIRST_OF_WRPKRU = 0x0f };

/* As long as EDI counts.  Where it does not, and nothing has trapped, the hidden zone may be open.
 */
USER_TEXT(call_again, "1: mov %edi, %esi; call *%r8; cmp %edi, %esi; jne 1b\n"
                      "movabs $0x710000000000, %r9; mov (%r9), %rbx");

enum {
    FW_CFG_DMA = 0x514,
    FW_CFG_RAM_SIZE = 3,
    FW_CFG_READ = 2,
    FW_CFG_SKIP = 4,
    FW_CFG_SELECT = 8
};

static volatile struct {
    u32 control, length, address_high, address;
} dma __attribute__((aligned(16)));

static volatile u8 *place;
static bool by_device;
static volatile u32 started, stop, stopped;

static void transfer(u32 control, u32 length, volatile u8 *to)
{
    dma.control = __builtin_bswap32(control);
    dma.length = __builtin_bswap32(length);
    dma.address_high = 0;
    dma.address = __builtin_bswap32((u32)(word)to);
    outl(FW_CFG_DMA, 0);
    outl(FW_CFG_DMA + 4, __builtin_bswap32((u32)(word)&dma));
    while (dma.control) {}
}

/* The device has the byte in the size of a RAM of 240 MiB: 0x0f000000. */
static void make_wrpkru(void)
{
    if (by_device) {
        transfer(FW_CFG_RAM_SIZE << 16 | FW_CFG_SELECT | FW_CFG_SKIP, 3, place);
        transfer(FW_CFG_READ, 1, place);
    } else {
        *place = FIRST_OF_WRPKRU;
    }
}

/* For up to `most` rounds, by and by all of them. */
static void dither(u32 n, u32 most)
{
    for (u32 i = (u32)((u64)(n * 2654435761u) * most >> 32); i; i--) {
        __asm__ volatile("pause");
    }
}

static void change_code(void)
{
    started = 1;
    for (u32 n = 0; !stop; n += 2) {
        *place = NOP;
        dither(n, 60000); /* until the other CPU executes it */
        make_wrpkru();
        dither(n + 1, 60000); /* and until it knows */
    }
    make_wrpkru();
    stopped = 1;
}

static void change_while_running(bool device)
{
    u8 *page = page_new();
    unsigned caught = 0, wanted = (unsigned)option_number("catches", 10);
    struct frame r = user_registers();
    const struct left *left;

    for (unsigned i = 0; i < sizeof(harmless); i++) {
        page[i] = harmless[i];
    }
    map_page(USER_OTHERS, page, PTE_USER);
    PUT(call_again);
    r.r8 = USER_OTHERS;
    r.bp = 1;
    place = page;
    by_device = device;
    second_start(change_code);
    check(second_wait(&started, 1, 20), "the second CPU stores");
    for (unsigned i = 0; caught < wanted && i < 100 * wanted; i++) {
        while (*place != NOP) {
            __asm__ volatile("pause");
        }
        left = run_user(&r, 2);
        bool is_ud = left->at.vector == VECTOR_UD && left->at.ip == r.r8;
        check_case(is_ud || left->at.vector == PIC_VECTOR, "vector %x at %l, RBX %l",
                   (unsigned)left->at.vector, (u64)left->at.ip, (u64)left->at.bx);
        caught += is_ud;
    }
    check_is(caught, wanted, "user code meets what was stored");
    stop = 1;
    check(second_wait(&stopped, 1, 20), "the second CPU ends");
    left = run_user(&r, 500);
    check_left(left, VECTOR_UD, 0, 0, "what is stored last is seen");
    check(page[0] == FIRST_OF_WRPKRU && left->at.ip == r.r8, "what is stored last is seen");
}

void attack_stores(void)
{
    change_while_running(false);
}

void attack_devices(void)
{
    change_while_running(true);
}
