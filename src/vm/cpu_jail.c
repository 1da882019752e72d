/*
 * cpu_jail.c - what a vCPU process gives up before it runs the guest.
 *
 * If the guest ever broke out of its executor, it would stand in a cell that holds nothing but its
 * own memory.  seccomp(2) with a classic BPF program; the kernel's Documentation/userspace-api,
 * "Seccomp BPF (SECure COMPuting with filters)".
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/mman.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>

#include "base/string.h"
#include "vm/cpu_process.h"
#include "vm/cpu_syscall.h"

/* Newer kernels may have sealed a mapping of theirs (the vDSO).  A range that cannot be unmapped
 * whole is unmapped by halves, so that only the sealed pages stay. */
static void unmap(u64 start, u64 end)
{
    u64 middle = start + ((end - start) / 2 & PAGE_MASK);

    if (sys_munmap(start, end - start) == 0 || middle == start) {
        return;
    }
    unmap(start, middle);
    unmap(middle, end);
}

void vcpu_unmap_rest(void)
{
    unmap(0, VM_HIDDEN_START);
    unmap(VM_HIDDEN_END, VM_LOWER_END);
}

#define LOAD(field) \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, __builtin_offsetof(struct seccomp_data, field))
#define EQUAL(value, yes, no)   BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (yes), (no))
#define ANY_BIT(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (value), (yes), (no))
#define WITHOUT(value)          BPF_STMT(BPF_ALU | BPF_AND | BPF_K, ~(u32)(value))
#define ALLOW                   BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define KILL                    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)

/* Whole system calls; those of which an argument must be one of two values; and those of which it
 * must have none of some bits.  Of each argument the low half is looked at, which is all that the
 * kernel takes of these. */
#define ALLOW_CALL(number) EQUAL((number), 0, 1), ALLOW
#define ALLOW_CALL_WITH(number, field, value1, value2) \
    EQUAL((number), 0, 5), LOAD(field), EQUAL((value1), 1, 0), EQUAL((value2), 0, 1), ALLOW, KILL
#define ALLOW_CALL_WITHOUT(number, field, bits) \
    EQUAL((number), 0, 4), LOAD(field), ANY_BIT((bits), 0, 1), KILL, ALLOW

/* mmap(): one of the two descriptors, shared, at a given address (so nothing anonymous), and
 * nothing that could be executed.  The interpreter's thunks were mapped before. */
#define ALLOW_MMAP                                                                   \
    EQUAL(__NR_mmap, 0, 10), LOAD(args[2]), ANY_BIT(PROT_EXEC, 6, 0), LOAD(args[3]), \
        WITHOUT(MAP_POPULATE), EQUAL(MAP_SHARED | MAP_FIXED, 0, 3), LOAD(args[4]),   \
        EQUAL(VCPU_FD_ARENA, 2, 0), EQUAL(VCPU_FD_RAM, 1, 0), KILL, ALLOW

/* The mirror's pages of code: copies in the arena, and not writable. */
#define ALLOW_MMAP_CODE                                                                        \
    EQUAL(__NR_mmap, 0, 10), LOAD(args[2]), EQUAL(PROT_READ | PROT_EXEC, 0, 5), LOAD(args[3]), \
        WITHOUT(MAP_POPULATE), EQUAL(MAP_SHARED | MAP_FIXED, 0, 2), LOAD(args[4]),             \
        EQUAL(VCPU_FD_ARENA, 2, 0), LOAD(nr), EQUAL(0xffffffff, 0, 1), ALLOW

#define TRAP              BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP)
#define TRAP_CALL(number) EQUAL((number), 0, 1), TRAP

/* What only an engine needs that runs guest code on the host's CPU.  The last three are what guest
 * code can call in the host's vsyscall page, which syscall user dispatch does not see: they trap.
 */
static const struct sock_filter direct_rules[] = {
    ALLOW_MMAP_CODE,
    ALLOW_CALL(__NR_sigaltstack),
    ALLOW_CALL(__NR_rt_sigprocmask),
    ALLOW_CALL_WITH(__NR_prctl, args[0], PR_SET_TSC, PR_SET_TSC),
    TRAP_CALL(__NR_gettimeofday),
    TRAP_CALL(__NR_time),
    TRAP_CALL(__NR_getcpu),
};

static const struct sock_filter rules[] = {
    ALLOW_CALL_WITH(__NR_futex, args[1], FUTEX_WAIT, FUTEX_WAKE),
    ALLOW_CALL_WITH(__NR_write, args[0], VCPU_FD_STDERR, VCPU_FD_KICK),
    ALLOW_CALL(__NR_rt_sigreturn),
    ALLOW_CALL(__NR_restart_syscall), /* what a stopped futex() goes on as */
    ALLOW_CALL(__NR_timer_settime),
    ALLOW_CALL(__NR_getppid),
    ALLOW_CALL(__NR_exit_group),
    ALLOW_MMAP,
    ALLOW_CALL_WITHOUT(__NR_mprotect, args[2], PROT_EXEC),
    ALLOW_CALL(__NR_munmap),
    KILL,
};

static const struct sock_filter start[] = {
    LOAD(arch),
    EQUAL(AUDIT_ARCH_X86_64, 1, 0),
    KILL,
    LOAD(nr),
};

long vcpu_jail(bool direct)
{
    struct sock_filter filter[ARRAY_SIZE(start) + ARRAY_SIZE(direct_rules) + ARRAY_SIZE(rules)];
    struct sock_fprog program = {.len = ARRAY_SIZE(start), .filter = filter};
    long error = syscall6(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0);

    if (error < 0) {
        return error;
    }
    memcpy(filter, start, sizeof(start));
    if (direct) {
        memcpy(filter + program.len, direct_rules, sizeof(direct_rules));
        program.len += ARRAY_SIZE(direct_rules);
    }
    memcpy(filter + program.len, rules, sizeof(rules));
    program.len += ARRAY_SIZE(rules);
    return syscall6(__NR_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, (long)&program, 0, 0, 0);
}
