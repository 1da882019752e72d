/*
 * watch.c - descriptors in the machine's event loop.
 *
 * Under --icount input may only reach a device while the vCPU waits at a SYNC: what becomes
 * readable before is noted, and the descriptor left alone until then.
 */
#include "vm/watch.h"

#include <stdlib.h>

#include "vm/machine.h"

struct watch {
    struct ringer *machine;
    struct watch *next;
    uv_poll_t poll;
    int fd;
    bool read;
    bool ready;                      /* --icount: readable() is due at the next SYNC */
    void (*readable)(void *context); /* NULL: removed, and only waits for uv_close() */
    void (*writable)(void *context);
    void *context;
};

static void on_event(uv_poll_t *poll, int status, int events);

static void update(struct watch *w)
{
    int events =
        (w->read && !w->ready ? UV_READABLE | UV_DISCONNECT : 0) | (w->writable ? UV_WRITABLE : 0);

    if (events) {
        uv_poll_start(&w->poll, events, on_event);
    } else {
        uv_poll_stop(&w->poll);
    }
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    void (*writable)(void *) = w->writable;

    if ((events & UV_WRITABLE) && writable) {
        w->writable = NULL;
        update(w);
        writable(w->context);
    }
    if (!w->readable || !w->read || !(status < 0 || (events & ~UV_WRITABLE))) {
        return;
    }
    if (w->machine->vm->clock.icount && !w->machine->held) {
        w->ready = true;
        w->machine->sync.input_ready = true;
        update(w);
        return;
    }
    w->readable(w->context);
}

int watch_add(struct ringer *m, int fd, void (*readable)(void *context), void *context,
              struct watch **watch)
{
    struct watch *w = calloc(1, sizeof(*w));
    int error;

    if (!w) {
        return -ENOMEM;
    }
    w->machine = m;
    w->fd = fd;
    w->read = true;
    w->readable = readable;
    w->context = context;
    error = uv_poll_init(&m->loop, &w->poll, fd);
    if (error < 0) {
        free(w);
        return error;
    }
    w->poll.data = w;
    w->next = m->watches;
    m->watches = w;
    update(w);
    *watch = w;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void watch_remove(struct watch *w)
{
    struct watch **link;

    if (!w) {
        return;
    }
    for (link = &w->machine->watches; *link != w; link = &(*link)->next) {}
    *link = w->next;
    w->readable = NULL;
    w->writable = NULL;
    uv_close((uv_handle_t *)&w->poll, on_closed);
}

void watch_set(struct watch *w, bool read, void (*writable)(void *context))
{
    w->read = read;
    w->writable = writable;
    update(w);
}

struct watch *watch_find(const struct ringer *m, int fd)
{
    struct watch *w;

    for (w = m->watches; w && w->fd != fd; w = w->next) {}
    return w;
}

void watch_call_ready(struct ringer *m)
{
    struct watch *w = m->watches;

    while (w) {
        if (w->ready) {
            w->ready = false;
            update(w);
            w->readable(w->context);
            w = m->watches; /* the list may have changed */
        } else {
            w = w->next;
        }
    }
}
