/*
 * controls.c - every bit of the control registers, XCR0 and the MSRs that have rules: which may be
 * set by what CPUID says, which are ignored, and which are #GP; LMSW, SMSW, CLTS and CR8.
 *
 * Intel SDM vol. 3A, "Control Registers", "Extended Control Registers", "Time-Stamp Counter
 * Adjustment", "Page Attribute Table"; vol. 2, MOV to control registers, LMSW.
 */
#include "guest.h"

enum { MSR_TSC = 0x10, MSR_TSC_ADJUST = 0x3b, MSR_PAT = 0x277, MSR_MTRR_DEFAULT = 0x2ff };
enum {
    CR0_PE = 1,
    CR0_MP = 2,
    CR0_EM = 4,
    CR0_TS = 8,
    CR0_ET = 16,
    CR0_NE = 32,
    OSXSAVE = 1 << 18
};
#define CR0_NW (1u << 29)
#define CR0_CD (1u << 30)
#define CR0_PG (1u << 31)
/* Those that exist. */
#define CR0_DEFINED (0x3fu | 1u << 16 | 1u << 18 | 7u << 29)

static u32 features_1[4], features_7[4], features_d[4];

static void put_cr0(word v)
{
    write_cr0(v);
}
static void put_cr3(word v)
{
    write_cr3(v);
}
static void put_cr4(word v)
{
    write_cr4(v);
}
static void put_cr8(word v)
{
    __asm__ volatile("mov %0, %%cr8" ::"r"(v));
}
static word get_cr8(void)
{
    word v;
    __asm__ volatile("mov %%cr8, %0" : "=r"(v));
    return v;
}
static void put_xcr0(word v)
{
    __asm__ volatile("xsetbv" ::"c"(0), "a"((u32)v), "d"((u32)(v >> 32)));
}

/* ------------------------------------------------------------------ CR0 */

/* In 64-bit mode. */
static bool cr0_is_allowed(word v)
{
    return !(v >> 32) && (v & CR0_PG) && (v & CR0_PE) && (!(v & CR0_NW) || (v & CR0_CD));
}

static void check_cr0(void)
{
    word before = read_cr0();

    for (unsigned bit = 0; bit < 64; bit++) {
        for (unsigned other = 0; other < 32; other++) {
            word v = before ^ (word)1 << bit ^ (other ? (word)1 << other : 0);
            attempt(put_cr0, v);
            bool allowed = cr0_is_allowed(v);
            word now = read_cr0();
            write_cr0(before);
            check_case((fault.vector == NO_FAULT) == allowed &&
                           (allowed || (fault.vector == VECTOR_GP && fault.error == 0)),
                       "CR0 of %l: vector %x", (u64)v, fault.vector);
            word expected = allowed ? (v & CR0_DEFINED) | CR0_ET : before;
            check_case(now == expected, "CR0 of %l is %l", (u64)v, (u64)now);
        }
    }
    print("ok   CR0\n");
}

static void lmsw(word v)
{
    __asm__ volatile("lmsw %w0" ::"r"(v));
}

static void check_machine_status(void)
{
    word before = read_cr0();

    for (unsigned v = 0; v < 16; v++) {
        lmsw(v | 0xfff0);
        /* PE cannot be cleared, and nothing but the four is changed. */
        check_case(read_cr0() == ((before & ~(word)15) | v | CR0_PE), "LMSW of %x: %l", v,
                   (u64)read_cr0());
    }
    write_cr0(before);
    word all = ~0ull, low = ~0ull;
    __asm__ volatile("smsw %0" : "+r"(all));
    __asm__ volatile("smsw %w0" : "+r"(low));
    check_is(all, before, "SMSW gives all of CR0");
    check_is(low, (before & 0xffff) | 0xffffffffffff0000, "  of which 16 bits, if so asked");
    write_cr0(before | CR0_TS);
    __asm__ volatile("clts");
    check_is(read_cr0(), before & ~(word)CR0_TS, "CLTS");
}

/* ------------------------------------------------------------------ CR4 */

