/* fpu.c - the x87, SSE and AVX registers.  Intel SDM vol. 1, "Managing State Using the XSAVE
 * Feature Set"; vol. 3A, "Processor State After Reset". */
#include "cpu/fpu.h"

#include "base/string.h"

/* What is loaded: the guest's components, and the AVX-512 ones, which VEX instructions clear anyway
 * and whose initial state is the cheap one.  Never PKRU. */
#define LOADED_COMPONENTS 0xe7u

static struct fpu_area *area_of(struct cpu *cpu)
{
    return (struct fpu_area *)cpu->fpu.state;
}

static u32 host_mxcsr_mask(void)
{
    u8 image[512] __attribute__((aligned(16)));
    u32 mask;
    __asm__ volatile("fxsave64 %0" : "=m"(image));
    memcpy(&mask, image + offsetof(struct fpu_area, mxcsr_mask), sizeof(mask));
    return mask ? mask : 0xffbf;
}

void fpu_reset(struct cpu *cpu)
{
    struct fpu *fpu = &cpu->fpu;
    struct fpu_area *area = area_of(cpu);
    memset(fpu, 0, sizeof(*fpu));
    area->fcw = 0x0040;
    area->ftw = 0xff; /* tag word 5555H: all valid, holding zero */
    area->mxcsr = MXCSR_RESET;
    area->mxcsr_mask = host_mxcsr_mask();
    area->xstate_bv = XCR0_X87 | XCR0_SSE;
}

void fpu_init_signal(struct cpu *cpu)
{
    (void)cpu;
}

u16 fpu_fsw_summary(u16 fsw, u16 fcw)
{
    u16 summary = FSW_ES | FSW_B;
    return fsw & ~fcw & FSW_EXCEPTIONS ? fsw | summary : fsw & (u16)~summary;
}

u16 fpu_fcw_defined(u16 fcw)
{
    return (fcw & 0x1f3f) | 0x0040;
}

void fpu_set_fsw(struct fpu_area *area, u16 fsw)
{
    unsigned up = (unsigned)(fsw >> 11) - (unsigned)(area->fsw >> 11);
    u8 st[8][16];
    memcpy(st, area->st, sizeof(st));
    for (unsigned i = 0; i < 8; i++) {
        memcpy(area->st[i], st[(i + up) & 7], sizeof(st[0]));
    }
    area->fsw = fsw;
}

void fpu_initialize_x87(struct cpu *cpu, struct fpu_area *area)
{
    struct fpu *fpu = &cpu->fpu;
    fpu_set_fsw(area, 0);
    area->fcw = 0x037f;
    area->ftw = 0;
    fpu->last_ip = fpu->last_dp = 0;
    fpu->last_cs = fpu->last_ds = fpu->last_opcode = 0;
}

/* XRSTOR can change PKRU, and a guest that runs on the host's CPU could jump to it with another
 * mask: vm/cpu_gate.h, rule 1. */
__attribute__((noinline)) void fpu_load_area(const struct fpu_area *area)
{
    __asm__ volatile("xrstor64 %0\n\t"
                     "cmp %1, %%eax\n\t"
                     "je 1f\n\t"
                     "ud2\n"
                     "1:" ::"m"(*(const u8(*)[FPU_STATE_BYTES])area),
                     "i"(LOADED_COMPONENTS), "a"(LOADED_COMPONENTS), "d"(0)
                     : "cc");
}

void fpu_load(struct cpu *cpu)
{
    fpu_load_area(area_of(cpu));
    cpu->fpu.loaded = true;
}

void fpu_save(struct cpu *cpu)
{
    __asm__ volatile("xsave64 %0" : "+m"(cpu->fpu.state) : "a"((u32)FPU_COMPONENTS), "d"(0));
    cpu->fpu.loaded = false;
}

void fpu_enter(struct cpu *cpu)
{
#ifdef RINGER_CPU
    fpu_load(cpu);
#else
    (void)cpu;
#endif
}

void fpu_leave(struct cpu *cpu)
{
    if (cpu->fpu.loaded) {
        fpu_save(cpu);
    }
}

void fpu_host_save(struct fpu_host *host)
{
    __asm__ volatile("fnstcw %0\n\tstmxcsr %1" : "=m"(host->fcw), "=m"(host->mxcsr));
}

void fpu_host_restore(const struct fpu_host *host)
{
    __asm__ volatile("fninit\n\tfldcw %0\n\tldmxcsr %1\n\tvzeroupper" ::"m"(host->fcw),
                     "m"(host->mxcsr));
}

struct fpu_area *fpu_open(struct cpu *cpu)
{
    if (cpu->fpu.loaded) {
        fpu_save(cpu);
        cpu->fpu.loaded = true;
    }
    return area_of(cpu);
}

void fpu_close(struct cpu *cpu, u64 components)
{
    area_of(cpu)->xstate_bv |= components;
    if (cpu->fpu.ferr) {
        fpu_error_look(cpu, area_of(cpu)->xstate_bv & XCR0_X87 ? area_of(cpu)->fsw : 0);
    }
    if (cpu->fpu.loaded) {
        fpu_load(cpu);
    }
}
