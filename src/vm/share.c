/*
 * share.c - the board's end of shared directories: the servers' lives, and messages to and fro.
 *
 * Nothing here waits, but under --icount: there each request is answered within submit(), so that
 * it ends at the same instruction in every run.
 */
#define _GNU_SOURCE

#include "vm/share.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "share/process.h"
#include "vm/image.h"
#include "vm/machine.h"

#define DEFAULT_TAG "share"
#define CHUNK_BYTES 65536u

struct share {
    struct ringer *machine;
    struct share *next;
    char *directory, *tag;
    struct host_process server;
    int socket; /* -1: the server has ended */
    struct watch *watch;

    /* What was submitted and not answered, in order; `sending` is the first of them that has not
     * been sent whole, of which `sent` bytes have. */
    struct virtio_fs_request *first, **last, *sending;
    u32 sent;

    u32 received; /* bytes of the next answer */
    u8 answer[VIRTIO_FS_MESSAGE_MAX];
};

/* ------------------------------------------------------------------ the server's end */

static void answer_all(struct share *s, int error)
{
    while (s->first) {
        struct virtio_fs_request *r = s->first;
        s->first = *virtio_fs_next(r);
        virtio_fs_fail(r, error);
    }
    s->last = &s->first;
    s->sending = NULL;
}

static void stop(struct share *s)
{
    watch_remove(s->watch);
    s->watch = NULL;
    if (s->socket >= 0) {
        close(s->socket);
        s->socket = -1;
    }
}

/* It is of no use any more. */
static void give_up(struct share *s, const char *reason)
{
    char text[64];
    int status;

    stop(s);
    status = host_process_end(&s->server);
    if (!reason && WIFSIGNALED(status)) {
        snprintf(text, sizeof(text), "its server was killed by signal %d", WTERMSIG(status));
        reason = text;
    } else if (!reason && WIFEXITED(status)) {
        reason = WEXITSTATUS(status) == SHARE_EXIT_START  ? "its server needs /proc, and memory"
                 : WEXITSTATUS(status) == SHARE_EXIT_JAIL ? "its server cannot build its jail"
                                                          : NULL;
    }
    device_log(&s->machine->slot, "share '%s': %s; the guest gets I/O errors", s->directory,
               reason ? reason : "its server has ended");
    answer_all(s, -EIO);
}

/* ------------------------------------------------------------------ sending */

static void send_more(void *context);

