/*
 * native_child.c - the process of the native side, from inside: see native.h.
 *
 * It needs RDFSBASE and its kin, for the handler has to put the C library's FS base back before it
 * may do anything else.
 */
#include <asm/ldt.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "isa/rflags.h"
#include "isa/vector.h"
#include "native.h"

#define SIGNAL_STACK (64u << 10)

/* What native_enter() loads.  The assembly below knows the offsets. */
struct image {
    u64 gpr[16];          /* 0 */
    u64 rip, cs, flags;   /* 128, 136, 144 */
    u64 rsp, ss;          /* 152, 160 */
    u64 ds, es, fs, gs;   /* 168, 176, 184, 192 */
    u64 fs_base, gs_base; /* 200, 208; loaded if the selector is null */
    u64 frame; /* 216: top of a stack for IRETQ's frame.  Its bits 31 to 16 stay in ESP where SS is
                * a 16-bit segment, for IRET then loads only SP */
    const struct fpu_area *fpu; /* 224 */
};

_Static_assert(offsetof(struct image, ss) == 160 && offsetof(struct image, gs_base) == 208 &&
                   offsetof(struct image, fpu) == 224,
               "the assembly knows the offsets");

/* What has to outlive the instructions, where the assembly finds it: this process's only state. */
struct saved {
    u64 rsp, fs_base;                 /* 0, 8 */
    u64 fs_base_after, gs_base_after; /* 16, 24 */
    u64 ds, es, fs, gs;               /* 32, 40, 48, 56: after the instructions */
    u64 running;                      /* 64 */
    struct outcome *outcome;
};

extern struct saved native_saved;
struct saved native_saved;

void native_enter(const struct image *image);
void native_signal_entry(int number, siginfo_t *info, void *context);
void native_signal(int number, siginfo_t *info, void *context);
_Noreturn void native_leave(void);

/* clang-format off */
__asm__(".pushsection .text\n"
        ".globl native_enter, native_signal_entry, native_leave\n"
        "native_enter:\n"
        "    push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "    mov %rsp, native_saved(%rip)\n"
        "    rdfsbase %rax\n"
        "    mov %rax, native_saved+8(%rip)\n"
        "    movq $1, native_saved+64(%rip)\n"
        "    mov 224(%rdi), %rcx\n"
        "    mov $7, %eax\n"
        "    xor %edx, %edx\n"
        "    xrstor64 (%rcx)\n"
        "    mov 216(%rdi), %rsp\n"
        "    pushq 160(%rdi); pushq 152(%rdi); pushq 144(%rdi); pushq 136(%rdi); pushq 128(%rdi)\n"
        "    mov 168(%rdi), %ds\n"
        "    mov 176(%rdi), %es\n"
        "    mov 184(%rdi), %fs\n"
        "    mov 192(%rdi), %gs\n"
        "    cmpq $0, 184(%rdi)\n"
        "    jne 1f\n"
        "    mov 200(%rdi), %rax\n"
        "    wrfsbase %rax\n"
        "1:  cmpq $0, 192(%rdi)\n"
        "    jne 2f\n"
        "    mov 208(%rdi), %rax\n"
        "    wrgsbase %rax\n"
        "2:  mov 0(%rdi), %rax; mov 8(%rdi), %rcx; mov 16(%rdi), %rdx; mov 24(%rdi), %rbx\n"
        "    mov 40(%rdi), %rbp; mov 48(%rdi), %rsi\n"
        "    mov 64(%rdi), %r8; mov 72(%rdi), %r9; mov 80(%rdi), %r10; mov 88(%rdi), %r11\n"
        "    mov 96(%rdi), %r12; mov 104(%rdi), %r13; mov 112(%rdi), %r14; mov 120(%rdi), %r15\n"
        "    mov 56(%rdi), %rdi\n"
        "    iretq\n"
        /* The kernel leaves the segment registers and AC as the instructions left them. */
        "native_signal_entry:\n"
        "    pushq $0x202\n"
        "    popfq\n"
        "    cmpq $0, native_saved+64(%rip)\n"
        "    je native_signal\n"
        "    rdfsbase %rax; mov %rax, native_saved+16(%rip)\n"
        "    rdgsbase %rax; mov %rax, native_saved+24(%rip)\n"
        "    xor %eax, %eax\n"
        "    mov %ds, %eax; mov %rax, native_saved+32(%rip)\n"
        "    mov %es, %eax; mov %rax, native_saved+40(%rip)\n"
        "    mov %fs, %eax; mov %rax, native_saved+48(%rip)\n"
        "    mov %gs, %eax; mov %rax, native_saved+56(%rip)\n"
        "    xor %eax, %eax\n"
        "    mov %eax, %ds; mov %eax, %es; mov %eax, %fs; mov %eax, %gs\n"
        "    mov native_saved+8(%rip), %rax\n"
        "    wrfsbase %rax\n"
        "    jmp native_signal\n"
        "native_leave:\n"
        "    mov native_saved(%rip), %rsp\n"
        "    pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "    cld\n"
        "    ret\n"
        ".popsection\n");
/* clang-format on */

/* ------------------------------------------------------------------ the way back */

static void take_registers(struct registers *r, const greg_t *gregs)
{
    static const u8 order[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                               REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                               REG_R12, REG_R13, REG_R14, REG_R15};

    for (unsigned i = 0; i < 16; i++) {
        r->gpr[i] = (u64)gregs[order[i]];
    }
    r->rip = (u64)gregs[REG_RIP];
    r->flags = (u64)gregs[REG_EFL];
    r->cs = (u64)gregs[REG_CSGSFS] & 0xffff;
    r->ss = (u64)gregs[REG_CSGSFS] >> 48;
    r->ds = native_saved.ds;
    r->es = native_saved.es;
    r->fs = native_saved.fs;
    r->gs = native_saved.gs;
    r->fs_base = native_saved.fs_base_after;
    r->gs_base = native_saved.gs_base_after;
}

