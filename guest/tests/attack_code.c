/* attack_code.c - user code with instructions that must never run on the host's CPU, or that ask
 * the host for something; and with registers that would spoil a signal. */
#include "attack.h"

#define NON_CANONICAL 0x123456789abcdef0u

/* ------------------------------------------------------------------ the stack pointer */

USER_TEXT(touch_nothing, "mov (%rdi), %rax");
USER_TEXT(undefined, "ud2");
USER_TEXT(system_call, "syscall");
USER_TEXT(end_at_once, "");
USER_TEXT(spin, "1: jmp 1b");
USER_TEXT(breakpoint, "int3");
USER_TEXT(divide, "xor %edx, %edx; xor %eax, %eax; div %ecx");
USER_TEXT(privileged, "hlt");

static const struct {
    const u8 *code, *end;
    u32 vector, error;
    const char *name;
} traps[] = {
#define TRAP(name, vector, error)              \
    {                                          \
        name, name##_end, vector, error, #name \
    }
    TRAP(touch_nothing, VECTOR_PF, PF_USER),
    TRAP(undefined, VECTOR_UD, 0),
    TRAP(system_call, SYSCALL_VECTOR, 0),
    TRAP(end_at_once, USER_END_VECTOR, 0),
    TRAP(spin, PIC_VECTOR, 0),
    TRAP(breakpoint, VECTOR_GP, VECTOR_BP * 8 + 2), /* its gate is the kernel's */
    TRAP(divide, VECTOR_DE, 0),
    TRAP(privileged, VECTOR_GP, 0),
};

/* Wherever RSP points, a trap is taken as if it pointed to a stack. */
void attack_stacks(void)
{
    static const u64 stacks[] = {0,
                                 8,
                                 USER_STACK,
                                 USER_STACK + PAGE_BYTES,
                                 NON_CANONICAL,
                                 ~0ull,
                                 HIDDEN_START,
                                 HIDDEN_GATE + 64,
                                 HIDDEN_STACK + 0x50000,
                                 SIGNAL_START,
                                 SIGNAL_END,
                                 SIGNAL_END - 0x400,
                                 HIDDEN_ARENA,
                                 HIDDEN_RAM,
                                 0x7ffffffff000,
                                 0x800000000000};

    set_gate(VECTOR_BP, (word)(interrupt_stubs + 16 * VECTOR_BP), KERNEL_CS, 0x8e, 0);
    for (unsigned t = 0; t < ARRAY_SIZE(traps); t++) {
        put_code(traps[t].code, (unsigned)(traps[t].end - traps[t].code));
        for (unsigned i = 0; i < ARRAY_SIZE(stacks); i++) {
            struct frame r = user_registers();
            r.sp = stacks[i];
            r.di = 0x1234567890;
            r.bx = 0xb;
            const struct left *left = run_user(&r, traps[t].vector == PIC_VECTOR ? 1 : 10000);
            check_left(left, traps[t].vector, traps[t].error, r.di, traps[t].name);
            check_case(left->at.sp == r.sp && left->at.bx == 0xb && left->at.di == r.di,
                       "%s: RSP is %l, not %l", traps[t].name, (u64)left->at.sp, (u64)r.sp);
        }
        check(true, traps[t].name);
    }
}

/* ------------------------------------------------------------------ system calls */

USER_TEXT(interrupt_80, "int $0x80");
USER_TEXT(system_enter, "mov %rsp, %rbp; sysenter");
USER_TEXT(call_rdi, "call *%rdi");

/* As Linux's would be called, of all numbers, and of the x32 ABI. */
static void all_numbers(const u8 *code, unsigned size, u32 vector, u32 error, unsigned length)
{
    put_code(code, size);
    for (u64 i = 0; i < 1024; i++) {
        struct frame r = user_registers();
        r.ax = (i & 511) | (i & 512 ? 0x40000000 : 0);
        r.di = HIDDEN_STACK;
        r.si = 0x100000;
        r.dx = 7;
        r.r10 = 0x32;
        const struct left *left = run_user(&r, 10000);
        check_left(left, vector, error, 0, "a system call");
        check_case(left->at.ax == r.ax && left->at.di == r.di && left->at.r10 == r.r10 &&
                       left->at.ip == USER_CODE + length,
                   "call %l: RAX %l at %l", r.ax, (u64)left->at.ax, (u64)left->at.ip);
    }
    check(true, "system calls");
}

