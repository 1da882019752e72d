/*
 * fw_cfg.c - QEMU's fw_cfg: items of bytes that the guest selects by key and reads.
 *
 *      port 510  selector (16 bits)      port 511  data, the next byte of the item
 *      port 514  DMA: the address of a struct fw_cfg_dma, big-endian, high half; 518 its low half,
 *                which starts the transfer.  Reads give "QEMU CFG".
 *
 * QEMU, "QEMU Firmware Configuration (fw_cfg) Device".
 *
 * LIMIT: items cannot be written; a DMA write reports an error.
 */
#include "dev/fw_cfg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

enum {
    KEY_WRITE = 0x4000, /* the old write channel: not part of the key */
    FILES_MAX = 256,
    DIR_HEADER = 4,
    DIR_ENTRY = 64,
    DMA_ERROR = 0x01,
    DMA_READ = 0x02,
    DMA_SKIP = 0x04,
    DMA_SELECT = 0x08,
    DMA_WRITE = 0x10,
    DMA_STRUCT_SIZE = 16,
    ID_PORTS = 0x01,
    ID_DMA = 0x02,
};

struct item {
    u16 key;
    bool owned;
    u8 *data; /* never written if borrowed */
    u32 size;
};

struct fw_cfg {
    struct device device;
    struct slot slot;
    const struct mem *mem;
    struct item *items;
    unsigned items_count, items_capacity;
    u16 key;
    u32 offset;
    u32 dma_high;
    unsigned files;
    u8 directory[DIR_HEADER + FILES_MAX * DIR_ENTRY];
};

static struct fw_cfg *from_device(struct device *device)
{
    return container_of(device, struct fw_cfg, device);
}

static void store_be32(u8 *at, u32 value)
{
    at[0] = (u8)(value >> 24);
    at[1] = (u8)(value >> 16);
    at[2] = (u8)(value >> 8);
    at[3] = (u8)value;
}

static u32 load_be32(const u8 *at)
{
    return (u32)at[0] << 24 | (u32)at[1] << 16 | (u32)at[2] << 8 | at[3];
}

static u64 load_be64(const u8 *at)
{
    return (u64)load_be32(at) << 32 | load_be32(at + 4);
}

static struct item *find(struct fw_cfg *fw, u16 key)
{
    unsigned i;

    for (i = 0; i < fw->items_count; i++) {
        if (fw->items[i].key == key) {
            return &fw->items[i];
        }
    }
    return NULL;
}

/* The item of key, new and empty if there was none; NULL: no memory. */
static struct item *obtain(struct fw_cfg *fw, u16 key)
{
    struct item *item = find(fw, key), *items;
    unsigned capacity = fw->items_capacity ? 2 * fw->items_capacity : 32;

    if (item) {
        return item;
    }
    if (fw->items_count == fw->items_capacity) {
        items = realloc(fw->items, capacity * sizeof(*items));
        if (!items) {
            return NULL;
        }
        fw->items = items;
        fw->items_capacity = capacity;
    }
    item = &fw->items[fw->items_count++];
    *item = (struct item){.key = key};
    return item;
}

static int set_item(struct fw_cfg *fw, u16 key, const void *data, size_t size, bool owned)
{
    struct item *item;

    if (size > UINT32_MAX) {
        return -EINVAL;
    }
    item = obtain(fw, key & ~KEY_WRITE);
    if (!item) {
        return -ENOMEM;
    }
    if (item->owned) {
        free(item->data);
    }
    item->data = (u8 *)(uintptr_t)data;
    item->size = (u32)size;
    item->owned = owned;
    return 0;
}

int fw_cfg_add_borrowed(struct device *device, u16 key, const void *data, size_t size)
{
    return set_item(from_device(device), key, data, size, false);
}

int fw_cfg_add_bytes(struct device *device, u16 key, const void *data, size_t size)
{
    u8 *copy = malloc(size ? size : 1);
    int error;

    if (!copy) {
        return -ENOMEM;
    }
    if (size) {
        memcpy(copy, data, size);
    }
    error = set_item(from_device(device), key, copy, size, true);
    if (error) {
        free(copy);
    }
    return error;
}

