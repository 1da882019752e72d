/* fuzz_input.h - the fuzzer's input, taken piece by piece: after its end, zeros. */
#ifndef TESTS_FUZZ_INPUT_H
#define TESTS_FUZZ_INPUT_H

#include <stddef.h>

#include "base/types.h"

struct input {
    const u8 *bytes;
    size_t size;
};

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t size);

/* Up to 8 bytes, little-endian. */
static inline u64 take(struct input *in, unsigned bytes)
{
    u64 value = 0;

    for (unsigned i = 0; i < bytes && in->size; i++) {
        value |= (u64)*in->bytes++ << (8 * i);
        in->size--;
    }
    return value;
}

static inline u8 take_byte(struct input *in)
{
    return (u8)take(in, 1);
}

#endif