void attack_calls(void)
{
    static const u64 vsyscalls[] = {0, 1, 9, 0x400, 0x401, 0x800, 0xc00, 0xfff};

    all_numbers(system_call, 2, SYSCALL_VECTOR, 0, 2);
    set_gate(0x80, (word)(interrupt_stubs + 16 * 0x80), KERNEL_CS, 0x8e, 0);
    all_numbers(interrupt_80, 2, VECTOR_GP, 0x80 * 8 + 2, 0);
    all_numbers(system_enter, (unsigned)(system_enter_end - system_enter), VECTOR_GP, 0, 3);
    PUT(call_rdi);
    for (unsigned i = 0; i < ARRAY_SIZE(vsyscalls); i++) {
        struct frame r = user_registers();
        r.di = 0xffffffffff600000 + vsyscalls[i];
        r.si = HIDDEN_STACK;
        const struct left *left = run_user(&r, 10000);
        check_left(left, VECTOR_PF, PF_USER | PF_FETCH, r.di, "a call to Linux's vsyscall page");
        check_case(left->at.ip == r.di && left->at.sp == r.sp - 8, "at %l, RSP %l",
                   (u64)left->at.ip, (u64)left->at.sp);
        r.sp = HIDDEN_STACK + 0x50000;
        if (!option("trusted")) {
            check_left(run_user(&r, 10000), VECTOR_PF, PF_USER | PF_WRITE, r.sp - 8, "its stack");
        }
    }
    check(true, "calls to Linux's vsyscall page");
}

/* ------------------------------------------------------------------ PKRU */

/* Then reads where nothing of the guest's is, with what was perhaps opened. */
#define AFTER "movabs $0x710000000000, %rdi; mov (%rdi), %rbx\n"
USER_TEXT(write_pkru, "wrpkru\n" AFTER);
USER_TEXT(read_pkru, "rdpkru");
USER_TEXT(in_immediate, "jmp 1f+1; 1: mov $0x90ef010f, %ebx\n" AFTER);
USER_TEXT(in_displacement, "jmp 1f+2; 1: mov 0x10ef010f(%rbx), %ebx\n" AFTER);
USER_TEXT(across, "jmp 1f+4; 1: mov $0x0f000000, %ebx; add %ebp, %edi\n" AFTER);
USER_TEXT(by_prefix, ".byte 0x48; wrpkru\n" AFTER);
USER_TEXT(by_xrstor,
          "lea 0x40(%rsi), %rsi; mov $0x207, %eax; xor %edx, %edx; xrstor (%rsi)\n" AFTER);
USER_TEXT(by_xrstor64, "jmp 1f+1; 1: mov $0x2fae0f48, %ebx\n" AFTER);

static void put_bytes(u64 gva, const u8 *bytes, unsigned size, u8 *const *pages)
{
    for (unsigned i = 0; i < size; i++) {
        u64 at = gva - USER_OTHERS + i;
        pages[at / PAGE_BYTES][at % PAGE_BYTES] = bytes[i];
    }
}

static void expect_ud(u64 ip, const char *name)
{
    struct frame r = user_registers();

    r.ip = ip;
    const struct left *left = run_user(&r, 10000);
    check_left(left, VECTOR_UD, 0, 0, name);
    check_case(left->at.ip == ip && !left->at.bx, "%s: at %l", name, (u64)left->at.ip);
}

