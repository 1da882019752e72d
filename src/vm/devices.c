/* devices.c - the devices on the PCI bus: one row a kind of device. */
#include "vm/devices.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "dev/pci/host.h"
#include "dev/virtio/blk.h"
#include "dev/virtio/fs.h"
#include "dev/virtio/net.h"
#include "dev/virtio/rng.h"
#include "dev/virtio/vsock.h"
#include "vm/disk.h"
#include "vm/machine.h"
#include "vm/nic.h"
#include "vm/share.h"
#include "vm/vsock.h"

/* ------------------------------------------------------------------ virtio-blk */

/* By default a guest finds its disk by the name of the file. */
static const char *default_serial(const char *source)
{
    const char *slash = strrchr(source, '/');
    const char *name = slash && slash[1] ? slash + 1 : source;
    size_t length = strlen(name);

    return length > VIRTIO_BLK_SERIAL_SIZE ? name + length - VIRTIO_BLK_SERIAL_SIZE : name;
}

static int make_disk(struct ringer *m, const struct ringer_device *config, struct pci_bus *bus,
                     struct device **device)
{
    struct virtio_blk_config blk = {.queues = config->disk.queues};
    struct disk *disk;
    int error;

    if (blk.queues > VIRTIO_BLK_QUEUES_MAX) {
        return machine_fail(m, -EINVAL, "disk '%s': %u queues are too many; there may be %u",
                            config->disk.source, blk.queues, VIRTIO_BLK_QUEUES_MAX);
    }
    if (blk.queues == 0) {
        blk.queues =
            m->vm->cpu_count < VIRTIO_BLK_QUEUES_MAX ? m->vm->cpu_count : VIRTIO_BLK_QUEUES_MAX;
    }
    error = disk_open(m, config, &disk);
    if (error < 0) {
        return error;
    }
    blk.block = disk->block;
    blk.serial = config->disk.serial ? config->disk.serial : default_serial(config->disk.source);
    return virtio_blk_create(bus, &blk, device);
}

/* ------------------------------------------------------------------ virtio-net */

static int make_net(struct ringer *m, const struct ringer_device *config, struct pci_bus *bus,
                    struct device **device)
{
    static const u8 usual[NET_ADDRESS_BYTES] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56}, none[6];
    struct virtio_net_config net = {.keeps_state = m->config.replay_path};
    struct nic *nic;
    int error = nic_open(m, config, &nic);

    if (error < 0) {
        return error;
    }
    net.net = nic->net;
    memcpy(net.address, config->net.address, sizeof(net.address));
    if (!memcmp(net.address, none, sizeof(none))) {
        memcpy(net.address, usual, sizeof(usual));
        net.address[NET_ADDRESS_BYTES - 1] += (u8)nic->number;
    }
    error = virtio_net_create(bus, &net, device);
    nic->card = *device;
    return error;
}

/* ------------------------------------------------------------------ virtio-rng */

static void fill_random(void *context, void *bytes, size_t size)
{
    u8 *next = bytes;

    (void)context;
    while (size) {
        ssize_t got = getrandom(next, size, 0);
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            abort(); /* no kernel that runs Ringer is without it */
        }
        next += got;
        size -= (size_t)got;
    }
}

/* --icount: every run sees the same.  SplitMix64. */
static void fill_repeatable(void *context, void *bytes, size_t size)
{
    u64 *state = context;
    u8 *next = bytes;

    for (size_t i = 0; i < size; i += 8) {
        u64 z = *state += 0x9e3779b97f4a7c15ull;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ z >> 27) * 0x94d049bb133111ebull;
        z ^= z >> 31;
        memcpy(next + i, &z, size - i < 8 ? size - i : 8);
    }
}

static int make_rng(struct ringer *m, const struct ringer_device *config, struct pci_bus *bus,
                    struct device **device)
{
    struct virtio_rng_config rng = {
        .fill = m->vm->clock.icount ? fill_repeatable : fill_random,
        .context = &m->random_state,
    };

    (void)config;
    return virtio_rng_create(bus, &rng, device);
}

/* ------------------------------------------------------------------ virtio-fs */

static int make_share(struct ringer *m, const struct ringer_device *config, struct pci_bus *bus,
                      struct device **device)
{
    struct virtio_fs_config fs;
    int error = share_open(m, config, &fs);

    return error < 0 ? error : virtio_fs_create(bus, &fs, device);
}

/* ------------------------------------------------------------------ virtio-console */

static int make_console(struct ringer *m, const struct ringer_device *config, struct pci_bus *bus,
                        struct device **device)
{
    (void)config; /* its back end is a port's */
    return console_create(m, bus, device);
}

/* ------------------------------------------------------------------ virtio-vsock */

static int make_vsock(struct ringer *m, const struct ringer_device *config, struct pci_bus *bus,
                      struct device **device)
{
    struct virtio_vsock_config vsock;
    int error = vsock_open(m, config, &vsock);

    if (error < 0 || (error = virtio_vsock_create(bus, &vsock, device)) < 0) {
        return error;
    }
    vsock_attach(m, *device);
    return 0;
}

/* ------------------------------------------------------------------ all of them */

static int (*const makers[])(struct ringer *, const struct ringer_device *, struct pci_bus *,
                             struct device **) = {
    [RINGER_DEVICE_DISK] = make_disk,         [RINGER_DEVICE_NET] = make_net,
    [RINGER_DEVICE_RNG] = make_rng,           [RINGER_DEVICE_SHARE] = make_share,
    [RINGER_DEVICE_CONSOLE] = make_console,   [RINGER_DEVICE_VSOCK] = make_vsock,
    [RINGER_DEVICE_BALLOON] = balloon_create,
};

int devices_create(struct ringer *m)
{
    const struct ringer_config *c = &m->config;
    struct pci_bus *bus = pci_host_bus(m->pc.devices[PC_PCI]);

    m->pc.cards = calloc(c->device_count ? c->device_count : 1, sizeof(struct device *));
    if (!m->pc.cards) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < c->device_count; i++) {
        enum ringer_device_kind kind = c->devices[i].kind;
        if ((unsigned)kind >= ARRAY_SIZE(makers)) {
            return machine_fail(m, -EINVAL, "device %u is of no kind that there is", i + 1);
        }
        int error = makers[kind](m, &c->devices[i], bus, &m->pc.cards[i]);
        if (error == -ENOSPC) {
            return machine_fail(m, error, "device %u is one too many: there are %u slots", i + 1,
                                PCI_SLOTS - 1);
        }
        if (error < 0) {
            return error;
        }
        m->pc.card_count++;
    }
    return 0;
}

void devices_destroy(struct ringer *m)
{
    while (m->pc.card_count) {
        device_destroy(m->pc.cards[--m->pc.card_count]);
    }
    free(m->pc.cards);
    m->pc.cards = NULL;
    disk_close_all(m);
    nic_close_all(m);
    share_close_all(m);
    vsock_close(m);
}
