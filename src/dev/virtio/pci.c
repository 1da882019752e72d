/*
 * pci.c - the virtio transport over PCI, modern devices only.
 *
 *      BAR 0 + 0000   common configuration (struct common below)
 *            + 1000   ISR: 0 a queue, 1 the configuration; reading clears it
 *            + 2000   the device's own configuration
 *            + 3000   notifications: queue n's at 4 n
 *      BAR 2          MSI-X
 *
 * A reset that finds I/O under way ends when the I/O does: until then `status` does not read 0, and
 * nothing else is taken from the driver.
 *
 * VIRTIO 1.2, "Virtio Over PCI Bus", "Device Initialization", "Device Reset".
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/bits.h"
#include "dev/virtio/virtio.h"

enum {
    STATUS_DRIVER_OK = 4,
    STATUS_FEATURES_OK = 8,
    STATUS_NEEDS_RESET = 64,
    ISR_QUEUE = 1,
    ISR_CONFIG = 2,
    NO_VECTOR = 0xffff,
    PART_BYTES = 0x1000,
    PART_COMMON = 0,
    PART_ISR = 1,
    PART_DEVICE = 2,
    PART_NOTIFY = 3,
    NOTIFY_STRIDE = 4,
    BAR_REGISTERS = 0,
    BAR_MSIX = 2,
    FAILURES_TOLD = 8,
};

enum { /* PCI capabilities */
       CAP_VENDOR = 0x09,
       CAP_SIZE = 16,
       CAP_COMMON = 1,
       CAP_NOTIFY = 2,
       CAP_ISR = 3,
       CAP_DEVICE = 4,
       CAP_WINDOW = 5,
       CAP_BAR = 4, /* offsets in a capability */
       CAP_OFFSET = 8,
       CAP_LENGTH = 12,
       CAP_EXTRA = 16,
};

/* The common configuration structure. */
struct common {
    u32 device_feature_select, device_feature;
    u32 driver_feature_select, driver_feature;
    u16 config_vector, num_queues;
    u8 device_status, config_generation;
    u16 queue_select;
    u16 queue_size, queue_vector, queue_enable, queue_notify_off;
    u64 queue_descriptors, queue_driver, queue_device;
    u16 queue_notify_data, queue_reset;
    u32 padding;
};

_Static_assert(offsetof(struct common, device_status) == 20 &&
                   offsetof(struct common, queue_descriptors) == 32 &&
                   offsetof(struct common, queue_reset) == 58,
               "as the specification has it");

#define COMMON(name) offsetof(struct common, name)

static struct virtio_device *from_device(struct device *device)
{
    return container_of(device, struct virtio_device, device);
}

static struct virtio_device *from_pci(struct pci_function *function)
{
    return container_of(function, struct virtio_device, pci);
}

static u64 offered(const struct virtio_device *v)
{
    return v->features | BIT(VIRTIO_F_INDIRECT_DESC) | BIT(VIRTIO_F_EVENT_IDX) |
           BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_F_RING_RESET);
}

/* ------------------------------------------------------------------ interrupts */

static void interrupt(struct virtio_device *v, u8 reason, u16 vector)
{
    if (pci_msix_is_enabled(&v->pci)) {
        pci_msix_send(&v->pci, vector); /* NO_VECTOR is beyond any table */
        return;
    }
    v->isr |= reason;
    pci_set_intx(&v->pci, true);
}

void virtio_config_changed(struct virtio_device *v)
{
    v->generation++;
    if (v->status & STATUS_DRIVER_OK) {
        interrupt(v, ISR_CONFIG, v->config_vector);
    }
}

void virtio_signal(struct virtio_device *v, unsigned queue)
{
    if (virtio_is_ready(v) && virtq_wants_interrupt(&v->queue[queue])) {
        interrupt(v, ISR_QUEUE, v->queue_vector[queue]);
    }
}

