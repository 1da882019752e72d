/*
 * segments32.c - segments in protected mode: all descriptors (descriptors.h), then what an access
 * through one may reach: types, limits of every kind at every offset near them, null selectors, and
 * the code segment's limit.
 *
 * Intel SDM vol. 3A, "Limit Checking", "Type Checking", "Segment Descriptors" (expand-down).
 */
#include "descriptors.h"

enum { TYPE_DOWN = 4, BIG = 0x4000, GRANULAR = 0x8000, CODE = TESTED, BASE = 0x400000 };

/* ------------------------------------------------------------------ data */

static volatile u32 access_offset;

/* Through DS; every register is the kernel's own again before anything else is done. */
#define THROUGH(name, segment, instruction)                                        \
    static void name(word selector)                                                \
    {                                                                              \
        __asm__ volatile("mov %0, %%" segment "; " instruction                     \
                         "; mov %2, %%ecx; mov %%ecx, %%" segment ::"a"(selector), \
                         "b"(access_offset), "i"(KERNEL_DS)                        \
                         : "ecx", "edx", "memory", "cc");                          \
    }
THROUGH(read_1, "fs", "movb %%fs:(%%ebx), %%dl")
THROUGH(read_2, "fs", "movw %%fs:(%%ebx), %%dx")
THROUGH(read_4, "fs", "movl %%fs:(%%ebx), %%edx")
THROUGH(read_8, "fs", "fldl %%fs:(%%ebx); fstp %%st(0)")
THROUGH(read_10, "fs", "fldt %%fs:(%%ebx); fstp %%st(0)")
THROUGH(read_16, "fs", "movups %%fs:(%%ebx), %%xmm0")
THROUGH(write_1, "fs", "movb $0, %%fs:(%%ebx)")
THROUGH(write_2, "fs", "movw $0, %%fs:(%%ebx)")
THROUGH(write_4, "fs", "movl $0, %%fs:(%%ebx)")
THROUGH(write_8, "fs", "fldz; fstpl %%fs:(%%ebx)")
THROUGH(write_10, "fs", "fldz; fstpt %%fs:(%%ebx)")
THROUGH(write_16, "fs", "movups %%xmm0, %%fs:(%%ebx)")
THROUGH(modify_4, "fs", "addl $0, %%fs:(%%ebx)")
THROUGH(exchange_8, "fs", "xor %%eax, %%eax; xor %%edx, %%edx; lock cmpxchg8b %%fs:(%%ebx)")
/* At CPL 3: a fault needs a stack that is good. */
#define THROUGH_STACK(name, instruction)                               \
    static void name(word selector)                                    \
    {                                                                  \
        __asm__ volatile("mov %%ss, %%ecx; mov %0, %%ss; " instruction \
                         "; mov %%ecx, %%ss" ::"a"(selector),          \
                         "b"(access_offset)                            \
                         : "ecx", "edx", "memory");                    \
    }
THROUGH_STACK(stack_1, "movb %%ss:(%%ebx), %%dl")
THROUGH_STACK(stack_4, "movl %%ss:(%%ebx), %%edx")
THROUGH_STACK(stack_write_4, "movl $0, %%ss:(%%ebx)")

static const struct way {
    void (*what)(word);
    const char *name;
    u8 size;
    bool write, stack;
} ways[] = {
    {read_1, "read 1", 1, false, false},
    {read_2, "read 2", 2, false, false},
    {read_4, "read 4", 4, false, false},
    {read_8, "read 8", 8, false, false},
    {read_10, "read 10", 10, false, false},
    {read_16, "read 16", 16, false, false},
    {write_1, "write 1", 1, true, false},
    {write_2, "write 2", 2, true, false},
    {write_4, "write 4", 4, true, false},
    {write_8, "write 8", 8, true, false},
    {write_10, "write 10", 10, true, false},
    {write_16, "write 16", 16, true, false},
    {modify_4, "modify 4", 4, true, false},
    {exchange_8, "exchange 8", 8, true, false},
    {stack_1, "stack 1", 1, false, true},
    {stack_4, "stack 4", 4, false, true},
    {stack_write_4, "stack write 4", 4, true, true},
};

/* Does [offset, offset + size) lie in the segment? */
static bool is_inside(u32 limit, unsigned attributes, u64 offset, unsigned size)
{
    u64 low = 0, high = attributes & GRANULAR ? (u64)limit << 12 | 0xfff : limit;

    if (!(attributes & TYPE_CODE) && (attributes & TYPE_DOWN)) {
        low = high + 1;
        high = attributes & BIG ? 0xffffffff : 0xffff;
    }
    return offset >= low && offset + size - 1 <= high;
}

