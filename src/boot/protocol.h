/*
 * protocol.h - a boot protocol: how a file is known, and how it is loaded and entered.
 *
 * One file each, one row each in the table of boot.c.  docs/add-a-boot-protocol.md shows how.
 */
#ifndef BOOT_PROTOCOL_H
#define BOOT_PROTOCOL_H

#include "boot/job.h"

struct protocol {
    enum boot_protocol_id id;
    const char *name; /* as a message has it: "is not a <name>" */

    /* Is this file for this protocol?  Looks only for what makes the file one of its kind: a
     * damaged one is known here, and refused by load with a message. */
    bool (*probe)(const struct boot_file *file);

    /* Load job's kernel, initrd and modules, and fill in job->entry.  0, or -EINVAL with the error
     * set (job_fail()).  The tables are written already. */
    int (*load)(struct boot_job *job);
};

extern const struct protocol protocol_linux, protocol_multiboot, protocol_pvh, protocol_vmlinux,
    protocol_elf;

#endif