/* A guest may fail and reset without end, but not fill the user's screen. */
void virtio_fail(struct virtio_device *v, unsigned queue, const char *reason)
{
    if (v->status & STATUS_NEEDS_RESET) {
        return;
    }
    v->status |= STATUS_NEEDS_RESET;
    v->queue[queue].fault = reason; /* what is in flight there is dropped as it is given back */
    if (v->failures++ < FAILURES_TOLD) {
        device_log(v->pci.bus->slot,
                   "%s in slot %u, queue %u: the guest gave %s; it needs a reset%s", v->type->name,
                   v->pci.slot, queue, reason,
                   v->failures == FAILURES_TOLD ? " (and no more of these lines)" : "");
    }
    virtio_config_changed(v);
}

/* ------------------------------------------------------------------ queues */

bool virtio_is_ready(const struct virtio_device *v)
{
    return (v->status & (STATUS_DRIVER_OK | STATUS_NEEDS_RESET)) == STATUS_DRIVER_OK &&
           !v->resetting;
}

void virtio_again(struct virtio_device *v, unsigned queue)
{
    v->again |= BIT(queue);
    timer_arm(&v->timer, timer_now(v->timer.queue));
}

struct virtq_chain *virtio_take(struct virtio_device *v, unsigned queue)
{
    struct virtq *q = &v->queue[queue];
    struct virtq_chain *chain;

    if (!virtio_is_ready(v) || !pci_is_master(&v->pci)) {
        return NULL;
    }
    if (v->budget == 0) {
        virtio_again(v, queue);
        return NULL;
    }
    chain = virtq_take(q);
    if (chain) {
        v->budget--;
    } else if (q->fault) {
        virtio_fail(v, queue, q->fault);
    }
    return chain;
}

/* What is taken outside of a notification, for something that came in, is bounded by that. */
static void notify(struct virtio_device *v, unsigned queue)
{
    if (queue >= v->queues || !v->queue[queue].enabled || !virtio_is_ready(v)) {
        return;
    }
    v->budget = VIRTQ_SIZE_MAX;
    v->type->ops->notify(v, queue);
    v->budget = UINT_MAX;
}

static void on_timer(void *arg)
{
    struct virtio_device *v = arg;
    u64 queues = v->again;

    v->again = 0;
    for (unsigned i = 0; i < v->queues; i++) {
        if (queues & BIT(i)) {
            notify(v, i);
        }
    }
}

/* ------------------------------------------------------------------ reset */

static bool is_idle(const struct virtio_device *v)
{
    for (unsigned i = 0; i < v->queues; i++) {
        if (v->queue[i].in_flight) {
            return false;
        }
    }
    return true;
}

static void reset_queue(struct virtio_device *v, unsigned queue)
{
    virtq_reset(&v->queue[queue]);
    v->queue[queue].size = v->queue_size;
    v->queue_vector[queue] = NO_VECTOR;
}

static void finish_reset(struct virtio_device *v)
{
    for (unsigned i = 0; i < v->queues; i++) {
        reset_queue(v, i);
    }
    v->resetting = false;
    v->status = v->isr = 0;
    v->config_vector = NO_VECTOR;
    v->queue_select = 0;
    v->feature_select = v->driver_feature_select = 0;
    v->driver_features = 0;
    v->budget = UINT_MAX;
    v->again = 0;
    timer_cancel(&v->timer);
}

static void start_reset(struct virtio_device *v)
{
    pci_set_intx(&v->pci, false);
    if (v->resetting) {
        return;
    }
    v->resetting = true;
    for (unsigned i = 0; i < v->queues; i++) {
        v->queue[i].resetting = true;
    }
    if (v->type->ops->reset) {
        v->type->ops->reset(v);
    }
    if (v->resetting && is_idle(v)) { /* else the last virtio_give() finishes it, or has */
        finish_reset(v);
    }
}

void virtio_give_all(struct virtio_device *v, struct virtq_chain *const *chains, const u32 *written,
                     unsigned count)
{
    struct virtq *q = chains[0]->queue;

    virtq_give_all(chains, written, count);
    if (v->resetting) {
        if (is_idle(v)) {
            finish_reset(v);
        }
    } else if (q->resetting && q->in_flight == 0) {
        reset_queue(v, (unsigned)(q - v->queue));
    }
}

void virtio_give(struct virtio_device *v, struct virtq_chain *chain, u64 written)
{
    u32 bytes = written < UINT32_MAX ? (u32)written : UINT32_MAX;

    virtio_give_all(v, &chain, &bytes, 1);
}

