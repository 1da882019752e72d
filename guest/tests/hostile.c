/*
 * hostile.c - guests that would hurt their VMM if they could.  The command line names the case;
 * with `noidt` there is no IDT either, so that the first exception is a triple fault.
 *
 * The end is good if the guest itself got through: what each attempt comes to is not looked at.
 */
#include "hostile.h"

enum { APIC_ICR = 0x300, APIC_ICR_HIGH = 0x310, APIC_EOI = 0xb0, PAGE_BYTES = 4096 };
enum { HOLE = 0xd0000000u, VGA = 0xa0000, ROM_TOP = 0xfffff000u };

/* Addresses where there is no RAM, with -m 64M. */
static const u64 nowhere[] = {HOLE,        LAPIC_BASE,     IOAPIC_ADDRESS,  VGA,
                              0x4000000,   0x4000000 - 2,  ROM_TOP + 0xff8, 0xfffffffe,
                              0x100000000, 0x7fffffffffff, 0x800000000000,  0xfffffffffffffff8};

static u8 landing[65536] __attribute__((aligned(4096)));

struct __attribute__((packed)) table {
    u16 limit;
    u64 base;
};

static void load_idt(u64 base)
{
    struct table table = {4095, base};
    __asm__ volatile("lidt %0" ::"m"(table) : "memory");
}

/* ------------------------------------------------------------------ addresses */

static void jump(word address)
{
    /* What is there may be zeros, which are ADD to where RAX points. */
    __asm__ volatile("mov %1, %%rax; jmp *%0" ::"r"(address), "i"(landing) : "memory", "rax");
}
static void touch(word address)
{
    volatile u64 *p = (u64 *)address;
    *p = *p + 1;
}
static void use_stack(word address)
{
    __asm__ volatile("mov %0, %%rsp; push %%rax; call 1f; 1: pushf; pop %%rax; enter $64, $3; int3"
                     :
                     : "r"(address)
                     : "memory", "rax");
}
static void use_idt(word address)
{
    load_idt(address);
    __asm__ volatile("ud2");
}
static void use_gdt(word address)
{
    struct table table = {0xffff, address};
    __asm__ volatile("lgdt %0; mov %1, %%fs; lldt %w1; ltr %w2" ::"m"(table), "r"(0x18), "r"(0x38)
                     : "memory");
}
static void store_tables(word address)
{
    __asm__ volatile("sgdt (%0); sidt (%0)" ::"r"(address) : "memory");
}
static void use_locked(word address)
{
    __asm__ volatile("lock addl $1, (%0); lock xaddl %%eax, (%0); lock btsl $3, (%0)\n"
                     "lock cmpxchgl %%ecx, (%0); xchgb %%al, (%0); lock decw 1(%0)\n"
                     "lock cmpxchg8b (%0); lock notq (%0)" ::"r"(address)
                     : "eax", "ecx", "edx", "memory", "cc");
}
static void use_locked_16(word address)
{
    __asm__ volatile("lock cmpxchg16b (%0)" ::"r"(address & ~15ull) : "rax", "rdx", "memory", "cc");
}
static void use_vectors(word address)
{
    __asm__ volatile("movups (%0), %%xmm0; movups %%xmm0, (%0); movntdq %%xmm0, (%0); fldl (%0)\n"
                     "fstpl (%0); fbstp (%0); maskmovdqu %%xmm0, %%xmm1" ::"r"(address),
                     "D"(address)
                     : "memory");
}
static void use_state(word address)
{
    __asm__ volatile("fxsave (%0); fxrstor (%0)" ::"r"(address & ~15ull) : "memory");
}
static void use_xsave(word address)
{
    __asm__ volatile("xsave (%0); xrstor (%0)" ::"r"(address & ~63ull), "a"(7), "d"(0) : "memory");
}
static void use_string(word address)
{
    word count = 100, from = address, to = address + 8;
    __asm__ volatile("rep movsb; std; mov $100, %%ecx; rep movsl; cld"
                     : "+c"(count), "+S"(from), "+D"(to)::"memory");
}
static void use_ports(word address)
{
    word count = 100, to = address;
    __asm__ volatile("rep insb; mov $10, %%ecx; mov %1, %%rsi; rep outsl"
                     : "+c"(count), "+D"(to)
                     : "d"(0x80)
                     : "memory", "rsi");
}
static void use_bit_string(word address)
{
    __asm__ volatile("btsq %1, (%0); btcq %2, (%0)" ::"r"(address), "r"(0x7fffffffffffffff),
                     "r"(1ull << 63)
                     : "memory", "cc");
}
static void use_tss(word address)
{
    gdt[FREE_SELECTOR / 8] =
        0x890000000067 | (address & 0xffffff) << 16 | (address >> 24 & 0xff) << 56;
    gdt[FREE_SELECTOR / 8 + 1] = address >> 32;
    set_gate(VECTOR_BP, (word)interrupt_stubs, KERNEL_CS, 0x8e, 1);
    __asm__ volatile("ltr %w0; int3" ::"r"(FREE_SELECTOR) : "memory");
}

