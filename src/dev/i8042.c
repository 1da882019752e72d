/*
 * i8042.c - the keyboard controller of a PC, with the two PS/2 devices behind it.
 *
 *      port 60  read: output buffer    write: data, to the controller's command or the keyboard
 *      port 64  read: status           write: command
 *
 *      status   7 parity   6 time-out   5 from aux   4 not locked   3 last write was a command
 *               2 system   1 input buffer full   0 output buffer full
 *      command byte   6 translate   5 aux off   4 keyboard off   2 system   1 IRQ 12   0 IRQ 1
 *
 * IBM, "PS/2 Hardware Interface Technical Reference", "Keyboard and Auxiliary Device Controller",
 * "Keyboards (101- and 102-Key)", "Mouse".
 *
 * Devices answer at once; the controller moves one byte at a time into its output buffer, and drops
 * the interrupt line between two, so that each byte is an edge.
 *
 * LIMIT: nobody types or moves: there are no scan codes and no movements.
 */
#include "dev/i8042.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"

enum {
    STATUS_OBF = 0x01,
    STATUS_SYS = 0x04,
    STATUS_CMD = 0x08,
    STATUS_UNLOCKED = 0x10,
    STATUS_AUX = 0x20,
    STATUS_TIMEOUT = 0x40,

    MODE_KEYBOARD_IRQ = 0x01,
    MODE_AUX_IRQ = 0x02,
    MODE_SYS = 0x04,
    MODE_KEYBOARD_OFF = 0x10,
    MODE_AUX_OFF = 0x20,
    MODE_TRANSLATE = 0x40,

    OUTPUT_NOT_RESET = 0x01,
    OUTPUT_A20 = 0x02,
    OUTPUT_KEYBOARD = 0x10,
    OUTPUT_AUX = 0x20,
    OUTPUT_KEPT = 0xcd,

    ACK = 0xfa,
    RESEND = 0xfe,
    TEST_PASSED = 0xaa,
    QUEUE_SIZE = 16,
};

enum source { FROM_CONTROLLER, FROM_KEYBOARD, FROM_AUX, SOURCES };

struct queue {
    u8 bytes[QUEUE_SIZE];
    u8 flags[QUEUE_SIZE]; /* STATUS_AUX, STATUS_TIMEOUT */
    unsigned head, count;
};

struct ps2_device {
    u8 parameter_of; /* the command that waits for its parameter, or 0 */
    u8 scan_set;
    u8 rate, resolution;
    bool reporting, scale2, remote, wrap;
    u8 last; /* what was sent last, for RESEND */
};

struct i8042 {
    struct device device;
    struct slot slot;
    struct irq irqs[2]; /* keyboard, aux */
    bool has_mouse;
    u8 mode;        /* the command byte */
    u8 output_port; /* but for A20, which is the machine's: slot.a20 */
    u8 ram[32];     /* ram[0] is mode's */
    u8 command;     /* the controller command that waits for its data byte, or 0 */
    bool last_was_command;
    u8 data;       /* the output buffer */
    u8 data_flags; /* STATUS_OBF, AUX, TIMEOUT */
    struct queue queues[SOURCES];
    struct ps2_device keyboard, mouse;
};

static struct i8042 *from_device(struct device *device)
{
    return container_of(device, struct i8042, device);
}

static void drive_lines(struct i8042 *k)
{
    bool full = k->data_flags & STATUS_OBF, aux = k->data_flags & STATUS_AUX;

    irq_set(&k->irqs[0], full && !aux && k->mode & MODE_KEYBOARD_IRQ);
    irq_set(&k->irqs[1], full && aux && k->mode & MODE_AUX_IRQ);
}

/* Fill the output buffer from the first queue that has something and may send. */
static void refill(struct i8042 *k)
{
    const bool may_send[SOURCES] = {true, !(k->mode & MODE_KEYBOARD_OFF),
                                    !(k->mode & MODE_AUX_OFF)};
    unsigned i;

    for (i = 0; i < SOURCES && !(k->data_flags & STATUS_OBF); i++) {
        struct queue *q = &k->queues[i];
        if (q->count && may_send[i]) {
            k->data = q->bytes[q->head];
            k->data_flags = STATUS_OBF | q->flags[q->head];
            q->head = (q->head + 1) % QUEUE_SIZE;
            q->count--;
        }
    }
    drive_lines(k);
}

