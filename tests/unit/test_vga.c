/*
 * test_vga.c - the VGA's registers, its text screen, and its memory against a plain model.
 *
 * The model does one bit of one plane at a time, from the register descriptions, and shares nothing
 * with vga_memory.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dev/vga.h"
#include "fake_slot.h"

#define RAM        0x100000u
#define FRAME_NS   (449ull * 31778)
#define WINDOW     MEM_VGA_START
#define TEXT_CELLS (80 * 25)

struct world {
    struct fake_slot f;
    struct device *vga;
    struct mem mem;
    u8 holders[RAM / PAGE_SIZE];
    struct vga_text text;
};

static struct world *make(void)
{
    struct world *w = test_calloc(1, sizeof(*w));
    struct vga_config config = {.mem = &w->mem};

    fake_slot_init(&w->f);
    w->mem = (struct mem){.base = test_calloc(1, RAM), .low_size = RAM, .code_holders = w->holders};
    assert_int_equal(vga_create(&w->f.slot, &config, &w->vga), 0);
    return w;
}

static void done(struct world *w)
{
    device_destroy(w->vga);
    assert_int_equal(w->f.bus.count, 0);
    bus_map_destroy(&w->f.bus);
    test_free(w->mem.base);
    test_free(w);
}

static void set(struct world *w, u16 port, u8 index, u8 value)
{
    fake_out(&w->f, port, (u16)(value << 8 | index), 2);
}

static u8 get(struct world *w, u16 port, u8 index)
{
    outb(&w->f, port, index);
    return inb(&w->f, port + 1);
}

static void set_attribute(struct world *w, u8 index, u8 value)
{
    inb(&w->f, 0x3da);
    outb(&w->f, 0x3c0, index);
    outb(&w->f, 0x3c0, value);
    outb(&w->f, 0x3c0, 0x20);
}

static void put_text(struct world *w, unsigned cell, const char *text, u8 attribute)
{
    u8 *to = w->mem.base + MEM_VGA_TEXT + 2 * cell;

    for (; *text; text++) {
        *to++ = (u8)*text;
        *to++ = attribute;
    }
}

static void read_text(struct world *w)
{
    memset(&w->text, 0xaa, sizeof(w->text));
    vga_read_text(w->vga, &w->text);
}

/* ------------------------------------------------------------------ the screen */

static void as_the_bios_leaves_it(void **state)
{
    struct world *w = make();

    (void)state;
    read_text(w);
    assert_int_equal(w->text.columns, 80);
    assert_int_equal(w->text.rows, 25);
    assert_true(w->text.cursor_shown && w->text.blinks);
    assert_int_equal(w->text.cursor_column, 0);
    assert_int_equal(w->text.cursor_row, 0);
    for (unsigned i = 0; i < TEXT_CELLS; i++) {
        assert_int_equal(w->text.cells[i], 0x0720);
    }
    assert_int_equal(inb(&w->f, 0x3cc), 0x67);
    done(w);
}

static void text_and_cursor(void **state)
{
    struct world *w = make();

    (void)state;
    put_text(w, 0, "Hello", 0x1e);
    put_text(w, TEXT_CELLS - 1, "!", 0x07);
    set(w, 0x3d4, 0x0e, (80 * 24 + 79) >> 8);
    set(w, 0x3d4, 0x0f, (80 * 24 + 79) & 0xff);
    read_text(w);
    assert_int_equal(w->text.cells[0], 0x1e00 | 'H');
    assert_int_equal(w->text.cells[4], 0x1e00 | 'o');
    assert_int_equal(w->text.cells[TEXT_CELLS - 1], 0x0700 | '!');
    assert_int_equal(w->text.cursor_row, 24);
    assert_int_equal(w->text.cursor_column, 79);
    set(w, 0x3d4, 0x0a, 0x2d);
    read_text(w);
    assert_false(w->text.cursor_shown);
    set(w, 0x3d4, 0x0a, 0x1f); /* begins below its end: Linux's way */
    read_text(w);
    assert_false(w->text.cursor_shown);
    done(w);
}

