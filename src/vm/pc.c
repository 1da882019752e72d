/*
 * pc.c - the devices of a PC: one row a device, and how its interrupt lines run.
 *
 * An ISA line goes to the pair of PICs and to the IOAPIC, which has eight more; IRQ 0 is on the
 * IOAPIC's pin 2, as on any PC.  The PICs' output goes to LINT0 of the first CPU.
 */
#include "vm/pc.h"

#include <errno.h>
#include <string.h>

#include "boot/e820.h"
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
#include "vm/devices.h"
#include "vm/machine.h"

enum {
    IRQ_TIMER = 0,
    IRQ_KEYBOARD = 1,
    IRQ_COM2 = 3,
    IRQ_COM1 = 4,
    IRQ_RTC = 8,
    IRQ_AUX = 12,
    IRQ_FPU = 13,
    ISA_LINES = 16, /* from here on there is only the IOAPIC */
};

#define PCI_GSI 16 /* the IOAPIC's pins for INTA# to INTD# are this and the next ones */

/* ------------------------------------------------------------------ interrupt lines */

static void set_line(void *context, unsigned number, bool level)
{
    struct ringer *m = context;
    struct irq ioapic = ioapic_irq(m->pc.devices[PC_IOAPIC], number == IRQ_TIMER ? 2 : number);

    if (number < ISA_LINES) {
        struct irq pic = i8259_irq(m->pc.devices[PC_I8259], number);
        irq_set(&pic, level);
    }
    irq_set(&ioapic, level);
}

static struct irq isa_line(struct ringer *m, unsigned number)
{
    return (struct irq){.set = set_line, .context = m, .number = number};
}

/* With the IOAPIC each has a pin of its own; they share two inputs of the PICs. */
static void set_pci_line(void *context, unsigned number, bool level)
{
    struct ringer *m = context;
    struct irq pic = i8259_irq(m->pc.devices[PC_I8259], pci_isa_irqs[number]);
    struct irq ioapic = ioapic_irq(m->pc.devices[PC_IOAPIC], PCI_GSI + number);
    bool shared = false;

    m->pc.pci_lines[number] = level;
    for (unsigned i = 0; i < PCI_LINES; i++) {
        shared |= m->pc.pci_lines[i] && pci_isa_irqs[i] == pci_isa_irqs[number];
    }
    irq_set(&pic, shared);
    irq_set(&ioapic, level);
}

static void set_intr(void *context, unsigned number, bool level)
{
    struct ringer *m = context;

    (void)number;
    if (level) {
        interrupt_post_event(&m->fabric, 0, INBOX_EXTINT);
    } else {
        atomic_fetch_and(&m->vm->inboxes[0].events, ~(u32)INBOX_EXTINT);
    }
}

/* It is looked at only when an x87 exception is waited for, by the first CPU. */
static void set_ignne(void *context, unsigned number, bool level)
{
    struct ringer *m = context;
    _Atomic u32 *events = &m->vm->inboxes[0].events;

    (void)number;
    if (level) {
        atomic_fetch_or(events, INBOX_IGNNE);
    } else {
        atomic_fetch_and(events, ~(u32)INBOX_IGNNE);
    }
}

/* ------------------------------------------------------------------ A20 */

/* Before the guest's write that does it is answered: see vm/cpu_bus.c. */
static void set_a20(void *context, bool on)
{
    struct ringer *m = context;

    for (unsigned i = 0; i < m->vm->cpu_count; i++) {
        if (on) {
            atomic_fetch_and(&m->vm->inboxes[i].events, ~(u32)INBOX_A20_OFF);
            interrupt_kick(&m->fabric, i);
        } else {
            interrupt_post_event(&m->fabric, i, INBOX_A20_OFF);
        }
    }
}

/* ------------------------------------------------------------------ power */

static void power(void *context, enum power_event event, u32 code)
{
    struct ringer *m = context;

    switch (event) {
    case POWER_OFF:
        machine_end(m, RINGER_EXIT_POWER_OFF, 0, 0);
        break;
    case POWER_RESET:
        machine_end(m, RINGER_EXIT_RESET, 0, 0);
        break;
    case POWER_DEBUG_EXIT:
        machine_end(m, RINGER_EXIT_DEBUG, 0, code);
        break;
    }
}

static void log_line(void *context, const char *line)
{
    struct ringer *m = context;

    if (m->config.message) {
        m->config.message(m->config.message_context, line);
    } else {
        fprintf(stderr, "ringer: %s\n", line);
    }
}

/* ------------------------------------------------------------------ constructors */

