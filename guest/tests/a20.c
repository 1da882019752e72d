/*
 * a20.c - the gate on address line 20, by each of its doors: loads, stores, fetches and page walks
 * of the very next instructions.
 *
 * This program lies between 2 and 3 MiB, where bit 20 is 0 anyway.
 */
#include "guest.h"

enum {
    EVEN = 0x400000, /* bit 20 clear */
    ODD = 0x500000,  /* and set: the same place while the gate is shut */
    CODE = 0x100,    /* offsets in both */
    TABLE = 0x2000,
    PORT92 = 0x92,
    COMMAND = 0x64,
    DATA = 0x60,
    GIB = 1 << 30,
};

static volatile u32 *at(word address)
{
    return (volatile u32 *)address;
}

static void by_port92(bool on)
{
    outb(PORT92, on ? 2 : 0);
}

static void by_command(bool on)
{
    outb(COMMAND, on ? 0xdf : 0xdd);
}

static void by_output_port(bool on)
{
    outb(COMMAND, 0xd1);
    outb(DATA, on ? 0xdf : 0xdd);
}

static u32 call(word address)
{
    return ((u32(*)(void))address)();
}

/* `mov eax, value; ret` */
static void put_code(word address, u32 value)
{
    u8 *p = (u8 *)address;

    *p = 0xb8;
    *(u32 *)(p + 1) = value;
    p[5] = 0xc3;
}

static void fill(void)
{
    *at(EVEN) = 0x22222222;
    *at(ODD) = 0x55555555;
    put_code(EVEN + CODE, 2);
    put_code(ODD + CODE, 5);
}

static void try_door(void (*set)(bool on), const char *name)
{
    print("%s\n", name);
    fill();
    check_is(*at(ODD), 0x55555555, "open: a load");
    check_is(call(ODD + CODE), 5, "open: a fetch");
    set(false);
    check_is(*at(ODD), 0x22222222, "shut: a load");
    check_is(call(ODD + CODE), 2, "shut: a fetch");
    check_is(inb(PORT92) & 2, 0, "shut: port 92 tells");
    outb(COMMAND, 0xd0);
    check_is(inb(DATA) & 2, 0, "shut: the output port tells");
    *at(ODD) = 0x77777777;
    check_is(*at(EVEN), 0x77777777, "shut: a store");
    set(true);
    check_is(*at(EVEN), 0x77777777, "open again: the store");
    check_is(*at(ODD), 0x55555555, "open again: where it did not go");
    check_is(call(ODD + CODE), 5, "open again: a fetch");
    check_is(inb(PORT92) & 2, 2, "open again: port 92 tells");
}

/* Bit 20 of the address of a page table, and of one inside a large page. */
static void walks(void)
{
    u64 *root = (u64 *)(read_cr3() & ~0xffful);
    volatile u32 *window = (volatile u32 *)(512ul * GIB);

    fill();
    for (unsigned i = 0; i < 512; i++) {
        ((u64 *)(EVEN + TABLE))[i] = 0;
        ((u64 *)(ODD + TABLE))[i] = 0;
    }
    ((u64 *)(EVEN + TABLE))[0] = 0x83;      /* 1 GiB at 0 */
    ((u64 *)(ODD + TABLE))[0] = GIB | 0x83; /* nowhere: there is less RAM */
    root[1] = (ODD + TABLE) | 3;
    write_cr3(read_cr3());
    check_is(window[ODD / 4], 0xffffffff, "open: the table above");
    by_port92(false);
    check_is(window[ODD / 4], 0x22222222, "shut: the table below, and its page");
    by_port92(true);
    check_is(window[ODD / 4], 0xffffffff, "open again: the table above");
    root[1] = 0;
    write_cr3(read_cr3());
}

void guest_main(void)
{
    try_door(by_port92, "port 92");
    try_door(by_command, "commands DD and DF");
    try_door(by_output_port, "the output port");
    walks();
}
