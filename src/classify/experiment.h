/*
 * experiment.h - what is found out about a row of x86.def, in one kind of code.
 *
 * A finding lies in memory that the process of an experiment shares with the one that asked for it,
 * and holds no pointers.
 */
#ifndef CLASSIFY_EXPERIMENT_H
#define CLASSIFY_EXPERIMENT_H

#include "classify/sample.h"

struct native;

#define MAX_VARIATIONS 64

/* How the first instruction that showed something did it. */
struct witness {
    u8 bytes[INSN_MAX_LENGTH], length;
    u8 cpl;
    u8 what;             /* a piece, or a variation */
    char difference[20]; /* where E or P differ; empty for a piece */
};

enum witness_of { WITNESS_CONTROL, WITNESS_LOCATION, WITNESS_MODE, WITNESSES };

/* In the laboratory. */
struct finding {
    u32 tries;   /* samples that were made */
    u32 samples; /* of them, those that were completed in some state */
    u32 runs;
    u32 unrepeatable; /* that gave two results from one state */
    /* In the states of each variation, at CPL 0 and 3.  Page faults are counted in neither:
     * Popek and Goldberg's definitions leave memory traps aside. */
    u32 completed[2][MAX_VARIATIONS], trapped[2][MAX_VARIATIONS];
    u64 depends[2]; /* at CPL 0 and 3: a bit for each variation that made a difference */
    u64 changes[2]; /* a bit for each piece that was changed */
    bool depends_on_cpl;
    u32 vectors; /* of traps at CPL 3, a bit each */
    struct witness witness[WITNESSES];
};

/* On the host's CPU, at CPL 3. */
struct native_finding {
    u32 tries, completed, trapped, page_faults;
    u32 gates;    /* of those completed: it went to the kernel by a gate or a system call */
    u32 emulated; /* of those completed: it trapped, and the kernel did it in the CPU's place */
    u32 died;     /* it ended its process */
    u32 vectors;  /* of its traps, a bit each */
};

struct experiment {
    struct finding finding;
    struct native_finding native;
};

/* Experiments on a row in the laboratory: samples are made until `samples` of them were completed,
 * or chance has had enough tries. */
void experiment_run(struct lab *lab, unsigned row, enum code_kind kind, unsigned samples, u64 seed,
                    struct finding *finding);

/* Experiments on a row on the host's CPU.  finding->tries is raised before each. */
void experiment_native(struct native *native, unsigned row, enum code_kind kind, unsigned samples,
                       struct native_finding *finding);

/* Why a row is not tried on the host's CPU, or NULL. */
const char *experiment_native_excludes(unsigned row);

/* Memory at AREA for native runs.  False: it is taken. */
bool experiment_native_area(void);

/* ------------------------------------------------------------------ what follows from a finding */

/* enum insn_class as a set: what is sensitive at any CPL, and what is at CPL 3 alone. */
unsigned finding_classes(const struct finding *finding);
unsigned finding_user_classes(const struct finding *finding);

/* Did it ever do something, at any CPL? */
bool finding_is_measured(const struct finding *finding);

/* Does it trap at CPL 3 in all states of a variation, and not at CPL 0? */
bool finding_traps(const struct finding *finding, unsigned variation);

#endif