/* WRPKRU where two pages meet: both at once, or each run by itself before. */
static void across_pages(void)
{
    static const u8 code[] = {0x0f, 0x01, 0xef, 0x90, 0xcd, USER_END_VECTOR};
    u8 *pages[2] = {page_new(), page_new()};

    for (unsigned before = 0; before <= 3; before++) {
        u64 at = USER_OTHERS + PAGE_BYTES - before;
        for (unsigned i = 0; i < 2; i++) {
            map_page(USER_OTHERS + i * PAGE_BYTES, pages[i], PTE_USER);
        }
        put_bytes(USER_OTHERS, code + 4, 2, pages);
        put_bytes(USER_OTHERS + PAGE_BYTES + 16, code + 4, 2, pages);
        struct frame r = user_registers();
        for (unsigned i = 0; i < 2; i++) {
            r.ip = USER_OTHERS + i * (PAGE_BYTES + 16);
            check_left(run_user(&r, 10000), USER_END_VECTOR, 0, 0, "a page before");
        }
        put_bytes(at, code, sizeof(code), pages);
        for (unsigned i = 0; i < 2; i++) {
            r.ip = USER_OTHERS + i * (PAGE_BYTES + 16);
            check_left(run_user(&r, 10000), USER_END_VECTOR, 0, 0, "a page afterwards");
        }
        expect_ud(at, "WRPKRU where pages meet");
        for (unsigned i = 0; i < PAGE_BYTES / 8; i++) {
            ((u64 *)pages[0])[i] = ((u64 *)pages[1])[i] = 0;
        }
    }
    check(true, "WRPKRU where pages meet");
}

/* The user's own code writes the bytes, by the same or by another mapping of the page: at first it
 * runs NOPs there. */
USER_TEXT(rewrite, "call *%rbx; movl %r8d, (%rdi); jmp *%rbx");

static void self_modifying(void)
{
    for (unsigned other = 0; other < 2; other++) {
        static const u8 harmless[] = {0x90, 0x90, 0x90, 0xc3};
        u8 *page = page_new();
        u64 writable = USER_OTHERS + other * PAGE_BYTES;
        struct frame r = user_registers();
        PUT(rewrite);
        put_bytes(USER_OTHERS + 256, harmless, sizeof(harmless), &page);
        map_page(USER_OTHERS, page, PTE_USER | (other ? 0 : PTE_WRITE));
        map_page(writable, page, PTE_USER | PTE_WRITE);
        r.bx = USER_OTHERS + 256;
        r.di = writable + 256;
        r.r8 = 0xc3ef010f;
        for (unsigned i = 0; i < 3; i++) {
            const struct left *left = run_user(&r, 10000);
            check_left(left, VECTOR_UD, 0, 0, "WRPKRU by code that changes itself");
            check_case(left->at.ip == r.bx, "at %l", (u64)left->at.ip);
            put_bytes(USER_OTHERS + 256, harmless, sizeof(harmless), &page);
        }
        unmap_page(writable);
    }
    check(true, "WRPKRU by code that changes itself");
}

void attack_pkru(void)
{
    static const struct {
        const u8 *code, *end;
        unsigned vector, offset;
        const char *name;
    } rows[] = {
#define ROW(name, vector, offset) {name, name##_end, vector, offset, #name}
        ROW(write_pkru, VECTOR_UD, 0),   ROW(read_pkru, VECTOR_UD, 0),
        ROW(in_immediate, VECTOR_UD, 3), ROW(in_displacement, VECTOR_UD, 4),
        ROW(by_prefix, VECTOR_UD, 0),    ROW(by_xrstor, VECTOR_PF, 0),
        ROW(by_xrstor64, VECTOR_GP, 3), /* by a misaligned RDI */
    };

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        struct frame r = user_registers();
        put_code(rows[i].code, (unsigned)(rows[i].end - rows[i].code));
        r.si = USER_DATA;
        r.di = USER_DATA + 1;
        const struct left *left = run_user(&r, 10000);
        check_left(left, rows[i].vector, rows[i].vector == VECTOR_PF ? PF_USER : 0, HIDDEN_ARENA,
                   rows[i].name);
        check_case(rows[i].vector == VECTOR_PF || left->at.ip == USER_CODE + rows[i].offset,
                   "%s: at %l", rows[i].name, (u64)left->at.ip);
        check(true, rows[i].name);
    }
    across_pages();
    self_modifying();
}

/* ------------------------------------------------------------------ flags */

USER_TEXT(set_flags, "pushf; or %rsi, (%rsp); popf; 1: nop; pushf; pop %rbx; ud2");
USER_TEXT(set_step, "pushf; or %rsi, (%rsp); popf; nop; 1: nop; ud2");