/* Which bits there are, by CPUID. */
static word cr4_defined(void)
{
    static const struct {
        u8 bit, leaf, reg, feature;
    } rows[] = {
        {0, 1, 3, 1},   {1, 1, 3, 1},   {2, 1, 3, 4},  {3, 1, 3, 2},   {4, 1, 3, 3},
        {5, 1, 3, 6},   {6, 1, 3, 7},   {7, 1, 3, 13}, {9, 1, 3, 24},  {10, 1, 3, 25},
        {11, 7, 2, 2},  {12, 7, 2, 16}, {13, 1, 2, 5}, {14, 1, 2, 6},  {16, 7, 1, 0},
        {17, 1, 2, 17}, {18, 1, 2, 26}, {20, 7, 1, 7}, {21, 7, 1, 20}, {22, 7, 2, 3},
        {23, 7, 2, 7},  {24, 7, 2, 31},
    };
    word defined = 1u << 8; /* PCE always is */

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        const u32 *leaf = rows[i].leaf == 1 ? features_1 : features_7;
        if (leaf[rows[i].reg] >> rows[i].feature & 1) {
            defined |= (word)1 << rows[i].bit;
        }
    }
    return defined;
}

static void check_cr4(void)
{
    word before = read_cr4(), defined = cr4_defined();

    for (unsigned bit = 0; bit < 64; bit++) {
        word v = before ^ (word)1 << bit;
        /* PAE cannot be cleared in long mode, nor LA57 changed; CET needs WP, which is set. */
        bool allowed = (defined >> bit & 1) && bit != 5 && bit != 12;
        attempt(put_cr4, v);
        word now = read_cr4();
        write_cr4(before);
        check_case((fault.vector == NO_FAULT) == allowed &&
                       (allowed || (fault.vector == VECTOR_GP && fault.error == 0)),
                   "CR4 of %l: vector %x", (u64)v, fault.vector);
        check_case(now == (allowed ? v : before), "CR4 of %l is %l", (u64)v, (u64)now);
    }
    print("ok   CR4\n");
}

/* ------------------------------------------------------------------ CR3, CR8, those that are not
 */

static void put_absent(word n)
{
    switch (n) {
    case 1:
        __asm__ volatile(".byte 0x0f, 0x22, 0xc8"); /* CR1 */
        break;
    case 5:
        __asm__ volatile(".byte 0x0f, 0x22, 0xe8");
        break;
    case 7:
        __asm__ volatile(".byte 0x0f, 0x22, 0xf8");
        break;
    case 9:
        __asm__ volatile(".byte 0x44, 0x0f, 0x22, 0xc8");
        break;
    case 15:
        __asm__ volatile(".byte 0x44, 0x0f, 0x20, 0xf8" ::: "rax"); /* MOV RAX, CR15 */
        break;
    }
}

static void check_others(void)
{
    static const u8 absent[] = {1, 5, 7, 9, 15};
    word cr3 = read_cr3();
    u32 sizes[4];

    cpuid(0x80000008, 0, sizes);
    for (unsigned bit = 3; bit < 64; bit++) {
        if (bit == 3 || bit == 4 || bit >= (sizes[0] & 0xff)) {
            bool allowed = bit < 5;
            attempt(put_cr3, cr3 ^ (word)1 << bit);
            check_case((fault.vector == NO_FAULT) == allowed, "CR3, bit %u: vector %x", bit,
                       fault.vector);
            check_case(!allowed || read_cr3() == (cr3 ^ (word)1 << bit), "CR3 is %l",
                       (u64)read_cr3());
            write_cr3(cr3);
        }
    }
    for (unsigned bit = 0; bit < 64; bit++) {
        attempt(put_cr8, (word)1 << bit);
        check_case((fault.vector == NO_FAULT) == (bit < 4), "CR8, bit %u: vector %x", bit,
                   fault.vector);
        check_case(bit >= 4 || get_cr8() == (word)1 << bit, "CR8 is %l", (u64)get_cr8());
    }
    put_cr8(0);
    for (unsigned i = 0; i < sizeof(absent); i++) {
        check_fault(put_absent, absent[i], VECTOR_UD, 0, "a control register that there is not");
    }
    /* The mod field and a size do not matter. */
    word value = 0;
    __asm__ volatile(".byte 0x0f, 0x20, 0x18; mov %%rax, %0" : "=r"(value)::"rax"); /* mod 0 */
    check_is(value, cr3, "MOV from CR3 with mod 0 is of a register");
    __asm__ volatile(".byte 0x66, 0x0f, 0x20, 0xd8; mov %%rax, %0" : "=r"(value)::"rax");
    check_is(value, cr3, "  and with 66h of 64 bits");
    write_cr2(0x123456789abcdef0);
    check_is(read_cr2(), 0x123456789abcdef0, "CR2 holds anything");
}

/* ------------------------------------------------------------------ XCR0 */

