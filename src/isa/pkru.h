/*
 * pkru.h - the bytes of the instructions by which a program can change PKRU, and so open what a
 * protection key keeps shut:
 *
 *      0F 01 EF             WRPKRU
 *      0F AE /5, memory     XRSTOR (of state component 9)
 *
 * Prefixes stand before them.  XRSTORS can do it, too, and is privileged.  Intel SDM vol. 3A,
 * "Protection Keys".
 */
#ifndef ISA_PKRU_H
#define ISA_PKRU_H

#include "base/types.h"

static inline bool pkru_is_changed_by(u8 a, u8 b, u8 c)
{
    return a == 0x0f && ((b == 0x01 && c == 0xef) || (b == 0xae && (c >> 3 & 7) == 5 && c < 0xc0));
}

/* Do the bytes hold such an instruction, at any offset? */
static inline bool pkru_is_changed_in(const u8 *bytes, size_t size)
{
    for (size_t i = 0; i + 2 < size; i++) {
        if (pkru_is_changed_by(bytes[i], bytes[i + 1], bytes[i + 2])) {
            return true;
        }
    }
    return false;
}

#endif
