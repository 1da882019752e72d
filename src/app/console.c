/* console.c - bytes from standard input to the guest and back, and what Ctrl-A does. */
#include "app/console.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "app/terminal.h"

#define KEY_ESCAPE 0x01 /* Ctrl-A */

/* A write of so much cannot block where poll() said that there is room: a terminal promises 256
 * bytes, a pipe a page. */
#define OUTPUT_CHUNK 256

static void take(struct console *console, uint8_t byte);

static void say(struct console *console, const char *text)
{
    console_output(console, text, strlen(text));
}

static void stop(struct console *console)
{
    if (console->machine) {
        ringer_stop(console->machine);
    }
}

static void quit(struct console *console)
{
    console->quit = true;
    stop(console);
}

/* ------------------------------------------------------------------ output */

/* Reads the terminal while the guest's output has to wait, so that Ctrl-A x works then too. */
static void take_while_waiting(struct console *console)
{
    uint8_t bytes[64];
    ssize_t count = read(STDIN_FILENO, bytes, sizeof(bytes));
    if (count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN)) {
        console->ended = true;
    }
    for (ssize_t i = 0; i < count; i++) {
        take(console, bytes[i]);
    }
}

/* Waits until standard output takes something.  False if the rest is not to be written. */
static bool wait_for_output(struct console *console)
{
    while (!console->quit && !*console->interrupted) {
        bool listen = console->terminal && !console->ended;
        struct pollfd fds[] = {
            {.fd = STDOUT_FILENO, .events = POLLOUT},
            {.fd = listen ? STDIN_FILENO : -1, .events = POLLIN},
        };
        /* The limit is for a signal that came just before poll(). */
        if (poll(fds, 2, 200) < 0 && errno != EINTR) {
            return false;
        }
        if (fds[0].revents & (POLLOUT | POLLERR | POLLNVAL)) {
            return true;
        }
        if (fds[1].revents) {
            console->waiting = true;
            take_while_waiting(console);
            console->waiting = false;
        }
    }
    return false;
}

bool console_wants_end(const struct console *console)
{
    /* A terminal that has gone (EIO) is SIGHUP's affair: whoever ignores that wants the guest to
     * go on. */
    return console->quit || (console->output_error && console->output_error != EIO);
}

static void output_failed(struct console *console, int error)
{
    console->output_error = error;
    if (console_wants_end(console)) {
        stop(console);
    }
}

/* Writes a little, where there is room for it.  Returns how much went. */
static size_t write_chunk(struct console *console, const uint8_t *bytes, size_t size)
{
    ssize_t count = write(STDOUT_FILENO, bytes, size < OUTPUT_CHUNK ? size : OUTPUT_CHUNK);
    if (count > 0) {
        console->in_line = !console->display && bytes[count - 1] != '\n';
        return (size_t)count;
    }
    if (errno != EINTR && errno != EAGAIN) {
        output_failed(console, errno);
    }
    return 0;
}

void console_output(void *context, const void *bytes, size_t size)
{
    struct console *console = context;
    size_t done = 0;
    while (done < size && !console->output_error) {
        if (!wait_for_output(console)) {
            return;
        }
        done += write_chunk(console, (const uint8_t *)bytes + done, size - done);
    }
}

static void writable(void *context)
{
    struct console *console = context;
    ringer_watch_fd(console->machine, console->room_fd, NULL, NULL);
    console->room_watched = false;
    ringer_serial_writable(console->machine, console->port);
}

/* The event loop makes non-blocking what it watches, and others share standard output.  So it
 * watches an epoll instance that watches that. */
static bool watch_room(struct console *console)
{
    if (console->room_fd < 0) {
        struct epoll_event event = {.events = EPOLLOUT};
        int fd = epoll_create1(EPOLL_CLOEXEC);
        if (epoll_ctl(fd, EPOLL_CTL_ADD, STDOUT_FILENO, &event) < 0) {
            close(fd);
            return false;
        }
        console->room_fd = fd;
    }
    if (!console->room_watched) {
        console->room_watched =
            ringer_watch_fd(console->machine, console->room_fd, writable, console) == 0;
    }
    return console->room_watched;
}

