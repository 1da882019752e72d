/*
 * vga.c - a VGA's registers, and its text modes as something that can be read.
 *
 *      port 3C0        attribute controller: index and data by turns   3C1  read data
 *      port 3C2        write: miscellaneous output; read: input status 0
 *      port 3C3        enable
 *      ports 3C4, 3C5  sequencer: index, data
 *      ports 3C6-3C9   DAC: mask; read index, state; write index; data
 *      ports 3CA, 3CC  read: feature control, miscellaneous output
 *      ports 3CE, 3CF  graphics controller: index, data
 *      ports 3D4, 3D5  CRT controller: index, data     (3B4, 3B5 as a monochrome card)
 *      port 3DA        read: input status 1; write: feature control      (3BA likewise)
 *      A0000-B7FFF     memory: vga_memory.c
 *      B8000-BFFFF     text memory: RAM of the machine
 *
 * It starts as a BIOS leaves it: in mode 3, 80 by 25 characters in 16 colours, the screen clear.
 *
 * IBM, "PS/2 Hardware Interface Technical Reference", "Video Subsystem".
 *
 * LIMIT: graphics modes take what is drawn, and are not shown.  LIMIT: the characters' shapes in
 * plane 2 are as the guest loads them, none at first, and code page 437 is shown whatever they are;
 * so is the palette that of the BIOS.  LIMIT: no split screen, no smooth scrolling.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "dev/vga_state.h"

enum {
    SEQUENCER_CLOCKING = 1,
    CLOCKING_SCREEN_OFF = 0x20,
    CRTC_COLUMNS = 0x01,
    CRTC_OVERFLOW = 0x07,
    CRTC_SCAN_LINES = 0x09,
    CRTC_CURSOR_START = 0x0a,
    CRTC_CURSOR_END = 0x0b,
    CRTC_START = 0x0c,  /* high, low */
    CRTC_CURSOR = 0x0e, /* high, low */
    CRTC_PROTECT = 0x11,
    CRTC_LAST_LINE = 0x12,
    CRTC_OFFSET = 0x13,
    CRTC_UNDERLINE = 0x14,
    CRTC_MODE = 0x17,
    GRAPHICS_MISC = 6,
    MISC_IS_GRAPHICS = 0x01,
    MISC_COLOR = 0x01, /* of the miscellaneous output register: ports 3Dx */
    ATTRIBUTE_MODE = 0x10,
    MODE_GRAPHICS = 0x01,
    MODE_BLINKS = 0x08,
    PALETTE_SOURCE = 0x20,
    STATUS1_NO_DISPLAY = 0x01,
    STATUS1_RETRACE = 0x08,
    STATUS0_SWITCH = 0x10,
};

/* Mode 3's timing: 70 frames of 449 lines a second; 400 are shown, and lines 412 and 413 are the
 * vertical retrace. */
#define LINE_NS        31778ull
#define LINE_SHOWN_NS  25422ull
#define LINES          449
#define LINES_SHOWN    400
#define LINE_RETRACE   412
#define RETRACE_LINES  2
#define DAC_MASK_6BITS 0x3f

/* What the BIOS sets for mode 3. */
static const u8 mode3_sequencer[] = {0x03, 0x00, 0x03, 0x00, 0x02};
static const u8 mode3_crtc[] = {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00,
                                0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e,
                                0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff};
static const u8 mode3_graphics[] = {0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x00, 0xff};
static const u8 mode3_attribute[] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14,
                                     0x07, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d,
                                     0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08, 0x00};
#define MODE3_MISC 0x67
#define BLANK_CELL 0x0720 /* a space, grey on black */

static struct vga *from_device(struct device *device)
{
    return container_of(device, struct vga, device);
}

/* ------------------------------------------------------------------ registers */

static void attribute_write(struct vga *v, u8 value)
{
    unsigned index = v->attribute_index & 0x1f;

    if (!v->attribute_data) {
        v->attribute_index = value & 0x3f;
    } else if (index < sizeof(v->attribute)) {
        v->attribute[index] = value;
    }
    v->attribute_data = !v->attribute_data;
}

static void sequencer_write(struct vga *v, u8 value)
{
    if (v->sequencer_index < sizeof(v->sequencer)) {
        v->sequencer[v->sequencer_index] = value;
    }
}

static void graphics_write(struct vga *v, u8 value)
{
    if (v->graphics_index < sizeof(v->graphics)) {
        v->graphics[v->graphics_index] = value;
    }
}

