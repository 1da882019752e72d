/*
 * snapshot_memory.h - the file "memory" of a snapshot: RAM as it lies in the machine's memfd, byte
 * for byte, with holes for pages that are zero.
 *
 * It is checked by pieces, of which "state" has the digests, so that whoever wants a part of it
 * need not read all.
 */
#ifndef VM_SNAPSHOT_MEMORY_H
#define VM_SNAPSHOT_MEMORY_H

#include "base/digest.h"
#include "base/fields.h"
#include "vm/vm.h"

#define MEMORY_DIGEST_SEED 0x4d656du
#define MEMORY_PIECE_BYTES 0x40000ull /* of a piece, in a machine of up to 4 GiB */

struct ringer;

struct memory_pieces {
    u64 bytes;       /* of all memory */
    u64 piece_bytes; /* the last piece may be shorter */
    u32 count;
    u64 *digests; /* count of them; 0: the piece is zeros */
};

/* For a memory of so many bytes.  0 or -ENOMEM. */
int memory_pieces_create(struct memory_pieces *pieces, u64 bytes);
void memory_pieces_destroy(struct memory_pieces *pieces);

/* Of piece i. */
u64 memory_piece_size(const struct memory_pieces *pieces, u32 i);
static inline u64 memory_piece_digest(const void *bytes, u64 size)
{
    u64 digest = digest_bytes(MEMORY_DIGEST_SEED, bytes, size);

    return digest ? digest : 1; /* 0 is what zeros have */
}

/* As a section's content; loading allocates.  False with an error in the reader. */
void memory_pieces_save(const struct memory_pieces *pieces, struct field_writer *writer);
bool memory_pieces_load(struct memory_pieces *pieces, u64 bytes, struct field_reader *reader);

/* Write the machine's RAM, which nobody changes meanwhile, to fd, an empty file, and note the
 * pieces' digests.  tell() is called now and then: a negative number ends it.  0 or -errno. */
int memory_write(const struct ringer *machine, int fd, struct memory_pieces *pieces,
                 int (*tell)(void *context, u64 done_bytes), void *context);

/* Read piece i of the file to where it belongs in memory at base, which is zero.  0, -EBADMSG where
 * its digest is another, or -errno. */
int memory_read_piece(int fd, const struct memory_pieces *pieces, u32 i, u8 *base);

/* Read piece i, which is not in memory, to a buffer, and check it as above. */
int memory_check_piece(int fd, const struct memory_pieces *pieces, u32 i, u8 *buffer);

/* All of size bytes, to or from a file at offset.  0 or -errno: -ENOSPC where the file takes no
 * more, -EBADMSG where it is too short. */
int memory_write_all(int fd, const u8 *bytes, u64 size, u64 offset);
int memory_read_all(int fd, u8 *bytes, u64 size, u64 offset);

#endif