int fw_cfg_add_u16(struct device *device, u16 key, u16 value)
{
    return fw_cfg_add_bytes(device, key, &value, sizeof(value)); /* the host is little-endian */
}

int fw_cfg_add_u32(struct device *device, u16 key, u32 value)
{
    return fw_cfg_add_bytes(device, key, &value, sizeof(value));
}

int fw_cfg_add_u64(struct device *device, u16 key, u64 value)
{
    return fw_cfg_add_bytes(device, key, &value, sizeof(value));
}

/* The directory's entry of a file: u32 size, u16 key, u16 reserved, all big-endian, and the name.
 */
static u8 *directory_entry(struct fw_cfg *fw, unsigned n)
{
    return fw->directory + DIR_HEADER + n * DIR_ENTRY;
}

static unsigned find_file(struct fw_cfg *fw, const char *name)
{
    unsigned n;

    for (n = 0; n < fw->files; n++) {
        if (strcmp((const char *)directory_entry(fw, n) + 8, name) == 0) {
            break;
        }
    }
    return n;
}

int fw_cfg_add_file(struct device *device, const char *name, const void *data, size_t size)
{
    struct fw_cfg *fw = from_device(device);
    unsigned n = find_file(fw, name), key = FW_CFG_FILE_FIRST + n;
    size_t name_size = strlen(name) + 1;
    u8 *entry;
    int error;

    if (name_size > FW_CFG_NAME_SIZE) {
        return -ENAMETOOLONG;
    }
    if (n == FILES_MAX) {
        return -ENOSPC;
    }
    error = fw_cfg_add_bytes(device, (u16)key, data, size);
    if (error) {
        return error;
    }
    entry = directory_entry(fw, n);
    store_be32(entry, (u32)size);
    store_be32(entry + 4, key << 16);
    memcpy(entry + 8, name, name_size);
    if (n == fw->files) {
        fw->files++;
    }
    store_be32(fw->directory, fw->files);
    return fw_cfg_add_borrowed(device, FW_CFG_FILE_DIR, fw->directory,
                               DIR_HEADER + fw->files * DIR_ENTRY);
}

static void choose(struct fw_cfg *fw, u16 key)
{
    fw->key = key & ~KEY_WRITE;
    fw->offset = 0;
}

/* Past the end, and for a key that nothing has, bytes are 0. */
static u8 next_byte(struct fw_cfg *fw)
{
    const struct item *item = find(fw, fw->key);

    if (!item || fw->offset >= item->size) {
        return 0;
    }
    return item->data[fw->offset++];
}

/* Move length bytes of the chosen item to gpa; false where that is not RAM. */
static bool copy_out(struct fw_cfg *fw, gpa_t gpa, u32 length)
{
    const struct item *item = find(fw, fw->key);
    u32 rest = item && fw->offset < item->size ? item->size - fw->offset : 0;
    u32 bytes = length < rest ? length : rest;
    u8 *to;

    if (length == 0) {
        return true;
    }
    to = mem_range(fw->mem, gpa, length);
    if (!to) {
        return false;
    }
    if (bytes) {
        memcpy(to, item->data + fw->offset, bytes);
        fw->offset += bytes;
    }
    memset(to + bytes, 0, length - bytes);
    mem_changed(fw->mem, gpa, length);
    return true;
}

static void skip(struct fw_cfg *fw, u32 length)
{
    const struct item *item = find(fw, fw->key);
    u32 rest = item && fw->offset < item->size ? item->size - fw->offset : 0;

    fw->offset += length < rest ? length : rest;
}

/* struct fw_cfg_dma in guest memory, big-endian: u32 control, u32 length, u64 address. */
static void transfer(struct fw_cfg *fw, gpa_t gpa)
{
    u8 request[DMA_STRUCT_SIZE], result[4];
    u32 control, length;
    bool good = true;

    if (!fw->mem || !mem_read(fw->mem, gpa, request, sizeof(request))) {
        return;
    }
    control = load_be32(request);
    length = load_be32(request + 4);
    if (control & DMA_SELECT) {
        choose(fw, control >> 16);
    }
    if (control & DMA_READ) {
        good = copy_out(fw, load_be64(request + 8), length);
    } else if (control & DMA_WRITE) {
        good = false;
    } else if (control & DMA_SKIP) {
        skip(fw, length);
    }
    store_be32(result, good ? 0 : DMA_ERROR);
    mem_write(fw->mem, gpa, result, sizeof(result));
}