/* False where the socket takes no more now, or never. */
static bool send_some(struct share *s)
{
    u32 rest = virtio_fs_size(s->sending) - s->sent;
    u32 size = rest < CHUNK_BYTES ? rest : CHUNK_BYTES;
    u8 chunk[CHUNK_BYTES];
    ssize_t put;

    virtio_fs_read(s->sending, s->sent, chunk, size);
    put = send(s->socket, chunk, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (put < 0) {
        if (errno == EAGAIN || errno == EINTR) {
            watch_set(s->watch, true, send_more);
        } /* else its end is seen by whoever receives */
        return false;
    }
    s->sent += (u32)put;
    if (s->sent == virtio_fs_size(s->sending)) {
        s->sending = *virtio_fs_next(s->sending);
        s->sent = 0;
    }
    return true;
}

static void send_more(void *context)
{
    struct share *s = context;

    while (s->sending && send_some(s)) {}
}

/* ------------------------------------------------------------------ receiving */

/* Bytes of the answer that are to come: of its head first, then of the rest; 0: it is whole.  False
 * where it is none. */
static bool measure(const struct share *s, u32 *missing)
{
    struct fuse_out_header head;

    if (s->received < sizeof(head)) {
        *missing = (u32)sizeof(head) - s->received;
        return true;
    }
    memcpy(&head, s->answer, sizeof(head));
    if (!s->first || s->first == s->sending || head.unique != virtio_fs_unique(s->first) ||
        head.len < sizeof(head) || head.len > VIRTIO_FS_MESSAGE_MAX) {
        return false;
    }
    *missing = head.len - s->received;
    return true;
}

static void pass_answer(struct share *s)
{
    struct virtio_fs_request *r = s->first;

    s->first = *virtio_fs_next(r);
    if (!s->first) {
        s->last = &s->first;
    }
    virtio_fs_answer(r, s->answer, s->received);
    s->received = 0;
}

/* Take one answer, or what there is of it.  False where there is no more now, or never. */
static bool receive_some(struct share *s)
{
    u32 missing;
    ssize_t got;

    if (!measure(s, &missing)) {
        give_up(s, "its server has given a wrong answer");
        return false;
    }
    if (missing == 0) {
        pass_answer(s);
        return true;
    }
    got = recv(s->socket, s->answer + s->received, missing, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (got <= 0) {
        give_up(s, NULL);
        return false;
    }
    s->received += (u32)got;
    return true;
}

static void on_readable(void *context)
{
    struct share *s = context;

    while (s->socket >= 0 && receive_some(s)) {}
}

/* ------------------------------------------------------------------ for the device */

static void wait_for_answers(struct share *s)
{
    while (s->first) {
        struct pollfd fd = {.fd = s->socket, .events = POLLIN | (s->sending ? POLLOUT : 0)};
        poll(&fd, 1, -1);
        send_more(s);
        on_readable(s);
    }
}

static void submit(void *context, struct virtio_fs_request *r)
{
    struct share *s = context;

    if (s->socket < 0) {
        virtio_fs_fail(r, -EIO);
        return;
    }
    *s->last = r;
    s->last = virtio_fs_next(r);
    if (!s->sending) {
        s->sending = r;
        send_more(s);
    }
    if (s->machine->vm->clock.icount) {
        wait_for_answers(s);
    }
}

static void cancel(void *context)
{
    struct share *s = context;

    stop(s);
    answer_all(s, -EIO);
}

static const struct virtio_fs_ops ops = {.submit = submit, .cancel = cancel};

/* ------------------------------------------------------------------ life */

static void close_share(struct share *s)
{
    stop(s);
    host_process_end(&s->server);
    free(s->directory);
    free(s->tag);
    free(s);
}

/* A socket to the server, which gets `root` and the other end. */
static int start_server(struct share *s, int root, bool read_only)
{
    char name[] = "ringer-share", ro[] = "ro", rw[] = "rw";
    char *const arguments[] = {name, read_only ? ro : rw, NULL};
    int ends[2], program, error;

    program = host_program_create(name, image_ringer_share,
                                  (size_t)(image_ringer_share_end - image_ringer_share));
    if (program < 0) {
        return program;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        error = -errno;
        close(program);
        return error;
    }
    error = host_process_start(&s->server, program, arguments,
                               (const int[]){STDERR_FILENO, ends[1], root}, 3);
    close(ends[1]);
    close(program);
    s->socket = ends[0];
    return error ? error : watch_add(s->machine, s->socket, on_readable, s, &s->watch);
}

static int check_tag(struct ringer *m, const char *directory, const char *tag)
{
    size_t length = strlen(tag);

    if (length > VIRTIO_FS_TAG_MAX) {
        return machine_fail(m, -EINVAL, "share '%s': the tag '%s' is longer than %u bytes",
                            directory, tag, VIRTIO_FS_TAG_MAX);
    }
    for (size_t i = 0; i < length; i++) {
        if (tag[i] <= ' ' || tag[i] > '~' || strchr(",/:", tag[i])) {
            return machine_fail(
                m, -EINVAL,
                "share '%s': a tag has letters, digits and signs, but , / and :", directory);
        }
    }
    for (const struct share *s = m->shares; s; s = s->next) {
        if (!strcmp(s->tag, tag)) {
            return machine_fail(m, -EINVAL,
                                "share '%s': '%s' has the tag '%s' already; add :TAG with another",
                                directory, s->directory, tag);
        }
    }
    return 0;
}

static struct share *make(struct ringer *m, const char *directory, const char *tag)
{
    struct share *s = calloc(1, sizeof(*s));

    if (s) {
        s->machine = m;
        s->directory = strdup(directory);
        s->tag = strdup(tag);
        s->server.pidfd = s->socket = -1;
        s->last = &s->first;
        if (s->directory && s->tag) {
            return s;
        }
        close_share(s);
    }
    machine_fail(m, -ENOMEM, "share: out of memory");
    return NULL;
}

int share_open(struct ringer *m, const struct ringer_device *device,
               struct virtio_fs_config *config)
{
    const char *directory = device->share.directory;
    const char *tag = device->share.tag ? device->share.tag : DEFAULT_TAG;
    struct share *s;
    int root, error;

    if (!directory || !directory[0] || !tag[0]) {
        return machine_fail(m, -EINVAL, "share: there is no %s", tag[0] ? "directory" : "tag");
    }
    if (m->config.record_path || m->config.replay_path) {
        return machine_fail(m, -EINVAL,
                            "share '%s': what a guest reads there is not recorded, so that the run "
                            "could not be replayed",
                            directory);
    }
    error = check_tag(m, directory, tag);
    if (error) {
        return error;
    }
    root = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) {
        error = -errno;
        return machine_fail(m, error, "share '%s': %s", directory, strerror(-error));
    }
    s = make(m, directory, tag);
    error = s ? start_server(s, root, device->share.read_only) : -ENOMEM;
    close(root);
    if (error) {
        if (s) {
            close_share(s);
            machine_fail(m, error, "share '%s': its server cannot be started: %s", directory,
                         strerror(-error));
        }
        return error;
    }
    s->next = m->shares;
    m->shares = s;
    *config = (struct virtio_fs_config){.tag = s->tag, .ops = &ops, .context = s};
    return 0;
}

void share_close_all(struct ringer *m)
{
    while (m->shares) {
        struct share *s = m->shares;
        m->shares = s->next;
        close_share(s);
    }
}
