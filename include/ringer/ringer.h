/*
 * ringer.h - the C API of libringer: virtual machines for hosts without virtualization hardware.
 *
 * A machine is created from a configuration, loaded with a kernel, and run until it ends.  While
 * ringer_run() runs, it calls back for console output and for file descriptors that the caller
 * watches; from such a callback, or with the machine stopped, registers and memory may be read and
 * written.  One machine belongs to one thread; several machines may live in one process.  Only
 * ringer_stop() may be called from any thread and from a signal handler.
 *
 * Functions that can fail return 0 or a negative errno, and leave a line for people, without a
 * newline, in ringer_error(machine).  See examples/hello.c.
 */
#ifndef RINGER_RINGER_H
#define RINGER_RINGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RINGER_API __attribute__((visibility("default")))

struct ringer;          /* a machine */
struct ringer_snapshot; /* one that was kept in files */

/* ------------------------------------------------------------------ configuration */

enum ringer_protocol {
    RINGER_PROTOCOL_AUTO,      /* found out from the kernel file */
    RINGER_PROTOCOL_LINUX,     /* bzImage, 64-bit boot protocol (32-bit for kernels without it) */
    RINGER_PROTOCOL_VMLINUX,   /* the vmlinux inside a bzImage, entered directly */
    RINGER_PROTOCOL_PVH,       /* ELF with a PVH note */
    RINGER_PROTOCOL_MULTIBOOT, /* Multiboot 1 */
    RINGER_PROTOCOL_ELF,       /* plain ELF64 or ELF32 */
};

/* Receives what the guest sends on a serial port or the debug console. */
typedef void ringer_output_fn(void *context, const void *bytes, size_t size);

/* What a guest may take for its console. */
enum ringer_port {
    RINGER_PORT_COM1,
    RINGER_PORT_COM2,
    RINGER_PORT_HVC0, /* of a RINGER_DEVICE_CONSOLE */
    RINGER_SERIAL_PORTS
};

enum ringer_device_kind {
    RINGER_DEVICE_DISK,    /* virtio-blk */
    RINGER_DEVICE_NET,     /* virtio-net */
    RINGER_DEVICE_RNG,     /* virtio-rng: randomness of the host; with icount, always the same */
    RINGER_DEVICE_SHARE,   /* virtio-fs: a directory of the host */
    RINGER_DEVICE_CONSOLE, /* virtio-console, at most one: RINGER_PORT_HVC0 is behind it */
    RINGER_DEVICE_VSOCK,   /* virtio-vsock: connections between the guest and Unix sockets */
    RINGER_DEVICE_BALLOON, /* virtio-balloon, at most one */
};

/* What stands behind a network card. */
enum ringer_net_backend {
    RINGER_NET_USER,  /* a network of the process's own: 10.0.2.2 is the host, DHCP gives 10.0.2.15
                       */
    RINGER_NET_PASST, /* a passt, through its socket */
};

/* A device on the PCI bus. */
struct ringer_device {
    enum ringer_device_kind kind;
    union { /* by kind */
        struct {
            const char *source; /* a file, a block device, or "nbd://..." and "nbd+unix://..." */
            const char *format; /* NULL: "raw"; others need a qemu-nbd that knows them */
            const char *serial; /* NULL: the end of source; 20 bytes count */
            bool read_only;
            unsigned queues; /* 0: one for each CPU */
        } disk;
        struct {
            enum ringer_net_backend backend;
            uint8_t address[6]; /* all 0: 52:54:00:12:34:56, for the next card ...:57, and so on */
            unsigned
                mtu; /* the longest IP packet: from 1280; 0: user 16384, passt 65520, the most */
            const char *socket; /* passt: where it listens; NULL: one is started */
            /* user: ports of the host that lead to the guest: "tcp:127.0.0.1:2222-:22" */
            const char *forwards; /* several with commas between; NULL: none */
            const char *network;  /* user: "10.0.2.0/24"; NULL in these: the usual one */
            const char *host, *dns, *dhcp_start;
            const char *hostname; /* user: that DHCP gives; NULL: none */
            bool restricted;      /* user: the guest reaches nothing but what it is forwarded to */
            bool no_ipv6;         /* user */
        } net;
        struct {
            const char *directory;
            const char *tag; /* by which the guest mounts it; NULL: "share" */
            bool read_only;
        } share;
        struct {
            const char *path; /* where programs connect to the guest; it connects to "PATH_PORT" */
            uint32_t cid;     /* the guest's address; 0: 3 */
        } vsock;
        struct {
            uint64_t bytes; /* of memory that the guest is to keep to; 0: all */
        } balloon;
    };
};

