/* recording.c - the file of --record and --replay: recording.h draws it. */
#define _GNU_SOURCE

#include "vm/recording.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <zlib.h>

#define MAGIC_BYTES   (sizeof(RECORDING_MAGIC) - 1)
#define VERSION_AT    (MAGIC_BYTES - 2) /* the digit before the newline */
#define CHECKED_START offsetof(struct record_head, size)
#define FILE_MAX      (1ull << 32)

_Static_assert(MAGIC_BYTES == 16, "records stay aligned to 8 bytes");

static u32 checksum(const struct record_head *head, const void *payload)
{
    uLong crc = crc32(0, (const Bytef *)head + CHECKED_START, sizeof(*head) - CHECKED_START);

    return (u32)(head->size ? crc32(crc, payload, head->size) : crc);
}

/* ------------------------------------------------------------------ writing */

/* The number of the record after those in the file of the machine before. */
static int count_records(struct recorder *r)
{
    struct record_head head;
    off_t at = MAGIC_BYTES, end = lseek(r->fd, 0, SEEK_END);

    while (at < end) {
        if (pread(r->fd, &head, sizeof(head), at) != (ssize_t)sizeof(head)) {
            return -EIO;
        }
        at += (off_t)sizeof(head) + head.size;
        r->number++;
    }
    return at == end ? 0 : -EIO;
}

int recorder_open(struct recorder *r, const char *path, unsigned machine)
{
    int flags = O_RDWR | O_APPEND | O_CLOEXEC | (machine == 0 ? O_CREAT | O_TRUNC : 0);
    int error = 0;

    *r = (struct recorder){.fd = open(path, flags, 0666), .path = strdup(path)};
    if (r->fd < 0 || !r->path) {
        error = r->fd < 0 ? -errno : -ENOMEM;
    } else if (machine > 0) {
        error = count_records(r);
    } else if (write(r->fd, RECORDING_MAGIC, MAGIC_BYTES) != (ssize_t)MAGIC_BYTES) {
        error = -EIO;
    }
    if (error < 0) {
        recorder_close(r);
    }
    return error;
}

void recorder_close(struct recorder *r)
{
    if (r->fd >= 0) {
        close(r->fd);
    }
    free(r->path);
    *r = (struct recorder){.fd = -1};
}

void recorder_add(struct recorder *r, struct record_head *head, const void *payload, u32 size)
{
    struct iovec parts[] = {{head, sizeof(*head)}, {(void *)(uintptr_t)payload, size}};
    off_t before;
    ssize_t written;

    if (r->error < 0) {
        return;
    }
    head->size = size;
    head->number = r->number++;
    head->checksum = checksum(head, payload);
    before = lseek(r->fd, 0, SEEK_END);
    written = writev(r->fd, parts, 2);
    if (written == (ssize_t)(sizeof(*head) + size)) {
        return;
    }
    r->error = written < 0 ? -errno : -ENOSPC;
    fprintf(stderr, "ringer: recording '%s': %s; it ends here\n", r->path, strerror(-r->error));
    if (written > 0 && ftruncate(r->fd, before) < 0) {
        fprintf(stderr, "ringer: recording '%s': its last record is damaged\n", r->path);
    }
}

/* ------------------------------------------------------------------ reading */

struct parser {
    const char *path;
    const u8 *bytes;
    size_t size, at;
    u32 number;  /* of the record at `at` */
    bool inside; /* a machine's END is still to come */
    u64 time_ns; /* of the record before */
    char *error;
    size_t error_size;
};

static bool fail(struct parser *p, const char *text, ...) __attribute__((__format__(printf, 2, 3)));

static bool fail(struct parser *p, const char *text, ...)
{
    va_list args;
    int length = snprintf(p->error, p->error_size, "replay file '%s': ", p->path);

    if (length >= 0 && (size_t)length < p->error_size) {
        va_start(args, text);
        vsnprintf(p->error + length, p->error_size - (size_t)length, text, args);
        va_end(args);
    }
    return false;
}

static bool check_magic(struct parser *p)
{
    if (p->size < MAGIC_BYTES || memcmp(p->bytes, RECORDING_MAGIC, VERSION_AT) != 0 ||
        !isgraph(p->bytes[VERSION_AT])) {
        return fail(p, "is not a recording of Ringer");
    }
    if (memcmp(p->bytes, RECORDING_MAGIC, MAGIC_BYTES) != 0) {
        return fail(p, "is a recording of version %.1s; this Ringer reads version 1",
                    (const char *)p->bytes + VERSION_AT);
    }
    p->at = MAGIC_BYTES;
    return true;
}

/* The least payload of each kind, and whether there may be more. */
static const struct {
    u32 size;
    bool more;
} payloads[RECORD_KINDS] = {
    [RECORD_START] = {sizeof(struct recording_start), true},
    [RECORD_INPUT] = {0, true},
    [RECORD_MARK] = {sizeof(struct recording_mark), false},
    [RECORD_END] = {sizeof(struct recording_end), false},
};

