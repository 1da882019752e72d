/* attack.c - the kernel of the attacking guest: attack.h.  The command line names the attack. */
#include "attack.h"

enum {
    MSR_EFER = 0xc0000080u,
    MSR_STAR = 0xc0000081u,
    MSR_LSTAR = 0xc0000082u,
    MSR_FMASK = 0xc0000084u,
    EFER_SCE = 1,
    EFER_NXE = 1 << 11,
    CR0_NE_MP_WP = 1u << 5 | 1u << 1 | 1u << 16,
    CR4_USUAL = 1u << 9 | 1u << 10 | 1u << 16 | 1u << 18, /* OSFXSR OSXMMEXCPT FSGSBASE OSXSAVE */
    LINUX_SS = 0x2b,
    LINUX_CS = 0x33,
};

#define POOL       0x1000000ull /* pages for tables and users */
#define ADDRESS    0xffffffffff000ull
#define PTE_TABLE  (1u | PTE_WRITE | PTE_USER)
#define TABLE_ROWS 512u

/* ------------------------------------------------------------------ pages */

static u64 pool_used;

u8 *page_new(void)
{
    u64 *page = (u64 *)(POOL + pool_used);

    pool_used += PAGE_BYTES;
    for (unsigned i = 0; i < TABLE_ROWS; i++) {
        page[i] = 0;
    }
    return (u8 *)page;
}

static u64 *table_of(u64 *entry)
{
    if (!(*entry & 1)) {
        *entry = (u64)page_new() | PTE_TABLE;
    }
    *entry |=
        PTE_TABLE; /* that of the kernel's own pages, too: they are not the user's themselves */
    return (u64 *)(*entry & ADDRESS);
}

u64 *page_entry(u64 gva)
{
    u64 *table = (u64 *)(read_cr3() & ADDRESS);

    for (unsigned shift = 39; shift > 12; shift -= 9) {
        table = table_of(&table[gva >> shift & 511]);
    }
    return &table[gva >> 12 & 511];
}

void map_page(u64 gva, const void *page, u64 flags)
{
    *page_entry(gva) = (u64)page | flags | 1;
    __asm__ volatile("invlpg (%0)" ::"r"(gva) : "memory");
}

void unmap_page(u64 gva)
{
    *page_entry(gva) = 0;
    __asm__ volatile("invlpg (%0)" ::"r"(gva) : "memory");
}

void split_large_page(u64 gva)
{
    u64 *pml4 = (u64 *)(read_cr3() & ADDRESS), *pdpt = (u64 *)(pml4[0] & ADDRESS);
    u64 *directory = (u64 *)(pdpt[gva >> 30] & ADDRESS);

    pdpt[gva >> 30] |= PTE_TABLE;
    directory[gva >> 21 & 511] = 0;
    write_cr3(read_cr3());
}

/* The kernel's first 512 GiB hold the users' pages, too: they have a table of their own in each. */
u64 *space_new(void)
{
    u64 *from = (u64 *)(read_cr3() & ADDRESS), *to = (u64 *)page_new();
    u64 *low = (u64 *)page_new(), *old = (u64 *)(from[0] & ADDRESS);

    to[0] = (u64)low | PTE_TABLE;
    for (unsigned i = 0; i < 4; i++) {
        low[i] = old[i];
    }
    return to;
}

/* ------------------------------------------------------------------ user code */

static struct left left;
static struct frame to_enter;
static unsigned ticks_allowed;

struct frame user_registers(void)
{
    return (struct frame){.ip = USER_CODE, .sp = USER_STACK, .flags = FLAGS_USER};
}

static void leave(struct frame *frame)
{
    left.at = *frame;
    left.cr2 = read_cr2();
    attempt_recover();
}

static void on_tick(struct frame *frame)
{
    pic_eoi(0);
    if ((frame->cs & 3) && ++left.ticks >= ticks_allowed) {
        leave(frame);
    }
}

/* SYSCALL: as an interrupt would have it, but for what SYSCALL itself changes. */
extern u8 on_syscall[];
void syscall_entry(struct frame *frame);
word syscall_rsp;
__asm__("on_syscall:\n"
        "  mov %rsp, syscall_rsp(%rip)\n"
        "  mov main_tss + 4(%rip), %rsp\n"
        "  pushq $0x2b; pushq syscall_rsp(%rip); push %r11; pushq $0x33; push %rcx\n"
        "  pushq $0; pushq $0x100\n"
        "  push %rax; push %rcx; push %rdx; push %rbx; push %rbp; push %rsi; push %rdi\n"
        "  push %r8; push %r9; push %r10; push %r11; push %r12; push %r13; push %r14; push %r15\n"
        "  mov %rsp, %rdi; and $-16, %rsp; cld\n"
        "  call syscall_entry\n");