/* A guest that scrolls moves the start; the cursor is counted from the memory's beginning. */
static void scrolled(void **state)
{
    struct world *w = make();

    (void)state;
    put_text(w, 80, "second", 0x07);
    put_text(w, TEXT_CELLS, "last", 0x07);
    set(w, 0x3d4, 0x0d, 80);
    set(w, 0x3d4, 0x0e, TEXT_CELLS >> 8);
    set(w, 0x3d4, 0x0f, (TEXT_CELLS & 0xff) + 4);
    read_text(w);
    assert_int_equal(w->text.cells[0] & 0xff, 's');
    assert_int_equal(w->text.cells[80 * 24] & 0xff, 'l');
    assert_int_equal(w->text.cursor_row, 24);
    assert_int_equal(w->text.cursor_column, 4);
    set(w, 0x3d4, 0x0c, 0xff); /* the start is before address 0: it wraps */
    set(w, 0x3d4, 0x0d, 0xb0);
    read_text(w);
    assert_int_equal(w->text.cells[160] & 0xff, 's');
    done(w);
}

static void other_sizes(void **state)
{
    struct world *w = make();

    (void)state;
    set(w, 0x3d4, 0x09, 0x47); /* characters of 8 lines */
    read_text(w);
    assert_int_equal(w->text.rows, 50);
    set(w, 0x3d4, 0x09, 0xc7); /* each line twice */
    read_text(w);
    assert_int_equal(w->text.rows, 25);
    set(w, 0x3d4, 0x11, 0x0e); /* not protected */
    set(w, 0x3d4, 0x01, 39);
    set(w, 0x3d4, 0x13, 0x14);
    put_text(w, 40, "second", 0x07);
    read_text(w);
    assert_int_equal(w->text.columns, 40);
    assert_int_equal(w->text.cells[40] & 0xff, 's');
    done(w);
}

static void dark_or_graphics(void **state)
{
    struct world *w = make();

    (void)state;
    set(w, 0x3c4, 1, 0x20);
    read_text(w);
    assert_int_equal(w->text.rows, 0);
    assert_int_equal(w->text.columns, 0);
    assert_false(w->text.cursor_shown);
    set(w, 0x3c4, 1, 0x00);
    read_text(w);
    assert_int_equal(w->text.rows, 25);
    inb(&w->f, 0x3da);
    outb(&w->f, 0x3c0, 0x00); /* the palette is cut off */
    read_text(w);
    assert_int_equal(w->text.rows, 0);
    set_attribute(w, 0x10, 0x00);
    read_text(w);
    assert_int_equal(w->text.rows, 25);
    assert_false(w->text.blinks);
    set(w, 0x3ce, 6, 0x05); /* graphics at A0000 */
    read_text(w);
    assert_int_equal(w->text.rows, 0);
    w->vga->reset(w->vga);
    read_text(w);
    assert_int_equal(w->text.rows, 25);
    done(w);
}

/* Whatever a guest sets, no more is read than there is room for. */
static void any_registers(void **state)
{
    struct world *w = make();

    (void)state;
    srand(1);
    for (unsigned i = 0; i < 20000; i++) {
        static const u16 ports[] = {0x3c4, 0x3ce, 0x3d4, 0x3b4};
        set(w, ports[rand() % 4], (u8)(rand() % 32), (u8)rand());
        if (i % 16 == 0) {
            outb(&w->f, 0x3c2, (u8)rand() | 1);
            set_attribute(w, 0x10, (u8)rand());
            set(w, 0x3ce, 6, 0x0e);
            set(w, 0x3c4, 1, 0);
            vga_read_text(w->vga, &w->text);
            assert_true(w->text.columns * w->text.rows <= VGA_CELLS_MAX);
            assert_true(!w->text.cursor_shown || (w->text.cursor_row < w->text.rows &&
                                                  w->text.cursor_column < w->text.columns));
        }
    }
    done(w);
}

/* ------------------------------------------------------------------ registers */

