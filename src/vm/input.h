/*
 * input.h - the one door through which anything comes to the guest from outside; its recording and
 * its replay.
 *
 * On virtual time (--icount) a run depends on nothing but what comes in, and at which instruction.
 * There are two moments at which the guest's state is the same in every run, and only at them is
 * the door open:
 *
 *      SYNC     the vCPU waits for the board at some virtual time (sync.h).  In a replay the board
 *               has it wait at just the recorded times.
 *      ready    a device asks for more: the guest has just made room in it.  How often that has
 *               happened is the guest's own doing.
 *
 * What is offered while it is shut is asked for again at the next SYNC.  For the same reason a run
 * that is being recorded is only paused and stopped at a SYNC.
 *
 * A device with input from outside has a row in input.c and no other way in.
 */
#ifndef VM_INPUT_H
#define VM_INPUT_H

#include "vm/nic.h"
#include "vm/recording.h"

struct ringer;

enum input_source {
    INPUT_COM1,
    INPUT_COM2,
    INPUT_KEYBOARD,
    INPUT_NET1, /* one for each network card */
    INPUT_NET8 = INPUT_NET1 + NICS_MAX - 1,
    INPUT_HVC0,
    INPUT_HVC0_SIZE,
    INPUT_BALLOON,
    INPUT_SOURCES
}; /* numbers are in files: append */

enum input_mode { INPUT_LIVE, INPUT_RECORDING, INPUT_REPLAYING };
enum input_door { INPUT_SHUT, INPUT_AT_SYNC, INPUT_AT_READY };

struct input {
    enum input_mode mode;
    enum input_door door;
    u32 wanted;      /* a bit for each source that has offered something at a shut door */
    u64 ready_count; /* how often devices have asked */
    bool started;    /* START has been written or compared */
    bool over;       /* replay: the recording ends here */
    u64 last_ns;     /* recording: of the last record */
    u64 mark_ns;     /* recording: when the next mark is due */
    struct recorder recorder;
    struct recording recording;
    u32 next;                     /* replay: the record that comes next */
    struct recording_start start; /* what this machine is */
    char *command_line;
    char *path;
};

/* By config: opens the file of --record or --replay.  0 or -errno with the reason said. */
int input_create(struct ringer *machine);

/* Ends a recording that the guest has not ended, and closes the file. */
void input_destroy(struct ringer *machine);

/* The wall clock at power-on, if a recording says so, else otherwise. */
u64 input_wall_ns(const struct ringer *machine, u64 otherwise);

/* What has been loaded: before the first instruction.  -EINVAL if the recording is of another. */
int input_describe(struct ringer *machine, const void *kernel, size_t kernel_bytes,
                   const void *initrd, size_t initrd_bytes, const char *command_line);

/* Before the first instruction. */
int input_start(struct ringer *machine);

/* Offer bytes to a device.  Returns how many of them need not be offered again. */
size_t input_offer(struct ringer *machine, enum input_source source, const void *bytes,
                   size_t size);

/* A device asks: between these two, back ends may offer. */
void input_ready_begin(struct ringer *machine, enum input_source source);
void input_ready_end(struct ringer *machine);

/* The vCPU waits at a SYNC: do what the recording has here; make a mark.  Later, and unless
 * replaying: let the back ends offer. */
void input_at_sync(struct ringer *machine);
void input_let_in(struct ringer *machine);

/* The vCPU sleeps, and nothing on the board will ever wake it. */
void input_at_endless_sleep(struct ringer *machine);

/* When the vCPU has to come to a SYNC for the next record, or TIMER_NEVER. */
u64 input_next_sync_ns(const struct ringer *machine);

/* The instruction at which it has to stop for the next record, or UINT64_MAX. */
u64 input_stop_at(const struct ringer *machine);

/* The machine is held and ringer_run() about to return: write or compare the end. */
void input_end_run(struct ringer *machine);

/* May registers and memory be changed from outside?  0, or -EBUSY with the reason said. */
int input_check_change(struct ringer *machine);

#endif
