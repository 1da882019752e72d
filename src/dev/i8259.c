/*
 * i8259.c - two 8259A interrupt controllers, the second cascaded to input 2 of the first, with the
 * edge/level control registers (ELCR) of later chip sets.
 *
 *      port 20/A0   write: ICW1 (bit 4), OCW2, OCW3 (bit 3)    read: IRR or ISR
 *      port 21/A1   write: ICW2, ICW3, ICW4, then OCW1         read: IMR
 *      port 4D0/1   ELCR: a bit an input, 1 is level
 *
 * Intel, "8259A Programmable Interrupt Controller"; Intel, "82371AB (PIIX4)", ELCR1 and ELCR2.
 *
 * LIMIT: an edge stays requested if its line falls before INTA; the real chip answers that with a
 * spurious IRQ7.  LIMIT: ICW1's LTIM is ignored, as in chip sets that have an ELCR.  LIMIT: the
 * 8080 mode of ICW4 gives vectors as if it were 8086 mode.
 */
#include "dev/i8259.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"

enum {
    ICW1 = 0x10,
    ICW1_IC4 = 0x01,
    ICW1_SNGL = 0x02,
    ICW4_AEOI = 0x02,
    ICW4_SFNM = 0x10,
    OCW3 = 0x08,
    OCW3_RIS = 0x01,
    OCW3_RR = 0x02,
    OCW3_POLL = 0x04,
    OCW3_SMM = 0x20,
    OCW3_ESMM = 0x40,
    CASCADE = 2,
    NO_IRQ = 8,
};

enum init_state { INIT_DONE, INIT_ICW2, INIT_ICW3, INIT_ICW4 };

struct chip {
    u8 lines; /* levels of the inputs */
    u8 irr, imr, isr;
    u8 elcr, elcr_writable;
    u8 vector_base;
    u8 lowest; /* the input that has the lowest priority: 7 until rotated */
    u8 init;   /* enum init_state */
    bool icw4_follows, single;
    bool auto_eoi, rotate_on_auto_eoi, special_fully_nested, special_mask;
    bool read_isr, poll;
};

struct i8259 {
    struct device device;
    struct slot slot;
    struct chip chips[2];
    struct irq output;
    bool output_level;
};

static struct i8259 *from_device(struct device *device)
{
    return container_of(device, struct i8259, device);
}

/* How far down the order of priority the first of the inputs in mask is: 0 to 7, 8 if none. */
static unsigned priority(const struct chip *c, u8 mask)
{
    unsigned order;

    for (order = 0; order < 8; order++) {
        if (mask & BIT((c->lowest + 1 + order) & 7)) {
            break;
        }
    }
    return order;
}

static bool is_master(const struct i8259 *pic, const struct chip *c)
{
    return c == &pic->chips[0];
}

/* The input that the chip would now have serviced, or NO_IRQ. */
static unsigned pending(const struct i8259 *pic, const struct chip *c)
{
    u8 in_service = c->isr;
    unsigned order;

    if (c->init != INIT_DONE) {
        return NO_IRQ;
    }
    if (c->special_mask) {
        in_service &= ~c->imr;
    }
    if (c->special_fully_nested && is_master(pic, c)) {
        in_service &= ~BIT(CASCADE);
    }
    order = priority(c, c->irr & ~c->imr);
    return order < priority(c, in_service) ? (c->lowest + 1 + order) & 7 : NO_IRQ;
}

/* The cascade input follows the slave's output; then the master's output is driven. */
static void update(struct i8259 *pic)
{
    struct chip *master = &pic->chips[0];
    bool level;

    if (pending(pic, &pic->chips[1]) != NO_IRQ) {
        master->irr |= BIT(CASCADE);
    } else {
        master->irr &= ~BIT(CASCADE);
    }
    level = pending(pic, master) != NO_IRQ;
    if (level != pic->output_level) {
        pic->output_level = level;
        irq_set(&pic->output, level);
    }
}

static void set_input(void *context, unsigned number, bool level)
{
    struct i8259 *pic = context;
    struct chip *c = &pic->chips[number >> 3 & 1];
    u8 bit = BIT(number & 7);

    if (number == CASCADE || number > 15) {
        return;
    }
    if (level && (c->elcr & bit || !(c->lines & bit))) {
        c->irr |= bit;
    } else if (!level && c->elcr & bit) {
        c->irr &= ~bit;
    }
    c->lines = level ? c->lines | bit : c->lines & ~bit;
    update(pic);
}

struct irq i8259_irq(struct device *device, unsigned n)
{
    return (struct irq){.set = set_input, .context = from_device(device), .number = n};
}