size_t console_write(void *context, const void *bytes, size_t size)
{
    struct console *console = context;
    struct pollfd fd = {.fd = STDOUT_FILENO, .events = POLLOUT};
    size_t done = 0;
    if (!console->machine) {
        console_output(console, bytes, size);
        return size;
    }
    while (done < size && !console->output_error && poll(&fd, 1, 0) > 0) {
        done += write_chunk(console, (const uint8_t *)bytes + done, size - done);
    }
    if (done < size && !console->output_error && !watch_room(console)) {
        console_output(console, (const uint8_t *)bytes + done, size - done);
        return size;
    }
    return console->output_error ? size : done; /* there is no other way for the rest */
}

void console_end_line(struct console *console)
{
    if (console->output_tty && console->in_line) {
        console->in_line = false;
        (void)!write(STDOUT_FILENO, "\r\n", 2); /* it may have gone */
    }
}

/* ------------------------------------------------------------------ the screen */

/* The terminal is the guest's screen's, or for text of ours. */
static void show_screen(struct console *console)
{
    if (console->display) {
        display_show(console->display);
    }
}

static void hide_screen(struct console *console)
{
    if (console->display) {
        display_hide(console->display);
    }
}

/* ------------------------------------------------------------------ input */

/* Gives the guest what it takes of the pending bytes. */
static void flush(struct console *console)
{
    if (!console->machine || console->display || console->pending_size == 0) {
        return;
    }
    size_t taken = ringer_serial_input(console->machine, console->port, console->pending,
                                       console->pending_size);
    memmove(console->pending, console->pending + taken, console->pending_size - taken);
    console->pending_size -= taken;
}

static void to_guest(struct console *console, uint8_t byte)
{
    if (console->display) {
        display_input(console->display, byte);
        return;
    }
    /* Only a terminal can find it full: it is read on for its escape keys.  A UART overruns too. */
    if (console->pending_size < CONSOLE_PENDING) {
        console->pending[console->pending_size++] = byte;
    }
}

static void toggle_monitor(struct console *console)
{
    if (console->waiting) {
        console->want_monitor = true;
    } else if (console->monitor.open) {
        monitor_close(&console->monitor);
        show_screen(console);
    } else {
        hide_screen(console);
        monitor_open(&console->monitor, console->machine);
    }
}

static void tell_keys(struct console *console)
{
    hide_screen(console);
    say(console, "\r\nCtrl-A x       end the machine\r\n"
                 "Ctrl-A c       open or close the monitor\r\n"
                 "Ctrl-A h       tell this\r\n"
                 "Ctrl-A Ctrl-A  give the guest a Ctrl-A\r\n");
    if (console->display && !console->monitor.open) {
        say(console, "Any key goes back to the guest's screen.\r\n");
        console->telling = true;
    }
}

static void take_escaped(struct console *console, uint8_t byte)
{
    switch (byte) {
    case 'x':
        quit(console);
        break;
    case 'c':
        toggle_monitor(console);
        break;
    case KEY_ESCAPE:
        to_guest(console, KEY_ESCAPE);
        break;
    case 'h':
    case '?':
        if (!console->waiting) {
            tell_keys(console);
        }
        break;
    default: /* not a command: the guest gets both */
        to_guest(console, KEY_ESCAPE);
        to_guest(console, byte);
        break;
    }
}

/* One byte of standard input. */
static void take(struct console *console, uint8_t byte)
{
    if (console->escape) {
        console->escape = false;
        take_escaped(console, byte);
    } else if (console->terminal && byte == KEY_ESCAPE) {
        console->escape = true;
    } else if (console->monitor.open && !console->waiting) {
        if (monitor_input(&console->monitor, byte)) {
            quit(console);
        } else if (!console->monitor.open) {
            show_screen(console);
        }
    } else if (console->telling && !console->waiting) {
        console->telling = false;
        show_screen(console);
    } else {
        to_guest(console, byte);
    }
}

static void readable(void *context);

/* Watches standard input while there is room for what it gives. */
static void watch(struct console *console)
{
    bool wanted = console->machine && !console->ended &&
                  (console->terminal || console->pending_size < CONSOLE_PENDING);
    if (console->machine && wanted != console->watched) {
        if (!ringer_watch_fd(console->machine, STDIN_FILENO, wanted ? readable : NULL, console)) {
            console->watched = wanted;
        }
    }
}

