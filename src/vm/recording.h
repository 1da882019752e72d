/*
 * recording.h - the file of --record and --replay: what it holds, how it is written, how it is
 * read.
 *
 *      magic                                         RECORDING_MAGIC, 16 bytes, its version in it
 *      START record ... END record                   a machine's run
 *      START record ... END record                   that of the machine after its reset, and so on
 *
 * A record is a struct record_head and its payload.  Each has a number, one more than the one
 * before, and a checksum over everything else in it; so a file that was cut, shuffled or changed is
 * found out before anything of it is used.  Each is written by one write(): a Ringer that was
 * killed leaves a file that ends after some record, without its END.  Numbers are little-endian, as
 * on every host that Ringer runs on.
 *
 * A guest on virtual time only ever depends on its inputs, so the file holds nothing else but marks
 * to compare by.  Where in the run a record belongs is one of enum record_where; why these are
 * exact is told in vm/input.h.
 */
#ifndef VM_RECORDING_H
#define VM_RECORDING_H

#include "base/types.h"

#define RECORDING_MAGIC       "Ringer record 1\n"
#define RECORDING_PAYLOAD_MAX (1u << 20)

enum record_kind {
    RECORD_START, /* struct recording_start, then the command line */
    RECORD_INPUT, /* what a source has offered, and of it the bytes that its device took */
    RECORD_MARK,  /* struct recording_mark */
    RECORD_END,   /* struct recording_end */
    RECORD_KINDS
};

enum record_where {
    RECORD_AT_START, /* before the first instruction */
    RECORD_AT_SYNC,  /* the vCPU waits at its SYNC of time_ns */
    RECORD_AT_READY, /* a device asks for input, for the position-th time */
    RECORD_AT_COUNT, /* the vCPU has executed position instructions */
    RECORD_AT_EXIT,  /* the guest itself has ended the run */
    RECORD_WHERES
};

struct record_head {
    u32 checksum; /* CRC-32 of what follows in the head, and of the payload */
    u32 size;     /* of the payload */
    u32 number;   /* in the file, from 0 */
    u16 kind, where;
    u64 time_ns;  /* virtual time; never less than in the record before of the same machine */
    u64 position; /* by where */
    u32 source;   /* RECORD_INPUT: enum input_source */
    u32 offered;  /* RECORD_INPUT: bytes offered, at least size */
};

_Static_assert(sizeof(struct record_head) == 40, "as in the file");

struct recording_start {
    u64 memory_bytes;
    u64 cpus;
    u64 devices;           /* digest of what there is besides the PC's own */
    u64 wall_ns;           /* the wall clock at power-on */
    u64 cpu_model;         /* digest of what CPUID and XGETBV say to the guest of the host's CPU */
    u64 kernel, initrd;    /* digests; 0 for none */
    u64 registers, memory; /* digests of the state at the first instruction */
    u8 version[16];        /* of the Ringer that recorded it */
};

struct recording_mark {
    u64 instructions, registers; /* count, and digest of the vCPU's state */
};

struct recording_end {
    u32 reason, code; /* enum ringer_exit_reason */
    u64 instructions, registers, memory;
};

/* ------------------------------------------------------------------ writing */

struct recorder {
    char *path;
    int fd;
    u32 number; /* of the next record */
    int error;  /* what stopped it: -errno */
};

/* A new file; or, for machine 1 and later of a run, the file that the machine before has left.
 * 0 or -errno. */
int recorder_open(struct recorder *r, const char *path, unsigned machine);
void recorder_close(struct recorder *r);

/* Append a record; head's checksum, size and number are filled in.  After an error nothing more is
 * written, and the file is good up to there; it is said once on standard error. */
void recorder_add(struct recorder *r, struct record_head *head, const void *payload, u32 size);

/* ------------------------------------------------------------------ reading */

struct record {
    struct record_head head;
    const u8 *payload;
};

struct recording {
    u8 *bytes;              /* all of the file */
    struct record *records; /* of one machine; the first is its START */
    u32 count;
    bool complete; /* the last one is an END */
};

/* Read the file and check all of it, and take out the records of one machine of the run.  0 or
 * -errno, with a line for people that names the file. */
int recording_open(struct recording *r, const char *path, unsigned machine, char *error,
                   size_t error_size);
void recording_close(struct recording *r);

/* The same of a file's bytes, which it takes over (from malloc()). */
int recording_parse(struct recording *r, const char *path, u8 *bytes, size_t size, unsigned machine,
                    char *error, size_t error_size);

#endif