/* A stack that is nowhere is not one for handlers. */
static void own_stack_for_handlers(void)
{
    *(u64 *)(main_tss + 36) = (word)user_stack_end;
    for (unsigned i = 0; i < 32; i++) {
        set_gate(i, (word)(interrupt_stubs + 16 * i), KERNEL_CS, 0x8e, 1);
    }
}

static void at_all_addresses(void)
{
    static void (*const uses[])(word) = {jump,       touch,         use_stack,   store_tables,
                                         use_locked, use_locked_16, use_vectors, use_state,
                                         use_xsave,  use_string,    use_ports,   use_bit_string};
    struct table own = {sizeof(gdt) - 1, (word)gdt};

    own_stack_for_handlers();
    for (unsigned i = 0; i < ARRAY_SIZE(uses); i++) {
        for (unsigned j = 0; j < ARRAY_SIZE(nowhere); j++) {
            print("%u %l: ", i, nowhere[j]);
            attempt(uses[i], nowhere[j]);
            print("%x\n", fault.vector);
            __asm__ volatile("lgdt %0; cld" ::"m"(own));
        }
    }
}

static void gdt_nowhere(void)
{
    use_gdt(nowhere[option_number("at", 0) % ARRAY_SIZE(nowhere)]);
}

static void tss_nowhere(void)
{
    attempt(use_tss, nowhere[option_number("at", 0) % ARRAY_SIZE(nowhere)]);
}

static void idt_nowhere(void)
{
    use_idt(nowhere[option_number("at", 0) % ARRAY_SIZE(nowhere)]);
}

static void jump_nowhere(void)
{
    jump(nowhere[option_number("at", 0) % ARRAY_SIZE(nowhere)]);
}

static void stack_nowhere(void)
{
    use_stack(nowhere[option_number("at", 0) % ARRAY_SIZE(nowhere)]);
}

/* ------------------------------------------------------------------ page tables */

static void cr3_nowhere(void)
{
    write_cr3(nowhere[option_number("at", 0) % ARRAY_SIZE(nowhere)] & ~0xfffull);
    __asm__ volatile("ud2");
}

static void tables_nowhere(void)
{
    u64 *pml4 = (u64 *)(read_cr3() & ~0xfffull), *pdpt = (u64 *)(pml4[0] & ~0xfffull);
    static u64 own[2][512] __attribute__((aligned(4096)));

    for (unsigned i = 0; i < ARRAY_SIZE(nowhere); i++) {
        u64 entry = (nowhere[i] & 0xffffffffff000) | 7;
        pml4[1] = entry; /* 512 GiB: by a PDPT that is nowhere */
        pml4[2] = (word)own[0] | 7;
        own[0][0] = entry; /* by a directory */
        own[0][1] = (word)own[1] | 7;
        own[1][0] = entry;        /* by a table */
        own[1][1] = entry | 0x80; /* a large page */
        pdpt[4] = entry | 0x80;   /* 1 GiB */
        write_cr3(read_cr3());
        for (unsigned j = 0; j < 6; j++) {
            static const u64 at[] = {0x8000000000,  0x10000000000, 0x10040000000,
                                     0x10040200000, 0x100000000,   0xff8000000000};
            attempt(touch, at[j]);
            attempt(jump, at[j]);
            attempt(use_string, at[j]);
        }
    }
    /* Tables that are their own, at every level, and are written through themselves. */
    pml4[3] = (word)pml4 | 7;
    for (u64 bits = 0; bits < 64; bits++) {
        attempt(touch, 3ull << 39 | 3ull << 30 | 3ull << 21 | (bits & 3) << 12 | 5 * 8);
    }
}

