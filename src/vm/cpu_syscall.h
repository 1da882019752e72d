/*
 * cpu_syscall.h - the system calls of a vCPU process, which has no libc.
 *
 * Each returns what the kernel does: a negative errno on failure.
 */
#ifndef VM_CPU_SYSCALL_H
#define VM_CPU_SYSCALL_H

#include <asm/unistd.h>

#include "base/types.h"

static inline long syscall6(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static inline long syscall4(long number, long a, long b, long c, long d)
{
    return syscall6(number, a, b, c, d, 0, 0);
}

static inline long syscall3(long number, long a, long b, long c)
{
    return syscall6(number, a, b, c, 0, 0, 0);
}

static inline void *sys_mmap(void *addr, size_t size, int prot, int flags, int fd, long offset)
{
    return (void *)syscall6(__NR_mmap, (long)addr, (long)size, prot, flags, fd, offset);
}

static inline bool sys_failed(const void *result)
{
    return (unsigned long)result > -4096ul;
}

static inline long sys_munmap(u64 addr, u64 size)
{
    return syscall3(__NR_munmap, (long)addr, (long)size, 0);
}

static inline long sys_write(int fd, const void *bytes, size_t size)
{
    return syscall3(__NR_write, fd, (long)bytes, (long)size);
}

static inline long sys_getppid(void)
{
    return syscall3(__NR_getppid, 0, 0, 0);
}

static inline long sys_futex(_Atomic u32 *word, int op, u32 value, const void *timeout)
{
    return syscall4(__NR_futex, (long)word, op, value, (long)timeout);
}

static inline _Noreturn void sys_exit(int status)
{
    for (;;) {
        syscall3(__NR_exit_group, status, 0, 0);
    }
}

#endif
