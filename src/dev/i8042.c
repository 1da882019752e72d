/*
 * i8042.c - the keyboard controller of a PC; the two PS/2 devices behind it are in ps2.h.
 *
 *      port 60  read: output buffer    write: data, to the controller's command or the keyboard
 *      port 64  read: status           write: command
 *
 *      status   7 parity   6 time-out   5 from aux   4 not locked   3 last write was a command
 *               2 system   1 input buffer full   0 output buffer full
 *      command byte   6 translate   5 aux off   4 keyboard off   2 system   1 IRQ 12   0 IRQ 1
 *
 * IBM, "PS/2 Hardware Interface Technical Reference", "Keyboard and Auxiliary Device Controller".
 *
 * Devices answer at once; the controller moves one byte at a time into its output buffer, and drops
 * the interrupt line between two, so that each byte is an edge.
 */
#include "dev/i8042.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "dev/ps2.h"

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

    BREAK = 0xf0, /* before the code of a key that goes up, in set 2 */
    QUEUE_SIZE = 16,
};

struct i8042 {
    struct device device;
    struct slot slot;
    struct i8042_config config;
    u8 mode;        /* the command byte */
    u8 output_port; /* but for A20, which is the machine's: slot.a20 */
    u8 ram[32];     /* ram[0] is mode's */
    u8 command;     /* the controller command that waits for its data byte, or 0 */
    bool last_was_command;
    u8 break_bit;  /* 0x80 after an F0 that was kept back by translation */
    u8 data;       /* the output buffer */
    u8 data_flags; /* STATUS_OBF, AUX, TIMEOUT */
    u8 answers[QUEUE_SIZE], answer_flags[QUEUE_SIZE]; /* its own, with STATUS_AUX and TIMEOUT */
    unsigned answer_head, answer_count;
    struct ps2_keyboard keyboard;
    struct ps2_mouse mouse;
};

static struct i8042 *from_device(struct device *device)
{
    return container_of(device, struct i8042, device);
}

static void drive_lines(struct i8042 *k)
{
    bool full = k->data_flags & STATUS_OBF, aux = k->data_flags & STATUS_AUX;

    irq_set(&k->config.keyboard, full && !aux && k->mode & MODE_KEYBOARD_IRQ);
    irq_set(&k->config.aux, full && aux && k->mode & MODE_AUX_IRQ);
}

/* A byte of the keyboard is on its way into the output buffer.  False: it is kept back. */
static bool translate(struct i8042 *k, u8 *byte)
{
    if (!(k->mode & MODE_TRANSLATE)) {
        return true;
    }
    if (*byte == BREAK) {
        k->break_bit = 0x80;
        return false;
    }
    *byte = ps2_translate(*byte) | k->break_bit;
    k->break_bit = 0;
    return true;
}

static void fill_from_keyboard(struct i8042 *k)
{
    bool had_codes = k->keyboard.codes.count;

    while (!(k->data_flags & STATUS_OBF) && ps2_keyboard_has(&k->keyboard)) {
        u8 byte = ps2_keyboard_take(&k->keyboard);
        if (translate(k, &byte)) {
            k->data = byte;
            k->data_flags = STATUS_OBF;
        }
    }
    if (had_codes && !k->keyboard.codes.count && k->config.keyboard_ready) {
        k->config.keyboard_ready(k->config.context);
    }
}

/* Fill the output buffer from the first that has something and may send. */
static void refill(struct i8042 *k)
{
    if (!(k->data_flags & STATUS_OBF) && k->answer_count) {
        k->data = k->answers[k->answer_head];
        k->data_flags = STATUS_OBF | k->answer_flags[k->answer_head];
        k->answer_head = (k->answer_head + 1) % QUEUE_SIZE;
        k->answer_count--;
    }
    if (!(k->data_flags & STATUS_OBF) && !(k->mode & MODE_KEYBOARD_OFF)) {
        fill_from_keyboard(k);
    }
    if (!(k->data_flags & STATUS_OBF) && !(k->mode & MODE_AUX_OFF) && k->mouse.answers.count) {
        k->data = ps2_mouse_take(&k->mouse);
        k->data_flags = STATUS_OBF | STATUS_AUX;
    }
    drive_lines(k);
}

/* The controller's own answer.  A full queue loses it: the guest sent commands and read nothing. */
static void put(struct i8042 *k, u8 byte, u8 flags)
{
    unsigned at = (k->answer_head + k->answer_count) % QUEUE_SIZE;

    if (k->answer_count < QUEUE_SIZE) {
        k->answers[at] = byte;
        k->answer_flags[at] = flags;
        k->answer_count++;
    }
    refill(k);
}

static void answer(struct i8042 *k, u8 byte)
{
    put(k, byte, 0);
}

