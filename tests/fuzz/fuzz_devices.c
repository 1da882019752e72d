/*
 * fuzz_devices.c - a board with all devices, driven by the input: accesses, time, bytes, lines.
 *
 * The input is a string of operations: an opcode byte and its operands, little-endian.  What must
 * hold, besides the sanitizers: with the clock standing still, the timers come to rest; and nothing
 * asks the board to do what only a debug-exit port may.  So it is, too, after a device's state was
 * read from a snapshot with some of its bytes others; but where that is refused there is no
 * machine.
 */
#include <stdlib.h>
#include <string.h>

#include "dev/acpi_pm.h"
#include "dev/debug_console.h"
#include "dev/debug_exit.h"
#include "dev/dma8237.h"
#include "dev/fpu_error.h"
#include "dev/fw_cfg.h"
#include "dev/i8042.h"
#include "dev/i8254.h"
#include "dev/i8259.h"
#include "dev/ioapic.h"
#include "dev/mc146818.h"
#include "dev/pci/host.h"
#include "dev/reset.h"
#include "dev/testdev.h"
#include "dev/uart16550.h"
#include "dev/vga.h"

#include "fuzz_board.h"
#include "fuzz_input.h"

enum {
    DEVICES = 20,
    VCPUS = 2,
    RAM = 0x100000,
    OPERATIONS_MAX = 4096,
    RUNS_TO_REST = 8,
};

struct board {
    struct slot slot;
    struct bus_map bus;
    struct timer_queue timers;
    struct a20_gate a20;
    u64 now_ns;
    struct mem mem;
    struct interrupt_inbox inboxes[VCPUS];
    struct interrupt_fabric fabric;
    struct device *devices[DEVICES];
    unsigned count;
    struct device *pic, *ioapic, *uart, *acpi, *keyboard, *vga;
    struct vga_text text;
    bool refused;      /* a device has read a state that it cannot be in */
    const u8 *waiting; /* what the serial port has not taken yet */
    size_t waiting_count;
};

static void power(void *context, enum power_event event, u32 code)
{
    (void)context;
    if (code && event != POWER_DEBUG_EXIT) {
        abort();
    }
}

static void a20_changed(void *context, bool on)
{
    (void)context;
    (void)on;
}

/* An ISA line goes to both interrupt controllers; the timer's to pin 2 of the IOAPIC. */
static void isa_line(void *context, unsigned number, bool level)
{
    struct board *b = context;
    struct irq to_pic = i8259_irq(b->pic, number);
    struct irq to_ioapic = ioapic_irq(b->ioapic, number == 0 ? 2 : number);

    if (number < 16) {
        irq_set(&to_pic, level);
    }
    irq_set(&to_ioapic, level);
}

static void intr(void *context, unsigned number, bool level)
{
    struct board *b = context;

    (void)number;
    if (level) {
        interrupt_post_event(&b->fabric, 0, INBOX_EXTINT);
    }
}

static void ready(void *context)
{
    struct board *b = context;
    size_t taken = uart16550_receive(b->uart, b->waiting, b->waiting_count);

    b->waiting += taken;
    b->waiting_count -= taken;
}

static void transmit(void *context, const u8 *bytes, size_t count)
{
    (void)context;
    if (count == 0 || !bytes) {
        abort();
    }
}

static const struct serial_port_ops serial_ops = {.transmit = transmit, .ready = ready};

static struct irq isa(struct board *b, unsigned number)
{
    return (struct irq){.set = isa_line, .context = b, .number = number};
}

static struct device *keep(struct board *b, int error, struct device *device)
{
    if (error) {
        abort();
    }
    b->devices[b->count++] = device;
    return device;
}

static void add_interrupt_controllers(struct board *b)
{
    struct i8259_config pic = {.output = {.set = intr, .context = b}};
    struct ioapic_config io = {.fabric = &b->fabric, .base = IOAPIC_BASE, .id = 2};
    struct device *d = NULL;

    b->pic = keep(b, i8259_create(&b->slot, &pic, &d), d);
    b->ioapic = keep(b, ioapic_create(&b->slot, &io, &d), d);
}

