/* syscalls.c - SYSCALL, SYSRET, SYSENTER and SYSEXIT between CPL 3 and CPL 0. */
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
};

extern u8 on_syscall[], on_sysenter[], on_syscall_bad[];
u64 seen_rcx, seen_r11, seen_flags, seen_cs, seen_rsp, user_rsp;

__asm__("on_syscall:\n"
        "  mov %rsp, user_rsp\n"
        "  mov $kernel_stack_end - 16384, %rsp\n"
        "  mov %rcx, seen_rcx\n"
        "  mov %r11, seen_r11\n"
        "  pushf; popq seen_flags\n"
        "  mov %cs, seen_cs\n"
        "  add $5, %eax\n"
        "  mov user_rsp, %rsp\n"
        "  sysretq\n"
        "on_syscall_bad:\n" /* to a non-canonical address: #GP at CPL 0 */
        "  mov %rsp, user_rsp\n"
        "  mov $kernel_stack_end - 16384, %rsp\n"
        "  mov $0x800000000000, %rcx\n"
        "  sysretq\n"
        "on_sysenter:\n"
        "  mov %rsp, seen_rsp\n"
        "  pushf; popq seen_flags\n"
        "  add $7, %eax\n"
        "  sysexitq\n");

extern u8 after_syscall[];
static volatile u64 result, cs_after, flags_after;

static void user_syscall(word number)
{
    u64 value = number;
    __asm__ volatile("stc; std; syscall; after_syscall: pushf; cld; popq %1; mov %%cs, %2"
                     : "+a"(value), "=m"(flags_after), "=r"(cs_after)::"rcx", "r11", "memory");
    result = value;
}

static void user_sysenter(word number)
{
    u64 value = number, cs;
    __asm__ volatile("mov %%rsp, %%rcx; lea 1f(%%rip), %%rdx; sysenter; 1: mov %%cs, %1"
                     : "+a"(value), "=r"(cs)::"rcx", "rdx", "memory");
    result = value;
    cs_after = cs;
}

static void plain_syscall(word unused)
{
    (void)unused;
    __asm__ volatile("syscall" ::: "rcx", "r11");
}
static void plain_sysret(word unused)
{
    (void)unused;
    __asm__ volatile("sysretq");
}
static void plain_sysexit(word unused)
{
    (void)unused;
    __asm__ volatile("sysexitl");
}

void guest_main(void)
{
    open_pages_to_user();
    check_fault(plain_syscall, 0, VECTOR_UD, 0, "SYSCALL without EFER.SCE");
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | 1);
    wrmsr(MSR_STAR, (u64)KERNEL_CS << 32 | (u64)USER_CS32 << 48);
    wrmsr(MSR_LSTAR, (word)on_syscall);
    wrmsr(MSR_FMASK, 0x400);
    attempt_user(user_syscall, 37);
    check_is(fault.vector, NO_FAULT, "SYSCALL and SYSRET");
    check_is(result, 42, "  there and back");
    check(seen_rcx == (word)after_syscall, "  RCX is the return address");
    check((seen_r11 & 0x601) == 0x601, "  R11 is RFLAGS");
    check((seen_flags & 0x601) == 0x201, "  FMASK clears DF and nothing else");
    check_is(seen_cs & 0xffff, KERNEL_CS, "  CS is STAR's");
    check_is(cs_after & 0xffff, USER_CS64, "  and CS afterwards");
    check((flags_after & 0x601) == 0x601, "  and RFLAGS");
    wrmsr(MSR_LSTAR, (word)on_syscall_bad);
    attempt_user(user_syscall, 0);
    check(fault.vector == VECTOR_GP && fault.ip < (word)on_sysenter &&
              fault.ip > (word)on_syscall_bad,
          "SYSRET to a non-canonical address: #GP at CPL 0");
    attempt_user(plain_sysret, 0);
    check_is(fault.vector, VECTOR_GP, "SYSRET at CPL 3");

    attempt_user(user_sysenter, 1);
    check_is(fault.vector, VECTOR_GP, "SYSENTER with no CS");
    wrmsr(MSR_SYSENTER_CS, KERNEL_CS);
    wrmsr(MSR_SYSENTER_ESP, (word)kernel_stack_end - 16384);
    wrmsr(MSR_SYSENTER_EIP, (word)on_sysenter);
    attempt_user(user_sysenter, 30);
    check_is(fault.vector, NO_FAULT, "SYSENTER and SYSEXIT");
    check_is(result, 37, "  there and back");
    check_is(seen_rsp, (word)kernel_stack_end - 16384, "  RSP is the MSR's");
    check(!(seen_flags & 0x200), "  IF is clear");
    check_is(cs_after & 0xffff, USER_CS64, "  CS afterwards");
    attempt_user(plain_sysexit, 0);
    check_is(fault.vector, VECTOR_GP, "SYSEXIT at CPL 3");
}
