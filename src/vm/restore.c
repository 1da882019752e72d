/* restore.c - opening a snapshot, and making a machine what it says. */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm/disk.h"
#include "vm/machine.h"
#include "vm/snapshot.h"
#include "vm/snapshot_file.h"

#define STATE_BYTES_MAX 0x10000000u /* 256 MiB: no machine has so much */

/* ------------------------------------------------------------------ opening */

static int fail(char *text, size_t size, int error, const char *directory, const char *reason)
{
    snprintf(text, size, "snapshot '%s': %s", directory, reason);
    return error;
}

/* Why one of its files cannot be had. */
static const char *explain(int error)
{
    return error == -ENOENT || error == -ENOTDIR ? "there is none" : strerror(-error);
}

static const char *explain_memory(int error)
{
    return error == -EBADMSG ? "its memory is damaged" : strerror(-error);
}

/* What is wrong with a section. */
static const char *explain_section(const struct field_reader *r, char *line, size_t size)
{
    snprintf(line, size, "%s: %s %s", r->part ? r->part : "state", r->field ? r->field : "it",
             r->error ? r->error : "takes more memory than there is");
    return line;
}

static int read_state(struct ringer_snapshot *s, int directory)
{
    int fd = openat(directory, SNAPSHOT_STATE, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error = 0;
    struct stat status;

    if (fd < 0) {
        return -errno;
    }
    if (fstat(fd, &status) < 0) {
        error = -errno;
    } else if (!S_ISREG(status.st_mode)) {
        error = -ENOENT;
    } else if (status.st_size > STATE_BYTES_MAX) {
        error = -EFBIG;
    } else {
        s->sections.size = (u64)status.st_size;
        s->bytes = malloc(s->sections.size + 1);
        error = s->bytes ? memory_read_all(fd, s->bytes, s->sections.size, 0) : -ENOMEM;
    }
    close(fd);
    return error;
}

static const char *check_memory(struct ringer_snapshot *s, int directory)
{
    struct stat status;

    s->memory_fd = openat(directory, SNAPSHOT_MEMORY, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (s->memory_fd < 0 || fstat(s->memory_fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        return "its memory is missing";
    }
    if ((u64)status.st_size != s->description.memory.bytes) {
        return "its memory is of another size";
    }
    return NULL;
}

static int open_files(struct ringer_snapshot *s, char *text, size_t size)
{
    int directory = open(s->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = directory < 0 ? -errno : read_state(s, directory);
    const char *reason = error < 0 ? explain(error) : NULL;
    char line[256];

    if (!reason) {
        reason = snapshot_file_check(s->bytes, s->sections.size, &s->sections);
    }
    if (!reason && !state_load_description(&s->description, &s->sections)) {
        reason = explain_section(&s->sections, line, sizeof(line));
    }
    if (!reason) {
        reason = check_memory(s, directory);
    }
    if (directory >= 0) {
        close(directory);
    }
    return reason ? fail(text, size, error < 0 ? error : -EINVAL, s->directory, reason) : 0;
}

int ringer_snapshot_open(const char *directory, struct ringer_snapshot **snapshot, char *text,
                         size_t size)
{
    struct ringer_snapshot *s = calloc(1, sizeof(*s));
    int error;

    *snapshot = NULL;
    if (!s || !(s->directory = strdup(directory))) {
        free(s);
        return fail(text, size, -ENOMEM, directory, "out of memory");
    }
    s->memory_fd = -1;
    error = open_files(s, text, size);
    if (error < 0) {
        ringer_snapshot_close(s);
        return error;
    }
    *snapshot = s;
    return 0;
}

void ringer_snapshot_close(struct ringer_snapshot *s)
{
    if (!s) {
        return;
    }
    if (s->memory_fd >= 0) {
        close(s->memory_fd);
    }
    state_description_destroy(&s->description);
    free(s->bytes);
    free(s->directory);
    free(s);
}

int ringer_snapshot_check(const struct ringer_snapshot *s, char *text, size_t size)
{
    const struct memory_pieces *pieces = &s->description.memory;
    u8 *bytes = malloc(pieces->piece_bytes);
    int error = bytes ? 0 : -ENOMEM;

    for (u32 i = 0; i < pieces->count && error == 0; i++) {
        error = memory_check_piece(s->memory_fd, pieces, i, bytes);
    }
    free(bytes);
    return error < 0 ? fail(text, size, error, s->directory, explain_memory(error)) : 0;
}

void ringer_snapshot_configure(struct ringer_snapshot *s, struct ringer_config *config)
{
    const struct made *made = &s->description.made;

    config->memory_bytes = made->memory_bytes;
    config->cpus = made->cpus;
    config->icount = made->icount;
    config->debug_exit = made->debug_exit;
    config->debug_console = made->debug_console;
    config->testdev = made->testdev;
    config->devices = s->description.devices;
    config->device_count = made->device_count;
    config->snapshot = s;
}

void ringer_snapshot_boot(const struct ringer_snapshot *s, struct ringer_boot *boot)
{
    const struct made *made = &s->description.made;

    *boot = (struct ringer_boot){
        .protocol = (enum ringer_protocol)made->protocol,
        .kernel = made->kernel,
        .initrd = made->initrd,
        .command_line = made->command_line,
    };
}

/* ------------------------------------------------------------------ memory, as it is needed */

/* On the board.  A failure is the machine's end. */
static void bring(void *context, u64 piece)
{
    struct ringer *m = context;
    int error = memory_read_piece(m->source.fd, &m->source.pieces, (u32)piece, m->arena.ram.base);

    if (error < 0) {
        machine_fail(m, -EIO, "the snapshot's memory: %s",
                     error == -EBADMSG ? "it is damaged, where it is needed now"
                                       : strerror(-error));
        machine_end(m, RINGER_EXIT_FAILURE, 0, 0);
    }
}

static int copy_pieces(struct ringer *m, const struct memory_pieces *from)
{
    struct memory_pieces *to = &m->source.pieces;
    int error = memory_pieces_create(to, from->bytes);

    for (u32 i = 0; error == 0 && i < to->count; i++) {
        to->digests[i] = m->shared->source.digests[i] = from->digests[i];
        m->shared->pieces[i] = from->digests[i] ? MEM_ABSENT : MEM_PRESENT;
    }
    return error;
}

/* In a vCPU process it is mapped behind RAM.  0: there is no room. */
static u64 place_for(const struct ringer *m)
{
    u64 end = (u64)m->arena.ram.base + m->arena.ram.size;
    u64 start = bits_align_up(end, VM_SLOT_BYTES);

    return start < VM_HIDDEN_END && m->arena.ram.size <= VM_HIDDEN_END - start ? start : 0;
}

/* Some file systems have files that cannot be mapped. */
static bool is_mappable(const struct ringer_snapshot *s)
{
    void *got = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_PRIVATE, s->memory_fd, 0);

    return got != MAP_FAILED && munmap(got, PAGE_SIZE) == 0;
}

int snapshot_prepare(struct ringer *m, const struct ringer_snapshot *s)
{
    const struct memory_pieces *pieces = &s->description.memory;
    struct mem_absence absence = {
        .pieces = m->shared->pieces,
        .piece_shift = (unsigned)__builtin_ctzll(pieces->piece_bytes),
    };
    u64 place = place_for(m);

    if (m->vm->clock.icount || !place || pieces->bytes != m->arena.ram.size || !is_mappable(s)) {
        return 0;
    }
    m->source.fd = fcntl(s->memory_fd, F_DUPFD_CLOEXEC, 3);
    if (m->source.fd < 0 || copy_pieces(m, pieces) < 0) {
        return machine_fail(m, -ENOMEM, "out of memory");
    }
    m->shared->source.base = place;
    m->shared->source.bytes = pieces->bytes;
    m->shared->mem.absence = absence; /* vCPUs set their own function */
    absence.bring = bring;
    absence.context = m;
    m->vm->mem.absence = absence;
    return 0;
}

/* ------------------------------------------------------------------ restoring */

static int load_memory(struct ringer *m, const struct ringer_snapshot *s)
{
    const struct memory_pieces *pieces = &s->description.memory;
    int error = 0;

    if (m->source.fd >= 0) { /* but what a device has a pointer to */
        mem_range(&m->vm->mem, MEM_VGA_TEXT, MEM_VGA_TEXT_SIZE);
        return m->ended ? -EIO : 0;
    }
    for (u32 i = 0; i < pieces->count && error == 0; i++) {
        error = memory_read_piece(s->memory_fd, pieces, i, m->arena.ram.base);
    }
    return error == 0 ? 0
                      : machine_fail(m, error == -EBADMSG ? -EINVAL : error, "snapshot '%s': %s",
                                     s->directory, explain_memory(error));
}

/* The configuration may name other disks; all else is the snapshot's. */
static int check_made(struct ringer *m, const struct ringer_snapshot *s)
{
    const struct made *made = &s->description.made;
    const struct ringer_config *c = &m->config;
    bool same = c->memory_bytes == made->memory_bytes && c->cpus == made->cpus &&
                c->icount == made->icount && c->device_count == made->device_count;

    for (unsigned i = 0; same && i < c->device_count; i++) {
        same = c->devices[i].kind == s->description.devices[i].kind;
    }
    return same ? 0
                : machine_fail(m, -EINVAL, "snapshot '%s': it is of another machine", s->directory);
}

static int check_disks(struct ringer *m, const struct ringer_snapshot *s)
{
    int error = 0;

    for (unsigned i = 0; i < m->config.device_count && error == 0; i++) {
        error = disk_check_identity(m, i, &s->description.disks[i]);
    }
    return error;
}

int snapshot_restore(struct ringer *m, const struct ringer_snapshot *s)
{
    const struct made *made = &s->description.made;
    struct field_reader sections = s->sections;
    char line[256];
    int error = check_made(m, s);

    if (error == 0) {
        error = check_disks(m, s);
    }
    if (error == 0) {
        error = load_memory(m, s);
    }
    if (error == 0 && !state_load(m, &sections)) {
        error = machine_fail(m, -EINVAL, "snapshot '%s': %s", s->directory,
                             explain_section(&sections, line, sizeof(line)));
    }
    if (error == 0) {
        error = made_keep_boot(&m->made, (enum ringer_protocol)made->protocol, made->kernel,
                               made->initrd, made->command_line);
    }
    if (error == 0 && m->ended) {
        error = -EIO; /* its memory: bring() has said so */
    }
    m->loaded = error == 0;
    return error;
}