/* A full queue loses the byte: the guest sent commands and read no answers. */
static void put(struct i8042 *k, enum source source, u8 byte, u8 flags)
{
    struct queue *q = &k->queues[source];
    unsigned at = (q->head + q->count) % QUEUE_SIZE;

    if (q->count == QUEUE_SIZE) {
        return;
    }
    q->bytes[at] = byte;
    q->flags[at] = flags;
    q->count++;
    refill(k);
}

static void answer(struct i8042 *k, u8 byte)
{
    put(k, FROM_CONTROLLER, byte, 0);
}

/* Scan code set 2 to set 1: of its table, what a keyboard's answers contain. */
static u8 translate(u8 byte)
{
    static const u8 pairs[][2] = {
        {0x01, 0x43}, {0x02, 0x41}, {0x03, 0x3f}, {0x83, 0x41}, {0x84, 0x54}};
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(pairs); i++) {
        if (pairs[i][0] == byte) {
            return pairs[i][1];
        }
    }
    return byte;
}

static void keyboard_send(struct i8042 *k, u8 byte)
{
    k->keyboard.last = byte;
    put(k, FROM_KEYBOARD, k->mode & MODE_TRANSLATE ? translate(byte) : byte, 0);
}

static void mouse_send(struct i8042 *k, u8 byte)
{
    k->mouse.last = byte;
    put(k, FROM_AUX, byte, STATUS_AUX);
}

static void keyboard_defaults(struct i8042 *k)
{
    k->keyboard = (struct ps2_device){.scan_set = 2, .reporting = true, .last = k->keyboard.last};
}

static void keyboard_parameter(struct i8042 *k, u8 command, u8 value)
{
    if (command == 0xf0 && value > 3) {
        keyboard_send(k, RESEND);
        return;
    }
    keyboard_send(k, ACK);
    if (command == 0xf0 && value == 0) {
        keyboard_send(k, k->keyboard.scan_set);
    } else if (command == 0xf0) {
        k->keyboard.scan_set = value;
    }
}

static void keyboard_command(struct i8042 *k, u8 command)
{
    switch (command) {
    case 0xed: /* indicators */
    case 0xf0: /* scan code set */
    case 0xf3: /* typematic rate */
    case 0xfb: /* modes of one key */
    case 0xfc:
    case 0xfd:
        k->keyboard.parameter_of = command;
        keyboard_send(k, ACK);
        break;
    case 0xee: /* echo */
        keyboard_send(k, 0xee);
        break;
    case 0xf2: /* identify */
        keyboard_send(k, ACK);
        keyboard_send(k, 0xab);
        keyboard_send(k, 0x83);
        break;
    case 0xf4: /* enable */
        k->keyboard.reporting = true;
        keyboard_send(k, ACK);
        break;
    case 0xf5: /* defaults, and disable */
    case 0xf6: /* defaults */
        keyboard_defaults(k);
        k->keyboard.reporting = command == 0xf6;
        keyboard_send(k, ACK);
        break;
    case 0xf7: /* modes of all keys */
    case 0xf8:
    case 0xf9:
    case 0xfa:
        keyboard_send(k, ACK);
        break;
    case 0xfe: /* resend */
        keyboard_send(k, k->keyboard.last);
        break;
    case 0xff: /* reset */
        keyboard_defaults(k);
        keyboard_send(k, ACK);
        keyboard_send(k, TEST_PASSED);
        break;
    default:
        keyboard_send(k, RESEND);
        break;
    }
}

static void keyboard_write(struct i8042 *k, u8 value)
{
    u8 command = k->keyboard.parameter_of;

    k->mode &= ~MODE_KEYBOARD_OFF; /* sending to it turns its clock on */
    k->keyboard.parameter_of = 0;
    if (command && value < 0x80) {
        keyboard_parameter(k, command, value);
    } else {
        keyboard_command(k, value);
    }
    refill(k);
}

static void mouse_defaults(struct i8042 *k)
{
    k->mouse = (struct ps2_device){.rate = 100, .resolution = 2, .last = k->mouse.last};
}

static void mouse_status(struct i8042 *k)
{
    struct ps2_device *m = &k->mouse;

    mouse_send(k, (m->remote ? 0x40 : 0) | (m->reporting ? 0x20 : 0) | (m->scale2 ? 0x10 : 0));
    mouse_send(k, m->resolution);
    mouse_send(k, m->rate);
}