/* ------------------------------------------------------------------ ports, MMIO, MSRs, CPUID */

static bool ends_machine(u32 port)
{
    return port == 0x64 || port == 0x92 || (port >= 0xcf6 && port <= 0xcf9) ||
           (port >= 0x600 && port < 0x608) || (port >= 0xf1 && port <= 0xf7) ||
           (port >= 0x61 && port <= 0x64) || (port >= 0x8f && port <= 0x92);
}

static void all_ports(void)
{
    bool all = option("all");

    for (unsigned round = 0; round < 2; round++) {
        for (u32 port = 0; port < 0x10000; port++) {
            u32 value = round == 0 ? ~0u : (u32)random_number();
            if (!all && ends_machine(port)) {
                continue;
            }
            if (port >= 0x514 && port < 0x51c && value > 0x10000) {
                value &= 0xff; /* DMA of fw_cfg may go wherever it is told to: into us */
            }
            outb((u16)port, (u8)value);
            outw((u16)port, (u16)value);
            outl((u16)port, value);
            inb((u16)port);
            inw((u16)port);
            inl((u16)port);
        }
    }
    outb(0x3fb, 3);
    outb(0x3fc, 3);
}

static void write_sizes(word at, u64 value)
{
    *(volatile u8 *)at = (u8)value;
    *(volatile u16 *)at = (u16)value;
    *(volatile u32 *)at = (u32)value;
    *(volatile u64 *)at = value;
    (void)*(volatile u8 *)at;
    (void)*(volatile u16 *)at;
    (void)*(volatile u32 *)at;
    (void)*(volatile u64 *)at;
}

static void ignore(struct frame *frame)
{
    (void)frame;
}

static void all_mmio(void)
{
    bool all = option("all");

    handlers[VECTOR_NMI] = ignore; /* the local APIC may well send some */
    for (u64 at = 0x4000000; at < 0x100000000; at += 0x40000) {
        if ((at & ~0xfffffull) != LAPIC_BASE) {
            write_sizes(at + (random_number() & 0xfff), random_number());
        }
    }
    for (u64 at = VGA; at < 0x100000; at += 0x333) {
        write_sizes(at, random_number());
    }
    for (unsigned round = 0; round < 10; round++) {
        for (u32 offset = 0; offset < 0x400; offset += 4) {
            if (all || offset < APIC_ICR - 16 || offset >= APIC_ICR + 16) {
                write_sizes(LAPIC_BASE + offset + round % 4, random_number());
            }
            ioapic_write((u32)random_number() & 0x7f, (u32)random_number());
            write_sizes(IOAPIC_ADDRESS + (random_number() & 0xff), random_number());
        }
    }
}

static void read_msr(word index)
{
    rdmsr((u32)index);
}

static struct {
    u32 index;
    u64 value;
} msr_write;

static void write_msr(word unused)
{
    (void)unused;
    wrmsr(msr_write.index, msr_write.value);
}

static void sweep_msrs(u32 from, u32 to)
{
    for (u32 index = from; index < to; index++) {
        u64 values[] = {0, ~0ull, 1, random_number(), 0};
        if (attempt(read_msr, index) == NO_FAULT) {
            values[4] = rdmsr(index);
        }
        for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
            msr_write.index = index;
            msr_write.value = values[i];
            if (!option("all") && (index == 0x1b || (index >= 0x800 && index < 0x900)) && i < 4) {
                continue; /* the local APIC could send INIT */
            }
            attempt(write_msr, 0);
        }
    }
}

