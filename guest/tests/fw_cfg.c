/* fw_cfg.c - fw_cfg: signature, items, the directory of files, DMA. */
#include "guest.h"

enum { SELECTOR = 0x510, DATA = 0x511, DMA = 0x514, NB_CPUS = 5, DIRECTORY = 0x19 };

static u32 read_be32(void)
{
    u32 value = 0;

    for (unsigned i = 0; i < 4; i++) {
        value = value << 8 | inb(DATA);
    }
    return value;
}

static u32 swap(u32 value)
{
    return __builtin_bswap32(value);
}

static volatile struct {
    u32 control, length, address_high, address;
} dma __attribute__((aligned(16)));

static void transfer(u32 control, u32 length, void *to)
{
    dma.control = swap(control);
    dma.length = swap(length);
    dma.address_high = 0;
    dma.address = swap((u32)(word)to);
    outl(DMA, 0);
    outl(DMA + 4, swap((u32)(word)&dma));
    while (swap(dma.control) & ~1u) {}
}

void guest_main(void)
{
    char signature[5] = "";
    u32 files, key = 0, size = 0;
    u64 ram = 0, map[64] = {0};

    outw(SELECTOR, 0);
    for (unsigned i = 0; i < 4; i++) {
        signature[i] = (char)inb(DATA);
    }
    check(same(signature, "QEMU"), "signature");
    check_is(inb(DATA), 0, "past the end: 0");
    outw(SELECTOR, NB_CPUS);
    check_is(inb(DATA), 1, "one CPU");
    outw(SELECTOR, DIRECTORY);
    files = read_be32();
    for (u32 i = 0; i < files; i++) {
        char name[56];
        u32 file_size = read_be32(), select = read_be32();
        for (unsigned n = 0; n < sizeof(name); n++) {
            name[n] = (char)inb(DATA);
        }
        print("     %s %u\n", name, file_size);
        if (same(name, "etc/e820")) {
            key = select >> 16;
            size = file_size;
        }
    }
    check(key && size % 20 == 0 && size < sizeof(map), "there is etc/e820");
    transfer(key << 16 | 8 | 2, size, map);
    check_is(swap(dma.control), 0, "DMA ends well");
    for (u32 i = 0; i < size / 20; i++) {
        u8 *entry = (u8 *)map + 20 * i;
        ram += *(u32 *)(entry + 16) == 1 ? *(u64 *)(entry + 8) : 0;
    }
    check(ram > 63u << 20 && ram <= 64u << 20, "its RAM is 64 MiB but for the holes");
    transfer(0x10, 4, map);
    check(swap(dma.control) & 1, "a write is an error");
    check_is(inl(DMA), swap(0x51454d55), "the DMA port's signature");
}