void syscall_entry(struct frame *frame)
{
    frame->sp = syscall_rsp;
    leave(frame);
}

/* Registers, then what IRETQ wants, are popped off the frame itself. */
void attack_enter(word frame);
__asm__("attack_enter:\n"
        "  xor %eax, %eax; mov %eax, %ds; mov %eax, %es; mov %eax, %fs; mov %eax, %gs\n"
        "  mov %rdi, %rsp\n"
        "  pop %r15; pop %r14; pop %r13; pop %r12; pop %r11; pop %r10; pop %r9; pop %r8\n"
        "  pop %rdi; pop %rsi; pop %rbp; pop %rbx; pop %rdx; pop %rcx; pop %rax\n"
        "  add $16, %rsp; iretq\n");

static void enter(word frame)
{
    *(u64 *)(main_tss + 4) = attempt_stack - 256;
    attack_enter(frame);
}

const struct left *run_user(const struct frame *registers, unsigned max_ticks)
{
    to_enter = *registers;
    to_enter.cs = LINUX_CS;
    to_enter.ss = LINUX_SS;
    left = (struct left){.ticks = 0};
    ticks_allowed = max_ticks;
    attempt(enter, (word)&to_enter);
    return &left;
}

void put_code(const u8 *code, unsigned size)
{
    u8 *page = (u8 *)(*page_entry(USER_CODE) & ADDRESS);

    for (unsigned i = 0; i < size; i++) {
        page[i] = code[i];
    }
    page[size] = 0xcd;
    page[size + 1] = USER_END_VECTOR;
}

bool check_left(const struct left *l, u32 vector, u64 error, u64 cr2, const char *name)
{
    bool good = l->at.vector == vector && (vector >= 32 || l->at.error == error) &&
                (vector != VECTOR_PF || l->cr2 == cr2);

    check_case(good, "%s: vector %x error %l cr2 %l at %l", name, (unsigned)l->at.vector,
               (u64)l->at.error, (u64)l->cr2, (u64)l->at.ip);
    return good;
}

/* ------------------------------------------------------------------ the machine */

static void set_up(void)
{
    set_descriptor(LINUX_SS & ~3, 0, 0xfffff, 0xc0f3);
    set_descriptor(LINUX_CS & ~3, 0, 0xfffff, 0xa0fb);
    write_cr0((read_cr0() | CR0_NE_MP_WP) & ~(word)0xc);
    write_cr4(read_cr4() | CR4_USUAL);
    __asm__ volatile("xsetbv" ::"a"(7), "d"(0), "c"(0));
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE | EFER_NXE);
    wrmsr(MSR_STAR, (u64)KERNEL_CS << 32 | (u64)0x23 << 48);
    wrmsr(MSR_LSTAR, (word)on_syscall);
    wrmsr(MSR_FMASK, 0x47700);
    for (unsigned i = 0; i < 256; i++) {
        handlers[i] = i == PIC_VECTOR ? on_tick : leave;
    }
    map_page(USER_CODE, page_new(), PTE_USER | PTE_WRITE);
    for (unsigned i = 1; i <= 4; i++) {
        map_page(USER_STACK - i * PAGE_BYTES, page_new(), PTE_USER | PTE_WRITE);
    }
    map_page(USER_DATA, page_new(), PTE_USER | PTE_WRITE);
    pic_start(1 << 0);
    pit_start(2, 11932); /* 100 Hz */
}

void guest_main(void)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } attacks[] = {
        {"reads", attack_reads},     {"writes", attack_writes},     {"jumps", attack_jumps},
        {"text", attack_text},       {"handler", attack_handler},   {"overlaps", attack_overlaps},
        {"stacks", attack_stacks},   {"calls", attack_calls},       {"pkru", attack_pkru},
        {"flags", attack_flags},     {"segments", attack_segments}, {"state", attack_state},
        {"strings", attack_strings}, {"spaces", attack_spaces},     {"pieces", attack_pieces},
        {"stale", attack_stale},     {"tables", attack_tables},     {"stores", attack_stores},
        {"devices", attack_devices},
    };

    set_up();
    for (unsigned i = 0; i < ARRAY_SIZE(attacks); i++) {
        if (option(attacks[i].name)) {
            attacks[i].run();
            return;
        }
    }
    check(false, "there is no such attack");
}