static void mouse_reset(struct i8042 *k)
{
    mouse_defaults(k);
    mouse_send(k, TEST_PASSED);
    mouse_send(k, 0x00);
}

/* Commands that the mouse acknowledges. */
static void mouse_command(struct i8042 *k, u8 command)
{
    struct ps2_device *m = &k->mouse;

    switch (command) {
    case 0xe6:
    case 0xe7:
        m->scale2 = command == 0xe7;
        break;
    case 0xe8: /* resolution */
    case 0xf3: /* sample rate */
        m->parameter_of = command;
        break;
    case 0xe9:
        mouse_status(k);
        break;
    case 0xea:
    case 0xf0:
        m->remote = command == 0xf0;
        break;
    case 0xeb: /* read data: no buttons, no movement */
        mouse_send(k, 0x08);
        mouse_send(k, 0x00);
        mouse_send(k, 0x00);
        break;
    case 0xec:
    case 0xee:
        m->wrap = command == 0xee;
        break;
    case 0xf2: /* identify: a plain mouse */
        mouse_send(k, 0x00);
        break;
    case 0xf4:
    case 0xf5:
        m->reporting = command == 0xf4;
        break;
    case 0xf6:
        mouse_defaults(k);
        break;
    default:
        mouse_reset(k);
        break;
    }
}

static bool mouse_knows(u8 command)
{
    return (command >= 0xe6 && command <= 0xf6 && command != 0xed && command != 0xef &&
            command != 0xf1) ||
           command == 0xff;
}

static void mouse_write(struct i8042 *k, u8 value)
{
    struct ps2_device *m = &k->mouse;
    u8 command = m->parameter_of;

    k->mode &= ~MODE_AUX_OFF;
    if (!k->has_mouse) { /* nobody answers */
        put(k, FROM_AUX, RESEND, STATUS_AUX | STATUS_TIMEOUT);
        return;
    }
    m->parameter_of = 0;
    if (m->wrap && value != 0xec && value != 0xff) {
        mouse_send(k, value);
    } else if (command && value < 0xe6) {
        *(command == 0xe8 ? &m->resolution : &m->rate) = value;
        mouse_send(k, ACK);
    } else if (value == 0xfe) {
        mouse_send(k, m->last);
    } else if (mouse_knows(value)) {
        mouse_send(k, ACK);
        mouse_command(k, value);
    } else {
        mouse_send(k, RESEND);
    }
    refill(k);
}

static void write_output_port(struct i8042 *k, u8 value)
{
    k->output_port = (value & OUTPUT_KEPT) | OUTPUT_NOT_RESET;
    a20_set(k->slot.a20, value & OUTPUT_A20);
    if (!(value & OUTPUT_NOT_RESET)) {
        k->slot.power(k->slot.power_context, POWER_RESET, 0);
    }
}

static u8 read_output_port(const struct i8042 *k)
{
    u8 value = k->output_port | (k->slot.a20->on ? OUTPUT_A20 : 0);

    if (k->data_flags & STATUS_OBF) {
        value |= k->data_flags & STATUS_AUX ? OUTPUT_AUX : OUTPUT_KEYBOARD;
    }
    return value;
}

static void write_mode(struct i8042 *k, u8 value)
{
    k->mode = value;
    refill(k);
}

/* The second byte of a controller command. */
static void controller_data(struct i8042 *k, u8 command, u8 value)
{
    switch (command) {
    case 0x60:
        write_mode(k, value);
        break;
    case 0xd1:
        write_output_port(k, value);
        break;
    case 0xd2:
        put(k, FROM_CONTROLLER, value, 0);
        break;
    case 0xd3:
        put(k, FROM_CONTROLLER, value, STATUS_AUX);
        break;
    case 0xd4:
        mouse_write(k, value);
        break;
    default:
        k->ram[command & 31] = value;
        break;
    }
}

static void self_test(struct i8042 *k)
{
    k->mode |= MODE_SYS;
    answer(k, 0x55);
}

