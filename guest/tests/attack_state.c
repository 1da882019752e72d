/* attack_state.c - user code's state across traps, and lots of its memory. */
#include "attack.h"

/* ------------------------------------------------------------------ vector registers */

/* Loads all of YMM from RSI, MXCSR and the x87 control word; traps; and stores them at RDI. */
USER_TEXT(keep_state, ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
                      "vmovups \\n*32(%rsi), %ymm\\n\n.endr\n"
                      "ldmxcsr 512(%rsi); fninit; fldcw 516(%rsi); fldpi; fld1\n"
                      "mov $100, %ecx\n"
                      "1: ud2; mov %rcx, (%rdx); push %rcx; pop %rcx; loop 1b\n"
                      ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
                      "vmovups %ymm\\n, \\n*32(%rdi)\n.endr\n"
                      "stmxcsr 512(%rdi); fnstcw 516(%rdi); faddp; fistpll 520(%rdi)");

static void skip_ud2(struct frame *frame)
{
    frame->ip += 2;
    unmap_page(frame->dx);
}

static u8 *late_page;

static void map_late(struct frame *frame)
{
    map_page(read_cr2() & ~0xfffull, late_page, PTE_USER | PTE_WRITE);
    (void)frame;
}

void attack_state(void)
{
    handler *saved_ud = handlers[VECTOR_UD], *saved_pf = handlers[VECTOR_PF];
    u8 *from = page_new(), *to = page_new();
    struct frame r = user_registers();

    late_page = page_new();
    for (unsigned i = 0; i < 512; i++) {
        from[i] = (u8)(i * 7 + 1);
    }
    *(u32 *)(from + 512) = 0x3f80;
    *(u16 *)(from + 516) = 0x0b7f;
    map_page(USER_OTHERS, from, PTE_USER);
    map_page(USER_OTHERS + PAGE_BYTES, to, PTE_USER | PTE_WRITE);
    PUT(keep_state);
    r.si = USER_OTHERS;
    r.di = USER_OTHERS + PAGE_BYTES;
    r.dx = USER_OTHERS + 2 * PAGE_BYTES;
    handlers[VECTOR_UD] = skip_ud2;
    handlers[VECTOR_PF] = map_late;
    const struct left *left = run_user(&r, 100000);
    handlers[VECTOR_UD] = saved_ud;
    handlers[VECTOR_PF] = saved_pf;
    check_left(left, USER_END_VECTOR, 0, 0, "traps");
    unsigned different = 0;
    for (unsigned i = 0; i < 518; i++) {
        different += from[i] != to[i];
    }
    check_is(different, 0, "YMM, MXCSR and FCW are as before");
    check_is(*(u64 *)(to + 520), 5, "and so is the x87 stack"); /* 1 + pi, rounded up */
}

/* ------------------------------------------------------------------ string instructions */

USER_TEXT(copy, "rep movsb");
USER_TEXT(fill, "rep stosb");

void attack_strings(void)
{
    handler *saved = handlers[VECTOR_PF];
    struct frame r = user_registers();
    u8 *from = page_new(), *to = page_new();

    late_page = page_new();
    for (unsigned i = 0; i < PAGE_BYTES; i++) {
        from[i] = (u8)(i * 13 + 5);
    }
    map_page(USER_OTHERS, from, PTE_USER);
    map_page(USER_OTHERS + 0x10000, to, PTE_USER | PTE_WRITE);
    PUT(copy);
    r.si = USER_OTHERS;
    r.di = USER_OTHERS + 0x10000 + 0x800;
    r.cx = PAGE_BYTES;
    handlers[VECTOR_PF] = map_late;
    const struct left *left = run_user(&r, 100000);
    handlers[VECTOR_PF] = saved;
    check_left(left, USER_END_VECTOR, 0, 0, "a copy that a fault has cut");
    unsigned different = 0;
    for (unsigned i = 0; i < PAGE_BYTES; i++) {
        different += from[i] != (i < 0x800 ? to[0x800 + i] : late_page[i - 0x800]);
    }
    check_is(different, 0, "all of it has been copied, once");
    check_case(left->at.cx == 0 && left->at.si == r.si + PAGE_BYTES, "RCX %l", (u64)left->at.cx);

    PUT(fill);
    map_page(HIDDEN_START - PAGE_BYTES, to, PTE_USER | PTE_WRITE);
    r.di = HIDDEN_START - 0x100;
    r.cx = 0x1000;
    r.ax = 0xaa;
    left = run_user(&r, 100000);
    check_left(left, VECTOR_PF, PF_USER | PF_WRITE, HIDDEN_START, "into the hidden zone");
    check(left->at.di == HIDDEN_START && left->at.cx == 0xf00 && to[PAGE_BYTES - 1] == 0xaa,
          "  up to there, and no further");
    unmap_page(HIDDEN_START - PAGE_BYTES);
}

/* ------------------------------------------------------------------ address spaces */

enum { SPACES = 48, SPACE_ROUNDS = 5, SPREAD = 20000 };

USER_TEXT(exchange, "mov (%rdi), %rax; mov %rsi, (%rdi)");

void attack_spaces(void)
{
    word home = read_cr3();
    u64 *spaces[SPACES], seen[SPACES];

    for (unsigned i = 0; i < SPACES; i++) {
        spaces[i] = space_new();
        seen[i] = 0;
    }
    for (unsigned round = 0; round < SPACE_ROUNDS; round++) {
        for (unsigned i = 0; i < SPACES; i++) {
            struct frame r = user_registers();
            write_cr3((word)spaces[i]);
            if (round == 0) {
                map_page(USER_CODE, page_new(), PTE_USER);
                map_page(USER_DATA, page_new(), PTE_USER | PTE_WRITE);
                PUT(exchange);
            }
            r.di = USER_DATA;
            r.si = round * 1000 + i + 1;
            const struct left *left = run_user(&r, 10000);
            check_left(left, USER_END_VECTOR, 0, 0, "an address space");
            check_case(left->at.ax == seen[i], "space %u has %l", i, (u64)left->at.ax);
            seen[i] = r.si;
        }
    }
    write_cr3(home);
    check(true, "address spaces");
}

/* ------------------------------------------------------------------ more pieces than the mirror
 * has */

USER_TEXT(add_up, "1: add (%rdi), %rax; incq 8(%rdi); add $4096, %rdi; loop 1b");

void attack_pieces(void)
{
    u8 *pages[2] = {page_new(), page_new()};

    *(u64 *)pages[0] = 1;
    *(u64 *)pages[1] = 1000;
    for (unsigned i = 0; i < SPREAD; i++) { /* never two that follow one another in both memories */
        map_page(USER_OTHERS + i * PAGE_BYTES, pages[i & 1], PTE_USER | PTE_WRITE);
    }
    PUT(add_up);
    for (unsigned round = 1; round <= 2; round++) {
        struct frame r = user_registers();
        r.di = USER_OTHERS;
        r.cx = SPREAD;
        const struct left *left = run_user(&r, 1000000);
        check_left(left, USER_END_VECTOR, 0, 0, "many pages");
        check_is(left->at.ax, 1001ull * SPREAD / 2, "the sum over many pages");
        check_is(*(u64 *)(pages[0] + 8), round * SPREAD / 2, "  and each was written once");
    }
}
