/*
 * string.c - memcpy() and its kin where there is no libc: linked into ringer-cpu, and into
 * tests/diff, where libc's would use vector registers that are the guest's.
 *
 * Compile with -fno-builtin (or -ffreestanding) and -fno-tree-loop-distribute-patterns: a compiler
 * that knows what these loops are would turn them into calls of themselves.
 */
#include "base/string.h"

#include "base/types.h"

/* Up to this many bytes a loop beats the start-up cost of REP MOVS and REP STOS. */
#define SMALL 32

/* Copy upwards; right also where `to` overlaps the start of `from` from below. */
static void copy_up(u8 *t, const u8 *f, size_t size)
{
    if (size <= SMALL) {
        for (; size >= 8; size -= 8, t += 8, f += 8) {
            u64 part;
            __builtin_memcpy(&part, f, 8);
            __builtin_memcpy(t, &part, 8);
        }
        while (size--) {
            *t++ = *f++;
        }
        return;
    }
    __asm__ volatile("rep movsb" : "+D"(t), "+S"(f), "+c"(size) : : "memory");
}

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    copy_up(to, from, size);
    return to;
}

void *memmove(void *to, const void *from, size_t size)
{
    u8 *t = to;
    const u8 *f = from;

    if ((uintptr_t)t - (uintptr_t)f >= size) {
        copy_up(t, f, size);
        return to;
    }
    while (size--) {
        t[size] = f[size];
    }
    return to;
}

void *memset(void *to, int value, size_t size)
{
    u8 *t = to;

    if (size <= SMALL) {
        while (size--) {
            *t++ = (u8)value;
        }
        return to;
    }
    __asm__ volatile("rep stosb" : "+D"(t), "+c"(size) : "a"(value) : "memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const u8 *x = a, *y = b;

    for (size_t i = 0; i < size; i++) {
        if (x[i] != y[i]) {
            return x[i] - y[i];
        }
    }
    return 0;
}

size_t strlen(const char *text)
{
    size_t length = 0;

    while (text[length]) {
        length++;
    }
    return length;
}
