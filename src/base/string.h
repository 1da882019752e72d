/*
 * string.h - the memory functions that compilers themselves call, and strlen().
 *
 * Hosted code gets them from libc.  ringer-cpu has no libc: there string.c defines them.
 */
#ifndef BASE_STRING_H
#define BASE_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *text);

#endif
