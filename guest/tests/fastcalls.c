/*
 * fastcalls.c - SYSCALL, SYSRET, SYSENTER and SYSEXIT in their odd cases: from and to compatibility
 * mode, at CPL 0, selectors that are in no table, every bit of RFLAGS, and what is refused.
 *
 * Intel SDM vol. 2, SYSCALL, SYSRET, SYSENTER, SYSEXIT; vol. 3A, "Fast System Calls in 64-Bit
 * Mode". As on Intel's processors: SYSCALL is undefined outside 64-bit mode, and SYSRET checks RCX
 * at CPL 0.
 */
#include "guest.h"

enum {
    MSR_EFER = 0xc0000080u,
    MSR_STAR = 0xc0000081u,
    MSR_LSTAR = 0xc0000082u,
    MSR_CSTAR = 0xc0000083u,
    MSR_FMASK = 0xc0000084u,
    MSR_SYSENTER_CS = 0x174,
    MSR_SYSENTER_ESP = 0x175,
    MSR_SYSENTER_EIP = 0x176,
    EFER_SCE = 1,
    FLAG_TF = 1 << 8,
    FLAG_IF = 1 << 9,
    FLAG_NT = 1 << 14,
    FLAG_RF = 1 << 16,
    FLAG_VM = 1 << 17,
};
#define NOT_CANONICAL 0x0000800000000000ull

/* What was at INT FFh, which ends each attempt. */
static struct {
    bool yes;
    word ip, cs, ss, sp, flags, cx, r11;
} end;

static void on_end(struct frame *f)
{
    end.yes = true;
    end.ip = f->ip;
    end.cs = f->cs;
    end.ss = f->ss;
    end.sp = f->sp;
    end.flags = f->flags;
    end.cx = f->cx;
    end.r11 = f->r11;
    attempt_recover();
}

static u32 run(unsigned user, void (*what)(word), word argument)
{
    end.yes = false;
    if (!user) {
        return attempt(what, argument);
    }
    user_cs = user == 64 ? USER_CS64 : USER_CS32;
    user_ss = user == 64 ? USER_DS64 : USER_DS;
    return attempt_user(what, argument);
}

extern u8 stop_here[], after_syscall[];
void do_syscall(word);
void do_sysenter(word);
void do_sysret(word);
void do_sysret32(word);
void compatible_syscall(word);
void compatible_sysenter(word);
void compatible_sysret(word);
__asm__("stop_here: int $0xff; hlt\n"
        /* The argument is RFLAGS before it. */
        "do_syscall: push %rdi; popfq; syscall; after_syscall: int $0xff; hlt\n"
        "do_sysenter: push %rdi; popfq; sysenter; int $0xff; hlt\n"
        "do_sysret: sysretq\n"
        "do_sysret32: sysretl\n"
        ".code32\n"
        "compatible_syscall: syscall; int $0xff; hlt\n"
        "compatible_sysret: sysret; int $0xff; hlt\n"
        "compatible_sysenter: sysenter; int $0xff; hlt\n"
        ".code64\n");

static word return_rcx, return_r11, return_rdx;

/* To CPL 3 with these registers. */
static void sysret_64(word unused)
{
    (void)unused;
    __asm__ volatile("mov %0, %%rsp; sysretq" ::"r"((word)user_stack_end - 64), "c"(return_rcx),
                     "d"(return_r11), "a"(0)
                     : "memory");
}
static void sysret_with_r11(word wide)
{
    __asm__ volatile(
        "mov %0, %%r11; test %1, %1; mov %4, %%rsp; jz 1f; sysretq; 1: sysretl" ::"r"(return_r11),
        "r"(wide), "c"(return_rcx), "d"(0), "r"((word)user_stack_end - 64)
        : "r11", "memory", "cc");
}
static void sysexit_with(word wide)
{
    __asm__ volatile("test %0, %0; jz 1f; sysexitq; 1: sysexitl" ::"r"(wide), "c"(return_rcx),
                     "d"(return_rdx)
                     : "memory", "cc");
}

static void set_star(u16 kernel, u16 user)
{
    wrmsr(MSR_STAR, (u64)kernel << 32 | (u64)user << 48);
}

static void put_msr(word index)
{
    wrmsr((u32)index, NOT_CANONICAL);
}
static void put_efer(word value)
{
    wrmsr(MSR_EFER, value);
}

/* ------------------------------------------------------------------ SYSCALL */