static void keyboard_write(struct i8042 *k, u8 value)
{
    k->mode &= ~MODE_KEYBOARD_OFF; /* sending to it turns its clock on */
    ps2_keyboard_write(&k->keyboard, value);
    refill(k);
}

static void mouse_write(struct i8042 *k, u8 value)
{
    k->mode &= ~MODE_AUX_OFF;
    if (k->config.mouse) {
        ps2_mouse_write(&k->mouse, value);
    } else { /* nobody answers */
        put(k, PS2_RESEND, STATUS_AUX | STATUS_TIMEOUT);
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
        put(k, value, 0);
        break;
    case 0xd3:
        put(k, value, STATUS_AUX);
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

    k->answer_count = 0;
    for (i = 0; i < ARRAY_SIZE(k->ram); i++) {
        k->ram[i] = 0;
    }
    k->mode = MODE_KEYBOARD_IRQ | MODE_SYS | MODE_AUX_OFF | MODE_TRANSLATE;
    k->output_port = OUTPUT_NOT_RESET | 0xcc;
    a20_set(k->slot.a20, true);
    k->command = 0;
    k->last_was_command = true;
    k->data = k->data_flags = 0;
    k->break_bit = 0;
    ps2_keyboard_reset(&k->keyboard);
    ps2_mouse_reset(&k->mouse);
    drive_lines(k);
}

static void destroy(struct device *device)
{
    struct i8042 *k = from_device(device);

    device_remove_regions(&k->slot, regions, ARRAY_SIZE(regions));
    free(k);
}

bool i8042_key(struct device *device, u16 key, bool down)
{
    struct i8042 *k = from_device(device);

    if (k->keyboard.codes.count) {
        return false;
    }
    ps2_keyboard_key(&k->keyboard, key, down);
    refill(k);
    return true;
}

static const struct field fields[] = {
    FIELD(struct i8042, mode),
    FIELD(struct i8042, output_port),
    FIELD_ARRAY(struct i8042, ram),
    FIELD(struct i8042, command),
    FIELD(struct i8042, last_was_command),
    FIELD(struct i8042, break_bit),
    FIELD(struct i8042, data),
    FIELD(struct i8042, data_flags),
    FIELD_ARRAY(struct i8042, answers),
    FIELD_ARRAY(struct i8042, answer_flags),
    FIELD_MAX(struct i8042, answer_head, QUEUE_SIZE - 1),
    FIELD_MAX(struct i8042, answer_count, QUEUE_SIZE),
    FIELD_ARRAY(struct i8042, keyboard.answers.bytes),
    FIELD_MAX(struct i8042, keyboard.answers.head, PS2_QUEUE_SIZE - 1),
    FIELD_MAX(struct i8042, keyboard.answers.count, PS2_QUEUE_SIZE),
    FIELD_ARRAY(struct i8042, keyboard.codes.bytes),
    FIELD_MAX(struct i8042, keyboard.codes.head, PS2_QUEUE_SIZE - 1),
    FIELD_MAX(struct i8042, keyboard.codes.count, PS2_QUEUE_SIZE),
    FIELD(struct i8042, keyboard.parameter_of),
    FIELD_MAX(struct i8042, keyboard.scan_set, 2),
    FIELD(struct i8042, keyboard.scanning),
    FIELD(struct i8042, keyboard.leds),
    FIELD(struct i8042, keyboard.typematic),
    FIELD(struct i8042, keyboard.last),
    FIELD_ARRAY(struct i8042, mouse.answers.bytes),
    FIELD_MAX(struct i8042, mouse.answers.head, PS2_QUEUE_SIZE - 1),
    FIELD_MAX(struct i8042, mouse.answers.count, PS2_QUEUE_SIZE),
    FIELD(struct i8042, mouse.parameter_of),
    FIELD(struct i8042, mouse.rate),
    FIELD(struct i8042, mouse.resolution),
    FIELD(struct i8042, mouse.reporting),
    FIELD(struct i8042, mouse.scale2),
    FIELD(struct i8042, mouse.remote),
    FIELD(struct i8042, mouse.wrap),
    FIELD(struct i8042, mouse.last),
    FIELDS_END,
};

int i8042_create(const struct slot *slot, const struct i8042_config *config, struct device **device)
{
    struct i8042 *k = calloc(1, sizeof(*k));
    int error;

    if (!k) {
        return -ENOMEM;
    }
    k->device = (struct device){.name = "i8042",
                                .block = k,
                                .block_bytes = sizeof(*k),
                                .state = {{fields, k}},
                                .reset = reset,
                                .destroy = destroy};
    k->slot = *slot;
    k->config = *config;
    error = device_add_regions(slot, regions, ARRAY_SIZE(regions), k);
    if (error) {
        free(k);
        return error;
    }
    reset(&k->device);
    *device = &k->device;
    return 0;
}
