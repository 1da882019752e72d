/* image.h - the programs that are built into the library: image.S has them. */
#ifndef VM_IMAGE_H
#define VM_IMAGE_H

#include "base/types.h"

extern const u8 image_ringer_cpu[], image_ringer_cpu_end[]; /* the process of a vCPU */
extern const u8 image_ringer_share[], image_ringer_share_end[]; /* that of a shared directory */
extern const u8 image_hello[], image_hello_end[]; /* the guest that runs without a kernel */

#endif
