/* exceptions.c - each exception with its vector, error code and return address; IST; #DF. */
#include "guest.h"

static void divide(word by)
{
    __asm__ volatile("xor %%edx, %%edx; mov $1, %%eax; div %0" ::"r"((u32)by) : "eax", "edx");
}
static void undefined(word unused)
{
    (void)unused;
    __asm__ volatile("ud2");
}
static void lock_register(word unused)
{
    (void)unused;
    __asm__ volatile(".byte 0xf0, 0x01, 0xc0"); /* LOCK ADD EAX, EAX */
}
static void load_fs(word selector)
{
    __asm__ volatile("mov %w0, %%fs" ::"r"(selector));
}
static void load_ss(word selector)
{
    __asm__ volatile("mov %w0, %%ss" ::"r"(selector));
}
static void load_tr(word selector)
{
    __asm__ volatile("ltr %w0" ::"r"(selector));
}
static void write_bad_msr(word index)
{
    wrmsr((u32)index, 0);
}
static void interrupt(word unused)
{
    (void)unused;
    __asm__ volatile("int $0x40");
}
static void breakpoint(word unused)
{
    (void)unused;
    __asm__ volatile("int3");
}
static void wait_fpu(word unused)
{
    (void)unused;
    __asm__ volatile("fninit; fnop");
}
static void write_cr4_reserved(word bit)
{
    write_cr4(read_cr4() | (word)1 << bit);
}
static void privileged(word unused)
{
    (void)unused;
    __asm__ volatile("hlt");
}
static void port(word number)
{
    inb((u16)number);
}
static void clear_if(word unused)
{
    (void)unused;
    __asm__ volatile("cli");
}
static void read_tsc(word unused)
{
    (void)unused;
    rdtsc();
}
static void misaligned(word address)
{
    __asm__ volatile("pushf; orl $0x40000, (%%rsp); popf; mov (%0), %%eax" ::"r"(address + 1)
                     : "eax", "memory");
}

static void check_plain(void)
{
    check_fault(divide, 0, VECTOR_DE, 0, "#DE");
    check_fault(divide, 1, NO_FAULT, 0, "a division that works");
    check_fault(undefined, 0, VECTOR_UD, 0, "#UD");
    check(fault.flags & 1u << 16, "RF is set in the frame of a fault");
    check_fault(lock_register, 0, VECTOR_UD, 0, "LOCK of a register");
    check_fault(load_fs, 0x1234 & ~7, VECTOR_GP, 0x1230, "a selector past the GDT");
    set_descriptor(FREE_SELECTOR, 0, 0xfffff, 0xc013); /* not present */
    check_fault(load_fs, FREE_SELECTOR, VECTOR_NP, FREE_SELECTOR, "#NP");
    check_fault(load_ss, FREE_SELECTOR, VECTOR_SS, FREE_SELECTOR, "#SS by a stack not present");
    check_fault(load_fs, KERNEL_CS, NO_FAULT, 0, "readable code in FS");
    check_fault(load_fs, 0, NO_FAULT, 0, "a null selector in FS");
    check_fault(load_tr, KERNEL_DS, VECTOR_GP, KERNEL_DS, "LTR of a data segment");
    check_fault(load_tr, MAIN_TSS, VECTOR_GP, MAIN_TSS, "LTR of a busy TSS");
    check_fault(write_bad_msr, 0x12345, VECTOR_GP, 0, "an MSR that is not there");
    check_fault(write_cr4_reserved, 30, VECTOR_GP, 0, "a reserved bit of CR4");
    set_gate(0x40, (word)(interrupt_stubs + 16 * 0x40), KERNEL_CS, 0x0e, 0);
    check_fault(interrupt, 0, VECTOR_NP, 0x40 * 8 + 2, "a gate not present");
    write_cr0(read_cr0() | 1u << 3);
    check_fault(wait_fpu, 0, VECTOR_NM, 0, "#NM with CR0.TS");
    write_cr0(read_cr0() & ~(word)(1u << 3));
}

static void check_user(void)
{
    static const struct {
        void (*what)(word);
        word argument;
        u32 vector, error;
        const char *name;
    } rows[] = {
        {privileged, 0, VECTOR_GP, 0, "HLT at CPL 3"},
        {port, 0x80, VECTOR_GP, 0, "IN at CPL 3"},
        {clear_if, 0, VECTOR_GP, 0, "CLI at CPL 3"},
        {interrupt, 0, VECTOR_GP, 0x40 * 8 + 2, "a gate of DPL 0 at CPL 3"},
        {breakpoint, 0, VECTOR_BP, 0, "INT3 at CPL 3"},
        {divide, 0, VECTOR_DE, 0, "#DE at CPL 3"},
        {misaligned, (word)gdt, VECTOR_AC, 0, "#AC"},
    };

    write_cr0(read_cr0() | 1u << 18); /* AM */
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        attempt_user(rows[i].what, rows[i].argument);
        check(fault.vector == rows[i].vector && fault.error == rows[i].error, rows[i].name);
    }
    write_cr4(read_cr4() | 1u << 2); /* TSD */
    attempt_user(read_tsc, 0);
    check(fault.vector == VECTOR_GP, "RDTSC at CPL 3 with TSD");
}

/* ------------------------------------------------------------------ double fault, on its IST */

static u8 fault_stack[4096] __attribute__((aligned(16)));
static bool on_fault_stack;

static void double_fault(struct frame *frame)
{
    on_fault_stack = (u8 *)frame > fault_stack && (u8 *)frame < fault_stack + sizeof(fault_stack);
    fault = (struct fault){VECTOR_DF, (u32)frame->error, frame->ip, 0, frame->flags};
    attempt_recover();
}

static void lose_stack(word unused)
{
    (void)unused;
    __asm__ volatile("mov $0xdead000000000000, %%rsp; push %%rax" ::: "memory");
}

static void check_double(void)
{
    handlers[VECTOR_DF] = double_fault;
    *(u64 *)(main_tss + 36) = (word)(fault_stack + sizeof(fault_stack)); /* IST 1 */
    set_gate(VECTOR_DF, (word)(interrupt_stubs + 16 * VECTOR_DF), KERNEL_CS, 0x8e, 1);
    check_fault(lose_stack, 0, VECTOR_DF, 0, "#DF by a stack that is lost");
    check(on_fault_stack, "  on its own stack");
    /* #DE, and its gate is not present: #NP is contributory to #DE. */
    set_gate(VECTOR_DE, (word)interrupt_stubs, KERNEL_CS, 0x0e, 0);
    check_fault(divide, 0, VECTOR_DF, 0, "#NP upon #DE is #DF");
    /* #UD is benign: then #NP is only #NP, with EXT as #UD is not by INT n. */
    set_gate(VECTOR_UD, (word)interrupt_stubs, KERNEL_CS, 0x0e, 0);
    check_fault(undefined, 0, VECTOR_NP, VECTOR_UD * 8 + 3, "#NP upon #UD is #NP");
}

void guest_main(void)
{
    open_pages_to_user();
    write_cr0(read_cr0() | 1u << 1 | 1u << 5); /* MP, NE */
    check_plain();
    check_user();
    check_double();
}
