/* balloon.c - the machine's memory balloon. */
#define _GNU_SOURCE

#include "vm/balloon.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "dev/virtio/balloon.h"
#include "vm/machine.h"

/* Holes in the file take nothing of the host, and whoever has the page mapped, in whatever process,
 * finds zeros at the next access. */
static void discard(void *context, gpa_t gpa, u64 size)
{
    struct ringer *m = context;
    s64 offset = mem_offset(&m->vm->mem, gpa);

    if (fallocate(m->arena.ram.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, (s64)size) <
            0 &&
        errno != EINTR && !m->balloon.failed) {
        m->balloon.failed = true;
        device_log(&m->slot, "balloon: the guest's memory cannot be given back: %s",
                   strerror(errno));
    }
}

static void answered(void *context)
{
    struct ringer *m = context;

    if (m->balloon.answered) {
        m->balloon.answered(m->balloon.context);
    }
}

/* How many pages are in the balloon when the guest has so much memory. */
static u32 pages_for(const struct ringer *m, u64 bytes)
{
    u64 ram = m->vm->ram_bytes;

    return bytes < ram ? (u32)((ram - bytes) >> PAGE_SHIFT) : 0;
}

int balloon_create(struct ringer *m, const struct ringer_device *config, struct pci_bus *bus,
                   struct device **device)
{
    u64 bytes = config->balloon.bytes;
    const struct virtio_balloon_config balloon = {
        .target = bytes ? pages_for(m, bytes) : 0,
        .discard = discard,
        .answered = answered,
        .context = m,
    };
    int error;

    if (m->balloon.device) {
        return machine_fail(m, -EINVAL, "a machine has at most one balloon");
    }
    if (bytes > m->vm->ram_bytes) {
        return machine_fail(m, -EINVAL, "balloon: the machine has no %lu MiB of memory to keep to",
                            (unsigned long)(bytes >> 20));
    }
    error = virtio_balloon_create(bus, &balloon, device);
    m->balloon.device = *device;
    return error;
}

/* ------------------------------------------------------------------ through the door */

size_t balloon_offer(struct ringer *m, unsigned unit, const u8 *bytes, size_t size)
{
    struct balloon_order order;

    (void)unit;
    if (!m->balloon.device || size < sizeof(order)) {
        return 0;
    }
    memcpy(&order, bytes, sizeof(order));
    if (order.ask) {
        virtio_balloon_ask(m->balloon.device);
    } else {
        virtio_balloon_set_target(m->balloon.device, order.pages);
    }
    return sizeof(order);
}

void balloon_ask(struct ringer *m, unsigned unit)
{
    static const struct balloon_order ask = {.ask = 1};
    struct balloon *b = &m->balloon;

    (void)unit;
    if (b->order_due && input_offer(m, INPUT_BALLOON, &b->order, sizeof(b->order))) {
        b->order_due = false;
    }
    if (b->ask_due && input_offer(m, INPUT_BALLOON, &ask, sizeof(ask))) {
        b->ask_due = false;
    }
}

/* ------------------------------------------------------------------ the API's */

static int fail_none(struct ringer *m)
{
    return machine_fail(m, -ENODEV, "the machine has no balloon");
}

int ringer_balloon_set(struct ringer *m, uint64_t bytes)
{
    if (!m->balloon.device) {
        return fail_none(m);
    }
    if (bytes == 0 || bytes > m->vm->ram_bytes) {
        return machine_fail(m, -EINVAL, "balloon: %lu MiB are not between 1 and %lu",
                            (unsigned long)(bytes >> 20), (unsigned long)(m->vm->ram_bytes >> 20));
    }
    m->balloon.order = (struct balloon_order){.pages = pages_for(m, bytes)};
    m->balloon.order_due = true;
    balloon_ask(m, 0);
    return 0;
}

int ringer_balloon_ask(struct ringer *m, void (*callback)(void *context), void *context)
{
    if (!m->balloon.device) {
        return fail_none(m);
    }
    m->balloon.answered = callback;
    m->balloon.context = context;
    m->balloon.ask_due = true;
    balloon_ask(m, 0);
    return 0;
}

static u64 without(const struct ringer *m, u32 pages)
{
    u64 bytes = (u64)pages << PAGE_SHIFT;

    return bytes < m->vm->ram_bytes ? m->vm->ram_bytes - bytes : 0;
}

int ringer_balloon_get(struct ringer *m, struct ringer_balloon *balloon)
{
    struct device *device = m->balloon.device;
    struct stat status;

    if (!device) {
        return fail_none(m);
    }
    *balloon = (struct ringer_balloon){
        .target_bytes = without(m, virtio_balloon_target(device)),
        .actual_bytes = without(m, virtio_balloon_actual(device)),
    };
    if (fstat(m->arena.ram.fd, &status) == 0) {
        balloon->resident_bytes = (u64)status.st_blocks * 512;
    }
    balloon->answered =
        virtio_balloon_stat(device, BALLOON_TOTAL, &balloon->guest_total_bytes) &&
        virtio_balloon_stat(device, BALLOON_FREE, &balloon->guest_free_bytes) &&
        virtio_balloon_stat(device, BALLOON_AVAILABLE, &balloon->guest_available_bytes) &&
        virtio_balloon_stat(device, BALLOON_CACHES, &balloon->guest_cache_bytes) &&
        virtio_balloon_stat(device, BALLOON_MAJOR_FAULTS, &balloon->guest_major_faults);
    return 0;
}
