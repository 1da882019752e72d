/* snapshot_memory.c - a machine's RAM to a sparse file, and back. */
#define _GNU_SOURCE

#include "vm/snapshot_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vm/machine.h"

/* ------------------------------------------------------------------ pieces */

static u64 piece_bytes_for(u64 bytes)
{
    u64 piece = MEMORY_PIECE_BYTES;

    while (bytes / piece >= VM_PIECES_MAX) {
        piece *= 2;
    }
    return piece;
}

int memory_pieces_create(struct memory_pieces *p, u64 bytes)
{
    u64 piece = piece_bytes_for(bytes);

    *p = (struct memory_pieces){
        .bytes = bytes, .piece_bytes = piece, .count = (u32)((bytes + piece - 1) / piece)};
    p->digests = calloc(p->count, sizeof(*p->digests));
    return p->digests ? 0 : -ENOMEM;
}

void memory_pieces_destroy(struct memory_pieces *p)
{
    free(p->digests);
    *p = (struct memory_pieces){.bytes = 0};
}

u64 memory_piece_size(const struct memory_pieces *p, u32 i)
{
    u64 start = i * p->piece_bytes;

    return p->bytes - start < p->piece_bytes ? p->bytes - start : p->piece_bytes;
}

static const struct field pieces_fields[] = {
    FIELD(struct memory_pieces, bytes),
    FIELD(struct memory_pieces, piece_bytes),
    FIELD(struct memory_pieces, count),
    FIELDS_END,
};

void memory_pieces_save(const struct memory_pieces *p, struct field_writer *w)
{
    fields_save(w, pieces_fields, p);
    fields_put(w, p->digests, p->count * sizeof(*p->digests));
}

bool memory_pieces_load(struct memory_pieces *p, u64 bytes, struct field_reader *r)
{
    struct memory_pieces saved;
    const u8 *digests;

    if (!fields_load(r, pieces_fields, &saved)) {
        return false;
    }
    if (memory_pieces_create(p, bytes) < 0) {
        r->field = "pieces";
        r->error = "are more than there is memory for";
        return false;
    }
    digests = fields_take(r, p->count * sizeof(*p->digests));
    if (saved.bytes != p->bytes || saved.piece_bytes != p->piece_bytes || saved.count != p->count ||
        !digests) {
        memory_pieces_destroy(p);
        r->field = "pieces";
        r->error = "are not those of such a memory";
        return false;
    }
    memcpy(p->digests, digests, p->count * sizeof(*p->digests));
    return true;
}

/* ------------------------------------------------------------------ writing */

static bool is_zero(const u8 *bytes, u64 size)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

int memory_write_all(int fd, const u8 *bytes, u64 size, u64 offset)
{
    while (size) {
        ssize_t n = pwrite(fd, bytes, size, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -ENOSPC;
        }
        bytes += n;
        offset += (u64)n;
        size -= (u64)n;
    }
    return 0;
}

/* Runs of pages that are not zero. */
static int write_piece(int fd, const u8 *piece, u64 size, u64 offset)
{
    u64 start = 0;
    int error = 0;

    while (start < size && error == 0) {
        u64 end = start;
        while (end < size && !is_zero(piece + end, PAGE_SIZE)) {
            end += PAGE_SIZE;
        }
        if (end > start) {
            error = memory_write_all(fd, piece + start, end - start, offset + start);
        }
        start = end + PAGE_SIZE;
    }
    return error;
}

/* Has any page of the piece ever been written?  The first bytes after `from` that have. */
static u64 next_data(const struct ringer *m, u64 from)
{
    off_t data = lseek(m->arena.ram.fd, (off_t)from, SEEK_DATA);

    if (data < 0) {
        return errno == ENXIO ? m->arena.ram.size : from;
    }
    return (u64)data;
}

int memory_write(const struct ringer *m, int fd, struct memory_pieces *p,
                 int (*tell)(void *context, u64 done_bytes), void *context)
{
    const u8 *ram = m->arena.ram.base;
    u64 data = 0;
    int error = ftruncate(fd, (off_t)p->bytes) < 0 ? -errno : 0;

    for (u32 i = 0; i < p->count && error == 0; i++) {
        u64 start = i * p->piece_bytes, size = memory_piece_size(p, i);
        if (data < start + size) {
            data = next_data(m, data > start ? data : start);
        }
        if (data < start + size && !is_zero(ram + start, size)) {
            p->digests[i] = memory_piece_digest(ram + start, size);
            error = write_piece(fd, ram + start, size, start);
            data = start + size;
        }
        if (error == 0) {
            error = tell(context, start + size);
        }
    }
    return error;
}

/* ------------------------------------------------------------------ reading */

int memory_read_all(int fd, u8 *bytes, u64 size, u64 offset)
{
    while (size) {
        ssize_t n = pread(fd, bytes, size, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EBADMSG; /* the file is too short */
        }
        bytes += n;
        offset += (u64)n;
        size -= (u64)n;
    }
    return 0;
}

int memory_check_piece(int fd, const struct memory_pieces *p, u32 i, u8 *buffer)
{
    u64 size = memory_piece_size(p, i);
    int error = p->digests[i] ? memory_read_all(fd, buffer, size, i * p->piece_bytes) : 0;

    return error == 0 && p->digests[i] && memory_piece_digest(buffer, size) != p->digests[i]
               ? -EBADMSG
               : error;
}

int memory_read_piece(int fd, const struct memory_pieces *p, u32 i, u8 *base)
{
    u64 start = i * p->piece_bytes, size = memory_piece_size(p, i), at = start;
    int error = 0;

    if (p->digests[i] == 0) {
        return 0;
    }
    while (at < start + size && error == 0) { /* a hole stays one */
        off_t data = lseek(fd, (off_t)at, SEEK_DATA), hole;
        if (data < 0 || (u64)data >= start + size) {
            break;
        }
        hole = lseek(fd, data, SEEK_HOLE);
        at = hole < 0 || (u64)hole > start + size ? start + size : (u64)hole;
        error = memory_read_all(fd, base + data, at - (u64)data, (u64)data);
    }
    if (error == 0 && memory_piece_digest(base + start, size) != p->digests[i]) {
        error = -EBADMSG;
    }
    return error;
}
