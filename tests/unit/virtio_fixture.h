/*
 * virtio_fixture.h - one virtio device on a PCI bus, and a driver for it that a test drives.
 *
 * The RAM, and the driver's side of one queue, are virtq_driver.h's; its struct virtq is not used,
 * since the device has its own.
 */
#ifndef VIRTIO_FIXTURE_H
#define VIRTIO_FIXTURE_H

#include <stdio.h>

#include "dev/pci/host.h"
#include "dev/virtio/virtio.h"
#include "fake_slot.h"
#include "virtq_driver.h"

enum { SIZE = 8, STATUS = 20, QUEUE_ENABLE = 28, QUEUE_RESET = 58, NEEDS_RESET = 0x40 };

struct fixture {
    struct fake_slot f;
    struct driver d;
    struct interrupt_inbox inbox;
    struct interrupt_fabric fabric;
    struct device *host;
    struct pci_function *function; /* whose registers follow */
    u64 common, isr, config, notify;
    unsigned lines; /* that the device has logged, and the last */
    char line[256];
};

static inline u8 read_cf9(void *context)
{
    (void)context;
    return 0;
}

static inline void write_cf9(void *context, u8 value)
{
    (void)context;
    (void)value;
}

static inline void log_line(void *context, const char *line)
{
    struct fixture *w = context;

    w->lines++;
    snprintf(w->line, sizeof(w->line), "%s", line);
}

static inline u32 get(struct fixture *w, u64 at, unsigned size)
{
    return (u32)bus_map_read(&w->f.bus, BUS_MMIO, at, size);
}

static inline void set(struct fixture *w, u64 at, unsigned size, u64 value)
{
    bus_map_write(&w->f.bus, BUS_MMIO, at, value, size);
}

static inline u64 config_at(const struct fixture *w, unsigned offset)
{
    return MEM_ECAM_START + w->function->slot * 0x8000u + offset;
}

/* As a driver: walk the capabilities. */
static inline void find_registers(struct fixture *w, struct pci_function *function)
{
    u64 *const found[] = {NULL, &w->common, &w->notify, &w->isr, &w->config};
    unsigned at;

    w->function = function;
    for (at = get(w, config_at(w, 0x34), 1); at; at = get(w, config_at(w, at + 1), 1)) {
        unsigned type = get(w, config_at(w, at + 3), 1);
        if (get(w, config_at(w, at), 1) == 9 && type >= 1 && type <= 4) {
            unsigned bar = get(w, config_at(w, at + 4), 1);
            *found[type] =
                (get(w, config_at(w, 0x10 + 4 * bar), 4) & ~15u) + get(w, config_at(w, at + 8), 4);
        }
    }
    set(w, config_at(w, 4), 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

/* Reset, negotiate what we want, set one queue up. */
static inline void start_driver_on(struct fixture *w, u64 features, unsigned queue)
{
    features |= 1ull << VIRTIO_F_VERSION_1;
    if (w->d.packed) {
        features |= 1ull << VIRTIO_F_RING_PACKED;
    }
    set(w, w->common + STATUS, 1, 0);
    assert_int_equal(get(w, w->common + STATUS, 1), 0);
    set(w, w->common + STATUS, 1, 3);
    for (unsigned half = 0; half < 2; half++) {
        set(w, w->common + 8, 4, half);
        set(w, w->common + 12, 4, (u32)(features >> 32 * half));
    }
    set(w, w->common + STATUS, 1, 11);
    assert_int_equal(get(w, w->common + STATUS, 1), 11);
    set(w, w->common + 22, 2, queue);
    set(w, w->common + 24, 2, SIZE);
    set(w, w->common + 32, 8, DRIVER_RING);
    set(w, w->common + 40, 8, DRIVER_AVAIL);
    set(w, w->common + 48, 8, DRIVER_USED);
    set(w, w->common + QUEUE_ENABLE, 2, 1);
    set(w, w->common + STATUS, 1, 15);
    assert_int_equal(get(w, w->common + STATUS, 1), 15);
}

static inline void start_driver(struct fixture *w, u64 features)
{
    start_driver_on(w, features, 0);
}

/* A host bridge; the test puts its device on pci_host_bus(fixture->host), then calls
 * fixture_found(). */
static inline void fixture_init(struct fixture *w, bool packed)
{
    struct pci_host_config host = {
        .fabric = &w->fabric, .mem = &w->d.mem, .read_cf9 = read_cf9, .write_cf9 = write_cf9};

    memset(w, 0, sizeof(*w));
    fake_slot_init(&w->f);
    w->f.slot.log = log_line;
    w->f.slot.log_context = w;
    driver_init(&w->d, packed, SIZE);
    w->inbox.mode = 1;
    w->fabric = (struct interrupt_fabric){.inboxes = &w->inbox, .count = 1};
    for (unsigned i = 0; i < PCI_LINES; i++) {
        host.lines[i] = fake_irq(&w->f, i);
    }
    assert_int_equal(pci_host_create(&w->f.slot, &host, &w->host), 0);
}

/* Give BARs addresses, and find the device's registers as a driver does. */
static inline void fixture_found(struct fixture *w, struct device *device)
{
    pci_assign(pci_host_bus(w->host));
    find_registers(w, &container_of(device, struct virtio_device, device)->pci);
}

/* The driver begins anew with its ring, before start_driver(). */
static inline void fixture_forget(struct fixture *w)
{
    w->d.avail_index = w->d.next = w->d.used_seen = 0;
    w->d.wrap = w->d.used_wrap = true;
    memset(driver_at(&w->d, DRIVER_RING), 0, DRIVER_DATA - DRIVER_RING);
}

/* Its one ring is now that of a queue of the test's choice. */
static inline void restart_driver_on(struct fixture *w, u64 features, unsigned queue)
{
    fixture_forget(w);
    start_driver_on(w, features, queue);
}

static inline void kick_queue(struct fixture *w, unsigned queue)
{
    set(w, w->notify + 4 * queue, 2, queue);
}

/* The device has been destroyed by now. */
static inline void fixture_done(struct fixture *w)
{
    device_destroy(w->host);
    assert_int_equal(w->f.bus.count, 0);
    bus_map_destroy(&w->f.bus);
    driver_done(&w->d);
}

#endif