static void accept(struct chip *c, unsigned n)
{
    if (!(c->elcr & BIT(n))) {
        c->irr &= ~BIT(n);
    }
    if (!c->auto_eoi) {
        c->isr |= BIT(n);
    } else if (c->rotate_on_auto_eoi) {
        c->lowest = n;
    }
}

u8 i8259_acknowledge(struct device *device)
{
    struct i8259 *pic = from_device(device);
    struct chip *master = &pic->chips[0], *slave = &pic->chips[1];
    unsigned n = pending(pic, master);
    u8 vector;

    if (n == NO_IRQ) {
        vector = master->vector_base + 7;
    } else if (n != CASCADE) {
        accept(master, n);
        vector = master->vector_base + n;
    } else {
        accept(master, n);
        n = pending(pic, slave);
        if (n == NO_IRQ) {
            n = 7;
        } else {
            accept(slave, n);
        }
        vector = slave->vector_base + n;
    }
    update(pic);
    return vector;
}

static void write_icw1(struct chip *c, u8 value)
{
    c->init = INIT_ICW2;
    c->icw4_follows = value & ICW1_IC4;
    c->single = value & ICW1_SNGL;
    c->irr = c->lines & c->elcr; /* edges must come anew */
    c->imr = 0;
    c->isr = 0;
    c->lowest = 7;
    c->auto_eoi = c->rotate_on_auto_eoi = c->special_fully_nested = c->special_mask = false;
    c->read_isr = c->poll = false;
}

static void end_highest(struct chip *c, bool rotate)
{
    u8 in_service = c->special_mask ? c->isr & ~c->imr : c->isr;
    unsigned order = priority(c, in_service), n;

    if (order < 8) {
        n = (c->lowest + 1 + order) & 7;
        c->isr &= ~BIT(n);
        if (rotate) {
            c->lowest = n;
        }
    }
}

static void write_ocw2(struct chip *c, u8 value)
{
    unsigned n = value & 7;

    switch (value >> 5) { /* R, SL, EOI */
    case 0:
        c->rotate_on_auto_eoi = false;
        break;
    case 1:
        end_highest(c, false);
        break;
    case 3:
        c->isr &= ~BIT(n);
        break;
    case 4:
        c->rotate_on_auto_eoi = true;
        break;
    case 5:
        end_highest(c, true);
        break;
    case 6:
        c->lowest = n;
        break;
    case 7:
        c->isr &= ~BIT(n);
        c->lowest = n;
        break;
    default: /* 2: no operation */
        break;
    }
}

static void write_ocw3(struct chip *c, u8 value)
{
    if (value & OCW3_POLL) {
        c->poll = true;
    } else if (value & OCW3_RR) {
        c->read_isr = value & OCW3_RIS;
    }
    if (value & OCW3_ESMM) {
        c->special_mask = value & OCW3_SMM;
    }
}

static void write_odd(struct chip *c, u8 value)
{
    switch ((enum init_state)c->init) {
    case INIT_DONE:
        c->imr = value;
        break;
    case INIT_ICW2:
        c->vector_base = value & 0xf8;
        c->init = !c->single ? INIT_ICW3 : c->icw4_follows ? INIT_ICW4 : INIT_DONE;
        break;
    case INIT_ICW3: /* the cascade is wired, whatever is written */
        c->init = c->icw4_follows ? INIT_ICW4 : INIT_DONE;
        break;
    case INIT_ICW4:
        c->auto_eoi = value & ICW4_AEOI;
        c->special_fully_nested = value & ICW4_SFNM;
        c->init = INIT_DONE;
        break;
    }
}

static void chip_write(struct i8259 *pic, struct chip *c, u64 offset, u8 value)
{
    if (offset == 1) {
        write_odd(c, value);
    } else if (value & ICW1) {
        write_icw1(c, value);
    } else if (value & OCW3) {
        write_ocw3(c, value);
    } else {
        write_ocw2(c, value);
    }
    update(pic);
}

/* A poll is an INTA of this chip alone, whichever of its ports is read. */
static u8 poll(struct i8259 *pic, struct chip *c)
{
    unsigned n = pending(pic, c);

    c->poll = false;
    if (n == NO_IRQ) {
        return 0;
    }
    accept(c, n);
    update(pic);
    return 0x80 | n;
}

static u8 chip_read(struct i8259 *pic, struct chip *c, u64 offset)
{
    if (c->poll) {
        return poll(pic, c);
    }
    if (offset == 1) {
        return c->imr;
    }
    return c->read_isr ? c->isr : c->irr;
}