static void all_msrs(void)
{
    sweep_msrs(0, 0x2000);
    sweep_msrs(0x40000000, 0x40000200);
    sweep_msrs(0x4b564d00, 0x4b564d10);
    sweep_msrs(0xc0000000, 0xc0002000);
}

static void all_cpuid(void)
{
    static const u32 starts[] = {0, 0x40000000, 0x80000000, 0x20000000, 0x8fffff00, 0xffffff00};
    u32 r[4];

    for (unsigned i = 0; i < ARRAY_SIZE(starts); i++) {
        for (u32 leaf = 0; leaf < 0x200 && starts[i] + leaf >= starts[i]; leaf++) {
            for (u32 subleaf = 0; subleaf < 70; subleaf++) {
                cpuid(starts[i] + leaf, subleaf == 69 ? ~0u : subleaf, r);
            }
        }
    }
}

/* ------------------------------------------------------------------ without end */

extern u64 loop_stack[];
u64 loop_stack[64] __attribute__((aligned(16)));
extern u8 int_loop_target[], fault_loop_target[];

__asm__("int_loop_target: lea loop_stack + 256(%rip), %rsp; int $0x80\n"
        "fault_loop_target: lea loop_stack + 256(%rip), %rsp; ud2\n");

static void int_loop(void)
{
    (void)loop_stack;
    set_gate(0x80, (word)int_loop_target, KERNEL_CS, 0x8e, 0);
    __asm__ volatile("int $0x80");
}

static void on_deep(struct frame *frame)
{
    (void)frame;
    __asm__ volatile("int $0x80" ::: "memory");
}

/* The stack goes all the way down, through everything. */
static void int_deep(void)
{
    handlers[0x80] = on_deep;
    on_deep(NULL);
}

static void double_fault_loop(void)
{
    set_gate(VECTOR_UD, 0, KERNEL_CS, 0x0e, 0);
    set_gate(VECTOR_NP, 0, KERNEL_CS, 0x0e, 0);
    set_gate(VECTOR_DF, (word)fault_loop_target, KERNEL_CS, 0x8e, 0);
    __asm__ volatile("ud2");
}

static void fault_loop(void)
{
    set_gate(VECTOR_UD, (word)fault_loop_target, KERNEL_CS, 0x8e, 0);
    __asm__ volatile("ud2");
}

static volatile u64 ticks;

static void on_tick(struct frame *frame)
{
    ticks++;
    pic_eoi((unsigned)frame->vector - PIC_VECTOR);
}

static void storm(void)
{
    for (unsigned i = 0; i < 16; i++) {
        handlers[PIC_VECTOR + i] = on_tick;
    }
    pic_start(0xffff);
    pit_start(2, 2); /* 600 kHz */
    outb(0x70, 0xa);
    outb(0x71, 0x21); /* the RTC at 32 kHz would be 1: 8 kHz here */
    outb(0x70, 0xb);
    outb(0x71, 0x42);
    interrupts_on();
    for (;;) {
        outb(0x70, 0xc);
        inb(0x71);
    }
}

static void on_timer(struct frame *frame)
{
    (void)frame;
    lapic_write(APIC_EOI, 0);
}

static void lapic_storm(void)
{
    handlers[0x40] = on_timer;
    lapic_start();
    lapic_write(0x3e0, 0xb);
    lapic_write(0x320, 1u << 17 | 0x40);
    lapic_write(0x380, 1); /* every nanosecond */
    interrupts_on();
    for (;;) {
        wait_for_interrupt();
    }
}

static void repeat_hole(void)
{
    word count = ~0ull, to = HOLE;
    for (;;) {
        count = 0x10000000;
        to = HOLE;
        __asm__ volatile("rep stosb" : "+c"(count), "+D"(to) : "a"(0) : "memory");
    }
}

static void repeat_ram(void)
{
    for (;;) {
        word count = 0x2000000 / 8, to = 0x1000000;
        __asm__ volatile("rep stosq" : "+c"(count), "+D"(to) : "a"(0) : "memory");
    }
}