static void try_offset(const struct way *way, u32 limit, unsigned attributes, u32 offset)
{
    bool allowed = is_inside(limit, attributes, offset, way->size) &&
                   (!way->write || (!(attributes & TYPE_CODE) && (attributes & TYPE_RW)));
    u32 expected = allowed ? NO_FAULT : way->stack ? VECTOR_SS : VECTOR_GP;

    access_offset = offset;
    attempt_at(way->stack ? 3 : 0, way->what, way->stack ? TESTED | 3 : TESTED);
    check_case(fault.vector == expected && fault.error == 0,
               "%s at %x, limit %x attributes %x: vector %x error %x, not %x", way->name, offset,
               limit, attributes, fault.vector, fault.error, expected);
}

/* Offsets around where a limit may be, and the ends of 16 and 32 bits. */
static void try_segment(u32 limit, unsigned attributes)
{
    u32 edge = attributes & GRANULAR ? limit << 12 | 0xfff : limit;
    u32 centers[] = {0, edge, 0xffff, 0xffffffff};
    bool is_stack = !(attributes & TYPE_CODE) && (attributes & TYPE_RW);

    set_descriptor(TESTED, BASE, limit, (u16)attributes | 0x60);
    for (unsigned w = 0; w < ARRAY_SIZE(ways); w++) {
        if (ways[w].stack && !is_stack) {
            continue;
        }
        for (unsigned c = 0; c < ARRAY_SIZE(centers); c++) {
            for (int i = -17; i <= 2; i++) {
                u32 offset = centers[c] + (u32)i;
                /* Where it would be allowed there has to be RAM. */
                if (BASE + offset < 0x800000 && offset + BASE > 0x300000) {
                    try_offset(&ways[w], limit, attributes, offset);
                } else if (!is_inside(limit, attributes, offset, ways[w].size)) {
                    try_offset(&ways[w], limit, attributes, offset);
                }
            }
        }
    }
}

static void check_data(void)
{
    static const u32 limits[] = {0, 1, 0x7ff, 0xfffe, 0xffff, 0x10000, 0xfffff};
    static const u8 types[] = {0x91, 0x93, 0x95, 0x97, 0x9b, 0x9f};

    write_cr0((read_cr0() & ~(word)0xc) | 2);
    write_cr4(read_cr4() | 3u << 9);
    __asm__ volatile("fninit");
    for (unsigned l = 0; l < ARRAY_SIZE(limits); l++) {
        for (unsigned t = 0; t < ARRAY_SIZE(types); t++) {
            for (unsigned flags = 0; flags < 4; flags++) {
                try_segment(limits[l], types[t] | flags << 14);
            }
        }
    }
    print("ok   limits and types of data segments\n");
}

static void use_null(word selector)
{
    __asm__ volatile("mov %0, %%fs; movb %%fs:0, %%al" ::"r"(selector) : "eax");
}
static void null_in_ss(word selector)
{
    __asm__ volatile("mov %0, %%ss" ::"r"(selector));
}

static void check_null(void)
{
    for (word selector = 0; selector < 4; selector++) {
        check_fault(use_null, selector, VECTOR_GP, 0, "null may be loaded, not used");
        check_fault(null_in_ss, selector, VECTOR_GP, 0, "null in SS: #GP(0)");
    }
}

/* ------------------------------------------------------------------ code */

/* A segment of its own from here on, for reads and writes through CS, and near its limit. */
static u8 code[8192] __attribute__((aligned(4096)));

struct __attribute__((packed)) far {
    u32 offset;
    u16 selector;
};

static void jump_far(word offset)
{
    struct far to = {(u32)offset, CODE};

    __asm__ volatile("lcall *%0" ::"m"(to) : "eax", "ecx", "edx", "memory");
}

static void put(u32 offset, const u8 *bytes, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        code[offset + i] = bytes[i];
    }
}

enum { CODE_LIMIT = 0xfff };

static void set_code(u16 attributes)
{
    set_descriptor(CODE, (word)code, CODE_LIMIT, attributes);
}