static void add_timers(struct board *b)
{
    struct i8254_config pit = {.irq = isa(b, 0)};
    struct mc146818_config rtc = {.irq = isa(b, 8), .epoch_s = 1700000000, .low_size = RAM};
    struct acpi_pm_config pm = {.sci = isa(b, 9), .timer_32bit = false};
    struct device *d = NULL;

    keep(b, i8254_create(&b->slot, &pit, &d), d);
    keep(b, mc146818_create(&b->slot, &rtc, &d), d);
    b->acpi = keep(b, acpi_pm_create(&b->slot, &pm, &d), d);
}

static void add_others(struct board *b)
{
    struct pci_host_config pci = {
        .fabric = &b->fabric, .mem = &b->mem, .read_cf9 = read_cf9, .write_cf9 = write_cf9};
    struct uart16550_config com1 = {
        .port = UART16550_COM1, .irq = isa(b, 4), .ops = &serial_ops, .context = b};
    struct uart16550_config com2 = {.port = UART16550_COM2, .irq = isa(b, 3)};
    struct i8042_config kbd = {.keyboard = isa(b, 1), .aux = isa(b, 12), .mouse = true};
    struct fw_cfg_config fw = {.mem = &b->mem};
    struct fpu_error_config fpu = {.irq = isa(b, 13)};
    struct debug_console_config console = {.ops = &serial_ops, .context = b};
    struct testdev_config test = {.mem = &b->mem, .no_echo_bytes = true};
    struct device *d = NULL;

    for (unsigned i = 0; i < TESTDEV_LINES; i++) {
        test.lines[i] = isa(b, i);
    }
    b->uart = keep(b, uart16550_create(&b->slot, &com1, &d), d);
    keep(b, uart16550_create(&b->slot, &com2, &d), d);
    b->keyboard = keep(b, i8042_create(&b->slot, &kbd, &d), d);
    keep(b, reset_create(&b->slot, &d), d);
    keep(b, fw_cfg_create(&b->slot, &fw, &d), d);
    if (fw_cfg_add_file(d, "etc/e820", "0123456789", 10)) {
        abort();
    }
    keep(b, debug_exit_create(&b->slot, &d), d);
    keep(b, debug_console_create(&b->slot, &console, &d), d);
    keep(b, dma8237_create(&b->slot, &d), d);
    fpu_error_set(keep(b, fpu_error_create(&b->slot, &fpu, &d), d), true);
    keep(b, testdev_create(&b->slot, &test, &d), d);
    keep(b, pci_host_create(&b->slot, &pci, &d), d);
    b->vga = keep(b, vga_create(&b->slot, &(struct vga_config){.mem = &b->mem}, &d), d);
}

static void make_board(struct board *b)
{
    unsigned i;

    memset(b, 0, sizeof(*b));
    b->timers = (struct timer_queue){.clock_ns = clock_ns, .clock = &b->now_ns};
    b->a20 = (struct a20_gate){.on = true, .changed = a20_changed};
    b->slot = (struct slot){.bus = &b->bus, .timers = &b->timers, .a20 = &b->a20, .power = power};
    b->mem = (struct mem){.base = calloc(1, RAM), .low_size = RAM};
    if (!b->mem.base) {
        abort();
    }
    b->fabric = (struct interrupt_fabric){.inboxes = b->inboxes, .count = VCPUS};
    for (i = 0; i < VCPUS; i++) {
        b->inboxes[i].apic_id = i;
        b->inboxes[i].mode = 1;
        b->inboxes[i].dfr = 0xffffffff;
        b->inboxes[i].ldr = 1u << (24 + i);
    }
    add_interrupt_controllers(b);
    add_timers(b);
    add_others(b);
}

static void destroy_board(struct board *b)
{
    while (b->count) {
        device_destroy(b->devices[--b->count]);
    }
    if (b->bus.count || b->timers.first) {
        abort();
    }
    bus_map_destroy(&b->bus);
    free(b->mem.base);
}

