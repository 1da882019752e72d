/*
 * virtio.c - a small virtio driver, which works, or breaks the rules in every way.
 *
 *   (nothing)   virtio-rng fills buffers, by rings of both formats; its BARs move meanwhile
 *   hostile     each wrong thing makes the device need a reset, after which it works again
 *   random      rings of random bytes, "rounds" times: nothing worse comes of it
 *   disk        writes sector after sector with its number, and flushes, and tells what is safe:
 * for tests/guest/test_kill.py
 */
#include "guest.h"

enum { RNG = 0x1044, DISK = 0x1042 };
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, NEEDS_RESET = 64 };
enum { NEXT = 1, WRITE = 2, INDIRECT = 4, AVAIL = 1 << 7, USED = 1 << 15 };
enum { SIZE = 16, PAGE = 4096 };

struct descriptor {
    u64 address;
    u32 length;
    u16 a, b; /* split: flags, next; packed: ID, flags */
};

struct device {
    unsigned slot;
    volatile u8 *common, *notify;
    bool packed;
    u16 next, used; /* in the ring: where the driver is */
    bool wrap;
};

static struct descriptor ring[SIZE] __attribute__((aligned(PAGE)));
static volatile u16 avail[SIZE + 4] __attribute__((aligned(PAGE)));
static volatile u16 used[4 * SIZE + 4] __attribute__((aligned(PAGE)));
static struct descriptor table[SIZE] __attribute__((aligned(PAGE)));
static u8 buffer[8 * PAGE] __attribute__((aligned(PAGE)));

/* ------------------------------------------------------------------ PCI */

static u32 config_read(unsigned slot, unsigned offset)
{
    outl(0xcf8, 0x80000000 | slot << 11 | (offset & ~3u));
    return inl(0xcfc) >> 8 * (offset & 3);
}

static void config_write(unsigned slot, unsigned offset, u32 value)
{
    outl(0xcf8, 0x80000000 | slot << 11 | offset);
    outl(0xcfc, value);
}

static void find_registers(struct device *d)
{
    for (unsigned at = config_read(d->slot, 0x34) & 0xff; at;
         at = config_read(d->slot, at + 1) & 0xff) {
        unsigned type = config_read(d->slot, at + 3) & 0xff;
        unsigned bar = config_read(d->slot, at + 4) & 0xff;
        u64 base = config_read(d->slot, 0x10 + 4 * bar) & ~15u;
        if ((config_read(d->slot, at) & 0xff) == 9 && type <= 2) {
            base += config_read(d->slot, at + 8);
            *(type == 1 ? &d->common : &d->notify) = (volatile u8 *)base;
        }
    }
}

static bool find(struct device *d, u16 id)
{
    for (unsigned slot = 0; slot < 32; slot++) {
        if (config_read(slot, 0) == ((u32)id << 16 | 0x1af4)) {
            *d = (struct device){.slot = slot};
            find_registers(d);
            config_write(slot, 4, 6);
            return true;
        }
    }
    return false;
}

/* ------------------------------------------------------------------ the transport */

static void put16(struct device *d, unsigned offset, u16 value)
{
    *(volatile u16 *)(d->common + offset) = value;
}

static void put32(struct device *d, unsigned offset, u32 value)
{
    *(volatile u32 *)(d->common + offset) = value;
}

static void put_address(struct device *d, unsigned offset, u64 address)
{
    put32(d, offset, (u32)address);
    put32(d, offset + 4, (u32)(address >> 32));
}

static u8 status(struct device *d)
{
    return d->common[20];
}

static void set_status(struct device *d, u8 value)
{
    d->common[20] = value;
}

static void clear(volatile void *bytes, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        ((volatile u8 *)bytes)[i] = 0;
    }
}

static void reset(struct device *d)
{
    set_status(d, 0);
    while (status(d)) {}
}