/* Gives the guest as much of a file as it takes now. */
static void pump_file(struct console *console)
{
    do {
        ssize_t count = read(STDIN_FILENO, console->pending + console->pending_size,
                             CONSOLE_PENDING - console->pending_size);
        if (count > 0) {
            console->pending_size += (size_t)count;
        } else if (console->pending_size < CONSOLE_PENDING) {
            console->ended = true;
        }
        flush(console);
    } while (!console->ended && console->pending_size == 0);
}

static void readable(void *context)
{
    struct console *console = context;
    uint8_t bytes[256];
    size_t room = CONSOLE_PENDING - console->pending_size;
    size_t wanted = console->terminal || room > sizeof(bytes) ? sizeof(bytes) : room;
    ssize_t count = read(STDIN_FILENO, bytes, wanted);
    if ((count == 0 && wanted > 0) || (count < 0 && errno != EINTR && errno != EAGAIN)) {
        console->ended = true;
    }
    if (console->want_monitor) {
        console->want_monitor = false;
        toggle_monitor(console);
    }
    for (ssize_t i = 0; i < count && !console->quit; i++) {
        take(console, bytes[i]);
    }
    flush(console);
    watch(console);
}

/* The virtio console tells the guest how large its terminal is. */
static void tell_size(struct console *console)
{
    unsigned columns, rows;
    terminal_size(&columns, &rows);
    ringer_console_resize(console->machine, columns, rows);
}

static void on_terminal_change(void *context)
{
    uint64_t count;
    if (read(terminal_changes(), &count, sizeof(count)) == sizeof(count)) {
        tell_size(context);
    }
}

static int watch_size(struct console *console)
{
    if (console->port != RINGER_PORT_HVC0 || console->display || !console->output_tty ||
        terminal_changes() < 0) {
        return 0;
    }
    tell_size(console);
    int result = ringer_watch_fd(console->machine, terminal_changes(), on_terminal_change, console);
    console->size_watched = result == 0;
    return result;
}

static void ready(void *context)
{
    struct console *console = context;
    if (console->file && !console->ended) {
        pump_file(console);
        return;
    }
    flush(console);
    watch(console);
}

/* ------------------------------------------------------------------ life */

void console_init(struct console *console, enum ringer_port port, struct display *display,
                  const volatile int *interrupted)
{
    *console = (struct console){.port = port,
                                .display = display,
                                .interrupted = interrupted,
                                .room_fd = -1,
                                .output_tty = isatty(STDOUT_FILENO)};
    monitor_init(&console->monitor, console_output, console);
}

void console_start(struct console *console)
{
    console->terminal = terminal_make_raw(STDIN_FILENO);
    show_screen(console);
}

int console_attach(struct console *console, struct ringer *machine)
{
    console->machine = machine;
    console->watched = false;
    if (console->display) {
        int error = display_attach(console->display, machine);
        if (error < 0) {
            return error;
        }
    } else {
        ringer_serial_on_ready(machine, console->port, ready, console);
    }
    flush(console);
    int result = watch_size(console);
    if (result < 0 || console->ended) {
        return result;
    }
    result = console->file ? -EPERM : ringer_watch_fd(machine, STDIN_FILENO, readable, console);
    if (result == -EPERM) { /* epoll's word for a file that is always readable */
        console->file = true;
        pump_file(console);
        return 0;
    }
    if (result == -EBADF) { /* standard input is closed */
        console->ended = true;
        return 0;
    }
    console->watched = result == 0;
    return result;
}

void console_detach(struct console *console)
{
    if (console->machine) {
        monitor_close(&console->monitor);
        if (console->watched) {
            ringer_watch_fd(console->machine, STDIN_FILENO, NULL, NULL);
        }
        if (console->display) {
            display_detach(console->display);
        }
        if (console->room_watched) {
            ringer_watch_fd(console->machine, console->room_fd, NULL, NULL);
        }
        if (console->size_watched) {
            ringer_watch_fd(console->machine, terminal_changes(), NULL, NULL);
        }
        console->room_watched = console->size_watched = false;
        console->watched = false;
        console->machine = NULL;
    }
}