static void check_code(void)
{
    static const u8 read_through[] = {0x2e, 0xa0, 0, 0, 0, 0, 0xcb};  /* MOV AL, CS:[0]; RETF */
    static const u8 write_through[] = {0x2e, 0xa2, 0, 0, 0, 0, 0xcb}; /* MOV CS:[0], AL; RETF */
    static const u8 jump_near[] = {0xe9, 0xfb, 0x0f, 0, 0};           /* JMP to 0x1000 from 0 */
    static const u8 nops[] = {0x90, 0x90, 0x90, 0xcb};
    static const u8 jump_word[] = {0x66, 0xe9, 0xfc, 0x0f}; /* the same, 16 bits */

    put(0, read_through, sizeof(read_through));
    set_code(0x409b);
    check_fault(jump_far, 0, NO_FAULT, 0, "a read through readable CS");
    set_code(0x4099);
    check_fault(jump_far, 0, VECTOR_GP, 0, "a read through execute-only CS");
    put(0, write_through, sizeof(write_through));
    set_code(0x409b);
    check_fault(jump_far, 0, VECTOR_GP, 0, "a write through CS");

    check_fault(jump_far, 0x1000, VECTOR_GP, 0, "a far call past the limit");
    put(0, jump_near, sizeof(jump_near));
    check_fault(jump_far, 0, VECTOR_GP, 0, "a near jump past the limit");
    check_is(fault.ip, 0, "  faults at the jump");
    put(0, jump_word, sizeof(jump_word));
    check_fault(jump_far, 0, VECTOR_GP, 0, "the same with 16 bits");
    put(0xffc, nops, sizeof(nops));
    check_fault(jump_far, 0xffc, NO_FAULT, 0, "code up to the limit");
    code[0xfff] = 0x90;
    check_fault(jump_far, 0xffc, VECTOR_GP, 0, "falling off the limit");
    check_is(fault.ip, 0x1000, "  faults there");
    code[0xfff] = 0xb0;
    check_fault(jump_far, 0xfff, VECTOR_GP, 0, "an instruction across the limit");
    check_is(fault.ip, 0xfff, "  faults at its beginning");
    for (unsigned i = 0; i < 15; i++) {
        code[0x10 + i] = 0x66;
    }
    code[0x1f] = 0x90;
    check_fault(jump_far, 0x10, VECTOR_GP, 0, "16 bytes are no instruction");
    check_fault(jump_far, 0x1000 - 15 + 0x10, VECTOR_GP, 0, "nothing beyond the limit is read");
    code[0x20] = 0xcb;
    check_fault(jump_far, 0x11, NO_FAULT, 0, "15 bytes are");
}

/* ------------------------------------------------------------------ loads of pointers */

static struct far pointer;
static volatile u32 loaded;

static void load_pointer(word unused)
{
    u32 value;

    (void)unused;
    __asm__ volatile("mov $0x1111, %0; lfs %1, %0" : "=&r"(value) : "m"(pointer));
    loaded = value;
}
static void mov_cs(word selector)
{
    __asm__ volatile(".byte 0x8e, 0xc8" ::"a"(selector)); /* MOV CS, AX */
}
static void mov_sixth(word selector)
{
    __asm__ volatile(".byte 0x8e, 0xf0" ::"a"(selector)); /* MOV ?, AX */
}
static void load_pointer_register(word unused)
{
    (void)unused;
    __asm__ volatile(".byte 0x0f, 0xb4, 0xc8"); /* LFS ECX, EAX */
}
static void pop_fs(word selector)
{
    __asm__ volatile("push %0; popl %%fs" ::"r"(selector));
}
static void arpl(word value)
{
    u32 selector = (u32)value & 0xff, rpl = (u32)value >> 8;

    __asm__ volatile("arpl %w1, %w0; setz %%ah" : "+r"(selector) : "r"(rpl) : "eax", "cc");
    loaded = selector;
}

static void check_loads(void)
{
    u32 esp_before, esp_after;

    pointer = (struct far){0x12345678, KERNEL_DS};
    check_fault(load_pointer, 0, NO_FAULT, 0, "LFS");
    check_is(loaded, 0x12345678, "  its offset");
    pointer.selector = 0xfff8;
    check_fault(load_pointer, 0, VECTOR_GP, 0xfff8, "LFS outside of the GDT");
    pointer.selector = 0xfffc;
    check_fault(load_pointer, 0, VECTOR_GP, 0xfffc, "LFS from no LDT");
    check_fault(mov_cs, KERNEL_CS, VECTOR_UD, 0, "MOV CS");
    check_fault(mov_sixth, KERNEL_DS, VECTOR_UD, 0, "MOV to segment register 6");
    check_fault(load_pointer_register, 0, VECTOR_UD, 0, "LFS of a register");
    check_fault(pop_fs, 0xfff8, VECTOR_GP, 0xfff8, "POP FS");
    for (unsigned i = 0; i < 16; i++) {
        attempt(arpl, 0x40 | (i & 3) | (0x100 * (i >> 2)));
        unsigned larger = (i & 3) > i >> 2 ? i & 3 : i >> 2;
        check_case(loaded == (0x40 | larger), "ARPL of %u with %u gives %x", i & 3, i >> 2, loaded);
    }
    __asm__ volatile("mov %%esp, %0; push %%fs; mov %%esp, %1; add $4, %%esp"
                     : "=&r"(esp_before), "=&r"(esp_after));
    check_is(esp_before - esp_after, 4, "PUSH FS takes 4 bytes");
    __asm__ volatile("pushl $-1; push %%ds; pop %0; add $4, %%esp" : "=&r"(esp_after));
    check_is(esp_after & 0xffff, KERNEL_DS, "PUSH DS");
    __asm__ volatile("mov $-1, %%eax; mov %%ds, %%eax; mov %%eax, %0" : "=r"(esp_after)::"eax");
    check_is(esp_after, KERNEL_DS, "MOV EAX, DS clears the upper half");
}

void guest_main(void)
{
    check_descriptors();
    check_data();
    check_null();
    check_code();
    check_loads();
}