static int make_i8259(struct ringer *m, const struct slot *slot, struct device **device)
{
    return i8259_create(slot, &(struct i8259_config){.output = {.set = set_intr, .context = m}},
                        device);
}

static int make_ioapic(struct ringer *m, const struct slot *slot, struct device **device)
{
    return ioapic_create(slot, &(struct ioapic_config){.fabric = &m->fabric, .base = IOAPIC_BASE},
                         device);
}

static int make_i8254(struct ringer *m, const struct slot *slot, struct device **device)
{
    return i8254_create(slot, &(struct i8254_config){.irq = isa_line(m, IRQ_TIMER)}, device);
}

static int make_mc146818(struct ringer *m, const struct slot *slot, struct device **device)
{
    const struct mc146818_config config = {
        .irq = isa_line(m, IRQ_RTC),
        .epoch_s = (s64)(m->vm->clock.wall_ns_start / 1000000000),
        .low_size = m->vm->mem.low_size,
        .high_size = m->vm->mem.high_size,
        .cpus = m->vm->cpu_count,
    };
    return mc146818_create(slot, &config, device);
}

static int make_dma8237(struct ringer *m, const struct slot *slot, struct device **device)
{
    (void)m;
    return dma8237_create(slot, device);
}

static int make_fpu_error(struct ringer *m, const struct slot *slot, struct device **device)
{
    const struct fpu_error_config config = {
        .irq = isa_line(m, IRQ_FPU),
        .ignne = {.set = set_ignne, .context = m},
    };
    return fpu_error_create(slot, &config, device);
}

static int make_i8042(struct ringer *m, const struct slot *slot, struct device **device)
{
    const struct i8042_config config = {
        .keyboard = isa_line(m, IRQ_KEYBOARD),
        .aux = isa_line(m, IRQ_AUX),
        .keyboard_ready = keyboard_ready,
        .context = m,
    };
    return i8042_create(slot, &config, device);
}

static int make_reset(struct ringer *m, const struct slot *slot, struct device **device)
{
    (void)m;
    return reset_create(slot, device);
}

static int make_vga(struct ringer *m, const struct slot *slot, struct device **device)
{
    return vga_create(slot, &(struct vga_config){.mem = &m->vm->mem}, device);
}

static int make_acpi_pm(struct ringer *m, const struct slot *slot, struct device **device)
{
    const struct acpi_pm_config config = {
        .sci = isa_line(m, ACPI_SCI_IRQ),
        .timer_32bit = true,
    };
    return acpi_pm_create(slot, &config, device);
}

static u8 read_cf9(void *context)
{
    struct ringer *m = context;

    return reset_read_control(m->pc.devices[PC_RESET]);
}

static void write_cf9(void *context, u8 value)
{
    struct ringer *m = context;

    reset_write_control(m->pc.devices[PC_RESET], value);
}

static int make_pci(struct ringer *m, const struct slot *slot, struct device **device)
{
    struct pci_host_config config = {
        .fabric = &m->fabric,
        .mem = &m->vm->mem,
        .read_cf9 = read_cf9,
        .write_cf9 = write_cf9,
        .context = m,
    };

    for (unsigned i = 0; i < PCI_LINES; i++) {
        config.lines[i] = (struct irq){.set = set_pci_line, .context = m, .number = i};
    }
    return pci_host_create(slot, &config, device);
}

static int make_fw_cfg(struct ringer *m, const struct slot *slot, struct device **device)
{
    struct e820_entry map[E820_MAX];
    unsigned entries = boot_e820_map(&m->vm->mem, map);
    u16 cpus = (u16)m->vm->cpu_count;
    int error = fw_cfg_create(slot, &(struct fw_cfg_config){.mem = &m->vm->mem}, device);

    if (error < 0) {
        return error;
    }
    if ((error = fw_cfg_add_u16(*device, FW_CFG_NB_CPUS, cpus)) < 0 ||
        (error = fw_cfg_add_u16(*device, FW_CFG_MAX_CPUS, cpus)) < 0 ||
        (error = fw_cfg_add_u64(*device, FW_CFG_RAM_SIZE, m->vm->ram_bytes)) < 0 ||
        (error = fw_cfg_add_file(*device, "etc/e820", map, entries * sizeof(map[0]))) < 0) {
        device_destroy(*device);
        *device = NULL;
    }
    return error;
}

static int make_com1(struct ringer *m, const struct slot *slot, struct device **device)
{
    const struct uart16550_config config = {
        .port = UART16550_COM1,
        .irq = isa_line(m, IRQ_COM1),
        .ops = &serial_port_ops,
        .context = m->serials[0],
    };
    return uart16550_create(slot, &config, device);
}