static void check_syscall(void)
{
    word flags = 0xcd7 | 2;

    wrmsr(MSR_FMASK, 0);
    run(64, do_syscall, flags);
    check(end.yes && end.ip == (word)stop_here + 2, "SYSCALL from CPL 3");
    check(end.cx == (word)after_syscall, "  RCX");
    check_is(end.r11, flags | FLAG_IF, "  R11 is RFLAGS, IF among them: IOPL is 0");
    check(end.cs == KERNEL_CS && end.ss == KERNEL_DS, "  CS and SS");
    check_is(end.flags, flags | FLAG_IF, "  and without a mask RFLAGS stays");
    run(0, do_syscall, flags);
    check(end.yes && end.cx == (word)after_syscall && end.cs == KERNEL_CS, "SYSCALL at CPL 0");
    for (unsigned bit = 0; bit < 22; bit++) {
        word all = 0x246cd7 & ~(word)FLAG_NT; /* what POPF sets at CPL 0, without TF */
        wrmsr(MSR_FMASK, 1u << bit);
        run(0, do_syscall, all);
        word expected = (all & ~((word)1 << bit)) | 2;
        check_case(end.yes && (end.flags | 2) == expected, "FMASK of bit %u: RFLAGS %l, not %l",
                   bit, (u64)end.flags, (u64)expected);
    }
    wrmsr(MSR_FMASK, 0);
    /* The selectors are taken as they are, but for CS's RPL; no table is looked at. */
    set_star(0x1000 | 3, USER_CS32);
    run(64, do_syscall, 2);
    check(end.yes && end.cs == 0x1000 && (end.ss & ~3ull) == 0x1008,
          "selectors that are in no table");
    set_star(KERNEL_CS, USER_CS32);
    run(32, compatible_syscall, 0);
    check(!end.yes && fault.vector == VECTOR_UD, "SYSCALL in compatibility mode");
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(u64)EFER_SCE);
    run(64, do_syscall, 2);
    check(!end.yes && fault.vector == VECTOR_UD, "SYSCALL without SCE");
    return_rcx = (word)stop_here;
    run(0, sysret_64, 0);
    check(!end.yes && fault.vector == VECTOR_UD, "SYSRET without SCE");
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
}

/* ------------------------------------------------------------------ SYSRET */

static void check_sysret(void)
{
    return_rcx = (word)stop_here;
    return_r11 = 2;
    run(0, sysret_with_r11, 1);
    check(end.yes && end.cs == USER_CS64 && end.ss == USER_DS, "SYSRET to 64-bit code");
    return_rcx = 0xffffffff00000000ull | (word)stop_here;
    run(0, sysret_with_r11, 0);
    check(end.yes && end.cs == USER_CS32 && end.ss == USER_DS, "SYSRET to 32-bit code");
    check_is(end.ip, (word)stop_here + 2, "  at ECX");
    return_rcx = NOT_CANONICAL;
    run(0, sysret_with_r11, 1);
    check(!end.yes && fault.vector == VECTOR_GP && fault.error == 0, "to what is not canonical");
    run(0, sysret_with_r11, 0);
    check(fault.vector != VECTOR_GP || fault.ip < 0x100000, "  of which 32-bit code has none");
    return_rcx = (word)stop_here;
    for (unsigned bit = 0; bit < 32; bit++) {
        if (bit == 8 || bit == 14) { /* TF traps at once; NT is tried below */
            continue;
        }
        return_r11 = (word)1 << bit;
        run(0, sysret_with_r11, 1);
        word expected = (return_r11 & 0x3c7fd7) | 2;
        check_case(end.yes && end.flags == expected, "SYSRET of R11 %l: RFLAGS %l, not %l",
                   (u64)return_r11, (u64)end.flags, (u64)expected);
    }
    return_r11 = FLAG_NT | 0x3000;
    run(0, sysret_with_r11, 1);
    check(end.yes && end.flags == (FLAG_NT | 0x3002), "NT and IOPL");
    __asm__ volatile("pushf; andl $~0x4000, (%%rsp); popf" ::: "memory", "cc");
    return_r11 = 2;
    set_star(KERNEL_CS, 0x2000);
    run(0, sysret_with_r11, 1);
    check(end.yes && end.cs == (0x2010 | 3) && end.ss == (0x2008 | 3),
          "selectors in no table, RPL 3");
    set_star(KERNEL_CS, USER_CS32);
    run(64, do_sysret, 0);
    check(!end.yes && fault.vector == VECTOR_GP && fault.error == 0, "SYSRET at CPL 3");
    run(32, compatible_sysret, 0);
    check(!end.yes && fault.vector == VECTOR_UD, "SYSRET in compatibility mode");
}

/* ------------------------------------------------------------------ SYSENTER, SYSEXIT */