static u64 master_read(void *device, u64 offset, unsigned size)
{
    struct i8259 *pic = device;
    (void)size;
    return chip_read(pic, &pic->chips[0], offset);
}

static void master_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct i8259 *pic = device;
    (void)size;
    chip_write(pic, &pic->chips[0], offset, value);
}

static u64 slave_read(void *device, u64 offset, unsigned size)
{
    struct i8259 *pic = device;
    (void)size;
    return chip_read(pic, &pic->chips[1], offset);
}

static void slave_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct i8259 *pic = device;
    (void)size;
    chip_write(pic, &pic->chips[1], offset, value);
}

static u64 elcr_read(void *device, u64 offset, unsigned size)
{
    struct i8259 *pic = device;
    (void)size;
    return pic->chips[offset & 1].elcr;
}

static void elcr_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct i8259 *pic = device;
    struct chip *c = &pic->chips[offset & 1];
    u8 became_level;

    (void)size;
    became_level = value & c->elcr_writable & ~c->elcr;
    c->elcr = value & c->elcr_writable;
    c->irr = (c->irr & ~became_level) | (c->lines & c->elcr);
    update(pic);
}

static const struct bus_region_ops master_ops = {master_read, master_write, 1, 1};
static const struct bus_region_ops slave_ops = {slave_read, slave_write, 1, 1};
static const struct bus_region_ops elcr_ops = {elcr_read, elcr_write, 1, 1};

static const struct bus_region regions[] = {
    {.space = BUS_PIO, .base = 0x20, .size = 2, .ops = &master_ops, .name = "i8259 master"},
    {.space = BUS_PIO, .base = 0xa0, .size = 2, .ops = &slave_ops, .name = "i8259 slave"},
    {.space = BUS_PIO, .base = I8259_ELCR, .size = 2, .ops = &elcr_ops, .name = "elcr"},
};

/* The inputs are other devices' business: their levels stay. */
static void reset(struct device *device)
{
    struct i8259 *pic = from_device(device);
    unsigned i;

    for (i = 0; i < 2; i++) {
        struct chip *c = &pic->chips[i];
        /* IRQ 0, 1, 2, 8 and 13 are always edges.  All inputs are masked until the guest has
         * initialized the chip, as firmware would leave it. */
        *c = (struct chip){.lines = c->lines,
                           .imr = 0xff,
                           .lowest = 7,
                           .vector_base = i * 8,
                           .elcr_writable = i == 0 ? 0xf8 : 0xde};
    }
    pic->output_level = false;
    irq_set(&pic->output, false);
}

static void destroy(struct device *device)
{
    struct i8259 *pic = from_device(device);

    device_remove_regions(&pic->slot, regions, ARRAY_SIZE(regions));
    free(pic);
}

static const struct field fields[] = {
    FIELD_EACH(struct i8259, chips, lines),
    FIELD_EACH(struct i8259, chips, irr),
    FIELD_EACH(struct i8259, chips, imr),
    FIELD_EACH(struct i8259, chips, isr),
    FIELD_EACH(struct i8259, chips, elcr),
    FIELD_EACH(struct i8259, chips, vector_base),
    FIELD_EACH_MAX(struct i8259, chips, lowest, 7),
    FIELD_EACH_MAX(struct i8259, chips, init, INIT_ICW4),
    FIELD_EACH(struct i8259, chips, icw4_follows),
    FIELD_EACH(struct i8259, chips, single),
    FIELD_EACH(struct i8259, chips, auto_eoi),
    FIELD_EACH(struct i8259, chips, rotate_on_auto_eoi),
    FIELD_EACH(struct i8259, chips, special_fully_nested),
    FIELD_EACH(struct i8259, chips, special_mask),
    FIELD_EACH(struct i8259, chips, read_isr),
    FIELD_EACH(struct i8259, chips, poll),
    FIELD(struct i8259, output_level),
    FIELDS_END,
};

int i8259_create(const struct slot *slot, const struct i8259_config *config, struct device **device)
{
    struct i8259 *pic = calloc(1, sizeof(*pic));
    int error;

    if (!pic) {
        return -ENOMEM;
    }
    pic->device = (struct device){.name = "i8259",
                                  .block = pic,
                                  .block_bytes = sizeof(*pic),
                                  .state = {{fields, pic}},
                                  .reset = reset,
                                  .destroy = destroy};
    pic->slot = *slot;
    pic->output = config->output;
    error = device_add_regions(slot, regions, ARRAY_SIZE(regions), pic);
    if (error) {
        free(pic);
        return error;
    }
    reset(&pic->device);
    *device = &pic->device;
    return 0;
}