static void read_back(void **state)
{
    static const struct {
        u16 port;
        u8 count;
    } groups[] = {{0x3c4, 5}, {0x3ce, 9}, {0x3d4, 25}};
    struct world *w = make();

    (void)state;
    set(w, 0x3d4, 0x11, 0x00);
    for (unsigned g = 0; g < ARRAY_SIZE(groups); g++) {
        for (u8 i = 0; i < groups[g].count; i++) {
            set(w, groups[g].port, i, (u8)(0x5a ^ i));
        }
        for (u8 i = 0; i < groups[g].count; i++) {
            assert_int_equal(get(w, groups[g].port, i), 0x5a ^ i);
        }
    }
    assert_int_equal(get(w, 0x3c4, 7), 0); /* there is no such register */
    assert_int_equal(get(w, 0x3d4, 0x1f), 0);
    outb(&w->f, 0x3c6, 0x3f);
    assert_int_equal(inb(&w->f, 0x3c6), 0x3f);
    outb(&w->f, 0x3da, 0x02);
    assert_int_equal(inb(&w->f, 0x3ca), 0x02);
    assert_int_equal(inb(&w->f, 0x3cb), 0xff);
    done(w);
}

static void attribute_controller(void **state)
{
    struct world *w = make();

    (void)state;
    inb(&w->f, 0x3da);
    outb(&w->f, 0x3c0, 0x05); /* index */
    outb(&w->f, 0x3c0, 0x11); /* data */
    outb(&w->f, 0x3c0, 0x06);
    inb(&w->f, 0x3da); /* an index is next, not data */
    outb(&w->f, 0x3c0, 0x25);
    assert_int_equal(inb(&w->f, 0x3c0), 0x25);
    assert_int_equal(inb(&w->f, 0x3c1), 0x11);
    outb(&w->f, 0x3c0, 0x22);
    assert_int_equal(inb(&w->f, 0x3c1), 0x22);
    outb(&w->f, 0x3c0, 0x1f); /* no such register */
    outb(&w->f, 0x3c0, 0x33);
    assert_int_equal(inb(&w->f, 0x3c1), 0);
    done(w);
}

static void protected_registers(void **state)
{
    struct world *w = make();

    (void)state;
    set(w, 0x3d4, 0x00, 0x12);
    assert_int_equal(get(w, 0x3d4, 0x00), 0x5f);
    set(w, 0x3d4, 0x07, 0x00); /* only its bit 4 */
    assert_int_equal(get(w, 0x3d4, 0x07), 0x0f);
    set(w, 0x3d4, 0x11, 0x0e);
    set(w, 0x3d4, 0x00, 0x12);
    assert_int_equal(get(w, 0x3d4, 0x00), 0x12);
    done(w);
}

static void palette(void **state)
{
    struct world *w = make();

    (void)state;
    outb(&w->f, 0x3c7, 7); /* grey, as the BIOS sets it */
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(inb(&w->f, 0x3c9), 42);
    }
    assert_int_equal(inb(&w->f, 0x3c7), 3);
    outb(&w->f, 0x3c8, 255);
    for (u8 i = 0; i < 6; i++) { /* 255, and on at 0 */
        outb(&w->f, 0x3c9, 0xc0 | (10 + i));
    }
    assert_int_equal(inb(&w->f, 0x3c7), 0);
    assert_int_equal(inb(&w->f, 0x3c8), 1);
    outb(&w->f, 0x3c7, 255);
    for (u8 i = 0; i < 6; i++) {
        assert_int_equal(inb(&w->f, 0x3c9), 10 + i);
    }
    done(w);
}

static void monochrome_ports(void **state)
{
    struct world *w = make();

    (void)state;
    assert_int_equal(inb(&w->f, 0x3b5), 0xff);
    set(w, 0x3b4, 0x0f, 0x12);
    assert_int_equal(get(w, 0x3d4, 0x0f), 0x00);
    outb(&w->f, 0x3c2, 0x66);
    set(w, 0x3b4, 0x0f, 0x12);
    assert_int_equal(get(w, 0x3b4, 0x0f), 0x12);
    assert_int_equal(inb(&w->f, 0x3d5), 0xff);
    assert_int_equal(inb(&w->f, 0x3da), 0xff);
    assert_int_not_equal(inb(&w->f, 0x3ba), 0xff);
    done(w);
}

