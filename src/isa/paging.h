/*
 * paging.h - paging-structure entries.  Intel SDM vol. 3A, "Paging".
 *
 *      63  62........52 51..............12 11...9  8  7   6  5  4   3   2   1  0
 *      XD  ignored      address            ignored G  PS  D  A  PCD PWT U/S R/W P
 *
 * Bits of 32-bit paging are the same as far as they go (no XD; 31 is the top of the address).  Bit
 * 7 of an entry that maps a 4 KiB page is PAT; of one that maps a larger page PAT is bit 12.
 */
#ifndef ISA_PAGING_H
#define ISA_PAGING_H

#define PTE_P  (1ull << 0)
#define PTE_RW (1ull << 1)
#define PTE_US (1ull << 2)
#define PTE_A  (1ull << 5)
#define PTE_D  (1ull << 6)
#define PTE_PS (1ull << 7)
#define PTE_G  (1ull << 8)
#define PTE_XD (1ull << 63)

#define PTE_ADDRESS 0x000ffffffffff000ull

#endif