/* Registers 0 to 7 may be protected, but for the line-compare bit in 7. */
static void crtc_write(struct vga *v, u8 value)
{
    bool is_protected = v->crtc[CRTC_PROTECT] & 0x80 && v->crtc_index <= CRTC_OVERFLOW;

    if (v->crtc_index >= sizeof(v->crtc) || (is_protected && v->crtc_index < CRTC_OVERFLOW)) {
        return;
    }
    if (is_protected) {
        value = (u8)((v->crtc[CRTC_OVERFLOW] & ~0x10) | (value & 0x10));
    }
    v->crtc[v->crtc_index] = value;
}

static u8 dac_read(struct vga *v)
{
    u8 value = v->dac[v->dac_at];

    v->dac_at = (v->dac_at + 1) % sizeof(v->dac);
    return value;
}

static void dac_write(struct vga *v, u8 value)
{
    v->dac[v->dac_write] = value & DAC_MASK_6BITS;
    v->dac_write = (v->dac_write + 1) % sizeof(v->dac);
}

/* By the clock: guests wait for the retrace and measure time by it. */
static u8 status1_read(struct vga *v)
{
    u64 in_frame_ns = timer_now(v->slot.timers) % (LINES * LINE_NS);
    u64 line = in_frame_ns / LINE_NS, in_line_ns = in_frame_ns % LINE_NS;
    bool shown = line < LINES_SHOWN && in_line_ns < LINE_SHOWN_NS;
    bool retrace = line - LINE_RETRACE < RETRACE_LINES;

    v->attribute_data = false;
    return (shown ? 0 : STATUS1_NO_DISPLAY) | (retrace ? STATUS1_RETRACE : 0);
}

/* Ports 3C0 to 3CF. */
static u64 common_read(void *device, u64 offset, unsigned size)
{
    struct vga *v = device;
    unsigned index;

    (void)size;
    switch (offset) {
    case 0x0:
        return v->attribute_index;
    case 0x1:
        index = v->attribute_index & 0x1f;
        return index < sizeof(v->attribute) ? v->attribute[index] : 0;
    case 0x2:
        return STATUS0_SWITCH;
    case 0x3:
        return v->enable;
    case 0x4:
        return v->sequencer_index;
    case 0x5:
        return v->sequencer_index < sizeof(v->sequencer) ? v->sequencer[v->sequencer_index] : 0;
    case 0x6:
        return v->dac_mask;
    case 0x7:
        return v->dac_reads ? 3 : 0;
    case 0x8:
        return v->dac_write / 3;
    case 0x9:
        return dac_read(v);
    case 0xa:
        return v->feature;
    case 0xc:
        return v->misc;
    case 0xe:
        return v->graphics_index;
    case 0xf:
        return v->graphics_index < sizeof(v->graphics) ? v->graphics[v->graphics_index] : 0;
    default:
        return 0xff;
    }
}

static void common_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct vga *v = device;
    u8 byte = (u8)value;

    (void)size;
    switch (offset) {
    case 0x0:
        attribute_write(v, byte);
        break;
    case 0x2:
        v->misc = byte;
        break;
    case 0x3:
        v->enable = byte & 1;
        break;
    case 0x4:
        v->sequencer_index = byte & 7;
        break;
    case 0x5:
        sequencer_write(v, byte);
        break;
    case 0x6:
        v->dac_mask = byte;
        break;
    case 0x7:
        v->dac_at = byte * 3u;
        v->dac_reads = true;
        break;
    case 0x8:
        v->dac_write = byte * 3u;
        v->dac_reads = false;
        break;
    case 0x9:
        dac_write(v, byte);
        break;
    case 0xe:
        v->graphics_index = byte & 15;
        break;
    case 0xf:
        graphics_write(v, byte);
        break;
    default:
        break;
    }
}

/* The CRT controller and input status 1 are at 3Dx or at 3Bx, as the guest chooses. */
static u8 moved_read(struct vga *v, unsigned offset)
{
    switch (offset) {
    case 0x4:
        return v->crtc_index;
    case 0x5:
        return v->crtc_index < sizeof(v->crtc) ? v->crtc[v->crtc_index] : 0;
    case 0xa:
        return status1_read(v);
    default:
        return 0xff;
    }
}

static void moved_write(struct vga *v, unsigned offset, u8 value)
{
    switch (offset) {
    case 0x4:
        v->crtc_index = value & 0x1f;
        break;
    case 0x5:
        crtc_write(v, value);
        break;
    case 0xa:
        v->feature = value;
        break;
    default:
        break;
    }
}

static u64 color_read(void *device, u64 offset, unsigned size)
{
    struct vga *v = device;

    (void)size;
    return v->misc & MISC_COLOR ? moved_read(v, (unsigned)offset) : 0xff;
}

static void color_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct vga *v = device;

    (void)size;
    if (v->misc & MISC_COLOR) {
        moved_write(v, (unsigned)offset, (u8)value);
    }
}

