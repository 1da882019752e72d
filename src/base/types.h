/*
 * types.h - the integer types that every folder uses.
 *
 * The vocabulary is the field's (docs/glossary.md): a gva is what the guest's instructions name, a
 * gpa is what its page tables give, a hva is a pointer of ours.
 */
#ifndef BASE_TYPES_H
#define BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

typedef u64 gva_t; /* guest virtual (linear) address */
typedef u64 gpa_t; /* guest physical address */
typedef u64 gfn_t; /* guest physical address / 4096 */

/* For accesses to memory that holds anything, at any alignment. */
typedef u8 __attribute__((may_alias)) u8_alias;
typedef u16 __attribute__((may_alias, aligned(1))) u16_alias;
typedef u32 __attribute__((may_alias, aligned(1))) u32_alias;
typedef u64 __attribute__((may_alias, aligned(1))) u64_alias;

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096ull
#define PAGE_MASK  (~(PAGE_SIZE - 1))

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#endif