static void controller_command(struct i8042 *k, u8 command)
{
    switch (command) {
    case 0x20:
        answer(k, k->mode);
        break;
    case 0xa4: /* is a password there: no */
        answer(k, 0xf1);
        break;
    case 0xa7:
    case 0xa8:
        write_mode(k, command == 0xa7 ? k->mode | MODE_AUX_OFF : k->mode & ~MODE_AUX_OFF);
        break;
    case 0xa9: /* the interfaces' lines are good */
    case 0xab:
        answer(k, 0x00);
        break;
    case 0xaa:
        self_test(k);
        break;
    case 0xad:
    case 0xae:
        write_mode(k, command == 0xad ? k->mode | MODE_KEYBOARD_OFF : k->mode & ~MODE_KEYBOARD_OFF);
        break;
    case 0xc0: /* input port: not locked */
        answer(k, 0x80);
        break;
    case 0xd0:
        answer(k, read_output_port(k));
        break;
    case 0xdd: /* A20 off and on */
    case 0xdf:
        a20_set(k->slot.a20, command == 0xdf);
        break;
    case 0xe0: /* test inputs: the clock lines */
        answer(k, (k->mode & MODE_KEYBOARD_OFF ? 0 : 1) | (k->mode & MODE_AUX_OFF ? 0 : 2));
        break;
    default:
        if (command > 0x20 && command < 0x40) {
            answer(k, k->ram[command & 31]);
        } else if ((command & 0xe0) == 0x60 || (command >= 0xd1 && command <= 0xd4)) {
            k->command = command;
        } else if (command >= 0xf0 && !(command & 1)) { /* pulse the reset line */
            k->slot.power(k->slot.power_context, POWER_RESET, 0);
        }
        break;
    }
}

static u64 data_read(void *device, u64 offset, unsigned size)
{
    struct i8042 *k = device;
    u8 value = k->data;

    (void)offset;
    (void)size;
    k->data_flags = 0;
    drive_lines(k);
    refill(k);
    return value;
}

static void data_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct i8042 *k = device;
    u8 command = k->command;

    (void)offset;
    (void)size;
    k->last_was_command = false;
    k->command = 0;
    if (command) {
        controller_data(k, command, (u8)value);
    } else {
        keyboard_write(k, (u8)value);
    }
}

static u64 status_read(void *device, u64 offset, unsigned size)
{
    struct i8042 *k = device;

    (void)offset;
    (void)size;
    return STATUS_UNLOCKED | k->data_flags | (k->mode & MODE_SYS ? STATUS_SYS : 0) |
           (k->last_was_command ? STATUS_CMD : 0);
}

static void command_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct i8042 *k = device;

    (void)offset;
    (void)size;
    k->last_was_command = true;
    k->command = 0;
    controller_command(k, (u8)value);
}

static const struct bus_region_ops data_ops = {data_read, data_write, 1, 1};
static const struct bus_region_ops command_ops = {status_read, command_write, 1, 1};

static const struct bus_region regions[] = {
    {.space = BUS_PIO, .base = 0x60, .size = 1, .ops = &data_ops, .name = "i8042 data"},
    {.space = BUS_PIO, .base = 0x64, .size = 1, .ops = &command_ops, .name = "i8042 command"},
};

/* As firmware leaves it: tested, translating, the keyboard on. */
static void reset(struct device *device)
{
    struct i8042 *k = from_device(device);
    unsigned i;

    for (i = 0; i < SOURCES; i++) {
        k->queues[i] = (struct queue){0};
    }
    for (i = 0; i < ARRAY_SIZE(k->ram); i++) {
        k->ram[i] = 0;
    }
    k->mode = MODE_KEYBOARD_IRQ | MODE_SYS | MODE_AUX_OFF | MODE_TRANSLATE;
    k->output_port = OUTPUT_NOT_RESET | 0xcc;
    a20_set(k->slot.a20, true);
    k->command = 0;
    k->last_was_command = true;
    k->data = k->data_flags = 0;
    keyboard_defaults(k);
    mouse_defaults(k);
    drive_lines(k);
}

static void destroy(struct device *device)
{
    struct i8042 *k = from_device(device);

    device_remove_regions(&k->slot, regions, ARRAY_SIZE(regions));
    free(k);
}

int i8042_create(const struct slot *slot, const struct i8042_config *config, struct device **device)
{
    struct i8042 *k = calloc(1, sizeof(*k));
    int error;

    if (!k) {
        return -ENOMEM;
    }
    k->device = (struct device){.name = "i8042", .reset = reset, .destroy = destroy};
    k->slot = *slot;
    k->irqs[0] = config->keyboard;
    k->irqs[1] = config->aux;
    k->has_mouse = config->mouse;
    error = device_add_regions(slot, regions, ARRAY_SIZE(regions), k);
    if (error) {
        free(k);
        return error;
    }
    reset(&k->device);
    *device = &k->device;
    return 0;
}