static void repeat_nothing(void)
{
    for (;;) {
        word count = ~0ull, from = 0x1000000;
        /* Its address wraps at 4 GiB, so there is never an end. */
        __asm__ volatile("addr32 rep lodsb" : "+c"(count), "+S"(from)::"rax", "memory");
    }
}

static void repeat_port(void)
{
    for (;;) {
        word count = 0x1000000, to = 0x1000000;
        __asm__ volatile("rep insb" : "+c"(count), "+D"(to) : "d"(0x60) : "memory");
    }
}

static void spin_forever(void)
{
    for (;;) {
        __asm__ volatile("pause");
    }
}

static void print_forever(void)
{
    for (;;) {
        print("once more\n");
    }
}

/* ------------------------------------------------------------------ interprocessor interrupts */

static void send_init(void)
{
    lapic_start();
    lapic_write(APIC_ICR_HIGH, 0);
    lapic_write(APIC_ICR, 0x4500);
    spin_forever();
}

static void send_startup(void)
{
    lapic_start();
    for (unsigned i = 0; i < 100; i++) {
        lapic_write(APIC_ICR, 0x4600 | i); /* a CPU that runs ignores it */
    }
}

static void send_all(void)
{
    lapic_start();
    for (u32 low = 0; low < 0x100; low++) {
        for (u32 mode = 0; mode < 5; mode++) { /* all but INIT and start-up */
            for (u32 shorthand = 0; shorthand < 4; shorthand++) {
                if (mode != 4) {
                    lapic_write(APIC_ICR, shorthand << 18 | mode << 8 | low);
                }
            }
        }
    }
}

/* ------------------------------------------------------------------ descriptors and frames */

static void return_to_random(word unused)
{
    u64 selectors[] = {0, KERNEL_CS, USER_CS32, USER_CS64, CODE32_CS, CODE16_CS, random_number()};
    u64 stacks[] = {0, KERNEL_DS, USER_DS, USER_DS64, DATA16_DS, MAIN_TSS, random_number()};
    u64 cs = selectors[random_number() % 7], ss = stacks[random_number() % 7];
    /* Now and then not canonical, but for 32-bit code always in what is INT3 only. */
    u64 ip = ((word)landing + random_number() % 65536) | (random_number() % 8 ? 0 : 1ull << 60);
    u64 sp = (word)landing + random_number() % 65536;
    u64 flags = random_number() & ~0x200ull;

    (void)unused;
    __asm__ volatile("push %0; push %1; push %2; push %3; push %4; iretq" ::"r"(ss & 0xffff),
                     "r"(sp), "r"(flags), "r"(cs & 0xffff), "r"(ip)
                     : "memory");
}

static void load_selectors(word selector)
{
    struct __attribute__((packed)) {
        u32 offset;
        u16 selector;
    } pointer = {(u32)(word)landing + 32768, (u16)selector};

    switch (random_number() % 9) {
    case 0:
        __asm__ volatile("mov %w0, %%ds" ::"r"(selector));
        break;
    case 1:
        __asm__ volatile("mov %w0, %%ss" ::"r"(selector));
        break;
    case 2:
        __asm__ volatile("lldt %w0" ::"r"(selector));
        break;
    case 3:
        __asm__ volatile("ljmp *%0" ::"m"(pointer) : "memory");
        break;
    case 4:
        __asm__ volatile("lcall *%0" ::"m"(pointer) : "memory");
        break;
    case 5:
        __asm__ volatile("lar %w0, %%eax; lsl %w0, %%eax; verr %w0; verw %w0" ::"r"(selector)
                         : "eax", "cc");
        break;
    case 6:
        __asm__ volatile("lss %0, %%eax" ::"m"(pointer) : "eax", "memory");
        break;
    case 7:
        __asm__ volatile("push %0; push %1; lretq" ::"r"(selector), "r"((word)landing) : "memory");
        break;
    case 8:
        __asm__ volatile("mov %w0, %%gs" ::"r"(selector));
        break;
    }
}

/* So many of the GDT's entries are filled with what comes: the rest, with these numbers, would lead
 * a far transfer into code that nothing ends. */