/* 70 times a second there is a retrace, for two lines. */
static void retrace(void **state)
{
    struct world *w = make();
    unsigned frames = 0, dark = 0, steps = 0;
    bool before = false;

    (void)state;
    for (; w->f.now_ns < 10 * FRAME_NS; w->f.now_ns += 1009, steps++) {
        u8 status = inb(&w->f, 0x3da);
        frames += (status & 8) && !before;
        before = status & 8;
        dark += status & 1;
        assert_true((status & 9) != 8); /* nothing is shown during a retrace */
    }
    assert_int_equal(frames, 10);
    assert_in_range(dark, steps * 27 / 100, steps * 31 / 100); /* 80 of 100 in 400 of 449 */
    done(w);
}

/* ------------------------------------------------------------------ memory */

struct model {
    u8 sequencer[5], graphics[9];
    u8 plane[4][65536], latch[4];
};

/* The low 32 KiB of planes 0 and 1 are looked at too: they are the RAM, as text modes have it. */
static bool model_bit(u8 byte, unsigned bit)
{
    return byte >> bit & 1;
}

static bool model_select(const struct model *m, u32 offset, u32 *address)
{
    switch (m->graphics[6] >> 2 & 3) {
    case 0:
        *address = offset;
        return true;
    case 1:
        *address = offset;
        return offset < 0x10000;
    case 2:
        *address = offset - 0x10000;
        return offset >= 0x10000;
    default:
        return false;
    }
}

static unsigned model_at(const struct model *m, u32 address)
{
    if (m->sequencer[4] & 8) {
        return address / 4 * 4 & 0xffff;
    }
    if (m->graphics[6] & 2) {
        unsigned low = (m->graphics[6] & 0x0c) == 0 ? address / 65536 : 0;
        return (address / 2 * 2 + low) & 0xffff;
    }
    return address & 0xffff;
}

static void model_write(struct model *m, u32 offset, u8 value)
{
    const u8 *g = m->graphics;
    u32 address;

    if (!model_select(m, offset, &address)) {
        return;
    }
    for (unsigned p = 0; p < 4; p++) {
        bool enabled = model_bit(m->sequencer[2], p);
        if (m->sequencer[4] & 8) {
            enabled = enabled && p == address % 4;
        } else if (!(m->sequencer[4] & 4)) {
            enabled = enabled && p % 2 == address % 2;
        }
        u8 result = 0;
        for (unsigned b = 0; b < 8; b++) {
            bool latch = model_bit(m->latch[p], b);
            bool rotated = model_bit(value, (b + (g[3] & 7)) % 8);
            bool masked = model_bit(g[8], b), bit = false;
            switch (g[5] & 3) {
            case 0:
                bit = model_bit(g[1], p) ? model_bit(g[0], p) : rotated;
                break;
            case 2:
                bit = model_bit(value, p);
                break;
            case 3:
                bit = model_bit(g[0], p);
                masked = masked && rotated;
                break;
            }
            switch (g[3] >> 3 & 3) {
            case 1:
                bit = bit && latch;
                break;
            case 2:
                bit = bit || latch;
                break;
            case 3:
                bit = bit != latch;
                break;
            }
            if (!masked || (g[5] & 3) == 1) {
                bit = latch;
            }
            result |= (u8)(bit << b);
        }
        if (enabled) {
            m->plane[p][model_at(m, address)] = result;
        }
    }
}

static u8 model_read(struct model *m, u32 offset)
{
    const u8 *g = m->graphics;
    u32 address;
    u8 equal = 0;

    if (!model_select(m, offset, &address)) {
        return 0xff;
    }
    for (unsigned p = 0; p < 4; p++) {
        m->latch[p] = m->plane[p][model_at(m, address)];
    }
    if (m->sequencer[4] & 8) {
        return m->latch[address % 4];
    }
    if (!(g[5] & 8)) {
        return m->latch[g[5] & 0x10 ? (g[4] & 2) + address % 2 : g[4] & 3];
    }
    for (unsigned b = 0; b < 8; b++) {
        bool same = true;
        for (unsigned p = 0; p < 4; p++) {
            same = same && (!model_bit(g[7], p) || model_bit(m->latch[p], b) == model_bit(g[2], p));
        }
        equal |= (u8)(same << b);
    }
    return equal;
}

