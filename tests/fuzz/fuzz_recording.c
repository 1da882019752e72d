/*
 * fuzz_recording.c - a file for --replay that anyone may have written.
 *
 * The first byte says whether checksums and numbers are put right first, which a fuzzer would never
 * guess.  What is accepted is looked through.
 */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "vm/recording.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_right(u8 *bytes, size_t size)
{
    size_t at = sizeof(RECORDING_MAGIC) - 1;
    struct record_head head;

    memcpy(bytes, RECORDING_MAGIC, size < at ? size : at);
    for (u32 number = 0; at <= size && size - at >= sizeof(head); number++) {
        memcpy(&head, bytes + at, sizeof(head));
        head.number = number;
        head.size %= 512;
        if (size - at - sizeof(head) < head.size) {
            return;
        }
        head.checksum = (u32)crc32(crc32(0, (Bytef *)&head.size, sizeof(head) - 4),
                                   bytes + at + sizeof(head), head.size);
        memcpy(bytes + at, &head, sizeof(head));
        at += sizeof(head) + head.size;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct recording r;
    char error[128];
    u64 sum = 0;
    u8 *bytes;

    if (size == 0) {
        return 0;
    }
    bytes = malloc(size); /* exactly what the file has */
    memcpy(bytes, data + 1, size - 1);
    if (data[0] & 1) {
        put_right(bytes, size - 1);
    }
    if (recording_parse(&r, "f", bytes, size - 1, data[0] >> 7, error, sizeof(error)) == 0) {
        for (u32 i = 0; i < r.count; i++) {
            for (u32 k = 0; k < r.records[i].head.size; k++) {
                sum += r.records[i].payload[k];
            }
        }
        if (r.count == 0 || r.records[0].head.kind != RECORD_START) {
            abort();
        }
    } else if (strncmp(error, "replay file 'f'", 15) != 0 || strchr(error, '\n')) {
        abort();
    }
    recording_close(&r);
    return (int)(sum & 0);
}
