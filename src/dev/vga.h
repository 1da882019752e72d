/* vga.h - a VGA: its text modes can be read, its graphics modes only be drawn in. */
#ifndef DEV_VGA_H
#define DEV_VGA_H

#include "dev/device.h"
#include "mem/mem.h"

#define VGA_CELLS_MAX 16384

/* What is on the screen. */
struct vga_text {
    unsigned columns, rows; /* 0: it is dark, or shows graphics */
    bool cursor_shown;
    unsigned cursor_column, cursor_row;
    bool blinks; /* bit 15 of a cell makes it blink; else it brightens the background */
    u16 cells[VGA_CELLS_MAX]; /* row by row: a character, and its attribute in the high byte */
};

struct vga_config {
    const struct mem *mem; /* borrowed; MEM_VGA_TEXT is shown */
};

/* 0 or -errno: -EINVAL where there is no RAM at MEM_VGA_TEXT. */
int vga_create(const struct slot *slot, const struct vga_config *config, struct device **device);

void vga_read_text(struct device *device, struct vga_text *text);

#endif