/* Start from RINGER_CONFIG_DEFAULT; strings are copied. */
struct ringer_config {
    uint64_t memory_bytes;      /* default 512 MiB; a multiple of 4096 */
    unsigned cpus;              /* default 1 */
    const char *engine;         /* "auto" (default), "interp", "hybrid" */
    bool unprotected;           /* engines that run guest code on the host's CPU may do so without
                                 * protection keys: the guest's programs then see Ringer's memory */
    bool icount;                /* virtual time from the instruction count: runs are repeatable */
    const char *record_path;    /* keep the run's inputs in this file; needs icount */
    const char *replay_path;    /* give the guest those that this file holds; needs icount */
    uint64_t lockstep_interval; /* for ringer_lockstep(): its clock, and how many instructions of
                                 * supervisor mode lie between two comparisons; needs icount */
    unsigned resets;    /* how many resets have gone before: their machines share the file */
    bool debug_exit;    /* isa-debug-exit at port 0xf4 */
    bool debug_console; /* debug console at port 0xe9 */
    bool testdev;       /* QEMU's pc-testdev: ports 0xe0 to 0xeb and 0x2000 to 0x2017 */
    const char *trace;  /* comma-separated: exits, exceptions, interrupts, io, or NULL */
    FILE *trace_file;   /* NULL: standard error */

    struct {
        /* "none", "pty", "file:PATH", "unix:PATH" (a listening socket), or "callback".  NULL is
         * "none". */
        const char *backend;
        ringer_output_fn *output; /* for "callback": takes everything */
        /* For "callback" and RINGER_PORT_HVC0, may be NULL: takes what it can without waiting, and
         * returns how much; when it can take more, ringer_serial_writable().  Used in real time
         * while the machine runs, so that a slow reader holds up only who writes. */
        size_t (*write)(void *context, const void *bytes, size_t size);
        void *context;
    } serial[RINGER_SERIAL_PORTS];       /* enum ringer_port */
    const struct ringer_device *devices; /* on the PCI bus, in the order of their slots from 1 */
    unsigned device_count;
    void (*message)(void *context, const char *line); /* for the user; NULL: standard error */
    void *message_context;
    ringer_output_fn *debug_output; /* NULL: standard error */
    void *debug_context;
    struct ringer_snapshot *snapshot; /* ringer_snapshot_configure()'s; NULL: a new machine */
};

RINGER_API extern const struct ringer_config RINGER_CONFIG_DEFAULT;

/* ------------------------------------------------------------------ life of a machine */

/* Creates the machine and its vCPU processes, stopped.  On failure *machine is NULL and, if error
 * is not NULL, the reason is written there. */
RINGER_API int ringer_create(const struct ringer_config *config, struct ringer **machine,
                             char *error, size_t error_size);

/* Puts a kernel into memory and sets the vCPUs to its entry.  Paths may be NULL: without a kernel
 * the built-in guest is loaded.  -EINVAL with a line naming the file where something is wrong with
 * it; nothing has been started then. */
RINGER_API int ringer_load(struct ringer *machine, enum ringer_protocol protocol,
                           const char *kernel_path, const char *initrd_path,
                           const char *command_line);

enum ringer_exit_reason {
    RINGER_EXIT_POWER_OFF,    /* the guest powered itself off */
    RINGER_EXIT_RESET,        /* the guest reset itself (keyboard controller, ACPI, port 0xcf9) */
    RINGER_EXIT_DEBUG,        /* isa-debug-exit: code is what the guest wrote */
    RINGER_EXIT_TRIPLE_FAULT, /* a fault that could not be delivered */
    RINGER_EXIT_STOPPED,      /* ringer_stop() */
    RINGER_EXIT_COUNT,        /* ringer_run_until(): that instruction has been reached */
    RINGER_EXIT_REPLAYED,     /* the end of a recording, which the guest itself has not ended */
    RINGER_EXIT_DIVERGED,     /* a replay went another way; ringer_error() has where */
    RINGER_EXIT_UNSUPPORTED,  /* the engine cannot run this guest; ringer_error() has the reason */
    RINGER_EXIT_FAILURE,      /* Ringer itself failed; ringer_error() has the reason */
};

struct ringer_exit {
    enum ringer_exit_reason reason;
    unsigned cpu;  /* where it happened, if on a vCPU */
    uint32_t code; /* RINGER_EXIT_DEBUG */
};