static void check_sysenter(void)
{
    word flags = 0x4cd7 & ~(word)FLAG_NT;

    wrmsr(MSR_SYSENTER_CS, KERNEL_CS);
    wrmsr(MSR_SYSENTER_ESP, (word)kernel_stack_end - 16384);
    wrmsr(MSR_SYSENTER_EIP, (word)stop_here);
    run(64, do_sysenter, flags);
    check(end.yes && end.ip == (word)stop_here + 2, "SYSENTER from CPL 3");
    check(end.cs == KERNEL_CS && end.ss == KERNEL_DS, "  CS and SS");
    check_is(end.sp, (word)kernel_stack_end - 16384, "  RSP");
    check_is(end.flags, flags | 2, "  only IF is cleared");
    run(32, compatible_sysenter, 0);
    check(end.yes && end.ip == (word)stop_here + 2 && end.cs == KERNEL_CS,
          "SYSENTER from compatibility mode, to 64-bit code");
    run(0, do_sysenter, FLAG_IF | 2);
    check(end.yes && end.cs == KERNEL_CS && !(end.flags & FLAG_IF), "SYSENTER at CPL 0");
    wrmsr(MSR_SYSENTER_CS, 0x1000 | 3);
    run(64, do_sysenter, 2);
    check(end.yes && end.cs == 0x1000 && (end.ss & ~3ull) == 0x1008,
          "selectors that are in no table");
    for (unsigned rpl = 0; rpl < 4; rpl++) {
        wrmsr(MSR_SYSENTER_CS, rpl);
        run(64, do_sysenter, 2);
        check(!end.yes && fault.vector == VECTOR_GP && fault.error == 0, "SYSENTER to null");
        run(0, sysexit_with, 1);
        check(!end.yes && fault.vector == VECTOR_GP && fault.error == 0, "SYSEXIT of null");
    }
}

static void check_sysexit(void)
{
    /* CS + 16 and + 24 have to be 32-bit code and data, + 32 and + 40 of 64 bits: as the GDT has.
     */
    wrmsr(MSR_SYSENTER_CS, KERNEL_CS);
    return_rdx = (word)stop_here;
    return_rcx = (word)user_stack_end - 64;
    run(0, sysexit_with, 1);
    check(end.yes && end.cs == USER_CS64 && end.ss == USER_DS64, "SYSEXIT to 64-bit code");
    check_is(end.sp, return_rcx, "  RSP is RCX");
    return_rdx |= 0xffffffff00000000ull;
    return_rcx |= 0xffffffff00000000ull;
    run(0, sysexit_with, 0);
    check(end.yes && end.cs == USER_CS32 && end.ss == USER_DS, "SYSEXIT to 32-bit code");
    check_is((u32)end.sp, (word)user_stack_end - 64, "  ESP is ECX");
    return_rdx = NOT_CANONICAL;
    return_rcx = 0x1000;
    run(0, sysexit_with, 1);
    check(!end.yes && fault.vector == VECTOR_GP && fault.error == 0, "RDX that is not canonical");
    return_rdx = (word)stop_here;
    return_rcx = NOT_CANONICAL;
    run(0, sysexit_with, 1);
    check(!end.yes && fault.vector == VECTOR_GP && fault.error == 0, "RCX that is not canonical");
}

static void check_msrs(void)
{
    static const u32 addresses[] = {MSR_LSTAR, MSR_CSTAR, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP};
    u64 efer = rdmsr(MSR_EFER);

    for (unsigned i = 0; i < ARRAY_SIZE(addresses); i++) {
        check_fault(put_msr, addresses[i], VECTOR_GP, 0,
                    "an address in an MSR has to be canonical");
    }
    for (unsigned bit = 0; bit < 64; bit++) {
        word allowed = 0xd01;
        if (!(allowed >> bit & 1)) {
            check_fault(put_efer, efer | (word)1 << bit, VECTOR_GP, 0, "a reserved bit of EFER");
        }
    }
    check_fault(put_efer, efer & ~(word)0x100, VECTOR_GP, 0, "LME off while paging is on");
    check_fault(put_efer, efer & ~(word)0x400, NO_FAULT, 0, "LMA cannot be written");
    check_is(rdmsr(MSR_EFER), efer, "  and stays");
}

void guest_main(void)
{
    open_pages_to_user();
    handlers[0xff] = on_end;
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
    set_star(KERNEL_CS, USER_CS32);
    wrmsr(MSR_LSTAR, (word)stop_here);
    check_syscall();
    check_sysret();
    check_sysenter();
    check_sysexit();
    check_msrs();
}