/* ------------------------------------------------------------------ common configuration */

static void fill(const struct virtio_device *v, struct common *c)
{
    *c = (struct common){
        .device_feature_select = v->feature_select,
        .driver_feature_select = v->driver_feature_select,
        .config_vector = v->config_vector,
        .num_queues = (u16)v->queues,
        .device_status = v->status,
        .config_generation = v->generation,
        .queue_select = v->queue_select,
    };
    if (v->feature_select < 2) {
        c->device_feature = (u32)(offered(v) >> (32 * v->feature_select));
    }
    if (v->driver_feature_select < 2) {
        c->driver_feature = (u32)(v->driver_features >> (32 * v->driver_feature_select));
    }
    if (v->queue_select < v->queues) { /* else its size is 0: there is no such queue */
        const struct virtq *q = &v->queue[v->queue_select];
        c->queue_size = q->size;
        c->queue_vector = v->queue_vector[v->queue_select];
        c->queue_enable = q->enabled && !q->resetting;
        c->queue_notify_off = v->queue_select;
        c->queue_descriptors = q->descriptors;
        c->queue_driver = q->driver;
        c->queue_device = q->device;
        c->queue_reset = q->resetting;
    }
}

static u64 common_read(void *device, u64 offset, unsigned size)
{
    struct common c;
    u64 value = 0;

    if (offset + size <= sizeof(c)) {
        fill(device, &c);
        memcpy(&value, (const u8 *)&c + offset, size);
    }
    return value;
}

/* Is what the driver wants what the device has?  A legacy driver is not served. */
static bool accepts_features(const struct virtio_device *v)
{
    return !(v->driver_features & ~offered(v)) && virtio_has(v, VIRTIO_F_VERSION_1);
}

static void write_status(struct virtio_device *v, u8 status)
{
    u8 rises = status & (u8)~v->status;

    if (status == 0) {
        start_reset(v);
        return;
    }
    if (rises & STATUS_FEATURES_OK && !accepts_features(v)) {
        status &= (u8)~STATUS_FEATURES_OK;
        rises &= (u8)~STATUS_DRIVER_OK;
    }
    if (!((status | v->status) & STATUS_FEATURES_OK)) {
        status &= (u8)~STATUS_DRIVER_OK;
        rises &= (u8)~STATUS_DRIVER_OK;
    }
    v->status |= status & (u8)~STATUS_NEEDS_RESET; /* bits are only cleared by a reset */
    if (rises & STATUS_DRIVER_OK) {
        if (v->type->ops->start) {
            v->type->ops->start(v);
        }
        for (unsigned i = 0; i < v->queues; i++) {
            notify(v, i); /* what is there already */
        }
    }
}

static void enable_queue(struct virtio_device *v, struct virtq *q)
{
    if (!(v->status & STATUS_FEATURES_OK) || q->enabled || q->resetting) {
        return;
    }
    q->packed = virtio_has(v, VIRTIO_F_RING_PACKED);
    q->event_index = virtio_has(v, VIRTIO_F_EVENT_IDX);
    q->indirect = virtio_has(v, VIRTIO_F_INDIRECT_DESC);
    if (!virtq_enable(q)) {
        virtio_fail(v, (unsigned)(q - v->queue), q->fault);
    }
}

static void start_queue_reset(struct virtio_device *v, struct virtq *q)
{
    if (!virtio_has(v, VIRTIO_F_RING_RESET) || !q->enabled) {
        return;
    }
    q->resetting = true;
    if (q->in_flight == 0) {
        reset_queue(v, (unsigned)(q - v->queue));
    }
}

static u16 valid_vector(const struct virtio_device *v, u64 vector)
{
    return vector < v->pci.msix.count ? (u16)vector : NO_VECTOR;
}

static void set_half(u64 *address, u64 offset, u64 value)
{
    unsigned shift = offset & 4 ? 32 : 0;

    *address = (*address & ~(0xffffffffull << shift)) | value << shift;
}

static void write_address(struct virtq *q, u64 offset, u64 value)
{
    if (q->enabled) {
        return;
    }
    set_half(offset < COMMON(queue_driver)   ? &q->descriptors
             : offset < COMMON(queue_device) ? &q->driver
                                             : &q->device,
             offset, value);
}