static u64 mono_read(void *device, u64 offset, unsigned size)
{
    struct vga *v = device;

    (void)size;
    return v->misc & MISC_COLOR ? 0xff : moved_read(v, (unsigned)offset);
}

static void mono_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct vga *v = device;

    (void)size;
    if (!(v->misc & MISC_COLOR)) {
        moved_write(v, (unsigned)offset, (u8)value);
    }
}

static u64 memory_read(void *device, u64 offset, unsigned size)
{
    (void)size;
    return vga_memory_read(device, (u32)offset);
}

static void memory_write(void *device, u64 offset, u64 value, unsigned size)
{
    (void)size;
    vga_memory_write(device, (u32)offset, (u8)value);
}

static const struct bus_region_ops common_ops = {common_read, common_write, 1, 1};
static const struct bus_region_ops color_ops = {color_read, color_write, 1, 1};
static const struct bus_region_ops mono_ops = {mono_read, mono_write, 1, 1};
static const struct bus_region_ops memory_ops = {memory_read, memory_write, 1, 1};

static const struct bus_region regions[] = {
    {.space = BUS_PIO, .base = 0x3b0, .size = 12, .ops = &mono_ops, .name = "VGA, monochrome"},
    {.space = BUS_PIO, .base = 0x3c0, .size = 16, .ops = &common_ops, .name = "VGA"},
    {.space = BUS_PIO, .base = 0x3d0, .size = 12, .ops = &color_ops, .name = "VGA, colour"},
    {.space = BUS_MMIO, .base = 0xa0000, .size = 0x20000, .ops = &memory_ops, .name = "VGA memory"},
};

/* ------------------------------------------------------------------ the screen */

/* Where a character's address in the CRT controller leads in a plane. */
static u16 text_offset(const struct vga *v, unsigned address)
{
    if (v->crtc[CRTC_UNDERLINE] & 0x40) { /* double words */
        return (u16)(address << 2);
    }
    if (v->crtc[CRTC_MODE] & 0x40) { /* bytes */
        return (u16)address;
    }
    return (u16)(address << 1 | (address >> (v->crtc[CRTC_MODE] & 0x20 ? 15 : 13) & 1));
}

static unsigned crtc_pair(const struct vga *v, unsigned index)
{
    return v->crtc[index] << 8 | v->crtc[index + 1];
}

static bool shows_text(const struct vga *v)
{
    return v->attribute_index & PALETTE_SOURCE &&
           !(v->sequencer[SEQUENCER_CLOCKING] & CLOCKING_SCREEN_OFF) &&
           !(v->graphics[GRAPHICS_MISC] & MISC_IS_GRAPHICS) &&
           !(v->attribute[ATTRIBUTE_MODE] & MODE_GRAPHICS);
}

static void measure(const struct vga *v, struct vga_text *text)
{
    unsigned overflow = v->crtc[CRTC_OVERFLOW];
    unsigned lines =
        (v->crtc[CRTC_LAST_LINE] | (overflow & 0x02) << 7 | (overflow & 0x40) << 3) + 1;
    unsigned height = (v->crtc[CRTC_SCAN_LINES] & 0x1f) + 1;

    if (v->crtc[CRTC_SCAN_LINES] & 0x80) { /* each is scanned twice */
        height *= 2;
    }
    text->columns = v->crtc[CRTC_COLUMNS] + 1;
    text->rows = lines / height;
    if (text->rows > VGA_CELLS_MAX / text->columns) {
        text->rows = VGA_CELLS_MAX / text->columns;
    }
}

static void find_cursor(const struct vga *v, struct vga_text *text, unsigned start, unsigned pitch)
{
    unsigned at = (crtc_pair(v, CRTC_CURSOR) - start) & 0xffff;
    bool on = !(v->crtc[CRTC_CURSOR_START] & 0x20) &&
              (v->crtc[CRTC_CURSOR_START] & 0x1f) <= (v->crtc[CRTC_CURSOR_END] & 0x1f);

    if (pitch) {
        text->cursor_row = at / pitch;
        text->cursor_column = at % pitch;
        text->cursor_shown =
            on && text->cursor_row < text->rows && text->cursor_column < text->columns;
    }
}

void vga_read_text(struct device *device, struct vga_text *text)
{
    struct vga *v = from_device(device);
    unsigned start = crtc_pair(v, CRTC_START), pitch = v->crtc[CRTC_OFFSET] * 2u;
    u16 *cell = text->cells;

    text->columns = text->rows = text->cursor_column = text->cursor_row = 0;
    text->cursor_shown = false;
    text->blinks = v->attribute[ATTRIBUTE_MODE] & MODE_BLINKS;
    if (!shows_text(v)) {
        return;
    }
    measure(v, text);
    find_cursor(v, text, start, pitch);
    for (unsigned row = 0; row < text->rows; row++) {
        for (unsigned column = 0; column < text->columns; column++) {
            u16 at = text_offset(v, (start + row * pitch + column) & 0xffff);
            *cell++ = (u16)(*vga_plane(v, 0, at) | *vga_plane(v, 1, at) << 8);
        }
    }
}

