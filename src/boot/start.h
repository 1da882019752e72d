/* start.h - the CPU states in which kernels are entered. */
#ifndef BOOT_START_H
#define BOOT_START_H

#include "boot/job.h"

/* Selectors of the GDT that both write: Linux's __BOOT_CS and __BOOT_DS, which suit everyone. */
#define START_CS 0x10
#define START_DS 0x18
#define START_TR 0x20

/* Fill in job->entry for a flat 32-bit start at rip: paging off, interrupts off, all segments flat,
 * GDT in RAM.  General registers are 0; the protocol sets its own afterwards. */
int start_protected(struct boot_job *job, gpa_t rip);

/* The same for a 64-bit start: the first 4 GiB are mapped to themselves with 2 MiB pages. */
int start_long(struct boot_job *job, gpa_t rip);

#endif
