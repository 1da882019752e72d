/*
 * digest.h - a 64-bit digest of bytes: fast, and good enough to tell by accident different things
 * apart.  It withstands no one who means harm.
 *
 * Four lanes of multiply and xor, so that a CPU can work on four words at a time.
 */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include "base/string.h"
#include "base/types.h"

#define DIGEST_PRIME 0x9e3779b97f4a7c15ull /* 2^64 / golden ratio, odd */

static inline u64 digest_word(u64 digest, u64 word)
{
    digest = (digest ^ word) * DIGEST_PRIME;
    return digest ^ (digest >> 29);
}

/* The digest of size bytes, going on from that of what came before (at first: any seed). */
static inline u64 digest_bytes(u64 seed, const void *bytes, size_t size)
{
    u64 lane[4] = {seed, seed + 1, seed + 2, seed + 3}, word[4];
    const u8 *next = bytes;
    size_t left = size;

    for (; left >= sizeof(word); left -= sizeof(word), next += sizeof(word)) {
        memcpy(word, next, sizeof(word));
        for (unsigned i = 0; i < 4; i++) {
            lane[i] = digest_word(lane[i], word[i]);
        }
    }
    memset(word, 0, sizeof(word));
    memcpy(word, next, left);
    for (unsigned i = 0; i < 4; i++) {
        seed = digest_word(seed, digest_word(lane[i], word[i]));
    }
    return digest_word(seed, size);
}

#endif