void attack_flags(void)
{
    static const u64 flags[] = {FLAG_DF, FLAG_NT, FLAG_AC, 0x200000, 0x3000, 0x8d5, 0x47cd5};

    for (unsigned i = 0; i < ARRAY_SIZE(flags); i++) {
        struct frame r = user_registers();
        u64 expected = (FLAGS_USER | flags[i]) & ~0x3000ull; /* IOPL stays */
        PUT(set_flags);
        r.si = flags[i];
        const struct left *left = run_user(&r, 10000);
        bool step = flags[i] & FLAG_TF;
        check_left(left, step ? VECTOR_DB : VECTOR_UD, 0, 0, "flags");
        check_case((left->at.flags & ~0x10000ull & ~(step ? 0 : 0)) == expected &&
                       (step || left->at.bx == expected),
                   "flags %l: %l, PUSHF says %l", flags[i], (u64)left->at.flags, (u64)left->at.bx);
        r.flags = expected;
        r.si = 0;
        check_left(run_user(&r, 10000), VECTOR_UD, 0, 0, "entered with flags");
    }
    struct frame r = user_registers();
    PUT(set_step);
    r.si = FLAG_TF;
    const struct left *left = run_user(&r, 10000);
    check_left(left, VECTOR_DB, 0, 0, "TF by POPF");
    r.flags |= FLAG_TF;
    left = run_user(&r, 10000);
    check_left(left, VECTOR_DB, 0, 0, "TF by IRET");
    check_case(left->at.ip == USER_CODE + 1, "at %l", (u64)left->at.ip);
    check(true, "flags");
}

/* ------------------------------------------------------------------ segments */

USER_TEXT(load_segments, "mov %ax, %ds; mov %ax, %es; mov %ax, %fs; mov %ax, %gs; syscall");
USER_TEXT(set_bases, "wrfsbase %rax; wrgsbase %rbx; mov %fs:(%rdi), %cl");
USER_TEXT(read_bases,
          "wrfsbase %rax; wrgsbase %rbx; 1: pause; loop 1b; rdfsbase %rsi; rdgsbase %rdi");
USER_TEXT(far_jump, "push %rax; lea 1f(%rip), %rdx; push %rdx; lretq; 1: ud2");

void attack_segments(void)
{
    static const u64 bases[] = {0,
                                1,
                                0x7fffffffffff,
                                HIDDEN_STACK,
                                HIDDEN_ARENA + 3,
                                0xffff800000000000,
                                0xffffffffff600000};

    PUT(load_segments);
    for (u64 i = 0; i < 0x100; i++) { /* what the host has in its GDT; the guest goes on */
        struct frame r = user_registers();
        r.ax = i;
        run_user(&r, 10000);
    }
    PUT(far_jump);
    for (u64 i = 0; i < 0x100; i++) {
        struct frame r = user_registers();
        r.ax = i;
        run_user(&r, 10);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(bases); i++) {
        struct frame r = user_registers();
        PUT(set_bases);
        r.ax = bases[i];
        r.bx = ~bases[i] == 0 ? 0 : bases[ARRAY_SIZE(bases) - 1 - i];
        r.di = 0x1000;
        const struct left *left = run_user(&r, 10000);
        u64 at = r.ax + r.di;
        bool canonical = at + 0x800000000000 < 0x1000000000000;
        bool is_ours = at - HIDDEN_START < HIDDEN_END - HIDDEN_START;
        /* Not the kernel's own pages, nor, without protection keys, Ringer's. */
        if (at >= 0x200000000 && canonical && !(is_ours && option("trusted"))) {
            check_left(left, VECTOR_PF, PF_USER, at, "FS's base");
        }
        PUT(read_bases);
        r.cx = 1000;
        left = run_user(&r, 10000);
        check_left(left, USER_END_VECTOR, 0, 0, "bases");
        check_case(left->at.si == r.ax && left->at.di == r.bx, "bases %l %l", (u64)left->at.si,
                   (u64)left->at.di);
    }
    check(true, "segments");
}
