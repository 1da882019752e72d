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

/* Mode 3, its cursor at the top left; from the EGA on there is more to tell, from 0x84. */
static void write_video_mode(u8 *data)
{
    data[0x49] = 3;
    put_u16(data + 0x4a, 80);
    put_u16(data + 0x4c, 0x1000); /* bytes in a page of the screen */
    put_u16(data + 0x60, 0x0d0e); /* the cursor's lines */
    put_u16(data + 0x63, 0x3d4);
    data[0x65] = 0x29;
    data[0x66] = 0x30;
    data[0x84] = 25 - 1;
    put_u16(data + 0x85, 16);
    data[0x87] = 0x60; /* 256 KiB of video memory */
    data[0x88] = 0xf9;
    data[0x89] = 0x51; /* VGA, 400 lines */
    data[0x8a] = 0x08; /* a colour display */
}

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
    /* Equipment: serial ports, an 80-column colour screen, an FPU. */
    put_u16(data + 0x10, (u16)(serial_count << 9 | (machine->vga ? 2 << 4 : 0) | 1 << 1));
    put_u16(data + 0x13, BIOS_EBDA / 1024);
    if (machine->vga) {
        write_video_mode(data);
    }
    memset(ebda, 0, BIOS_EBDA_SIZE);
    ebda[0] = BIOS_EBDA_SIZE / 1024;
    return 0;
}
