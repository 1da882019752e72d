/* attack_memory.c - user code that reads, writes and jumps into memory that is not the guest's. */
#include "attack.h"

static const struct {
    const char *name;
    u64 start, size;
} areas[] = {
    {"below", HIDDEN_START - 4 * PAGE_BYTES, 4 * PAGE_BYTES},
    {"the program", HIDDEN_START, 1u << 20},
    {"the gate", HIDDEN_GATE - PAGE_BYTES, 3 * PAGE_BYTES},
    {"the stacks", HIDDEN_STACK, 0x90000},
    {"the arena", HIDDEN_ARENA, 0x8000000},
    {"RAM", HIDDEN_RAM, 0x4000000},
    {"above", HIDDEN_END, 4 * PAGE_BYTES},
};

/* What a LIMIT of Ringer's lets user code see, with protection keys: it can read the gate page,
 * which holds its own registers and nothing else; and where the host is older than Linux 6.12
 * ("frames"), read and write the frames of its own signals. */
static bool is_open(u64 address, bool write)
{
    return (option("keys") && address - HIDDEN_GATE < PAGE_BYTES && !write) ||
           (option("frames") && address - SIGNAL_START < SIGNAL_END - SIGNAL_START);
}

/* ------------------------------------------------------------------ reads and writes */

USER_TEXT(sweep_reads, "1: mov (%rdi), %al; 2: add %rsi, %rdi; cmp %rdx, %rdi; jb 1b");
USER_TEXT(sweep_writes, "1: mov %al, (%rdi); 2: add %rsi, %rdi; cmp %rdx, %rdi; jb 1b");
USER_TEXT(sweep_locked, "1: lock incb (%rdi); 2: add %rsi, %rdi; cmp %rdx, %rdi; jb 1b");
USER_TEXT(sweep_vectors, "1: movups (%rdi), %xmm0; 2: add %rsi, %rdi; cmp %rdx, %rdi; jb 1b");
USER_TEXT(sweep_pushes,
          "1: lea 8(%rdi), %rsp; push %rax; 2: add %rsi, %rdi; cmp %rdx, %rdi; jb 1b");

static u64 expected_error, expected_ip;
static unsigned skip, faults;

/* Each fault is looked at, and the instruction skipped. */
static void on_fault(struct frame *frame)
{
    u64 cr2 = read_cr2();
    bool good = frame->error == expected_error && cr2 == frame->di && frame->ip == expected_ip;

    check_case(good, "error %l cr2 %l at %l, by RDI %l", (u64)frame->error, cr2, (u64)frame->ip,
               (u64)frame->di);
    faults++;
    frame->ip += skip;
}

static void sweep(u64 error, unsigned offset, unsigned length, const char *name)
{
    handler *saved = handlers[VECTOR_PF];
    u64 step = PAGE_BYTES * option_number("step", 1);

    expected_error = error;
    expected_ip = USER_CODE + offset;
    skip = length;
    for (unsigned i = 0; i < ARRAY_SIZE(areas); i++) {
        struct frame r = user_registers();
        u64 pages = (areas[i].size + step - 1) / step;
        unsigned open = 0;

        r.di = areas[i].start;
        r.si = step;
        r.dx = areas[i].start + areas[i].size;
        for (u64 at = r.di; at < r.dx; at += step) {
            open += is_open(at, error & PF_WRITE);
        }
        faults = 0;
        handlers[VECTOR_PF] = on_fault;
        const struct left *left = run_user(&r, 100000);
        handlers[VECTOR_PF] = saved;
        check_left(left, USER_END_VECTOR, 0, 0, name);
        check_case(faults + open == pages, "%s: %u faults in %s", name, faults, areas[i].name);
    }
    check(true, name);
}

void attack_reads(void)
{
    PUT(sweep_reads);
    sweep(PF_USER, 0, 2, "reads");
    PUT(sweep_vectors);
    sweep(PF_USER, 0, 3, "reads by vector instructions");
}

void attack_writes(void)
{
    PUT(sweep_writes);
    sweep(PF_USER | PF_WRITE, 0, 2, "writes");
    PUT(sweep_locked);
    sweep(PF_USER | PF_WRITE, 0, 3, "locked writes");
    PUT(sweep_pushes);
    sweep(PF_USER | PF_WRITE, 4, 1, "writes by PUSH");
}

/* ------------------------------------------------------------------ jumps */

USER_TEXT(jump_r15, "jmp *%r15");

/* LIMIT: keys do not stop fetches, so user code may execute what it finds in the program's text and
 * in the pages of thunks, of which there are so many.  That the guest goes on is all there is to
 * see. */
enum { THUNK_PAGES = 128 };

static unsigned jump_around(u64 start, u64 size)
{
    u64 step = PAGE_BYTES * option_number("step", 1);
    unsigned executed = 0;

    for (u64 at = start; at < start + size; at += step) {
        struct frame r = user_registers();
        r.r15 = at + (at >> 12) * 61 % PAGE_BYTES;
        const struct left *left = run_user(&r, 10);
        executed += left->at.vector != VECTOR_PF || left->at.error != (PF_USER | PF_FETCH) ||
                    left->cr2 != r.r15 || left->at.ip != r.r15;
    }
    return executed;
}

/* To each page. */
void attack_jumps(void)
{
    PUT(jump_r15);
    for (unsigned i = 0; i < ARRAY_SIZE(areas); i++) {
        unsigned executed = jump_around(areas[i].start, areas[i].size), allowed = 0;

        if (option("keys") && areas[i].start == HIDDEN_START) {
            allowed = (unsigned)(areas[i].size / PAGE_BYTES);
        } else if (option("keys") && areas[i].start == HIDDEN_ARENA) {
            allowed = THUNK_PAGES / (unsigned)option_number("step", 1) + 1;
        }
        check_case(executed <= allowed, "%u jumps into %s do not fault", executed, areas[i].name);
        check(true, areas[i].name);
    }
}

