/*
 * snapshot_file.h - the file "state" of a snapshot: sections between a head and a digest.
 *
 *      0   "RingerSt"
 *      8   version of the format (32), 0 (32)
 *      16  bytes of the whole file (64)
 *      24  sections
 *      end - 8   digest (base/digest.h) of all before it (64)
 *
 * A section is one structure's, or one device's: its name with its number ("cpu/0"), the version of
 * what is in it (32), its size (64), and fields (base/fields.h).  They come in one order, and all
 * of them: what is missing, foreign or of another version is refused, never passed over.
 */
#ifndef VM_SNAPSHOT_FILE_H
#define VM_SNAPSHOT_FILE_H

#include "base/fields.h"

#define SNAPSHOT_VERSION 1u

/* A section is written between these two; the first one's result is the second one's argument. */
u64 section_begin(struct field_writer *writer, const char *name, unsigned number, u32 version);
void section_end(struct field_writer *writer, u64 begin);

/* A file is sections between these two, its writer empty before. */
void snapshot_file_begin(struct field_writer *writer);
void snapshot_file_end(struct field_writer *writer);

/* Check a file's head and digest: NULL, with *sections at the first section, or what is wrong. */
const char *snapshot_file_check(const u8 *bytes, u64 size, struct field_reader *sections);

/* The next section, which is to be that one.  False with an error in sections. */
bool section_open(struct field_reader *sections, const char *name, unsigned number, u32 version,
                  struct field_reader *section);

/* Has all of it been read?  False with an error in section. */
bool section_close(struct field_reader *section);

/* It has been read, well or not: close it.  False with what is wrong with it in sections. */
bool section_finish(struct field_reader *sections, struct field_reader *section, bool good);

/* The next one, of version 1, is these fields of one structure. */
bool section_load(struct field_reader *sections, const char *name, unsigned number,
                  const struct field *fields, void *base);

#endif