enum { RANDOM_ENTRIES_END = 24 };

static void random_descriptors(void)
{
    struct table own = {sizeof(gdt) - 1, (word)gdt};

    for (unsigned i = 0; i < sizeof(landing); i++) {
        landing[i] = 0xcc;
    }
    own_stack_for_handlers();
    for (unsigned round = 0; round < 20000; round++) {
        for (unsigned i = FREE_SELECTOR / 8; i < RANDOM_ENTRIES_END; i++) {
            u64 r = random_number();
            gdt[i] = (r & ~(0x80ull << 40)) | (random_number() % 8 ? 0x80ull << 40 : 0);
        }
        attempt(load_selectors, FREE_SELECTOR + random_number() % 100);
        attempt(return_to_random, 0);
        __asm__ volatile("lgdt %0; lldt %w1" ::"m"(own), "r"(0));
        set_descriptor(MAIN_TSS, (u32)(word)main_tss, sizeof(main_tss) - 1, 0x89);
        gdt[MAIN_TSS / 8 + 1] = 0;
        __asm__ volatile("ltr %w0" ::"r"(MAIN_TSS));
    }
}

static void random_control_registers(void)
{
    static const u64 cr0_kept = 0x80000001, cr4_kept = 0x20;

    for (unsigned round = 0; round < 20000; round++) {
        word cr0 = (random_number() & 0xffffffff) | cr0_kept;
        word cr4 = (random_number() & 0x3fffff & ~0x301000ull) | cr4_kept;
        attempt((void (*)(word))write_cr0, cr0);
        write_cr0(cr0_kept);
        attempt((void (*)(word))write_cr4, cr4);
        write_cr4(cr4_kept);
        attempt((void (*)(word))write_dr7, random_number() & 0xffff0000);
        write_dr7(0x400);
        attempt((void (*)(word))write_dr6, random_number());
    }
}

static void triple_by_task(void)
{
    load_idt(0);
    __asm__ volatile("int3");
}

static void triple_by_stack(void)
{
    __asm__ volatile("mov $0xdead000000000000, %%rsp; push %%rax" ::: "memory");
}

static void triple_by_paging(void)
{
    static u64 empty[512] __attribute__((aligned(4096)));
    write_cr3((word)empty);
}

/* ------------------------------------------------------------------ */

void guest_main(void)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
        {"addresses", at_all_addresses},
        {"idt", idt_nowhere},
        {"jump", jump_nowhere},
        {"gdt", gdt_nowhere},
        {"tss", tss_nowhere},
        {"stack", stack_nowhere},
        {"cr3", cr3_nowhere},
        {"tables", tables_nowhere},
        {"ports", all_ports},
        {"mmio", all_mmio},
        {"msrs", all_msrs},
        {"cpuid", all_cpuid},
        {"int-loop", int_loop},
        {"int-deep", int_deep},
        {"double-fault-loop", double_fault_loop},
        {"fault-loop", fault_loop},
        {"storm", storm},
        {"lapic-storm", lapic_storm},
        {"repeat-hole", repeat_hole},
        {"repeat-ram", repeat_ram},
        {"repeat-nothing", repeat_nothing},
        {"repeat-port", repeat_port},
        {"spin", spin_forever},
        {"print", print_forever},
        {"init", send_init},
        {"startup", send_startup},
        {"ipis", send_all},
        {"descriptors", random_descriptors},
        {"control", random_control_registers},
        {"triple-int3", triple_by_task},
        {"triple-stack", triple_by_stack},
        {"triple-paging", triple_by_paging},
        {"garbage", garbage_kernel},
        {"garbage-user", garbage_user},
    };

    random_seed(option_number("seed", 1));
    write_cr0((read_cr0() & ~(word)0xc) | 0x22);
    write_cr4(read_cr4() | 3u << 9 | 1u << 18);
    if (option("noidt")) {
        load_idt(0);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        if (option(cases[i].name)) {
            cases[i].run();
            return;
        }
    }
    check(false, "there is no such case");
}