/* A port that something answers at, mostly. */
static u16 port(struct input *in, const struct board *b)
{
    unsigned n = (unsigned)take(in, 1), i, found = 0;
    u8 offset = (u8)take(in, 1);

    for (i = 0; i < b->bus.count; i++) {
        const struct bus_region *r = &b->bus.regions[i];
        if (r->space == BUS_PIO && found++ == n) {
            return (u16)(r->base + offset % (r->size + 1));
        }
    }
    return (u16)(n << 8 | offset);
}

/* An address that something answers at. */
static u64 mmio_address(struct input *in, unsigned which)
{
    switch (which & 3) {
    case 1:
        return TESTDEV_MEMORY + take(in, 2);
    case 2:
        return MEM_VGA_START + take(in, 3) % (MEM_VGA_END - MEM_VGA_START);
    default:
        return IOAPIC_BASE + take(in, 1);
    }
}

static void pass_time(struct board *b, u64 ns)
{
    unsigned runs = 0;

    b->now_ns += ns;
    while (timer_queue_next(&b->timers) <= b->now_ns) {
        timer_queue_run(&b->timers);
        if (++runs > RUNS_TO_REST) {
            abort();
        }
    }
}

/* The device's state, some of its bytes others, is read back. */
static void reload(struct board *b, struct input *in, struct device *device)
{
    struct field_writer w = {.bytes = NULL};
    struct field_reader r;
    unsigned changes = (unsigned)take(in, 1) & 7;

    device_save(device, &w);
    w = (struct field_writer){.bytes = malloc(w.size + 1), .capacity = w.size};
    if (!w.bytes) {
        abort();
    }
    device_save(device, &w);
    while (changes-- && w.size) {
        w.bytes[take(in, 3) % w.size] = (u8)take(in, 1);
    }
    r = (struct field_reader){.bytes = w.bytes, .size = w.size};
    b->refused = !device_load(device, &r);
    if (b->refused && (!r.field || !r.error)) {
        abort();
    }
    free(w.bytes);
}

static void step(struct board *b, struct input *in)
{
    u8 op = (u8)take(in, 1);
    unsigned size = 1u << (op >> 6), count;
    u64 address;

    switch (op & 15) {
    case 0:
    case 1:
    case 2:
        address = port(in, b);
        bus_map_write(&b->bus, BUS_PIO, address, take(in, size), size);
        break;
    case 3:
    case 4:
        bus_map_read(&b->bus, BUS_PIO, port(in, b), size);
        break;
    case 5:
        address = mmio_address(in, op >> 4);
        bus_map_write(&b->bus, BUS_MMIO, address, take(in, size), size);
        break;
    case 6:
        bus_map_read(&b->bus, BUS_MMIO, mmio_address(in, op >> 4), size);
        break;
    case 7:
        pass_time(b, take(in, 2));
        break;
    case 8:
        pass_time(b, take(in, 3) << 8);
        break;
    case 9: /* up to some hours: the host was suspended */
        pass_time(b, take(in, 2) << 28);
        break;
    case 10:
        count = (unsigned)take(in, 1) & 31;
        b->waiting_count = count < in->size ? count : in->size;
        b->waiting = in->bytes;
        ready(b);
        break;
    case 11:
        isa_line(b, op >> 4, take(in, 1) & 1);
        break;
    case 12:
        i8259_acknowledge(b->pic);
        break;
    case 13:
        ioapic_eoi(b->ioapic, (u8)take(in, 1));
        break;
    case 14:
        if (op >> 4) {
            i8042_key(b->keyboard, (u16)take(in, 2), op >> 7);
        } else {
            acpi_pm_press_power(b->acpi);
            uart16550_break(b->uart);
        }
        break;
    default:
        count = (unsigned)take(in, 1) % b->count;
        if (op >> 6) {
            reload(b, in, b->devices[count]);
        } else {
            b->devices[count]->reset(b->devices[count]);
        }
        break;
    }
}

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t size)
{
    struct input in = {bytes, size};
    struct board b;
    unsigned i;

    make_board(&b);
    for (i = 0; in.size && i < OPERATIONS_MAX && !b.refused; i++) {
        step(&b, &in);
    }
    vga_read_text(b.vga, &b.text);
    if (b.text.columns * b.text.rows > VGA_CELLS_MAX) {
        abort();
    }
    destroy_board(&b);
    return 0;
}