static void random_registers(struct world *w, struct model *m)
{
    static const u8 settings[] = {0, 1, 2, 3, 4, 5, 7, 8};

    for (unsigned i = 0; i < ARRAY_SIZE(settings); i++) {
        u8 index = settings[i];
        m->graphics[index] = (u8)rand();
        set(w, 0x3ce, index, m->graphics[index]);
    }
    m->graphics[6] = (u8)(rand() & 0x0e);
    set(w, 0x3ce, 6, m->graphics[6]);
    m->sequencer[2] = (u8)rand();
    m->sequencer[4] = (u8)rand();
    set(w, 0x3c4, 2, m->sequencer[2]);
    set(w, 0x3c4, 4, m->sequencer[4]);
}

static void planes(void **state)
{
    struct world *w = make();
    struct model *m = test_calloc(1, sizeof(*m));

    (void)state;
    srand(2);
    for (unsigned i = 0; i < MEM_VGA_TEXT_SIZE; i += 2) { /* the clear screen */
        m->plane[0][i] = 0x20;
        m->plane[1][i] = 0x07;
    }
    for (unsigned round = 0; round < 3000; round++) {
        random_registers(w, m);
        for (unsigned i = 0; i < 30; i++) {
            u32 offset = (u32)(rand() % 2 * 0x10000 + rand() % 64); /* few places, met again */
            u8 value = (u8)rand();
            if (rand() % 2) {
                bus_map_write(&w->f.bus, BUS_MMIO, WINDOW + offset, value, 1);
                model_write(m, offset, value);
            } else {
                u8 expected = model_read(m, offset);
                assert_int_equal(bus_map_read(&w->f.bus, BUS_MMIO, WINDOW + offset, 1), expected);
            }
        }
    }
    for (unsigned i = 0; i < MEM_VGA_TEXT_SIZE; i++) {
        assert_int_equal(w->mem.base[MEM_VGA_TEXT + i], m->plane[i % 2][i / 2 * 2]);
    }
    test_free(m);
    done(w);
}

/* As a guest loads characters' shapes: they are not on the screen, and can be read back. */
static void font(void **state)
{
    struct world *w = make();

    (void)state;
    put_text(w, 0, "text", 0x07);
    set(w, 0x3c4, 2, 0x04);
    set(w, 0x3c4, 4, 0x07);
    set(w, 0x3ce, 4, 0x02);
    set(w, 0x3ce, 5, 0x00);
    set(w, 0x3ce, 6, 0x00);
    for (unsigned i = 0; i < 0x2000; i += 8) {
        bus_map_write(&w->f.bus, BUS_MMIO, WINDOW + i, 0x0123456789abcdefull + i, 8);
    }
    for (unsigned i = 0; i < 0x2000; i += 8) {
        assert_int_equal(bus_map_read(&w->f.bus, BUS_MMIO, WINDOW + i, 8),
                         0x0123456789abcdefull + i);
    }
    set(w, 0x3c4, 2, 0x03);
    set(w, 0x3c4, 4, 0x03);
    set(w, 0x3ce, 4, 0x00);
    set(w, 0x3ce, 5, 0x10);
    set(w, 0x3ce, 6, 0x0e);
    read_text(w);
    assert_int_equal(w->text.cells[0], 0x0700 | 't');
    assert_int_equal(w->text.cells[4], 0x0720);
    done(w);
}

static void no_memory(void **state)
{
    struct fake_slot f;
    struct mem mem = {.low_size = 0x10000};
    struct device *vga;

    (void)state;
    fake_slot_init(&f);
    assert_int_equal(vga_create(&f.slot, &(struct vga_config){.mem = &mem}, &vga), -EINVAL);
    assert_int_equal(f.bus.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_bios_leaves_it),
        cmocka_unit_test(text_and_cursor),
        cmocka_unit_test(scrolled),
        cmocka_unit_test(other_sizes),
        cmocka_unit_test(dark_or_graphics),
        cmocka_unit_test(any_registers),
        cmocka_unit_test(read_back),
        cmocka_unit_test(attribute_controller),
        cmocka_unit_test(protected_registers),
        cmocka_unit_test(palette),
        cmocka_unit_test(monochrome_ports),
        cmocka_unit_test(retrace),
        cmocka_unit_test(planes),
        cmocka_unit_test(font),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