/* Fields of the queue that queue_select chooses. */
static void queue_write(struct virtio_device *v, u64 offset, u64 value, unsigned size)
{
    struct virtq *q = &v->queue[v->queue_select];

    switch (offset << 4 | size) {
    case COMMON(queue_size) << 4 | 2:
        if (!q->enabled && value && value <= v->queue_size) {
            q->size = (u16)value;
        }
        break;
    case COMMON(queue_vector) << 4 | 2:
        v->queue_vector[v->queue_select] = valid_vector(v, value);
        break;
    case COMMON(queue_enable) << 4 | 2:
        if (value == 1) {
            enable_queue(v, q);
        }
        break;
    case COMMON(queue_reset) << 4 | 2:
        if (value == 1) {
            start_queue_reset(v, q);
        }
        break;
    default:
        if (offset >= COMMON(queue_descriptors) && offset < COMMON(queue_notify_data) &&
            size == 4) {
            write_address(q, offset, value);
        }
        break;
    }
}

static void common_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct virtio_device *v = device;

    if (v->resetting) {
        return;
    }
    switch (offset << 4 | size) { /* a field is written as a whole */
    case COMMON(device_feature_select) << 4 | 4:
        v->feature_select = (u32)value;
        break;
    case COMMON(driver_feature_select) << 4 | 4:
        v->driver_feature_select = (u32)value;
        break;
    case COMMON(driver_feature) << 4 | 4:
        if (v->driver_feature_select < 2 && !(v->status & STATUS_FEATURES_OK)) {
            set_half(&v->driver_features, 4 * v->driver_feature_select, value);
        }
        break;
    case COMMON(config_vector) << 4 | 2:
        v->config_vector = valid_vector(v, value);
        break;
    case COMMON(device_status) << 4 | 1:
        write_status(v, (u8)value);
        break;
    case COMMON(queue_select) << 4 | 2:
        v->queue_select = (u16)value;
        break;
    default:
        if (v->queue_select < v->queues) {
            queue_write(v, offset, value, size);
        }
        break;
    }
}

/* ------------------------------------------------------------------ the other parts of BAR 0 */

static u64 isr_read(void *device, u64 offset, unsigned size)
{
    struct virtio_device *v = device;
    u8 isr = v->isr;

    (void)size;
    if (offset != 0) {
        return 0;
    }
    v->isr = 0;
    pci_set_intx(&v->pci, false);
    return isr;
}

static void isr_write(void *device, u64 offset, u64 value, unsigned size)
{
    (void)device;
    (void)offset;
    (void)value;
    (void)size;
}

static u64 config_read(void *device, u64 offset, unsigned size)
{
    struct virtio_device *v = device;
    u64 value = 0;

    if (offset + size <= v->config_bytes) {
        memcpy(&value, (const u8 *)v->config + offset, size);
    }
    return value;
}

static void config_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct virtio_device *v = device;

    if (offset + size <= v->config_bytes && v->type->ops->config_write && !v->resetting) {
        v->type->ops->config_write(v, (unsigned)offset, size, (u32)value);
    }
}

static u64 notify_read(void *device, u64 offset, unsigned size)
{
    (void)device;
    (void)offset;
    (void)size;
    return 0;
}

static void notify_write(void *device, u64 offset, u64 value, unsigned size)
{
    (void)value;
    (void)size;
    notify(device, (unsigned)offset / NOTIFY_STRIDE);
}

static const struct bus_region_ops part_ops[] = {
    [PART_COMMON] = {common_read, common_write, 1, 4},
    [PART_ISR] = {isr_read, isr_write, 1, 4},
    [PART_DEVICE] = {config_read, config_write, 1, 4},
    [PART_NOTIFY] = {notify_read, notify_write, 2, 4},
};

/* ------------------------------------------------------------------ PCI */