/* Runs until the machine ends or is stopped.  After RINGER_EXIT_STOPPED it may be run again. */
RINGER_API int ringer_run(struct ringer *machine, struct ringer_exit *exit);

/* The same, but stops with RINGER_EXIT_COUNT as soon as the CPU has executed `instructions` since
 * power-on: before the next instruction, with every interrupt and fault that is due there
 * delivered. A CPU that is halted there stops once something has woken it.  For machines with one
 * CPU. */
RINGER_API int ringer_run_until(struct ringer *machine, uint64_t instructions,
                                struct ringer_exit *exit);

/* Makes ringer_run() return RINGER_EXIT_STOPPED soon.  Any thread; async-signal-safe. */
RINGER_API void ringer_stop(struct ringer *machine);

/* From a callback: hold the guest between two instructions, and let it go again.  ringer_run() goes
 * on serving callbacks meanwhile. */
RINGER_API int ringer_pause(struct ringer *machine);
RINGER_API int ringer_resume(struct ringer *machine);
RINGER_API bool ringer_is_paused(const struct ringer *machine);

/* Ends the vCPU processes and frees everything.  NULL is harmless. */
RINGER_API void ringer_destroy(struct ringer *machine);

/* The last failure's reason; valid until the next call. */
RINGER_API const char *ringer_error(const struct ringer *machine);

RINGER_API const char *ringer_version(void);

/* ------------------------------------------------------------------ console and event loop */

/* Gives the guest bytes on a serial port.  Returns how many were taken; for the rest, wait for the
 * ready callback.  On virtual time bytes are only taken inside such a callback or one of a watched
 * descriptor; and a replay takes all, and drops them. */
RINGER_API size_t ringer_serial_input(struct ringer *machine, unsigned port, const void *bytes,
                                      size_t size);
RINGER_API void ringer_serial_on_ready(struct ringer *machine, unsigned port,
                                       void (*ready)(void *context), void *context);

/* The port's write() can take more than it did. */
RINGER_API void ringer_serial_writable(struct ringer *machine, unsigned port);

/* The terminal on which RINGER_PORT_HVC0 is shown has this size.  -ENODEV: there is no such device.
 */
RINGER_API int ringer_console_resize(struct ringer *machine, unsigned columns, unsigned rows);

/* Where a back end can be found: the name of a pty, the path of a socket; NULL if nowhere. */
RINGER_API const char *ringer_serial_path(const struct ringer *machine, unsigned port);

/* Calls readable(context) from ringer_run() when fd can be read or has ended.  NULL stops it. */
RINGER_API int ringer_watch_fd(struct ringer *machine, int fd, void (*readable)(void *context),
                               void *context);

/* ------------------------------------------------------------------ network */

/* Calls each(context, line) for what there is to say of the network cards: their back ends, and the
 * connections that these know of. */
RINGER_API void ringer_network_info(struct ringer *machine,
                                    void (*each)(void *context, const char *line), void *context);

/* ------------------------------------------------------------------ memory balloon */

struct ringer_balloon {
    uint64_t target_bytes;   /* of memory, that the guest is to keep to */
    uint64_t actual_bytes;   /* that it has, by its own account */
    uint64_t resident_bytes; /* that it takes of the host */
    bool answered;           /* the following is there, as the guest said it last */
    uint64_t guest_total_bytes, guest_free_bytes, guest_available_bytes, guest_cache_bytes;
    uint64_t guest_major_faults;
};

/* Of a machine with a RINGER_DEVICE_BALLOON; -ENODEV for others. */
RINGER_API int ringer_balloon_get(struct ringer *machine, struct ringer_balloon *balloon);

/* Asks the guest to keep to so many bytes of memory.  It does so as it can, and takes memory back
 * when it would have none otherwise. */
RINGER_API int ringer_balloon_set(struct ringer *machine, uint64_t bytes);

/* Asks the guest how it uses its memory.  answered(context), which may be NULL, is called from
 * ringer_run() if it says so. */
RINGER_API int ringer_balloon_ask(struct ringer *machine, void (*answered)(void *context),
                                  void *context);

/* ------------------------------------------------------------------ keyboard */

/* The machine's PS/2 keyboard has the US layout.  What the guest has not read yet waits.
 *
 * A key goes down or up.  It is named by its scan code of set 1, with 0xe000 for those that come
 * with an E0: 0x1e is A, 0xe048 the arrow up; Pause is 0xe11d.  -EINVAL: there is no such key.
 * -EAGAIN: too much waits. */
