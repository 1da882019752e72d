/* vga_state.h - a VGA's registers and memory, for its own files. */
#ifndef DEV_VGA_STATE_H
#define DEV_VGA_STATE_H

#include "dev/vga.h"

#define VGA_PLANES     4
#define VGA_PLANE_SIZE 0x10000u

struct vga {
    struct device device;
    struct slot slot;
    struct vga_config config;

    u8 misc, feature, enable;
    u8 sequencer_index, graphics_index, crtc_index;
    u8 sequencer[5], graphics[9], crtc[25], attribute[21];
    u8 attribute_index;  /* with bit 5, which lets the palette through */
    bool attribute_data; /* the next write to port 3C0 is data */

    u8 dac[256 * 3]; /* 6 bits each */
    u8 dac_mask;
    bool dac_reads;             /* port 3C7 was written last, and not 3C8 */
    unsigned dac_at, dac_write; /* indices into dac[] */

    u8 latch[VGA_PLANES];
    u8 *text; /* the RAM at MEM_VGA_TEXT */
    u8 plane[VGA_PLANES][VGA_PLANE_SIZE];
};

/* A byte of a plane.  In the first half of planes 0 and 1 those with an even offset are the text
 * memory, as text modes have it: characters and attributes by turns. */
u8 *vga_plane(struct vga *v, unsigned plane, u16 at);

/* Accesses of one byte to the window, at an offset from A0000. */
u8 vga_memory_read(struct vga *v, u32 offset);
void vga_memory_write(struct vga *v, u32 offset, u8 value);

#endif
