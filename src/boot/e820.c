/* e820.c - the memory map.  See e820.h. */
#include "boot/e820.h"
#include "boot/bios.h"

unsigned boot_e820_map(const struct mem *mem, struct e820_entry map[E820_MAX])
{
    unsigned n = 0;
    u64 conventional = mem->low_size < BIOS_EBDA ? mem->low_size : BIOS_EBDA;
    map[n++] = (struct e820_entry){0, conventional, E820_RAM};
    if (mem->low_size > BIOS_EBDA) {
        map[n++] = (struct e820_entry){BIOS_EBDA, BIOS_EBDA_SIZE, E820_RESERVED};
        map[n++] = (struct e820_entry){BIOS_TABLES, BIOS_END - BIOS_TABLES, E820_RESERVED};
    }
    if (mem->low_size > BIOS_END) {
        map[n++] = (struct e820_entry){BIOS_END, mem->low_size - BIOS_END, E820_RAM};
    }
    map[n++] = (struct e820_entry){MEM_ECAM_START, MEM_ECAM_END - MEM_ECAM_START, E820_RESERVED};
    if (mem->high_size) {
        map[n++] = (struct e820_entry){MEM_HIGH_START, mem->high_size, E820_RAM};
    }
    return n;
}