RINGER_API int ringer_keyboard_key(struct ringer *machine, unsigned key, bool down);

/* Strikes keys together, given by their names: "f1", "ctrl-c", "ctrl-alt-delete".  Errors as above.
 */
RINGER_API int ringer_keyboard_press(struct ringer *machine, const char *keys);

/* Types text: printable ASCII, and control characters as a terminal's keys give them.  Returns how
 * many characters were taken: it stops at one that no key types, and where too much waits. */
RINGER_API size_t ringer_keyboard_type(struct ringer *machine, const char *text, size_t size);

/* ------------------------------------------------------------------ screen */

#define RINGER_SCREEN_CELLS 16384

/* What the machine's VGA shows. */
struct ringer_screen {
    unsigned columns, rows; /* 80 by 25, mostly; 0 while it is dark or shows graphics */
    bool cursor_shown;
    unsigned cursor_column, cursor_row;
    bool blinks; /* bit 15 of a cell makes it blink; else its background is bright */
    /* Row by row: bits 0-7 a character of code page 437, 8-11 its colour, 12-14 the background's,
     * both as in CGA: 1 blue, 2 green, 4 red, 8 bright. */
    uint16_t cells[RINGER_SCREEN_CELLS];
};

/* What it shows now.  Nothing tells of a change: a guest writes to its screen as to any memory. */
RINGER_API void ringer_screen_read(struct ringer *machine, struct ringer_screen *screen);

/* ------------------------------------------------------------------ registers and memory */

struct ringer_segment {
    uint64_t base;
    uint32_t limit;
    uint16_t selector;
    uint16_t attributes; /* bits 0-7: type, S, DPL, P; bits 12-15: AVL, L, D/B, G */
};

struct ringer_table {
    uint64_t base;
    uint16_t limit;
};

enum {
    RINGER_RAX,
    RINGER_RCX,
    RINGER_RDX,
    RINGER_RBX,
    RINGER_RSP,
    RINGER_RBP,
    RINGER_RSI,
    RINGER_RDI,
    RINGER_R8,
    RINGER_R15 = 15
};
enum {
    RINGER_ES,
    RINGER_CS,
    RINGER_SS,
    RINGER_DS,
    RINGER_FS,
    RINGER_GS,
    RINGER_LDTR,
    RINGER_TR,
    RINGER_SEGMENTS
};

struct ringer_registers {
    uint64_t gpr[16]; /* RINGER_RAX ... */
    uint64_t rip, rflags;
    struct ringer_segment segment[RINGER_SEGMENTS];
    struct ringer_table gdtr, idtr;
    uint64_t cr0, cr2, cr3, cr4, cr8, efer, xcr0;
    uint64_t kernel_gs_base; /* what SWAPGS brings in */
    uint64_t dr[8];
    uint64_t instructions; /* executed so far by this vCPU; not settable */
    bool halted;           /* not settable */
};

/* The guest must be stopped or paused. */
RINGER_API int ringer_get_registers(struct ringer *machine, unsigned cpu,
                                    struct ringer_registers *registers);
RINGER_API int ringer_set_registers(struct ringer *machine, unsigned cpu,
                                    const struct ringer_registers *registers);

struct ringer_fpu { /* x87, SSE and AVX */
    uint16_t control, status;
    uint16_t tag; /* two bits for each physical register, 3: empty */
    uint16_t opcode, instruction_selector, data_selector;
    uint64_t instruction_pointer, data_pointer;
    uint8_t st[8][10]; /* ST(0) first */
    uint32_t mxcsr;
    uint8_t ymm[16][32]; /* their lower halves are XMM */
};

/* The same for these.  Bits that cannot be set stay clear. */
RINGER_API int ringer_get_fpu(struct ringer *machine, unsigned cpu, struct ringer_fpu *fpu);
RINGER_API int ringer_set_fpu(struct ringer *machine, unsigned cpu, const struct ringer_fpu *fpu);

/* Guest-physical memory.  -EFAULT, and nothing copied, unless all of it is RAM. */
RINGER_API int ringer_read_memory(struct ringer *machine, uint64_t gpa, void *buffer, size_t size);
RINGER_API int ringer_write_memory(struct ringer *machine, uint64_t gpa, const void *buffer,
                                   size_t size);

/* Through the page tables of a vCPU, without touching accessed and dirty bits.  -EFAULT where a
 * page is not mapped to RAM. */
RINGER_API int ringer_read_virtual(struct ringer *machine, unsigned cpu, uint64_t gva, void *buffer,
                                   size_t size);

