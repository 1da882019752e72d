/* terminal.c - raw mode and back: at exit, on a crash, on Ctrl-Z's signal and on SIGCONT. */
#define _GNU_SOURCE /* fopencookie */
#include "app/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/types.h"

static struct {
    int fd;
    struct termios saved, raw;
    int flags;                    /* of the open file, as they were; -1: not known */
    volatile sig_atomic_t active; /* we have made it raw */
    volatile sig_atomic_t shared; /* flags are to be restored */
    volatile sig_atomic_t screen; /* the alternate screen is shown */
    int changes_fd;               /* see terminal_changes(); 0: not made yet */
    bool prepared;                /* handlers are there */
} terminal;

/* tcsetattr() is async-signal-safe. */
static void apply(const struct termios *settings)
{
    while (tcsetattr(terminal.fd, TCSADRAIN, settings) < 0 && errno == EINTR) {}
}

/* ------------------------------------------------------------------ the alternate screen */

/* From signal handlers, too; a terminal that has gone needs nothing. */
static void send(const char *text)
{
    (void)!write(STDOUT_FILENO, text, strlen(text));
}

/* Without automatic wrapping the last cell of the last row can be written to. */
static void enter_screen(void)
{
    send("\033[?1049h\033[?7l\033[2J");
}

static void leave_screen(void)
{
    send("\033[0m\033[?7h\033[?25h\033[?1049l");
}

void terminal_enter_screen(void)
{
    if (!terminal.screen) {
        terminal.screen = 1;
        enter_screen();
    }
}

void terminal_leave_screen(void)
{
    if (terminal.screen) {
        terminal.screen = 0;
        leave_screen();
    }
}

void terminal_size(unsigned *columns, unsigned *rows)
{
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row;
    *columns = known ? size.ws_col : 80;
    *rows = known ? size.ws_row : 24;
}

static void tell_change(void)
{
    uint64_t one = 1;
    if (terminal.changes_fd > 0) {
        (void)!write(terminal.changes_fd, &one, sizeof(one));
    }
}

static void on_resize(int number)
{
    int saved_errno = errno;
    (void)number;
    tell_change();
    errno = saved_errno;
}

int terminal_changes(void)
{
    if (terminal.changes_fd == 0) {
        struct sigaction resize = {.sa_handler = on_resize, .sa_flags = SA_RESTART};
        terminal.changes_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        sigaction(SIGWINCH, &resize, NULL);
    }
    return terminal.changes_fd;
}

/* ------------------------------------------------------------------ raw and back */

void terminal_restore(void)
{
    terminal_leave_screen();
    if (terminal.shared) {
        terminal.shared = 0;
        fcntl(terminal.fd, F_SETFL, terminal.flags);
    }
    if (terminal.active) {
        terminal.active = 0;
        apply(&terminal.saved);
    }
}

static void on_crash(int number)
{
    terminal_restore();
    raise(number); /* SA_RESETHAND: this time it kills */
}

static void on_stop(int number)
{
    int saved_errno = errno;
    (void)number;
    if (terminal.screen) {
        leave_screen();
    }
    if (terminal.active) {
        apply(&terminal.saved);
    }
    raise(SIGSTOP);
    errno = saved_errno;
}

static void on_continue(int number)
{
    int saved_errno = errno;
    (void)number;
    /* In the background it is the shell's; tcsetattr() would stop us.  Where it is not our
     * controlling terminal, there is no background (-1). */
    pid_t foreground = tcgetpgrp(terminal.fd);
    if (terminal.active && (foreground == -1 || foreground == getpgrp())) {
        apply(&terminal.raw);
        if (terminal.screen) {
            enter_screen();
            tell_change();
        }
    }
    errno = saved_errno;
}

static void prepare(void)
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    struct sigaction crash = {.sa_handler = on_crash, .sa_flags = SA_RESETHAND};
    struct sigaction stop = {.sa_handler = on_stop, .sa_flags = SA_RESTART};
    struct sigaction resume = {.sa_handler = on_continue, .sa_flags = SA_RESTART};
    for (size_t i = 0; i < ARRAY_SIZE(crashes); i++) {
        sigaction(crashes[i], &crash, NULL);
    }
    sigaction(SIGTSTP, &stop, NULL);
    sigaction(SIGCONT, &resume, NULL);
    atexit(terminal_restore);
}

bool terminal_make_raw(int fd)
{
    if (terminal.active) {
        return true;
    }
    terminal.fd = fd;
    terminal.flags = fcntl(fd, F_GETFL);
    terminal.shared = terminal.flags != -1;
    if (!terminal.prepared) {
        terminal.prepared = true;
        prepare();
    }
    if (tcgetattr(fd, &terminal.saved) < 0) {
        return false;
    }
    terminal.raw = terminal.saved;
    cfmakeraw(&terminal.raw);
    if (!isatty(STDOUT_FILENO)) { /* others write to the terminal then: they want their lines */
        terminal.raw.c_oflag = terminal.saved.c_oflag;
    }
    terminal.active = 1;
    apply(&terminal.raw);
    return true;
}

/* ------------------------------------------------------------------ standard error */

/* Waits where it has to: standard error may share O_NONBLOCK with standard input.  False if the
 * terminal has gone, or a signal came meanwhile. */
static bool write_whole(const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t count = write(STDERR_FILENO, bytes, size);
        if (count > 0) {
            bytes += count;
            size -= (size_t)count;
            continue;
        }
        struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};
        if (errno != EAGAIN || poll(&fd, 1, -1) < 0) {
            return false;
        }
    }
    return true;
}

static ssize_t write_lines(void *cookie, const char *bytes, size_t size)
{
    const char *end = bytes + size;
    (void)cookie;
    while (bytes < end) {
        const char *newline = terminal.active ? memchr(bytes, '\n', (size_t)(end - bytes)) : NULL;
        const char *stop = newline ? newline : end;
        if (!write_whole(bytes, (size_t)(stop - bytes)) || (newline && !write_whole("\r\n", 2))) {
            break;
        }
        bytes = newline ? newline + 1 : end;
    }
    return (ssize_t)size; /* the rest is lost */
}

FILE *terminal_open_errors(void)
{
    cookie_io_functions_t functions = {.write = write_lines};
    return isatty(STDERR_FILENO) ? fopencookie(NULL, "w", functions) : NULL;
}