static void check_xcr0(void)
{
    u64 offered = features_d[0] | (u64)features_d[3] << 32;

    if (!(features_1[2] >> 26 & 1)) {
        return;
    }
    write_cr4(read_cr4() | OSXSAVE);
    for (unsigned bit = 0; bit < 64; bit++) {
        for (unsigned base = 0; base < 8; base++) {
            u64 v = base ^ 1ull << bit;
            bool allowed = (v & 1) && !(v & ~offered) && (!(v & 4) || (v & 2));
            /* The two of MPX, the three of AVX-512 and the two of AMX go together only. */
            allowed &= (v & 0x18) == 0 && (v & 0xe0) == 0 && (v & 0x60000) == 0;
            attempt(put_xcr0, v);
            check_case((fault.vector == NO_FAULT) == allowed, "XCR0 of %l: vector %x", v,
                       fault.vector);
        }
    }
    put_xcr0(3);
    write_cr4(read_cr4() & ~(word)OSXSAVE);
    print("ok   XCR0\n");
}

/* ------------------------------------------------------------------ MSRs */

static u64 msr_value;
static void put_msr(word index)
{
    wrmsr((u32)index, msr_value);
}

static u32 try_msr(u32 index, u64 value)
{
    msr_value = value;
    return attempt(put_msr, index);
}

static void check_pat(void)
{
    u64 before = rdmsr(MSR_PAT);

    for (unsigned entry = 0; entry < 8; entry++) {
        for (unsigned type = 0; type < 256; type++) {
            u64 v = (before & ~(0xffull << 8 * entry)) | (u64)type << 8 * entry;
            bool allowed = type == 0 || type == 1 || (type >= 4 && type <= 7);
            try_msr(MSR_PAT, v);
            check_case((fault.vector == NO_FAULT) == allowed, "PAT %u of type %x: vector %x", entry,
                       type, fault.vector);
            check_case(!allowed || rdmsr(MSR_PAT) == v, "PAT is %l", rdmsr(MSR_PAT));
        }
    }
    wrmsr(MSR_PAT, before);
    before = rdmsr(MSR_MTRR_DEFAULT);
    for (unsigned type = 0; type < 16; type++) {
        bool allowed = type == 0 || type == 1 || (type >= 4 && type <= 6);
        try_msr(MSR_MTRR_DEFAULT, (before & ~0xffull) | type);
        check_case((fault.vector == NO_FAULT) == allowed, "MTRR default type %x: vector %x", type,
                   fault.vector);
    }
    wrmsr(MSR_MTRR_DEFAULT, before);
    print("ok   memory types\n");
}

/* Writes of the TSC and of its adjustment move both. */
static void check_tsc(void)
{
    u64 a = rdtsc(), b = rdtsc(), adjust;

    check(b >= a, "the TSC does not go back");
    if (!(features_7[1] >> 1 & 1)) {
        return;
    }
    adjust = rdmsr(MSR_TSC_ADJUST);
    wrmsr(MSR_TSC_ADJUST, adjust + (1ull << 40));
    a = rdtsc();
    check(a - b >= 1ull << 40 && a - b < 1ull << 41, "TSC_ADJUST moves the TSC");
    check_is(rdmsr(MSR_TSC_ADJUST), adjust + (1ull << 40), "  and reads back");
    wrmsr(MSR_TSC, rdtsc() - (1ull << 40));
    a = rdmsr(MSR_TSC_ADJUST) - adjust;
    check((s64)a < 0 ? -a < 1ull << 36 : a < 1ull << 36, "a write of the TSC moves TSC_ADJUST");
    b = rdtsc();
    wrmsr(MSR_TSC_ADJUST, adjust);
    check(rdmsr(MSR_TSC) < 1ull << 56, "and it can be moved back");
    u32 aux;
    u64 upper;
    __asm__ volatile("mov $-1, %%rdx; rdtsc; mov %%rdx, %0" : "=r"(upper)::"rax", "rdx");
    check(!(upper >> 32), "RDTSC clears the upper halves");
    u32 extended[4];
    cpuid(0x80000001, 0, extended);
    if (extended[3] >> 27 & 1) {
        wrmsr(0xc0000103u, 0x12345678);
        __asm__ volatile("rdtscp" : "=c"(aux)::"rax", "rdx");
        check_is(aux, 0x12345678, "RDTSCP gives TSC_AUX");
        check(try_msr(0xc0000103u, 1ull << 32) == VECTOR_GP, "  which has 32 bits");
    }
}

void guest_main(void)
{
    cpuid(1, 0, features_1);
    cpuid(7, 0, features_7);
    cpuid(0xd, 0, features_d);
    write_cr0(read_cr0() | CR0_NE | 1u << 16);
    check_cr0();
    check_machine_status();
    check_cr4();
    check_others();
    check_xcr0();
    check_pat();
    check_tsc();
}