/* The same for writing, also where the page is read-only.  Nothing is written on failure. */
RINGER_API int ringer_write_virtual(struct ringer *machine, unsigned cpu, uint64_t gva,
                                    const void *buffer, size_t size);

/* ------------------------------------------------------------------ debugging */

/* What a breakpoint waits for.  EXECUTE stops before the instruction at an address, the others
 * after an access that meets a range.  Addresses are linear.  The guest's memory and its own debug
 * registers stay as they are: it does not see any of this. */
enum ringer_break {
    RINGER_BREAK_EXECUTE,
    RINGER_BREAK_WRITE,
    RINGER_BREAK_READ,
    RINGER_BREAK_ACCESS,
};

struct ringer_stop {
    enum {
        RINGER_STOP_STEP,  /* of ringer_go() */
        RINGER_STOP_BREAK, /* kind says of which, address where */
    } reason;
    unsigned cpu;
    enum ringer_break kind;
    uint64_t address;      /* of the instruction, or in a watched range */
    uint64_t instructions; /* executed before the one that was to be executed, or made the access */
};

/* Calls stopped(context, ...) from ringer_run() when a CPU has come to a stop.  The machine is
 * paused then; ringer_go() or ringer_resume() lets it go on, from this callback or from another. */
RINGER_API void ringer_on_stop(struct ringer *machine,
                               void (*stopped)(void *context, const struct ringer_stop *stop),
                               void *context);

/* Set and clear breakpoints, for all CPUs.  The guest must be stopped or paused.  size is that of
 * the range to watch.  -EEXIST, -ENOENT, or -ENOSPC after thousands of them (of ranges: hundreds).
 * While there is one every instruction is interpreted, whatever the engine. */
RINGER_API int ringer_set_breakpoint(struct ringer *machine, enum ringer_break kind, uint64_t gva,
                                     uint64_t size);
RINGER_API int ringer_clear_breakpoint(struct ringer *machine, enum ringer_break kind, uint64_t gva,
                                       uint64_t size);

enum ringer_move {
    RINGER_RUN,
    RINGER_STAY, /* held, while others run */
    RINGER_STEP, /* stop after one instruction, or at the first one of a handler */
};

struct ringer_order {
    enum ringer_move move;
    uint64_t step_start, step_end; /* go on stepping while in [step_start, step_end) */
};

/* Lets a paused guest go, each of its CPUs (there must be `count`) by an order of its own.  While a
 * CPU steps interrupts are held off from it, except in virtual time; a repeated string instruction
 * is one step.  A breakpoint that has been told is not told again before an instruction has been
 * executed, unless registers have been set. */
RINGER_API int ringer_go(struct ringer *machine, const struct ringer_order *orders, unsigned count);

/* ------------------------------------------------------------------ going back */

/* A machine on virtual time (icount) as it was at some instruction, in the memory of this process.
 */
struct ringer_checkpoint;

/* Takes a checkpoint, or goes back to one of the same machine, also from its end.  Not while
 * ringer_run() runs or a run is recorded.  What the guest sends once more to a serial port is not
 * told once more.  Checkpoints share memory that is equal: `like` is one that was taken shortly
 * before, or NULL.  -ENOTSUP where the machine has a device that cannot be taken back. */
RINGER_API int ringer_checkpoint_take(struct ringer *machine, const struct ringer_checkpoint *like,
                                      struct ringer_checkpoint **checkpoint);
RINGER_API int ringer_checkpoint_restore(struct ringer *machine,
                                         const struct ringer_checkpoint *checkpoint);

/* How many instructions had been executed then. */
RINGER_API uint64_t ringer_checkpoint_instructions(const struct ringer_checkpoint *checkpoint);

/* NULL is harmless. */
RINGER_API void ringer_checkpoint_destroy(struct ringer_checkpoint *checkpoint);

/* ------------------------------------------------------------------ snapshots */

struct ringer_snapshot_order {
    bool replace; /* a snapshot that is there already, else -EEXIST */
    /* While it is written, now and then; NULL: nobody wants to know. */
    void (*progress)(void *context, uint64_t done_bytes, uint64_t all_bytes);
    /* It is there, or (error is a negative errno) it is not, and line says why. */
    void (*done)(void *context, int error, const char *line);
    void *context;
};

/* Keeps the machine, as it is between two instructions, in a new directory, whole or not at all.
 * Disks are flushed, not copied.  While ringer_run() runs that is done soon, with the guest held,
 * which then goes on; else at once.  done() is called once, unless this fails. */
