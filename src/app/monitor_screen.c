/* monitor_screen.c - the monitor's commands screen, type and key. */
#include <string.h>

#include "app/cp437.h"
#include "app/monitor_commands.h"

/* A row without the blanks at its end. */
static void print_row(struct monitor *monitor, const uint16_t *cells, unsigned columns)
{
    char text[3 * 256 + 3];
    size_t size = 0, end = 0;
    for (unsigned i = 0; i < columns && size < sizeof(text) - 5; i++) {
        size += cp437_to_utf8((uint8_t)cells[i], text + size);
        if (text[size - 1] != ' ') {
            end = size;
        }
    }
    memcpy(text + end, "\r\n", 3);
    monitor_say(monitor, text);
}

bool monitor_screen(struct monitor *monitor)
{
    struct ringer_screen screen;
    unsigned rows = 0;
    ringer_screen_read(monitor->machine, &screen);
    if (screen.rows == 0) {
        monitor_say(monitor, "the screen is dark, or shows graphics\r\n");
        return false;
    }
    for (unsigned i = 0; i < screen.columns * screen.rows;
         i++) { /* to the last that is not blank */
        if ((screen.cells[i] & 0xff) != ' ' && (screen.cells[i] & 0xff) != 0) {
            rows = i / screen.columns + 1;
        }
    }
    for (unsigned row = 0; row < rows; row++) {
        print_row(monitor, screen.cells + row * screen.columns, screen.columns);
    }
    return false;
}

/* In place: \\n is Enter, and \\\\ a backslash. */
static void unescape(char *text)
{
    char *to = text;
    for (; *text; text++) {
        if (text[0] == '\\' && (text[1] == 'n' || text[1] == '\\')) {
            text++;
            *to++ = *text == 'n' ? '\n' : '\\';
        } else {
            *to++ = *text;
        }
    }
    *to = 0;
}

bool monitor_type(struct monitor *monitor)
{
    unescape(monitor->argument);
    size_t size = strlen(monitor->argument);
    size_t typed = ringer_keyboard_type(monitor->machine, monitor->argument, size);
    if (size == 0) {
        monitor_say(monitor, "write what is to be typed; \\n is Enter\r\n");
    } else if (typed < size) {
        monitor_say(monitor, "not typed from here on: ");
        monitor_say(monitor, monitor->argument + typed);
        monitor_say(monitor, "\r\n");
    }
    return false;
}

bool monitor_key(struct monitor *monitor)
{
    if (ringer_keyboard_press(monitor->machine, monitor->argument) < 0) {
        monitor_say(monitor, ringer_error(monitor->machine));
        monitor_say(monitor, "\r\n");
    }
    return false;
}