/* Up to FEATURES_OK, with all features that have to do with rings. */
static void negotiate(struct device *d, bool packed, u32 features)
{
    reset(d);
    set_status(d, ACKNOWLEDGE | DRIVER);
    put32(d, 8, 0);
    put32(d, 12, 1u << 28 | features);
    put32(d, 8, 1);
    put32(d, 12, 1u | (packed ? 4 : 0));
    set_status(d, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    check_case(status(d) & FEATURES_OK, "features are accepted\n");
    d->packed = packed;
}

static void set_queue(struct device *d, u64 descriptors, u64 driver, u64 device)
{
    put16(d, 22, 0);
    put16(d, 24, SIZE);
    put_address(d, 32, descriptors);
    put_address(d, 40, driver);
    put_address(d, 48, device);
    put16(d, 28, 1);
}

static void start(struct device *d, bool packed, u32 features)
{
    negotiate(d, packed, features);
    clear(ring, sizeof(ring));
    clear(avail, sizeof(avail));
    clear(used, sizeof(used));
    d->next = d->used = 0;
    d->wrap = true;
    set_queue(d, (u64)ring, (u64)avail, (u64)used);
    set_status(d, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
}

static void notify(struct device *d)
{
    *(volatile u16 *)d->notify = 0;
}

/* ------------------------------------------------------------------ requests */

/* count descriptors from ring[first] on; the caller has filled in addresses, lengths and flags. */
static void offer(struct device *d, u16 count)
{
    if (d->packed) {
        for (u16 i = 0; i < count; i++) { /* the first last */
            struct descriptor *at = &ring[(d->next + count - 1u - i) % SIZE];
            bool wrap = d->wrap ^ (d->next + count - 1u - i >= SIZE);
            at->b = (u16)(at->a | (wrap ? AVAIL : USED));
            at->a = d->next;
        }
        if ((d->next = (u16)(d->next + count)) >= SIZE) {
            d->next -= SIZE;
            d->wrap = !d->wrap;
        }
    } else {
        avail[2 + d->next % SIZE] = 0;
        avail[1] = ++d->next;
    }
    notify(d);
}

static bool is_done(struct device *d)
{
    if (d->packed) {
        u16 flags = ((volatile struct descriptor *)ring)[d->used].b;
        return !(flags & AVAIL) == !(flags & USED) && !(flags & USED) == !d->wrap;
    }
    return used[1] == d->next;
}

/* One buffer for the device to fill, where the driver's next descriptor is. */
static void fill(struct device *d, u64 address, u32 length)
{
    u16 at = d->packed ? d->next : 0;

    ring[at] = (struct descriptor){address, length, WRITE, 0};
    d->used = at;
    offer(d, 1);
}

static bool gets_randomness(struct device *d)
{
    bool wrap = d->wrap;
    u8 all = 0;

    clear(buffer, PAGE);
    fill(d, (u64)buffer, 64);
    for (unsigned i = 0; i < 1000000; i++) {
        bool other = d->wrap;
        d->wrap = wrap;
        bool done = is_done(d);
        d->wrap = other;
        if (done) {
            break;
        }
    }
    for (unsigned i = 0; i < 64; i++) {
        all |= buffer[i];
    }
    return all && !(status(d) & NEEDS_RESET);
}

static void test_working(struct device *d)
{
    for (unsigned packed = 0; packed < 2; packed++) {
        start(d, packed, packed ? 1u << 29 : 0);
        for (unsigned i = 0; i < 3 * SIZE; i++) {
            check_case(gets_randomness(d), "round %u of format %u gives randomness\n", i, packed);
        }
        check(true, packed ? "packed rings work" : "split rings work");
    }
    config_write(d->slot, 0x10, 0xe1230000);
    find_registers(d);
    check((u64)d->common >> 16 == 0xe123 && gets_randomness(d), "and where the BAR has moved to");
    config_write(d->slot, 4, 0);
    check_is(*(volatile u32 *)d->common, 0xffffffff, "nothing answers once it is off");
    config_write(d->slot, 4, 6);
}

/* ------------------------------------------------------------------ breaking the rules */

/* What stands in a split ring, and in an indirect table, that is wrong. */
static const struct {
    const char *name;
    struct descriptor ring[2], table;
    u16 head, index; /* the first available, and how many there are said to be */
} ways[] = {
    {"a loop", {{(u64)buffer, 16, WRITE | NEXT, 1}, {(u64)buffer, 16, WRITE | NEXT, 0}}, {0}, 0, 1},
    {"a next descriptor beyond the table", {{(u64)buffer, 16, WRITE | NEXT, 0xffff}}, {0}, 0, 1},
    {"a head beyond the table", {{0}}, {0}, SIZE, 1},
    {"an index that jumps", {{0}}, {0}, 0, 0x8000},
    {"an address outside memory", {{0xfffffffffffff000, 0x2000, WRITE, 0}}, {0}, 0, 1},
    {"an address of a device's", {{0xc0000000, 16, WRITE, 0}}, {0}, 0, 1},
    {"a length over the end of memory", {{(u64)buffer, 0xffffffff, WRITE, 0}}, {0}, 0, 1},
    {"a buffer to read after one to write",
     {{(u64)buffer, 16, WRITE | NEXT, 1}, {(u64)buffer, 16, 0, 0}},
     {0},
     0,
     1},
    {"an indirect table in another",
     {{(u64)table, 16, INDIRECT, 0}},
     {(u64)table, 16, INDIRECT, 0},
     0,
     1},
    {"a table of a broken length", {{(u64)table, 17, INDIRECT, 0}}, {0}, 0, 1},
    {"a table that is too long", {{(u64)table, 0xfffffff0, INDIRECT, 0}}, {0}, 0, 1},
};

static void wrong_rings(struct device *d)
{
    static const u64 addresses[] = {0xfffffffffffff000, 0x7fffffff0000, 0xfee00000, 0xb0001};

    for (unsigned i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        for (unsigned area = 0; area < 3; area++) {
            negotiate(d, i & 1, 0);
            set_queue(d, area == 0 ? addresses[i] : (u64)ring,
                      area == 1 ? addresses[i] : (u64)avail, area == 2 ? addresses[i] : (u64)used);
            check_case(status(d) & NEEDS_RESET, "area %u at %l needs a reset\n", area,
                       addresses[i]);
            set_status(d, 15);
            notify(d);
        }
    }
    check(true, "rings outside memory");
}

static void test_hostile(struct device *d)
{
    for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        start(d, false, 0);
        ring[0] = ways[i].ring[0];
        ring[1] = ways[i].ring[1];
        table[0] = ways[i].table;
        avail[2] = ways[i].head;
        avail[1] = ways[i].index;
        notify(d);
        check(status(d) & NEEDS_RESET, ways[i].name);
        notify(d);
    }
    wrong_rings(d);
    start(d, true, 0);
    for (unsigned i = 0; i < SIZE; i++) {
        ring[i] = (struct descriptor){(u64)buffer, 1, 0, NEXT | AVAIL};
    }
    notify(d);
    check(status(d) & NEEDS_RESET, "a packed chain without an end");
    start(d, false, 0);
    check(gets_randomness(d), "after a reset it works");
}

static u64 random_state;

static u64 random(void)
{
    u64 z = random_state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Random, but mostly near enough to what is right to get far: buffers within `buffer`. */
static void fill_at_random(void)
{
    for (unsigned i = 0; i < 2 * SIZE; i++) {
        struct descriptor *at = i < SIZE ? &ring[i] : &table[i - SIZE];
        u64 r = random();
        at->address = r & 7 ? (u64)buffer + (r >> 8 & 0x3fff) : r & 8 ? (u64)table : random();
        at->length = r >> 32 & 3 ? (u32)(random() & 0xfff) : (u32)random() & ~15u;
        at->a = (u16)(random() & (r >> 40 & 7 ? 0x8083 : 0xffff));
        at->b = (u16)(random() & (r >> 44 & 3 ? 0x808f : 0xffff));
    }
    for (unsigned i = 2; i < SIZE + 3; i++) {
        avail[i] = (u16)(random() % (SIZE + (random() % 16 == 0)));
    }
    avail[0] = (u16)(random() & 1);
    avail[1] = (u16)(avail[1] + random() % (random() % 8 ? 4 : 0x10000));
}

static void test_random(struct device *d)
{
    u64 rounds = option_number("rounds", 1000);
    unsigned faults = 0;

    random_state = option_number("seed", 1);
    for (u64 i = 0; i < rounds; i++) {
        start(d, i & 1, i & 2 ? 1u << 29 : 0);
        for (unsigned j = 0; j < 8 && !(status(d) & NEEDS_RESET); j++) {
            fill_at_random();
            notify(d);
        }
        faults += !!(status(d) & NEEDS_RESET);
    }
    print("     %u of %l rounds needed a reset\n", faults, rounds);
    check(faults > rounds / 4, "most do");
    start(d, false, 0);
    check(gets_randomness(d), "after a reset it works");
}

/* ------------------------------------------------------------------ a disk */

static struct {
    u32 type, reserved;
    u64 sector;
} head;
static volatile u8 answer;

static void request(struct device *d, u32 type, u64 sector, u32 bytes)
{
    head.type = type;
    head.sector = sector;
    answer = 0xff;
    ring[0] = (struct descriptor){(u64)&head, sizeof(head), NEXT, bytes ? 1 : 2};
    ring[1] = (struct descriptor){(u64)buffer, bytes, NEXT, 2};
    ring[2] = (struct descriptor){(u64)&answer, 1, WRITE, 0};
    offer(d, 1);
    while (!is_done(d)) {
        __asm__ volatile("pause" ::: "memory");
    }
    if (answer) {
        print("request %u fails: %u\n", type, answer);
        guest_exit(EXIT_BAD);
    }
}

/* A sector is full of a number that says which round wrote it. */
static void test_disk(struct device *d)
{
    u64 sectors = option_number("sectors", 64);

    start(d, false, 1u << 9);
    for (u64 round = option_number("from", 1);; round++) {
        u32 count = 1 + (u32)(round % 8);
        for (unsigned i = 0; i < count * 64; i++) {
            ((u64 *)buffer)[i] = round;
        }
        request(d, 1, round * 7 % (sectors - 8), count * 512);
        request(d, 4, 0, 0);
        print("%l\n", round);
    }
}

void guest_main(void)
{
    struct device d;

    if (!find(&d, option("disk") ? DISK : RNG)) {
        check(false, "there is the device");
    } else if (option("disk")) {
        test_disk(&d);
    } else if (option("hostile")) {
        test_hostile(&d);
    } else if (option("random")) {
        test_random(&d);
    } else {
        test_working(&d);
    }
}
