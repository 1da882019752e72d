/* cp437.h - code page 437, in which a PC's text screen is written, as Unicode. */
#ifndef APP_CP437_H
#define APP_CP437_H

#include <stddef.h>
#include <stdint.h>

/* Writes the character in UTF-8, at most 3 bytes and no 0; a space for those that look like one.
 * Returns how many. */
size_t cp437_to_utf8(uint8_t character, char out[3]);

#endif
