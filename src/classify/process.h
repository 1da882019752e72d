/* process.h - all experiments on all rows, in processes of their own. */
#ifndef CLASSIFY_PROCESS_H
#define CLASSIFY_PROCESS_H

#include <ringer/classify.h>

#include "classify/experiment.h"

enum { NATIVE_AS_IS, NATIVE_GUARDED, NATIVE_PASSES };

struct umip_probe {
    enum ringer_umip_answer answer;
    u64 value;
    u32 cost_ns;
};

#define UMIP_PROBES 5
extern const char *const umip_names[UMIP_PROBES];

/* What the processes leave, in memory that they share. */
struct experiments {
    struct {
        struct finding finding;
        struct native_finding native[NATIVE_PASSES];
    } row[INSN_ROWS][CODE_KINDS];
    struct umip_probe umip[UMIP_PROBES][CODE_KINDS];
    bool can_run_natively, guard_tsc, guard_cpuid;
    /* Where the process of the native experiments is, so that another can go on after its death. */
    u32 native_pass, native_row, native_kind;
    bool umip_done;
};

/* 0 and *experiments, which experiments_free() frees, or -errno with a line in error. */
int experiments_run(struct experiments **experiments, char *error, size_t error_size);
void experiments_free(struct experiments *experiments);

/* In the process of the native experiments. */
void umip_probe_all(struct native *native, struct experiments *experiments);

#endif
