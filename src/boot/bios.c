/*
 * bios.c - interrupt vectors, BIOS data area and EBDA.  See bios.h.
 *
 * There is no BIOS: a vector's handler is one IRET, so that a kernel's stray INT does nothing.
 * LIMIT: software that calls the BIOS for a service gets its registers back unchanged.
 * Source: IBM PC/AT Technical Reference, "ROM BIOS Data Areas".
 */
#include <string.h>

#include "boot/bios.h"
#include "boot/job.h"

int bios_write(const struct boot_machine *machine, const struct mem *mem, struct boot_error *error)
{
    u8 *low = mem_range(mem, 0, BIOS_DATA_END);
    u8 *ebda = mem_range(mem, BIOS_EBDA, BIOS_EBDA_SIZE);
    u8 *iret = mem_range(mem, BIOS_IRET, 1);
    if (!low || !ebda || !iret) {
        return boot_fail(error, "memory", "needs at least 1 MiB");
    }
    for (unsigned vector = 0; vector < 256; vector++) {
        put_u16(low + vector * 4, BIOS_IRET & 0xffff);
        put_u16(low + vector * 4 + 2, 0xf000);
    }
    *iret = 0xcf;

    u8 *data = low + BIOS_DATA;
    memset(data, 0, BIOS_DATA_END - BIOS_DATA);
    unsigned serial_count = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(machine->serial_ports); i++) {
        put_u16(data + 2 * i, machine->serial_ports[i]);
        serial_count += machine->serial_ports[i] != 0;
    }
    put_u16(data + 0x0e, BIOS_EBDA >> 4);
    put_u16(data + 0x10, (u16)(serial_count << 9 | 1 << 1)); /* equipment: serial ports, an FPU */
    put_u16(data + 0x13, BIOS_EBDA / 1024);
    memset(ebda, 0, BIOS_EBDA_SIZE);
    ebda[0] = BIOS_EBDA_SIZE / 1024;
    return 0;
}
