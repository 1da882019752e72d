/*
 * vga_memory.c - how a byte of the window at A0000 to B7FFF reaches the four planes.
 *
 * Which plane and where:
 *      chain 4     plane A1:A0, offset A with these cleared
 *      odd/even    plane A0 (and the one two further), offset A with A0 cleared: text modes
 *      else        all planes, offset A
 * A read also fills the latches, with which later writes are combined.
 *
 * LIMIT: the window's end, B8000 to BFFFF, is RAM of the machine and never comes here: it is there
 * in all modes, and always as text modes have it.  They and CGA's graphics modes see no difference.
 *
 * IBM, "PS/2 Hardware Interface Technical Reference", "Video Subsystem", "Graphics Controller
 * Registers", "Memory Mode Register".
 */
#include "dev/vga_state.h"

enum {
    MISC_RAM_ENABLE = 0x02,
    MISC_HIGH_PAGE = 0x20,
    SEQUENCER_MAP_MASK = 2,
    SEQUENCER_MEMORY_MODE = 4,
    MEMORY_MODE_PLANAR = 0x04, /* no odd/even */
    MEMORY_MODE_CHAIN4 = 0x08,
    GRAPHICS_SET_RESET = 0,
    GRAPHICS_ENABLE_SET_RESET = 1,
    GRAPHICS_COLOR_COMPARE = 2,
    GRAPHICS_ROTATE = 3,
    GRAPHICS_READ_MAP = 4,
    GRAPHICS_MODE = 5,
    GRAPHICS_MISC = 6,
    GRAPHICS_DONT_CARE = 7,
    GRAPHICS_BIT_MASK = 8,
    MODE_READ_COMPARE = 0x08,
    MODE_ODD_EVEN = 0x10,
    MISC_CHAIN_ODD_EVEN = 0x02,
};

/* The windows that GRAPHICS_MISC chooses from: offsets from A0000. */
static const struct {
    u32 start, size;
} windows[4] = {{0, 0x20000}, {0, 0x10000}, {0x10000, 0x8000}, {0x18000, 0x8000}};

/* The address in the window, or false where the card does not answer. */
static bool decode(const struct vga *v, u32 offset, u32 *address)
{
    unsigned window = v->graphics[GRAPHICS_MISC] >> 2 & 3;

    *address = offset - windows[window].start;
    return v->misc & MISC_RAM_ENABLE && *address < windows[window].size;
}

static bool is_chain4(const struct vga *v)
{
    return v->sequencer[SEQUENCER_MEMORY_MODE] & MEMORY_MODE_CHAIN4;
}

static u16 plane_offset(const struct vga *v, u32 address)
{
    if (is_chain4(v)) {
        return (u16)(address & ~3u);
    }
    if (v->graphics[GRAPHICS_MISC] & MISC_CHAIN_ODD_EVEN) {
        /* A0 has chosen the plane.  In its place comes A16, or where the window is smaller, the
         * page bit, by which 1 is the low page. */
        bool whole = !(v->graphics[GRAPHICS_MISC] >> 2 & 3);
        u32 low = whole ? address >> 16 & 1 : !(v->misc & MISC_HIGH_PAGE);
        return (u16)((address & ~1u) | low);
    }
    return (u16)address;
}

/* 0x00 or 0xff by a plane's bit. */
static u8 spread(u8 bits, unsigned plane)
{
    return bits >> plane & 1 ? 0xff : 0;
}

u8 *vga_plane(struct vga *v, unsigned plane, u16 at)
{
    bool is_text = plane < 2 && !(at & 1) && at < MEM_VGA_TEXT_SIZE;

    return is_text ? &v->text[at | plane] : &v->plane[plane][at];
}

static void store(struct vga *v, unsigned plane, u16 at, u8 value)
{
    u8 *to = vga_plane(v, plane, at);

    *to = value;
    if (to != &v->plane[plane][at]) {
        mem_changed(v->config.mem, MEM_VGA_TEXT + (u64)(to - v->text), 1);
    }
}

u8 vga_memory_read(struct vga *v, u32 offset)
{
    const u8 *g = v->graphics;
    u32 address;
    u16 at;
    u8 differs = 0;

    if (!decode(v, offset, &address)) {
        return 0xff;
    }
    at = plane_offset(v, address);
    for (unsigned p = 0; p < VGA_PLANES; p++) {
        v->latch[p] = *vga_plane(v, p, at);
        differs |=
            (v->latch[p] ^ spread(g[GRAPHICS_COLOR_COMPARE], p)) & spread(g[GRAPHICS_DONT_CARE], p);
    }
    if (is_chain4(v)) {
        return v->latch[address & 3];
    }
    if (g[GRAPHICS_MODE] & MODE_READ_COMPARE) {
        return (u8)~differs;
    }
    if (g[GRAPHICS_MODE] & MODE_ODD_EVEN) {
        return v->latch[(g[GRAPHICS_READ_MAP] & 2) | (address & 1)];
    }
    return v->latch[g[GRAPHICS_READ_MAP] & 3];
}

static u8 rotate(u8 value, unsigned count)
{
    return (u8)(value >> count | value << (8 - count));
}

static u8 combine(unsigned function, u8 value, u8 latch)
{
    switch (function & 3) {
    case 1:
        return value & latch;
    case 2:
        return value | latch;
    case 3:
        return value ^ latch;
    default:
        return value;
    }
}

/* What a write leaves in a plane, by the write mode. */
static u8 written(const struct vga *v, unsigned p, u8 value)
{
    const u8 *g = v->graphics;
    u8 rotated = rotate(value, g[GRAPHICS_ROTATE] & 7);
    u8 mask = g[GRAPHICS_BIT_MASK];
    u8 data;

    switch (g[GRAPHICS_MODE] & 3) {
    case 0:
        data = g[GRAPHICS_ENABLE_SET_RESET] >> p & 1 ? spread(g[GRAPHICS_SET_RESET], p) : rotated;
        break;
    case 1:
        return v->latch[p];
    case 2:
        data = spread(value, p);
        break;
    default:
        data = spread(g[GRAPHICS_SET_RESET], p);
        mask &= rotated;
        break;
    }
    data = combine(g[GRAPHICS_ROTATE] >> 3, data, v->latch[p]);
    return (u8)((data & mask) | (v->latch[p] & ~mask));
}

/* The planes that a write reaches, a bit each. */
static u8 planes(const struct vga *v, u32 address)
{
    u8 mask = v->sequencer[SEQUENCER_MAP_MASK];

    if (is_chain4(v)) {
        return mask & (u8)(1 << (address & 3));
    }
    if (!(v->sequencer[SEQUENCER_MEMORY_MODE] & MEMORY_MODE_PLANAR)) {
        return mask & (address & 1 ? 0x0a : 0x05);
    }
    return mask;
}

void vga_memory_write(struct vga *v, u32 offset, u8 value)
{
    u32 address;

    if (!decode(v, offset, &address)) {
        return;
    }
    for (unsigned p = 0; p < VGA_PLANES; p++) {
        if (planes(v, address) >> p & 1) {
            store(v, p, plane_offset(v, address), written(v, p, value));
        }
    }
}
