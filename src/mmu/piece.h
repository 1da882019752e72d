/*
 * piece.h - the pieces of a mirror (mirror.h): found by address, by memory and by age.
 *
 *      by address    which piece covers this gva, or overlaps this range?      a miss, INVLPG
 *      by memory     which pieces show this byte of RAM?                       a store into code
 *      by age        which is the oldest?                                      a full table
 *
 * There are small pieces, within one aligned run of PIECE_RUN_BYTES of addresses, and large ones,
 * which are a whole aligned PIECE_LARGE_BYTES.  Each is hashed by the run or the large page that it
 * begins in, once for its address and once for its memory; the latter need not be aligned.
 */
#ifndef MMU_PIECE_H
#define MMU_PIECE_H

#include "base/types.h"

#define PIECES            16384u /* with what splits them well below vm.max_map_count: 65,530 */
#define PIECE_BUCKETS     8192u
#define PIECE_RUN_BYTES   (64ull << 10)
#define PIECE_LARGE_BYTES (2ull << 20)

struct mirror_piece {
    gva_t gva;     /* of its first byte */
    u64 offset;    /* in the RAM file */
    const u8 *hva; /* what is mapped: there, or copies of that */
    u32 size;      /* bytes */
    u8 rights;     /* MIRROR_* */
    bool user;     /* may be used at CPL 3 */
    u32 next[2];   /* in its buckets: index + 1, 0 ends.  Of a free one, [0]: the next free one */
    u32 older, newer;
};

struct piece_table {
    u32 count;
    u32 used;           /* of pool[], ever */
    u32 free;           /* these three: index + 1, or 0 */
    u32 oldest, newest; /* the ends of the list by age */
    u32 bucket[2][PIECE_BUCKETS];
    struct mirror_piece pool[PIECES];
};

/* Copy in a piece which overlaps no other.  There must be room: count < PIECES. */
void piece_add(struct piece_table *t, const struct mirror_piece *piece);
void piece_remove(struct piece_table *t, struct mirror_piece *p);
void piece_remove_all(struct piece_table *t);

/* The piece that covers gva, or NULL. */
struct mirror_piece *piece_find(struct piece_table *t, gva_t gva);

/* One that overlaps [gva, gva + size), which is either within a run or a whole large page. */
struct mirror_piece *piece_overlapping(struct piece_table *t, gva_t gva, u64 size);

/* One that shows the byte at offset in the RAM file, and has any of those rights. */
struct mirror_piece *piece_showing(struct piece_table *t, u64 offset, unsigned rights);

/* From the oldest to the newest; NULL at the end.  The one that was returned last may have been
 * removed only if its successor was asked for before. */
struct mirror_piece *piece_oldest(struct piece_table *t);
struct mirror_piece *piece_newer(struct piece_table *t, const struct mirror_piece *p);

/* And the other way round. */
struct mirror_piece *piece_newest(struct piece_table *t);
struct mirror_piece *piece_older(struct piece_table *t, const struct mirror_piece *p);

#endif
