/* random.h - seeded random numbers (xorshift64*), and the shapes of them that find mistakes. */
#ifndef TESTS_DIFF_RANDOM_H
#define TESTS_DIFF_RANDOM_H

#include "base/bits.h"
#include "base/types.h"

struct random {
    u64 state; /* never 0 */
};

/* Neighbouring seeds give unrelated sequences (the finalizer of splitmix64). */
static inline struct random random_from(u64 seed)
{
    seed += 0x9e3779b97f4a7c15ull;
    seed = (seed ^ seed >> 30) * 0xbf58476d1ce4e5b9ull;
    seed = (seed ^ seed >> 27) * 0x94d049bb133111ebull;
    seed ^= seed >> 31;
    return (struct random){seed ? seed : 1};
}

static inline u64 random_u64(struct random *r)
{
    r->state ^= r->state << 13;
    r->state ^= r->state >> 7;
    r->state ^= r->state << 17;
    return r->state * 0x2545f4914f6cdd1dull;
}

/* 0 to limit - 1. */
static inline u64 random_below(struct random *r, u64 limit)
{
    return (random_u64(r) >> 11) % limit;
}

static inline bool random_one_in(struct random *r, unsigned n)
{
    return random_below(r, n) == 0;
}

#define RANDOM_OF(r, array) ((array)[random_below((r), ARRAY_SIZE(array))])

/* Small ones of either sign, powers of two and their neighbours, 32 bits, 64 bits. */
static inline u64 random_value(struct random *r)
{
    switch (random_below(r, 7)) {
    case 0:
        return random_below(r, 64);
    case 1:
        return -random_below(r, 64);
    case 2:
        return BIT(random_below(r, 64)) - random_below(r, 2);
    case 3:
        return (u32)random_u64(r);
    default:
        return random_u64(r);
    }
}

#endif