/* The part of a BAR that the window in configuration space points at, or NULL. */
static const struct bus_region *find_window(const struct virtio_device *v, u32 *offset,
                                            unsigned *size)
{
    const u8 *cap = v->pci.config + v->window;
    const struct pci_bar *bar = cap[CAP_BAR] < PCI_BARS ? &v->pci.bars[cap[CAP_BAR]] : NULL;
    u32 at = pci_get32(cap + CAP_OFFSET);

    *size = pci_get32(cap + CAP_LENGTH);
    if ((*size != 1 && *size != 2 && *size != 4) || at % *size) {
        return NULL;
    }
    for (unsigned i = 0; bar && i < bar->count; i++) {
        const struct bus_region *part = &bar->parts[i];
        if (at >= part->base && at - part->base < part->size) {
            *offset = at - (u32)part->base;
            return *size >= part->ops->min_size ? part : NULL;
        }
    }
    return NULL;
}

static bool window_read(struct pci_function *function, unsigned offset, unsigned size, u32 *value)
{
    struct virtio_device *v = from_pci(function);
    const struct bus_region *part;
    unsigned window_size;
    u32 at;

    if (offset != v->window + CAP_EXTRA) {
        return false;
    }
    part = find_window(v, &at, &window_size);
    *value = part && window_size == size ? (u32)part->ops->read(part->device, at, size) : 0;
    return true;
}

static bool window_write(struct pci_function *function, unsigned offset, unsigned size, u32 value)
{
    struct virtio_device *v = from_pci(function);
    const struct bus_region *part;
    unsigned window_size;
    u32 at;

    if (offset != v->window + CAP_EXTRA) {
        return false;
    }
    part = find_window(v, &at, &window_size);
    if (part && window_size == size) {
        part->ops->write(part->device, at, value, size);
    }
    return true;
}

static void function_reset(struct pci_function *function)
{
    start_reset(from_pci(function));
}

static const struct pci_ops pci_ops = {
    .reset = function_reset, .config_read = window_read, .config_write = window_write};

/* A capability that says where a part is; extra bytes come after the common ones. */
static unsigned add_cap(struct virtio_device *v, u8 type, unsigned part, u32 length, unsigned extra)
{
    unsigned at = pci_add_capability(&v->pci, CAP_VENDOR, CAP_SIZE + extra);
    u8 *cap = v->pci.config + at;

    cap[2] = (u8)(CAP_SIZE + extra);
    cap[3] = type;
    cap[CAP_BAR] = BAR_REGISTERS;
    pci_put32(cap + CAP_OFFSET, part * PART_BYTES);
    pci_put32(cap + CAP_LENGTH, length);
    return at;
}

static void describe(struct virtio_device *v)
{
    const struct pci_identity identity = {
        .vendor = 0x1af4,
        .device = (u16)(0x1040 + v->type->id),
        .subsystem_vendor = 0x1af4,
        .subsystem = (u16)(0x1040 + v->type->id),
        .revision = 1,
        .class_code = v->type->class_code,
    };
    struct pci_bar bar = {.kind = PCI_BAR_MEM64, .size = 4 * PART_BYTES, .count = 4};
    unsigned notify_cap;

    for (unsigned i = 0; i < bar.count; i++) {
        bar.parts[i] = (struct bus_region){.base = i * PART_BYTES,
                                           .size = PART_BYTES,
                                           .ops = &part_ops[i],
                                           .device = v,
                                           .doorbell = i == PART_NOTIFY};
    }
    pci_function_init(&v->pci, v->type->name, &pci_ops, &identity);
    pci_set_bar(&v->pci, BAR_REGISTERS, &bar);
    pci_add_msix(&v->pci, BAR_MSIX, v->queues + 1);
    add_cap(v, CAP_COMMON, PART_COMMON, sizeof(struct common), 0);
    add_cap(v, CAP_ISR, PART_ISR, 1, 0);
    if (v->config_bytes) {
        add_cap(v, CAP_DEVICE, PART_DEVICE, v->config_bytes, 0);
    }
    notify_cap = add_cap(v, CAP_NOTIFY, PART_NOTIFY, v->queues * NOTIFY_STRIDE, 4);
    pci_put32(v->pci.config + notify_cap + CAP_EXTRA, NOTIFY_STRIDE);
    v->window = add_cap(v, CAP_WINDOW, 0, 0, 4);
    v->pci.writable[v->window + CAP_BAR] = 0xff;
    pci_put32(v->pci.writable + v->window + CAP_OFFSET, ~0u);
    pci_put32(v->pci.writable + v->window + CAP_LENGTH, ~0u);
    pci_add_express(&v->pci);
    pci_use_intx(&v->pci);
}

