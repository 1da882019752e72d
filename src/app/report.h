/* report.h - a machine's registers and figures, as text. */
#ifndef APP_REPORT_H
#define APP_REPORT_H

#include <ringer/ringer.h>
#include <stddef.h>
#include <stdio.h>

/* Writes a vCPU's registers, lines ended by line_end, for a screen of 80 columns.  Returns the
 * length that the whole text has, as snprintf() does. */
size_t report_registers(char *text, size_t size, const struct ringer_registers *registers,
                        const char *line_end);

/* What a vCPU was doing when the machine ended badly: registers and the instruction at RIP. */
void report_cpu(FILE *file, struct ringer *machine, unsigned cpu);

/* "COM1", "COM2", "hvc0". */
const char *report_port_name(enum ringer_port port);

/* Writes the machine's figures as JSON.  0 or -errno. */
int report_stats(FILE *file, struct ringer *machine);

#endif
