/* unpack.h - takes compressed data apart, within bounds. */
#ifndef BOOT_UNPACK_H
#define BOOT_UNPACK_H

#include "boot/job.h"

/* The format that the bytes begin with ("gzip", "xz", ...), or NULL. */
const char *unpack_format(const u8 *bytes, u64 size);

/* Unpack a payload as Linux's build makes it: compressed data whose last 4 bytes are the size that
 * it unpacks to.  At most as much as the guest has RAM.  Sets *out, which the caller frees, and
 * *out_size. */
int unpack_payload(struct boot_job *job, const u8 *bytes, u64 size, u8 **out, u64 *out_size);

#endif