/* ------------------------------------------------------------------ snapshots */

/* A queue that has a fault needs a reset of the device, which its status says. */
static const struct field fields[] = {
    FIELD_EACH(struct virtio_device, queue, size),
    FIELD_EACH(struct virtio_device, queue, descriptors),
    FIELD_EACH(struct virtio_device, queue, driver),
    FIELD_EACH(struct virtio_device, queue, device),
    FIELD_EACH(struct virtio_device, queue, packed),
    FIELD_EACH(struct virtio_device, queue, event_index),
    FIELD_EACH(struct virtio_device, queue, indirect),
    FIELD_EACH(struct virtio_device, queue, enabled),
    FIELD_EACH(struct virtio_device, queue, next_avail),
    FIELD_EACH(struct virtio_device, queue, next_used),
    FIELD_EACH(struct virtio_device, queue, avail_wrap),
    FIELD_EACH(struct virtio_device, queue, used_wrap),
    FIELD_EACH(struct virtio_device, queue, given),
    FIELD_EACH(struct virtio_device, queue, signalled),
    FIELD_EACH(struct virtio_device, queue, signalled_valid),
    FIELD_ARRAY(struct virtio_device, queue_vector),
    FIELD(struct virtio_device, config_vector),
    FIELD(struct virtio_device, queue_select),
    FIELD(struct virtio_device, feature_select),
    FIELD(struct virtio_device, driver_feature_select),
    FIELD(struct virtio_device, driver_features),
    FIELD(struct virtio_device, status),
    FIELD(struct virtio_device, isr),
    FIELD(struct virtio_device, generation),
    FIELD(struct virtio_device, failures),
    FIELD(struct virtio_device, again),
    FIELD_TIMER(struct virtio_device, timer),
    FIELDS_END,
};

static const char *settle(struct device *device)
{
    struct virtio_device *v = from_device(device);
    const char *reason = v->type->ops->settle ? v->type->ops->settle(v) : NULL;

    return reason ? reason : is_idle(v) && !v->resetting ? NULL : "has requests under way";
}

static bool loaded(struct device *device)
{
    struct virtio_device *v = from_device(device);

    if (v->status & STATUS_FEATURES_OK && !accepts_features(v)) {
        return false; /* features that this one does not have */
    }
    for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++) {
        struct virtq *q = &v->queue[i];
        if (i >= v->queues ? q->enabled : q->size > v->queue_size || !virtq_loaded(q)) {
            return false;
        }
        v->queue_vector[i] = valid_vector(v, v->queue_vector[i]);
    }
    v->config_vector = valid_vector(v, v->config_vector);
    pci_function_loaded(&v->pci);
    return !v->type->ops->loaded || v->type->ops->loaded(v);
}

/* ------------------------------------------------------------------ life */

static void reset(struct device *device)
{
    start_reset(from_device(device));
}

int virtio_init(struct virtio_device *v, struct pci_bus *bus)
{
    int error;

    assert(v->queues && v->queues <= VIRTIO_QUEUES_MAX && v->queue_size <= VIRTQ_SIZE_MAX);
    describe(v);
    error = pci_attach(bus, &v->pci);
    if (error) {
        return error;
    }
    v->device = (struct device){.name = v->type->name, .reset = reset};
    if (v->type->fields) {
        v->device.state[0] = (struct device_part){fields, v};
        v->device.state[1] = (struct device_part){pci_function_fields, &v->pci};
        v->device.state[2] = (struct device_part){v->type->fields, v};
        v->device.state_version = v->type->fields_version;
        v->device.settle = settle;
        v->device.loaded = loaded;
    }
    for (unsigned i = 0; i < v->queues; i++) {
        v->queue[i].mem = bus->mem;
    }
    timer_init(&v->timer, bus->slot->timers, on_timer, v);
    finish_reset(v);
    return 0;
}

void virtio_done(struct virtio_device *v)
{
    timer_cancel(&v->timer);
    pci_detach(&v->pci);
}