static u64 port_read(void *device, u64 offset, unsigned size)
{
    (void)offset;
    return size == 1 ? next_byte(device) : ~0ull;
}

static void port_write(void *device, u64 offset, u64 value, unsigned size)
{
    if (offset == 0 && size == 2) {
        choose(device, (u16)value);
    }
}

static u64 dma_read(void *device, u64 offset, unsigned size)
{
    static const u8 signature[] = "QEMU CFG";
    u32 value;

    (void)device;
    (void)size;
    memcpy(&value, signature + offset, sizeof(value));
    return value;
}

static void dma_write(void *device, u64 offset, u64 value, unsigned size)
{
    struct fw_cfg *fw = device;
    u32 word = __builtin_bswap32((u32)value);
    gpa_t gpa;

    (void)size;
    if (offset == 0) {
        fw->dma_high = word;
        return;
    }
    gpa = (u64)fw->dma_high << 32 | word;
    fw->dma_high = 0;
    transfer(fw, gpa);
}

static const struct bus_region_ops port_ops = {port_read, port_write, 1, 2};
static const struct bus_region_ops dma_ops = {dma_read, dma_write, 4, 4};

static const struct bus_region regions[] = {
    {.space = BUS_PIO, .base = 0x510, .size = 2, .ops = &port_ops, .name = "fw_cfg"},
    {.space = BUS_PIO, .base = 0x514, .size = 8, .ops = &dma_ops, .name = "fw_cfg dma"},
};

static void reset(struct device *device)
{
    struct fw_cfg *fw = from_device(device);

    choose(fw, FW_CFG_SIGNATURE);
    fw->dma_high = 0;
}

static void destroy(struct device *device)
{
    struct fw_cfg *fw = from_device(device);
    unsigned i;

    device_remove_regions(&fw->slot, regions, ARRAY_SIZE(regions));
    for (i = 0; i < fw->items_count; i++) {
        if (fw->items[i].owned) {
            free(fw->items[i].data);
        }
    }
    free(fw->items);
    free(fw);
}

static int add_standard_items(struct fw_cfg *fw)
{
    struct device *device = &fw->device;
    int error = fw_cfg_add_bytes(device, FW_CFG_SIGNATURE, "QEMU", 4);

    if (!error) {
        error = fw_cfg_add_u32(device, FW_CFG_ID, ID_PORTS | (fw->mem ? ID_DMA : 0));
    }
    if (!error) {
        error = fw_cfg_add_borrowed(device, FW_CFG_FILE_DIR, fw->directory, DIR_HEADER);
    }
    return error;
}

static const struct field fields[] = {
    FIELD(struct fw_cfg, key),
    FIELD(struct fw_cfg, offset),
    FIELD(struct fw_cfg, dma_high),
    FIELDS_END,
};

int fw_cfg_create(const struct slot *slot, const struct fw_cfg_config *config,
                  struct device **device)
{
    struct fw_cfg *fw = calloc(1, sizeof(*fw));
    int error;

    if (!fw) {
        return -ENOMEM;
    }
    fw->device = (struct device){.name = "fw_cfg",
                                 .block = fw,
                                 .block_bytes = sizeof(*fw),
                                 .state = {{fields, fw}},
                                 .reset = reset,
                                 .destroy = destroy};
    fw->slot = *slot;
    fw->mem = config->mem;
    error = device_add_regions(slot, regions, ARRAY_SIZE(regions), fw);
    if (error) {
        free(fw);
        return error;
    }
    error = add_standard_items(fw);
    if (error) {
        destroy(&fw->device);
        return error;
    }
    reset(&fw->device);
    *device = &fw->device;
    return 0;
}
