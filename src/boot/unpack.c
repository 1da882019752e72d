/*
 * unpack.c - takes compressed data apart, within bounds: gzip, xz, lzma, zstd, lz4.
 *
 * The sizes are known before: no decompressor is given more room than the payload says that it
 * needs, and no payload may say more than the guest has RAM.  So a bomb costs nothing.
 */
#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "boot/unpack.h"

#define LZ4_MAGIC     0x184c2102u /* the legacy frame, which `lz4 -l` writes and Linux uses */
#define LZ4_BLOCK_MAX (8u << 20)  /* of such a frame, unpacked */
#define XZ_MEMORY_MAX (256u << 20)

/* Unpack size bytes of in to at most *out_size bytes at out; sets *out_size to how many there are.
 * False if the data are damaged or do not fit. */
typedef bool unpack_fn(const u8 *in, u64 size, u8 *out, u64 *out_size);

static bool unpack_gzip(const u8 *in, u64 size, u8 *out, u64 *out_size)
{
    z_stream z = {
        .next_in = (u8 *)in,
        .avail_in = (unsigned)size,
        .next_out = out,
        .avail_out = (unsigned)*out_size,
    };
    if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK) {
        return false;
    }
    int result = inflate(&z, Z_FINISH);
    *out_size = z.total_out;
    inflateEnd(&z);
    return result == Z_STREAM_END;
}

static bool unpack_lzma(lzma_stream *s, const u8 *in, u64 size, u8 *out, u64 *out_size)
{
    s->next_in = in;
    s->avail_in = size;
    s->next_out = out;
    s->avail_out = *out_size;
    lzma_ret result = lzma_code(s, LZMA_FINISH);
    *out_size = s->total_out;
    lzma_end(s);
    return result == LZMA_STREAM_END;
}

static bool unpack_xz(const u8 *in, u64 size, u8 *out, u64 *out_size)
{
    lzma_stream s = LZMA_STREAM_INIT;
    return lzma_stream_decoder(&s, XZ_MEMORY_MAX, 0) == LZMA_OK &&
           unpack_lzma(&s, in, size, out, out_size);
}

static bool unpack_lzma_alone(const u8 *in, u64 size, u8 *out, u64 *out_size)
{
    lzma_stream s = LZMA_STREAM_INIT;
    return lzma_alone_decoder(&s, XZ_MEMORY_MAX) == LZMA_OK &&
           unpack_lzma(&s, in, size, out, out_size);
}

static bool unpack_zstd(const u8 *in, u64 size, u8 *out, u64 *out_size)
{
    size_t frame = ZSTD_findFrameCompressedSize(in, size);
    if (ZSTD_isError(frame)) {
        return false;
    }
    size_t n = ZSTD_decompress(out, *out_size, in, frame);
    if (ZSTD_isError(n)) {
        return false;
    }
    *out_size = n;
    return true;
}

/* A magic, then blocks of a 4-byte size and that many bytes.  Files may follow on each other, so a
 * magic may stand where a size should. */
static bool unpack_lz4(const u8 *in, u64 size, u8 *out, u64 *out_size)
{
    u64 done = 0;
    while (size > 4) {
        u32 block = get_u32(in);
        in += 4;
        size -= 4;
        if (block == LZ4_MAGIC) {
            continue;
        }
        u64 room = *out_size - done;
        if (block > size || block > LZ4_COMPRESSBOUND(LZ4_BLOCK_MAX)) {
            return false;
        }
        int n = LZ4_decompress_safe((const char *)in, (char *)out + done, (int)block,
                                    (int)(room < LZ4_BLOCK_MAX ? room : LZ4_BLOCK_MAX));
        if (n < 0) {
            return false;
        }
        done += (u64)n;
        in += block;
        size -= block;
    }
    *out_size = done;
    return true;
}

static const struct format {
    const char *name;
    u8 magic[6];
    u8 magic_size;
    unpack_fn *unpack; /* NULL: known only by name */
} formats[] = {
    {"gzip", {0x1f, 0x8b}, 2, unpack_gzip},
    {"xz", {0xfd, '7', 'z', 'X', 'Z', 0}, 6, unpack_xz},
    {"zstd", {0x28, 0xb5, 0x2f, 0xfd}, 4, unpack_zstd},
    {"lz4", {0x02, 0x21, 0x4c, 0x18}, 4, unpack_lz4},
    {"lz4", {0x04, 0x22, 0x4d, 0x18}, 4, NULL},
    {"lzma", {0x5d, 0, 0, 0}, 3, unpack_lzma_alone},
    {"bzip2", {'B', 'Z', 'h'}, 3, NULL},
    {"lzop", {0x89, 'L', 'Z', 'O', 0, 0x0d}, 6, NULL},
};

static const struct format *find(const u8 *bytes, u64 size)
{
    for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
        if (size >= 8 && !memcmp(bytes, formats[i].magic, formats[i].magic_size)) {
            return &formats[i];
        }
    }
    return NULL;
}

const char *unpack_format(const u8 *bytes, u64 size)
{
    const struct format *f = find(bytes, size);
    return f ? f->name : NULL;
}

int unpack_payload(struct boot_job *job, const u8 *bytes, u64 size, u8 **out, u64 *out_size)
{
    const struct format *f = find(bytes, size);
    if (!f) {
        return job_fail(job, "its vmlinux is compressed in a way that is not known here");
    }
    if (!f->unpack) {
        return job_fail(job, "its vmlinux is compressed with %s, which is not known here", f->name);
    }
    u64 room = get_u32(bytes + size - 4);
    if (!room || room > job_ram_size(job)) {
        return job_fail(job, "its vmlinux unpacks to %s, and there are %s of memory",
                        size_text(room).text, size_text(job_ram_size(job)).text);
    }
    /* A byte more than it may need: a decompressor then sees the end of its data. */
    u8 *buffer = malloc(room + 1);
    if (!buffer) {
        return job_fail(job, "no memory to unpack its vmlinux (%s)", size_text(room).text);
    }
    u64 done = room + 1;
    if (!f->unpack(bytes, size, buffer, &done) || done > room) {
        free(buffer);
        return job_fail(job, "its vmlinux is damaged: %s data that cannot be unpacked", f->name);
    }
    *out = buffer;
    *out_size = done;
    return 0;
}
