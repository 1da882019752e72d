/* pvh.h - the start info of the PVH protocol, which plain ELF kernels get too. */
#ifndef BOOT_PVH_H
#define BOOT_PVH_H

#include "boot/job.h"

/* Place hvm_start_info with the command line, the memory map, the modules (from min upwards) and
 * the RSDP's address, all below 4 GiB.  Sets *info. */
int pvh_place_start_info(struct boot_job *job, gpa_t min, gpa_t *info);

#endif
