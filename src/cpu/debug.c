/* debug.c - breakpoints, watchpoints and single-step; see debug.h. */
#include "cpu/debug.h"

static unsigned kind_of(u64 dr7, unsigned n)
{
    return dr7 >> DR7_RW_SHIFT(n) & 3;
}

static unsigned length_of(u64 dr7, unsigned n)
{
    static const u8 length[] = {1, 2, 8, 4};
    return length[dr7 >> DR7_LEN_SHIFT(n) & 3];
}

bool debug_watches_data(const struct cpu *cpu)
{
    u64 dr7 = cpu->dr[7];
    if (!(dr7 & DR7_ENABLED)) {
        return false;
    }
    for (unsigned n = 0; n < 4; n++) {
        /* Bit 0 of the kind is set in both kinds that watch data. */
        if ((dr7 & DR7_L_G(n)) && (kind_of(dr7, n) & DR7_RW_WRITE)) {
            return true;
        }
    }
    return false;
}

bool debug_check_fetch(struct cpu *cpu, gva_t gva)
{
    u64 dr7 = cpu->dr[7], hits = 0;
    cpu->debug_step = cpu->rflags & RFLAGS_TF;
    if (!cpu->debug_shadow) {
        cpu->debug_hits = 0; /* else those of the load of SS wait until after this instruction */
    }
    bool resume = cpu->rflags & RFLAGS_RF;
    cpu->rflags &= ~RFLAGS_RF; /* it is good for one instruction */
    if (resume || cpu->debug_shadow) {
        return true;
    }
    for (unsigned n = 0; n < 4; n++) {
        if ((dr7 & DR7_L_G(n)) && kind_of(dr7, n) == DR7_RW_EXECUTE && cpu->dr[n] == gva) {
            hits |= DR6_B0 << n;
        }
    }
    return !hits || cpu_raise_debug(cpu, hits);
}

static bool meets(const struct cpu *cpu, unsigned n, gva_t gva, unsigned size)
{
    u64 length = length_of(cpu->dr[7], n);
    u64 start = cpu->dr[n] & ~(length - 1);
    return gva < start + length && start < gva + size;
}

void debug_check_data(struct cpu *cpu, gva_t gva, unsigned size, bool is_write, bool is_io)
{
    u64 dr7 = cpu->dr[7];
    if (!(dr7 & DR7_ENABLED) || (is_io && !(cpu->mmu.paging.cr4 & CR4_DE))) {
        return;
    }
    for (unsigned n = 0; n < 4; n++) {
        unsigned kind = kind_of(dr7, n);
        bool watched =
            is_io ? kind == DR7_RW_IO : kind == DR7_RW_ACCESS || (kind == DR7_RW_WRITE && is_write);
        if ((dr7 & DR7_L_G(n)) && watched && meets(cpu, n, gva, size)) {
            cpu->debug_hits |= (u32)DR6_B0 << n;
        }
    }
}

bool debug_after_instruction(struct cpu *cpu, bool stepping)
{
    if (cpu->debug_shadow) {
        return true; /* this was a load of SS: nothing before the next instruction is done */
    }
    u64 bits = cpu->debug_hits | (stepping && cpu->debug_step ? DR6_BS : 0);
    cpu->debug_hits = 0;
    cpu->debug_step = false;
    return !bits || cpu_raise_debug(cpu, bits);
}
