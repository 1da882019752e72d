/*
 * jail.c - the second wall around a share, behind the server's own care: a server that a guest has
 * led astray can open nothing outside of the directory, and do nothing but work on files.
 *
 * Linux, Documentation/userspace-api, "Landlock: unprivileged access control" and "Seccomp BPF".
 *
 * LIMIT: Landlock does not rule over attributes (chmod, utimes) of files whose descriptor can be
 * had, nor, before its third version (Linux 6.2), over the size of files.  Before its second
 * (5.19) nothing can be moved between directories: guests then copy.
 */
#define _GNU_SOURCE

#include "share/jail.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ------------------------------------------------------------------ files */

enum { /* accesses by the bits of landlock.h; newer versions have more */
       READ = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
       VERSION_1 = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1,
       VERSION_2 = VERSION_1 | 1 << 13, /* between directories */
       VERSION_3 = VERSION_2 | 1 << 14, /* truncate */
       VERSION_5 = VERSION_3 | 1 << 15, /* ioctl of devices */
       WRITE = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
               LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
               LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
               LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM | 1 << 13 | 1 << 14,
};

static u64 handled(long version)
{
    return version >= 5   ? VERSION_5
           : version >= 3 ? VERSION_3
           : version == 2 ? VERSION_2
                          : VERSION_1;
}

int share_jail_files(int root, bool read_only)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    struct landlock_ruleset_attr all;
    struct landlock_path_beneath_attr beneath = {.parent_fd = root};
    long rules;
    int error = 0;

    if (version < 1) {
        return errno == EOPNOTSUPP ? -ENOSYS : -errno;
    }
    all = (struct landlock_ruleset_attr){.handled_access_fs = handled(version)};
    beneath.allowed_access = all.handled_access_fs & (READ | (read_only ? 0u : (unsigned)WRITE));
    rules = syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);
    if (rules < 0) {
        return -errno;
    }
    if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_landlock_restrict_self, rules, 0) < 0) {
        error = -errno;
    }
    close((int)rules);
    return error;
}

/* ------------------------------------------------------------------ system calls */

static const int calls[] = {
    /* messages, and what the C library needs for memory and for its end */
    SYS_read, SYS_write, SYS_poll, SYS_recvfrom, SYS_sendto, SYS_brk, SYS_mmap, SYS_munmap,
    SYS_mremap, SYS_madvise, SYS_getrandom, SYS_futex, SYS_rt_sigreturn, SYS_restart_syscall,
    SYS_exit_group,
    /* descriptors */
    SYS_openat, SYS_close, SYS_fcntl, SYS_lseek, SYS_pread64, SYS_pwrite64, SYS_fsync,
    SYS_fdatasync, SYS_syncfs, SYS_fallocate, SYS_ftruncate, SYS_getdents64, SYS_fstat,
    SYS_newfstatat, SYS_fstatfs,
    /* names and attributes */
    SYS_readlinkat, SYS_mkdirat, SYS_mknodat, SYS_symlinkat, SYS_linkat, SYS_unlinkat, SYS_renameat,
    SYS_renameat2, SYS_fchmodat, SYS_fchownat, SYS_utimensat};

#define LOAD(field)           BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define EQUAL(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (u32)(value), (yes), (no))
#define RETURN(what)          BPF_STMT(BPF_RET | BPF_K, (what))

int share_jail_calls(void)
{
    static const struct sock_filter start[] = {LOAD(arch), EQUAL(AUDIT_ARCH_X86_64, 1, 0),
                                               RETURN(SECCOMP_RET_KILL_PROCESS), LOAD(nr)};
    struct sock_filter filter[ARRAY_SIZE(start) + 2 * ARRAY_SIZE(calls) + 1];
    struct sock_fprog program = {.filter = filter};

    for (unsigned i = 0; i < ARRAY_SIZE(start); i++) {
        filter[program.len++] = start[i];
    }
    for (unsigned i = 0; i < ARRAY_SIZE(calls); i++) {
        filter[program.len++] = (struct sock_filter)EQUAL(calls[i], 0, 1);
        filter[program.len++] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
    }
    filter[program.len++] = (struct sock_filter)RETURN(SECCOMP_RET_KILL_PROCESS);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
        return -errno;
    }
    return 0;
}