void native_signal(int number, siginfo_t *info, void *context)
{
    const mcontext_t *m = &((ucontext_t *)context)->uc_mcontext;
    struct outcome *o = native_saved.outcome;

    (void)number;
    (void)info;
    if (!native_saved.running) { /* a failure of this process's own */
        _exit(1);
    }
    native_saved.running = 0;
    take_registers(&o->after, m->gregs);
    memcpy(&o->fpu, m->fpregs, sizeof(o->fpu));
    o->vector = (u8)m->gregs[REG_TRAPNO];
    o->error = (u32)m->gregs[REG_ERR];
    o->cr2 = o->vector == VECTOR_PF ? (u64)m->gregs[REG_CR2] : 0;
    native_leave();
}

/* ------------------------------------------------------------------ one case */

static void run(const struct area *area, const struct diff_case *c, struct outcome *o)
{
    const struct registers *r = &c->before;
    struct image image = {
        .rip = r->rip,
        .cs = r->cs,
        .flags = r->flags,
        .rsp = r->gpr[RSP],
        .ss = r->ss,
        .ds = r->ds,
        .es = r->es,
        .fs = r->fs,
        .gs = r->gs,
        .fs_base = r->fs_base,
        .gs_base = r->gs_base,
        .frame = FRAME + PAGE_SIZE - 16,
        .fpu = &c->fpu,
    };

    memcpy(image.gpr, r->gpr, sizeof(r->gpr));
    native_saved.outcome = o;
    area_apply(area, c);
    native_enter(&image);
    area_collect(area, c, o);
}

/* ------------------------------------------------------------------ setting up */

static bool map_area(struct area *area)
{
    u8 *contents = malloc(AREA_SIZE), *expected = malloc(AREA_SIZE);
    u8 *live = mmap((void *)(uintptr_t)AREA, AREA_SIZE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    if (live != (u8 *)(uintptr_t)AREA || !contents || !expected) {
        return false;
    }
    area_contents(contents);
    memcpy(expected, contents, AREA_SIZE);
    memcpy(live, contents, AREA_SIZE);
    for (unsigned i = 0; i < AREA_PAGES; i++) {
        static const int rights[] = {[PAGE_ABSENT] = PROT_NONE,
                                     [PAGE_CODE] = PROT_READ | PROT_WRITE | PROT_EXEC,
                                     [PAGE_DATA] = PROT_READ | PROT_WRITE,
                                     [PAGE_READ_ONLY] = PROT_READ};
        bool is_frame = AREA + i * PAGE_SIZE == FRAME;
        mprotect(live + i * PAGE_SIZE, PAGE_SIZE,
                 is_frame ? PROT_READ | PROT_WRITE : rights[area_pages[i]]);
    }
    mlock(live + (CODE - AREA), CODE_SIZE);
    *area = (struct area){.live = live, .expected = expected, .contents = contents};
    return true;
}

/* guest.c has the same as descriptors. */
static bool write_ldt(void)
{
    /* Number, base, limit, 32-bit, contents (0 data, 1 expand-down, 2 code), read or execute only,
     * limit in pages, not present, usable, long. */
    static const struct user_desc entries[LDT_COUNT] = {
        {0, AREA, 0xefff, 0, 2, 0, 0, 0, 0, 0},  {1, AREA, 0xffff, 0, 0, 0, 0, 0, 0, 0},
        {2, AREA, 0x8fff, 0, 0, 0, 0, 0, 0, 0},  {3, AREA, 0x5fff, 0, 1, 0, 0, 0, 0, 0},
        {4, AREA, 0xbfff, 1, 0, 0, 0, 0, 0, 0},  {5, AREA, 0xefff, 1, 0, 1, 0, 0, 0, 0},
        {6, AREA, 0xefff, 1, 2, 0, 0, 0, 0, 0},  {7, AREA, 0xefff, 1, 2, 1, 0, 0, 0, 0},
        {8, AREA, 0xefff, 1, 2, 0, 0, 1, 0, 0},  {9, AREA, 0xefff, 1, 0, 0, 0, 1, 0, 0},
        {10, AREA, 0x5fff, 1, 1, 0, 0, 0, 0, 0},
    };

    for (unsigned i = 0; i < LDT_COUNT; i++) {
        struct user_desc entry = entries[i];
        if (syscall(SYS_modify_ldt, 0x11, &entry, sizeof(entry))) {
            return false;
        }
    }
    return true;
}

static bool handle_signals(void)
{
    static const int signals[] = {SIGILL, SIGFPE, SIGSEGV, SIGBUS, SIGTRAP};
    struct sigaction action = {.sa_sigaction = native_signal_entry,
                               .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
    stack_t stack = {.ss_size = SIGNAL_STACK};

    stack.ss_sp =
        mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack.ss_sp == MAP_FAILED || sigaltstack(&stack, NULL)) {
        return false;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(signals); i++) {
        sigaction(signals[i], &action, NULL);
    }
    return true;
}

void native_child(struct native_batch *batch, int socket)
{
    struct area area;
    char byte = 'E';

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (map_area(&area) && handle_signals()) {
        byte = write_ldt() ? 'L' : 'N';
    }
    while (write(socket, &byte, 1) == 1 && read(socket, &byte, 1) == 1) {
        for (; batch->current < batch->count; batch->current++) {
            u32 i = batch->current;
            run(&area, &batch->cases[i], &batch->outcomes[i]);
        }
        byte = 'd';
    }
    _exit(0);
}
