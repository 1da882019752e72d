/* state.c - x87, SSE and AVX registers before a case: see state.h. */
#include "state.h"

#include <string.h>

#include "random.h"

static u32 random_float(struct random *r)
{
    static const u32 some[] = {0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000,
                               0xff800000, 0x7fc00000, 0xffc00001, 0x7f800001, 0xff812345,
                               0x00000001, 0x807fffff, 0x00800000, 0x7f7fffff, 0x4b000001,
                               0x4effffff, 0x4f000000, 0xcf000000, 0x5f000000, 0x3f000000};
    return random_one_in(r, 2) ? RANDOM_OF(r, some) : (u32)random_u64(r);
}

static u64 random_double(struct random *r)
{
    static const u64 some[] = {
        0x0000000000000000, 0x8000000000000000, 0x3ff0000000000000, 0xbff8000000000000,
        0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000, 0xfff8000000000001,
        0x7ff0000000000001, 0xfff4000000000000, 0x0000000000000001, 0x800fffffffffffff,
        0x0010000000000000, 0x7fefffffffffffff, 0x41dfffffffc00000, 0x41e0000000000000,
        0xc1e0000000200000, 0x43e0000000000000, 0x3fe0000000000000, 0x36a0000000000000};
    return random_one_in(r, 2) ? RANDOM_OF(r, some) : random_u64(r);
}

static void fill_vector(struct random *r, u8 *low, u8 *high)
{
    u8 bytes[32];
    u64 style = random_below(r, 5);

    for (unsigned i = 0; i < 32; i += 8) {
        u64 value = style == 0   ? random_float(r) | (u64)random_float(r) << 32
                    : style == 1 ? random_double(r)
                    : style == 2 ? random_value(r)
                    : style == 3 ? random_below(r, 4) * 0x0101010101010101ull
                                 : random_u64(r);
        memcpy(bytes + i, &value, 8);
    }
    memcpy(low, bytes, 16);
    memcpy(high, bytes + 16, 16);
}

static void fill_st(struct random *r, u8 *st)
{
    static const u16 exponents[] = {0x0000, 0x0001, 0x3ffe, 0x3fff, 0x4000, 0x401e,
                                    0x403e, 0x7ffe, 0x7fff, 0x7fff, 0x3fbe, 0x4100};
    static const u64 mantissas[] = {0x0000000000000000, 0x8000000000000000, 0xc000000000000000,
                                    0x8000000000000001, 0xffffffffffffffff, 0x0000000000000001,
                                    0x7fffffffffffffff, 0x4000000000000000, 0xc90fdaa22168c235};
    u16 exponent =
        random_one_in(r, 3) ? RANDOM_OF(r, exponents) : (u16)(0x3fff - 70 + random_below(r, 140));
    u64 mantissa = random_one_in(r, 3) ? RANDOM_OF(r, mantissas) : random_u64(r) | BIT(63);

    exponent |= (u16)(random_below(r, 2) << 15);
    memset(st, 0, 16);
    memcpy(st, &mantissa, 8);
    memcpy(st + 8, &exponent, 2);
}

void state_fill(struct fpu_area *area, u64 seed)
{
    struct random r = random_from(seed);

    memset(area, 0, sizeof(*area));
    for (unsigned i = 0; i < 8; i++) {
        fill_st(&r, area->st[i]);
    }
    for (unsigned i = 0; i < 16; i++) {
        fill_vector(&r, area->xmm[i], area->ymm_high[i]);
    }
    area->fcw = 0x37f;
    area->fsw = (u16)(random_u64(&r) & 0x7f00);
    area->ftw = (u8)random_u64(&r);
    area->mxcsr = MXCSR_RESET;
    area->xstate_bv = FPU_COMPONENTS;
}

void state_normalize(struct fpu_area *area)
{
    if (!(area->xstate_bv & XCR0_X87)) {
        area->fcw = 0x37f;
        area->fsw = area->ftw = 0;
        area->fop = 0;
        area->fip = area->fdp = 0;
        memset(area->st, 0, sizeof(area->st));
    }
    if (!(area->xstate_bv & XCR0_SSE)) {
        memset(area->xmm, 0, sizeof(area->xmm));
    }
    if (!(area->xstate_bv & XCR0_AVX)) {
        memset(area->ymm_high, 0, sizeof(area->ymm_high));
    }
}