static bool check_size(struct parser *p, const struct record_head *head)
{
    size_t left = p->size - p->at;

    if (left < sizeof(*head) ||
        (head->size <= RECORDING_PAYLOAD_MAX && left - sizeof(*head) < head->size)) {
        return fail(p, "is cut off in the middle of record %u", p->number);
    }
    if (head->size > RECORDING_PAYLOAD_MAX) {
        return fail(p, "record %u is damaged: it says that it has %u bytes", p->number, head->size);
    }
    if (head->checksum != checksum(head, p->bytes + p->at + sizeof(*head))) {
        return fail(p, "record %u is damaged: its checksum is wrong", p->number);
    }
    return true;
}

static bool check_kind(struct parser *p, const struct record_head *head)
{
    if (head->kind >= RECORD_KINDS || head->where >= RECORD_WHERES ||
        head->size < payloads[head->kind].size ||
        (head->size > payloads[head->kind].size && !payloads[head->kind].more) ||
        (head->kind == RECORD_INPUT && head->offered < head->size)) {
        return fail(p, "record %u is of no kind that there is", p->number);
    }
    return true;
}

static bool check_order(struct parser *p, const struct record_head *head)
{
    if (head->number != p->number) {
        return fail(p, "record %u stands where record %u should", head->number, p->number);
    }
    if ((head->kind == RECORD_START) == p->inside) {
        return fail(p,
                    p->inside ? "record %u starts a machine before the end of the last"
                              : "record %u belongs to no machine",
                    p->number);
    }
    if (p->inside && head->time_ns < p->time_ns) {
        return fail(p, "record %u lies before the one in front of it", p->number);
    }
    return true;
}

/* Check the record at p->at, and go on to the next. */
static bool next_record(struct parser *p, struct record *record)
{
    if (p->size - p->at >= sizeof(record->head)) {
        memcpy(&record->head, p->bytes + p->at, sizeof(record->head));
    }
    if (!check_size(p, &record->head) || !check_kind(p, &record->head) ||
        !check_order(p, &record->head)) {
        return false;
    }
    record->payload = p->bytes + p->at + sizeof(record->head);
    p->at += sizeof(record->head) + record->head.size;
    p->inside = record->head.kind != RECORD_END;
    p->time_ns = record->head.time_ns;
    p->number++;
    return true;
}

/* Go through all records; take those of one machine. */
static bool take_records(struct recording *r, struct parser *p, unsigned machine)
{
    unsigned machines = 0;
    struct record record;

    while (p->at < p->size) {
        if (!next_record(p, &record)) {
            return false;
        }
        machines += record.head.kind == RECORD_START;
        if (machines == machine + 1) {
            r->records[r->count++] = record;
        }
    }
    if (r->count == 0) {
        return machines == 0
                   ? fail(p, "has no record in it")
                   : fail(p, "ends with machine %u: there was no reset after it", machines - 1);
    }
    r->complete = r->records[r->count - 1].head.kind == RECORD_END;
    return true;
}

int recording_parse(struct recording *r, const char *path, u8 *bytes, size_t size, unsigned machine,
                    char *error, size_t error_size)
{
    struct parser p = {
        .path = path, .bytes = bytes, .size = size, .error = error, .error_size = error_size};

    *r = (struct recording){.bytes = bytes};
    r->records = calloc(size / sizeof(struct record_head) + 1, sizeof(*r->records));
    if (!r->records) {
        fail(&p, "out of memory");
        recording_close(r);
        return -ENOMEM;
    }
    if (!check_magic(&p) || !take_records(r, &p, machine)) {
        recording_close(r);
        return -EINVAL;
    }
    return 0;
}

static int read_all(int fd, u8 **bytes, size_t *size)
{
    struct stat status;
    size_t done = 0;

    if (fstat(fd, &status) < 0) {
        return -errno;
    }
    if (!S_ISREG(status.st_mode)) {
        return -EINVAL;
    }
    if ((u64)status.st_size > FILE_MAX) {
        return -EFBIG;
    }
    *size = (size_t)status.st_size;
    *bytes = malloc(*size + 1);
    while (*bytes && done < *size) {
        ssize_t n = read(fd, *bytes + done, *size - done);
        if (n <= 0) {
            free(*bytes);
            return n < 0 ? -errno : -EIO;
        }
        done += (size_t)n;
    }
    return *bytes ? 0 : -ENOMEM;
}

int recording_open(struct recording *r, const char *path, unsigned machine, char *error,
                   size_t error_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int result = fd < 0 ? -errno : 0;
    u8 *bytes = NULL;
    size_t size = 0;

    *r = (struct recording){0};
    if (fd >= 0) {
        result = read_all(fd, &bytes, &size);
        close(fd);
    }
    if (result < 0) {
        snprintf(error, error_size, "replay file '%s': %s", path,
                 result == -EINVAL ? "is not a file" : strerror(-result));
        return result;
    }
    return recording_parse(r, path, bytes, size, machine, error, error_size);
}

void recording_close(struct recording *r)
{
    free(r->records);
    free(r->bytes);
    *r = (struct recording){0};
}
