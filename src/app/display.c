/* display.c - draws what has changed on the guest's screen since it was last drawn. */
#include "app/display.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "app/cp437.h"
#include "app/terminal.h"

#define FRAME_NS          40000000
#define ATTRIBUTE_UNKNOWN 0x100u

/* ------------------------------------------------------------------ output */

static void flush(struct display *display)
{
    if (display->pending_size > 0) {
        display->output(display->context, display->pending, display->pending_size);
        display->pending_size = 0;
    }
}

static void put(struct display *display, const char *text, size_t size)
{
    if (size > sizeof(display->pending) - display->pending_size) {
        flush(display);
    }
    memcpy(display->pending + display->pending_size, text, size);
    display->pending_size += size;
}

static void print(struct display *display, const char *format, ...)
    __attribute__((__format__(__printf__, 2, 3)));

static void print(struct display *display, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    put(display, text, (size_t)length < sizeof(text) ? (size_t)length : sizeof(text) - 1);
}

/* ------------------------------------------------------------------ drawing */

/* CGA's colours have blue in bit 0 and red in bit 2, a terminal's the other way round. */
static unsigned terminal_color(unsigned color)
{
    return (color & 2) | (color & 1) << 2 | (color >> 2 & 1);
}

static void set_attribute(struct display *display, unsigned attribute)
{
    unsigned front = terminal_color(attribute), back = terminal_color(attribute >> 4);
    bool high = attribute & 0x80, blinks = high && display->screen.blinks;
    if (attribute != display->attribute) {
        display->attribute = attribute;
        print(display, "\033[0%s;%u;%um", blinks ? ";5" : "", front + (attribute & 8 ? 90 : 30),
              back + (high && !blinks ? 100 : 40));
    }
}

static void draw_cell(struct display *display, unsigned cell)
{
    char character[3];
    size_t size = cp437_to_utf8((uint8_t)cell, character);
    set_attribute(display, cell >> 8);
    put(display, character, size);
}

static void draw_row(struct display *display, unsigned row)
{
    const struct ringer_screen *screen = &display->screen;
    const uint16_t *now = screen->cells + row * screen->columns;
    const uint16_t *before = display->drawn.cells + row * screen->columns;
    unsigned at = screen->columns; /* the terminal's cursor, if it is in this row */
    for (unsigned column = 0; column < screen->columns; column++) {
        if (now[column] == before[column] && !display->fresh) {
            continue;
        }
        if (at != column) {
            print(display, "\033[%u;%uH", row + 1, column + 1);
        }
        draw_cell(display, now[column]);
        at = column + 1;
    }
}

static void draw_cursor(struct display *display)
{
    const struct ringer_screen *screen = &display->screen;
    if (screen->cursor_shown) {
        print(display, "\033[%u;%uH\033[?25h", screen->cursor_row + 1, screen->cursor_column + 1);
    }
}

/* Is there anything to be sent? */
static bool has_changed(const struct display *display)
{
    const struct ringer_screen *now = &display->screen, *before = &display->drawn;
    return display->fresh || now->columns != before->columns || now->rows != before->rows ||
           now->cursor_shown != before->cursor_shown ||
           now->cursor_column != before->cursor_column || now->cursor_row != before->cursor_row ||
           now->blinks != before->blinks ||
           memcmp(now->cells, before->cells,
                  (size_t)now->columns * now->rows * sizeof(now->cells[0])) != 0;
}

static void clear(struct display *display)
{
    put(display, "\033[0m\033[2J\033[H", 11);
    display->attribute = ATTRIBUTE_UNKNOWN;
}

static void draw_screen(struct display *display)
{
    const struct ringer_screen *screen = &display->screen;
    unsigned columns, rows;
    terminal_size(&columns, &rows);
    if (display->fresh) {
        clear(display);
    }
    if (screen->columns > columns || screen->rows > rows) {
        print(display, "\033[HThe guest's screen is %u by %u, and this terminal %u by %u.\r\n",
              screen->columns, screen->rows, columns, rows);
        print(display, "Make it larger, or end the machine with Ctrl-A x.");
        return;
    }
    for (unsigned row = 0; row < screen->rows; row++) {
        draw_row(display, row);
    }
    draw_cursor(display);
}

static void draw(struct display *display)
{
    const struct ringer_screen *now = &display->screen, *before = &display->drawn;
    ringer_screen_read(display->machine, &display->screen);
    if (!has_changed(display)) {
        return;
    }
    if (now->columns != before->columns || now->rows != before->rows ||
        now->blinks != before->blinks) {
        display->fresh = true;
    }
    put(display, "\033[?25l", 6); /* no flicker meanwhile */
    draw_screen(display);
    flush(display);
    display->fresh = false;
    display->drawn = display->screen;
}

/* ------------------------------------------------------------------ events */

static void on_timer(void *context)
{
    struct display *display = context;
    uint64_t expirations;
    if (read(display->timer, &expirations, sizeof(expirations)) < 0) {
        return; /* EAGAIN */
    }
    keys_tick(&display->keys, display->machine);
    if (display->shown) {
        draw(display);
    }
}

/* The terminal has another size, or has been the shell's. */
static void on_terminal_change(void *context)
{
    struct display *display = context;
    uint64_t count;
    if (read(display->changes, &count, sizeof(count)) < 0) {
        return; /* EAGAIN */
    }
    display->fresh = true;
}

void display_input(struct display *display, uint8_t byte)
{
    if (display->machine) {
        keys_input(&display->keys, display->machine, byte);
    }
}

/* ------------------------------------------------------------------ life */

void display_init(struct display *display, ringer_output_fn *output, void *context)
{
    *display = (struct display){.output = output, .context = context, .timer = -1, .changes = -1};
}

static int make_timer(struct display *display)
{
    const struct itimerspec each = {.it_interval.tv_nsec = FRAME_NS, .it_value.tv_nsec = FRAME_NS};
    display->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    return display->timer < 0 || timerfd_settime(display->timer, 0, &each, NULL) < 0 ? -errno : 0;
}

int display_attach(struct display *display, struct ringer *machine)
{
    int result = make_timer(display);
    display->machine = machine;
    display->keys = (struct keys){.length = 0};
    if (result == 0) {
        result = ringer_watch_fd(machine, display->timer, on_timer, display);
    }
    display->changes = terminal_changes();
    if (result == 0 && display->changes >= 0) {
        result = ringer_watch_fd(machine, display->changes, on_terminal_change, display);
    }
    return result;
}

void display_detach(struct display *display)
{
    if (!display->machine) {
        return;
    }
    if (display->changes >= 0) {
        ringer_watch_fd(display->machine, display->changes, NULL, NULL);
    }
    if (display->timer >= 0) {
        ringer_watch_fd(display->machine, display->timer, NULL, NULL);
        close(display->timer);
        display->timer = -1;
    }
    display->machine = NULL;
}

void display_show(struct display *display)
{
    display->shown = display->fresh = true;
    display->attribute = ATTRIBUTE_UNKNOWN;
    terminal_enter_screen();
}

void display_hide(struct display *display)
{
    flush(display);
    display->shown = false;
    terminal_leave_screen();
}