static int make_com2(struct ringer *m, const struct slot *slot, struct device **device)
{
    const struct uart16550_config config = {
        .port = UART16550_COM2,
        .irq = isa_line(m, IRQ_COM2),
        .ops = &serial_port_ops,
        .context = m->serials[1],
    };
    return uart16550_create(slot, &config, device);
}

static int make_debug_exit(struct ringer *m, const struct slot *slot, struct device **device)
{
    return m->config.debug_exit ? debug_exit_create(slot, device) : 0;
}

static int make_debug_console(struct ringer *m, const struct slot *slot, struct device **device)
{
    const struct debug_console_config config = {
        .ops = &serial_port_ops,
        .context = m->debug_console,
    };
    return m->config.debug_console ? debug_console_create(slot, &config, device) : 0;
}

static int make_testdev(struct ringer *m, const struct slot *slot, struct device **device)
{
    struct testdev_config config = {.mem = &m->vm->mem, .no_echo_bytes = m->config.debug_console};

    for (unsigned i = 0; i < TESTDEV_LINES; i++) {
        config.lines[i] = isa_line(m, i);
    }
    return m->config.testdev ? testdev_create(slot, &config, device) : 0;
}

/* The machine.  A device that the configuration does not ask for stays NULL. */
static int (*const table[PC_SLOTS])(struct ringer *, const struct slot *, struct device **) = {
    [PC_I8259] = make_i8259,
    [PC_IOAPIC] = make_ioapic,
    [PC_I8254] = make_i8254,
    [PC_MC146818] = make_mc146818,
    [PC_DMA8237] = make_dma8237,
    [PC_FPU_ERROR] = make_fpu_error,
    [PC_I8042] = make_i8042,
    [PC_RESET] = make_reset,
    [PC_VGA] = make_vga,
    [PC_ACPI_PM] = make_acpi_pm,
    [PC_PCI] = make_pci,
    [PC_FW_CFG] = make_fw_cfg,
    [PC_COM1] = make_com1,
    [PC_COM2] = make_com2,
    [PC_DEBUG_EXIT] = make_debug_exit,
    [PC_DEBUG_CONSOLE] = make_debug_console,
    [PC_TESTDEV] = make_testdev,
};

/* What firmware would have done. */
static void start_pci(struct ringer *m)
{
    u16 level_triggered = 0;

    pci_assign(pci_host_bus(m->pc.devices[PC_PCI]));
    for (unsigned i = 0; i < PCI_LINES; i++) {
        level_triggered |= (u16)(1u << pci_isa_irqs[i]);
    }
    bus_map_write(&m->bus, BUS_PIO, I8259_ELCR, level_triggered, 2);
}

int pc_create(struct ringer *m)
{
    m->a20 = (struct a20_gate){.on = true, .changed = set_a20, .context = m};
    m->slot = (struct slot){
        .bus = &m->bus,
        .timers = &m->timers,
        .a20 = &m->a20,
        .power = power,
        .power_context = m,
        .log = log_line,
        .log_context = m,
    };
    for (unsigned i = 0; i < PC_SLOTS; i++) {
        int error = table[i](m, &m->slot, &m->pc.devices[i]);
        if (error < 0) {
            pc_destroy(m);
            return error;
        }
    }
    int error = devices_create(m);
    if (error < 0) {
        pc_destroy(m);
        return error;
    }
    start_pci(m);
    return 0;
}

void pc_destroy(struct ringer *m)
{
    devices_destroy(m);
    for (unsigned i = PC_SLOTS; i-- > 0;) {
        device_destroy(m->pc.devices[i]);
        m->pc.devices[i] = NULL;
    }
    bus_map_destroy(&m->bus);
}

void pc_describe(const struct ringer *m, struct boot_machine *description)
{
    *description = boot_machine_pc;
    description->cpu_count = m->vm->cpu_count;
    description->ioapic_base = (u32)IOAPIC_BASE;
    description->ioapic_pins = IOAPIC_PINS;
    description->sci_irq = ACPI_SCI_IRQ;
    description->s5_type = ACPI_SLP_TYP_S5;
    description->pm1_event_port = ACPI_PM1A_EVT;
    description->pm1_control_port = ACPI_PM1A_CNT;
    description->pm_timer_port = ACPI_PM_TMR;
    description->gpe0_port = ACPI_GPE0;
    description->gpe0_size = ACPI_GPE0_SIZE;
    description->reset_port = RESET_PORT;
    description->reset_value = RESET_VALUE;
    description->pci = true;
    description->pci_gsi = PCI_GSI;
    memcpy(description->pci_irqs, pci_isa_irqs, sizeof(description->pci_irqs));
}