RINGER_API int ringer_snapshot_take(struct ringer *machine, const char *directory,
                                    const struct ringer_snapshot_order *order);

/* Opens and checks one.  On failure *snapshot is NULL and the reason is in error. */
RINGER_API int ringer_snapshot_open(const char *directory, struct ringer_snapshot **snapshot,
                                    char *error, size_t error_size);

/* Reads all of it, and checks that it is whole: opening checks all but the memory.  0 or -errno,
 * with the reason in error. */
RINGER_API int ringer_snapshot_check(const struct ringer_snapshot *snapshot, char *error,
                                     size_t error_size);

/* Makes config that of the machine that was kept: memory, CPUs, devices and what else cannot be
 * another.  Engine, serial ports and callbacks stay as they are, and disks may be given other
 * sources.  ringer_create() then makes a machine that goes on where that one was; nothing is loaded
 * into it.  The snapshot stays open as long as the config is used; several machines can be made of
 * it. */
RINGER_API void ringer_snapshot_configure(struct ringer_snapshot *snapshot,
                                          struct ringer_config *config);

struct ringer_boot { /* arguments of ringer_load(); for the machine that follows a reset */
    enum ringer_protocol protocol;
    const char *kernel, *initrd, *command_line;
};

RINGER_API void ringer_snapshot_boot(const struct ringer_snapshot *snapshot,
                                     struct ringer_boot *boot);

/* NULL is harmless. */
RINGER_API void ringer_snapshot_close(struct ringer_snapshot *snapshot);

/* ------------------------------------------------------------------ looking inside */

/* Disassembles the instruction at gva in the vCPU's current mode, as text.  Returns its length in
 * bytes, or -EFAULT (not mapped), -EILSEQ (undefined: text says so). */
RINGER_API int ringer_disassemble(struct ringer *machine, unsigned cpu, uint64_t gva, char *text,
                                  size_t text_size);

/* Calls each(context, ...) for each run of equally mapped pages of a vCPU, in address order. */
RINGER_API int ringer_walk_mappings(struct ringer *machine, unsigned cpu,
                                    void (*each)(void *context, uint64_t gva, uint64_t size,
                                                 uint64_t gpa, bool writable, bool user,
                                                 bool executable),
                                    void *context);

struct ringer_exit_count { /* how often, why */
    const char *name;
    uint64_t count;
};

struct ringer_stats {
    uint64_t instructions;
    double seconds; /* since ringer_run() was first called */
    uint64_t tlb_misses;
    uint64_t interrupts;                /* external, delivered */
    uint64_t faults[32];                /* by vector */
    struct ringer_exit_count exits[24]; /* ends with name == NULL */
    uint64_t resident_bytes;            /* Ringer's own, all processes, without the guest's RAM */
};

RINGER_API int ringer_get_stats(struct ringer *machine, struct ringer_stats *stats);

/* ------------------------------------------------------------------ lockstep */

struct ringer_lockstep_figures {
    uint64_t instructions;    /* of the first machine */
    uint64_t events;          /* at which registers were compared */
    unsigned memory_compared; /* how often all of RAM was */
};

/* The same guest on two machines that differ in their engines only, compared. */
struct ringer_lockstep {
    const char *names[2]; /* of the engines, for what is said */
    /* A new machine, the first (0) or second (1), loaded and not run, with lockstep_interval set.
     * Called again where a difference has to be narrowed down.  NULL: the caller knows why. */
    struct ringer *(*make)(void *context, unsigned which);
    /* Destroys it again; NULL: ringer_destroy() does. */
    void (*destroy)(void *context, unsigned which, struct ringer *machine);
    /* A line of what was found. */
    void (*say)(void *context, const char *line);
    /* Called now and then; false ends it.  May be NULL. */
    bool (*progress)(void *context, const struct ringer_lockstep_figures *figures);
    void *context;
};

enum ringer_lockstep_result {
    RINGER_LOCKSTEP_EQUAL,     /* to the guest's end: registers and RAM */
    RINGER_LOCKSTEP_DIFFERENT, /* it was said where */
    RINGER_LOCKSTEP_STOPPED,   /* by progress() */
    RINGER_LOCKSTEP_FAILED,
};

/* Runs the guest to its end on both, and says the first instruction after which they differ. */
RINGER_API enum ringer_lockstep_result ringer_lockstep(const struct ringer_lockstep *lockstep,
                                                       struct ringer_lockstep_figures *figures);

#ifdef __cplusplus
}
#endif

#endif
