/* screen.c - the API's look at the screen. */
#include <string.h>

#include "dev/vga.h"
#include "vm/machine.h"

_Static_assert(RINGER_SCREEN_CELLS == VGA_CELLS_MAX, "all that the VGA shows is given");

void ringer_screen_read(struct ringer *m, struct ringer_screen *screen)
{
    struct vga_text text;

    vga_read_text(m->pc.devices[PC_VGA], &text);
    screen->columns = text.columns;
    screen->rows = text.rows;
    screen->cursor_shown = text.cursor_shown;
    screen->cursor_column = text.cursor_column;
    screen->cursor_row = text.cursor_row;
    screen->blinks = text.blinks;
    memcpy(screen->cells, text.cells, text.columns * text.rows * sizeof(text.cells[0]));
}
