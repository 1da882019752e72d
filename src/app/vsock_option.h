/* vsock_option.h - the argument of --vsock: PATH[,cid=N]. */
#ifndef APP_VSOCK_OPTION_H
#define APP_VSOCK_OPTION_H

#include <ringer/ringer.h>
#include <stdbool.h>
#include <stddef.h>

/* Fills *device; its strings live as long as the process.  False with a line for people in error.
 */
bool vsock_option_parse(struct ringer_device *device, const char *value, char *error,
                        size_t error_size);

#endif