/* Where QEMU 7.2 emulates the host its far returns take only 32 bits of RSP, and a page that is not
 * there ends the process.  So the stack is below 4 GiB, and is written to before. */
#define LOW_STACK 0x40000000ull

USER_TEXT(touch_and_jump, "mov %rbx, (%rbp); jmp *%r15");

/* To each byte of the program's text, [first, first + size), with registers that would do harm if
 * it ran on: system calls' numbers and arguments, what the gate looks at, and with "stacks" an RSP
 * where no stack is; "once": not all of them at each.
 *
 * LIMIT: where the host is older than Linux 6.12 ("frames"), it cannot deliver a signal while key 0
 * is shut, and user code can shut it, by jumping to a WRPKRU of the program's: so it can end the
 * vCPU. */
void attack_text(void)
{
    static const u64 calls[] = {0, 9, 10, 11, 13, 15, 157, 231, 200, 12, 0x55555554};
    static const u64 stacks[] = {SIGNAL_END - 0x1000, SIGNAL_END, HIDDEN_STACK + 0x50000,
                                 HIDDEN_GATE + 32,    0,          0x8000000000000000};
    u64 step = option_number("bytes", 1), first = option_number("first", 0);
    u64 end = first + option_number("size", 0x60000);
    unsigned rounds = ARRAY_SIZE(calls) * (option("stacks") ? ARRAY_SIZE(stacks) : 1);

    rounds = option("once") ? 1 : rounds;

    split_large_page(LOW_STACK);
    map_page(LOW_STACK, page_new(), PTE_USER | PTE_WRITE);
    PUT(touch_and_jump);
    for (u64 at = first; at < end; at += step) {
        for (unsigned i = 0; i < rounds; i++) {
            struct frame r = user_registers();
            r.r15 = HIDDEN_START + at;
            r.ax = calls[(rounds > 1 ? i : at) % ARRAY_SIZE(calls)];
            r.di = at & 8 ? USER_DATA : HIDDEN_STACK;
            r.si = r.r9 = USER_DATA;
            r.bp = LOW_STACK + 0xe00;
            r.sp = option("stacks") ? stacks[i / ARRAY_SIZE(calls)] : LOW_STACK + 0xc00;
            if (!option("frames") || !(r.ax & 3)) {
                run_user(&r, 3);
            }
        }
    }
    check(true, "jumps to the program's text");
}

USER_TEXT(trap_and_jump, "ud2; jmp *%r15");

static void count_trap(struct frame *frame)
{
    frame->ip += 2;
    faults++;
}

/* The frame that the kernel makes is as large on each host as its XSAVE area: wherever it may
 * begin, RSP points there when user code jumps to the handler that opens the keys, at `first`. What
 * is there then is the frame of the trap before, which must not be taken for another. */
void attack_handler(void)
{
    u64 target = HIDDEN_START + option_number("first", 0);
    handler *saved = handlers[VECTOR_UD];

    PUT(trap_and_jump);
    handlers[VECTOR_UD] = count_trap;
    for (u64 at = SIGNAL_END - 0x4000; at < SIGNAL_END; at += 8) {
        struct frame r = user_registers();
        r.r15 = target;
        r.sp = at;
        faults = 0;
        const struct left *left = run_user(&r, 10);
        check_case(left->at.vector == VECTOR_PF && left->at.ip - HIDDEN_START < 1u << 20,
                   "the handler, by RSP %l: vector %x at %l", at, (unsigned)left->at.vector,
                   (u64)left->at.ip);
        check_case(faults == 1, "the handler, by RSP %l: the trap before comes %u times", at,
                   faults);
    }
    handlers[VECTOR_UD] = saved;
    check(true, "jumps to the handler of signals");
}

/* ------------------------------------------------------------------ pages over it */

USER_TEXT(read_and_write, "mov (%rdi), %rax; mov %rsi, (%rdi); mov (%rdi), %rbx; jmp *%rdx");

/* The guest's own pages at Ringer's addresses: they hold what the guest put there. */
void attack_overlaps(void)
{
    static const u64 places[] = {HIDDEN_START,  HIDDEN_START + 0x4f000,  HIDDEN_GATE,
                                 HIDDEN_STACK,  SIGNAL_END - PAGE_BYTES, HIDDEN_ARENA,
                                 HIDDEN_RAM,    HIDDEN_END - PAGE_BYTES, HIDDEN_END,
                                 0x7ffffffff000};

    const u64 code_end = (u64)(read_and_write_end - read_and_write);

    PUT(read_and_write);
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
        u8 *page = page_new();
        struct frame r = user_registers();
        *(u64 *)page = 0x1111 * (i + 1);
        page[8] = 0xcd; /* INT 0xff */
        page[9] = USER_END_VECTOR;
        if (is_open(places[i], false)) {
            continue;
        }
        map_page(places[i], page, PTE_USER | PTE_WRITE);
        r.di = places[i];
        r.si = 0x2222 * (i + 1);
        r.dx = option("keys") && i < 2 ? USER_CODE + code_end : places[i] + 8; /* see above */
        const struct left *left = run_user(&r, 100);
        check_left(left, USER_END_VECTOR, 0, 0, "a page over Ringer's");
        check_case(left->at.ax == 0x1111 * (i + 1) && left->at.bx == r.si && *(u64 *)page == r.si &&
                       left->at.ip == r.dx + 2,
                   "a page over %l: %l, then %l", places[i], (u64)left->at.ax, (u64)left->at.bx);
        unmap_page(places[i]);
    }
    check(true, "pages over Ringer's");
}