/* ------------------------------------------------------------------ life */

/* The 64 colours that the attribute controller chooses from: bits RGB at two thirds, rgb at one. */
static void fill_dac(struct vga *v)
{
    for (unsigned i = 0; i < 64; i++) {
        u8 *color = &v->dac[3 * i];
        for (unsigned k = 0; k < 3; k++) {
            color[k] = (i >> (2 - k) & 1 ? 42 : 0) + (i >> (5 - k) & 1 ? 21 : 0);
        }
    }
}

static void reset(struct device *device)
{
    struct vga *v = from_device(device);

    memcpy(v->sequencer, mode3_sequencer, sizeof(v->sequencer));
    memcpy(v->crtc, mode3_crtc, sizeof(v->crtc));
    memcpy(v->graphics, mode3_graphics, sizeof(v->graphics));
    memcpy(v->attribute, mode3_attribute, sizeof(v->attribute));
    memset(v->dac, 0, sizeof(v->dac));
    memset(v->latch, 0, sizeof(v->latch));
    memset(v->plane, 0, sizeof(v->plane));
    for (unsigned i = 0; i < MEM_VGA_TEXT_SIZE; i += 2) {
        v->text[i] = (u8)BLANK_CELL;
        v->text[i + 1] = BLANK_CELL >> 8;
    }
    mem_changed(v->config.mem, MEM_VGA_TEXT, MEM_VGA_TEXT_SIZE);
    v->misc = MODE3_MISC;
    v->feature = 0;
    v->enable = 1;
    v->sequencer_index = v->graphics_index = v->crtc_index = 0;
    v->attribute_index = PALETTE_SOURCE;
    v->attribute_data = v->dac_reads = false;
    v->dac_at = v->dac_write = 0;
    v->dac_mask = 0xff;
    fill_dac(v);
}

static void destroy(struct device *device)
{
    struct vga *v = from_device(device);

    device_remove_regions(&v->slot, regions, ARRAY_SIZE(regions));
    free(v);
}

static const struct field fields[] = {
    FIELD(struct vga, misc),
    FIELD(struct vga, feature),
    FIELD(struct vga, enable),
    FIELD_MAX(struct vga, sequencer_index, 7),
    FIELD_MAX(struct vga, graphics_index, 15),
    FIELD_MAX(struct vga, crtc_index, 0x1f),
    FIELD_ARRAY(struct vga, sequencer),
    FIELD_ARRAY(struct vga, graphics),
    FIELD_ARRAY(struct vga, crtc),
    FIELD_ARRAY(struct vga, attribute),
    FIELD_MAX(struct vga, attribute_index, 0x3f),
    FIELD(struct vga, attribute_data),
    FIELD_ARRAY(struct vga, dac),
    FIELD(struct vga, dac_mask),
    FIELD(struct vga, dac_reads),
    FIELD_MAX(struct vga, dac_at, 256 * 3 - 1),
    FIELD_MAX(struct vga, dac_write, 256 * 3 - 1),
    FIELD_ARRAY(struct vga, latch),
    FIELD_BYTES(struct vga, plane),
    FIELDS_END,
};

int vga_create(const struct slot *slot, const struct vga_config *config, struct device **device)
{
    u8 *text = mem_range(config->mem, MEM_VGA_TEXT, MEM_VGA_TEXT_SIZE);
    struct vga *v = text ? calloc(1, sizeof(*v)) : NULL;
    int error;

    _Static_assert(sizeof(mode3_sequencer) == sizeof(v->sequencer) &&
                       sizeof(mode3_crtc) == sizeof(v->crtc) &&
                       sizeof(mode3_graphics) == sizeof(v->graphics) &&
                       sizeof(mode3_attribute) == sizeof(v->attribute),
                   "a value for each register");
    if (!v) {
        return text ? -ENOMEM : -EINVAL;
    }
    v->text = text;
    v->device = (struct device){.name = "VGA",
                                .block = v,
                                .block_bytes = sizeof(*v),
                                .state = {{fields, v}},
                                .reset = reset,
                                .destroy = destroy};
    v->slot = *slot;
    v->config = *config;
    error = device_add_regions(slot, regions, ARRAY_SIZE(regions), v);
    if (error) {
        free(v);
        return error;
    }
    reset(&v->device);
    *device = &v->device;
    return 0;
}
