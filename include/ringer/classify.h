/*
 * classify.h - Popek and Goldberg's classes of this machine's instructions, by experiment.
 *
 * ringer_classify() executes examples of every instruction that Ringer knows: in its interpreter,
 * from pairs of states that differ in one privileged piece, and on the host's own CPU at CPL 3, in
 * processes that it forks for that.  From what was seen follow the classes of each instruction, and
 * which of the three theorems of their paper (CACM 17, 1974) hold for which variant of x86.
 * docs/classify.md tells how.
 */
#ifndef RINGER_CLASSIFY_H
#define RINGER_CLASSIFY_H

#include <ringer/ringer.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The classes of an instruction: a set. */
enum ringer_pg_class {
    RINGER_PG_PRIVILEGED = 1 << 0, /* traps at CPL 3 whenever it does not at CPL 0 */
    RINGER_PG_IOPL = 1 << 1,       /* the same as long as CPL > IOPL */
    RINGER_PG_CONTROL = 1 << 2,    /* control-sensitive */
    RINGER_PG_LOCATION = 1 << 3,   /* behaviour-sensitive: by location */
    RINGER_PG_MODE = 1 << 4,       /* behaviour-sensitive: by mode */
};
#define RINGER_PG_SENSITIVE (RINGER_PG_CONTROL | RINGER_PG_LOCATION | RINGER_PG_MODE)

enum ringer_pg_kind { RINGER_PG_32, RINGER_PG_64, RINGER_PG_KINDS };

/* What the host's CPU did with the examples at CPL 3. */
struct ringer_pg_native {
    unsigned runs, completed, trapped;
    unsigned gates;         /* of those completed: it entered the kernel by a gate */
    unsigned emulated;      /* of those completed: it trapped, and the kernel did it instead */
    const char *exceptions; /* of those that trapped: "#GP", "#GP #UD", ... or "" */
    const char *excluded;   /* why it was not tried, or NULL */
};

/* What was found about an instruction in 32-bit or 64-bit code. */
struct ringer_pg_finding {
    bool exists;
    bool measured;          /* it did something in some state: else nothing can be said */
    unsigned classes;       /* RINGER_PG_*, over all states */
    unsigned user_classes;  /* those of RINGER_PG_SENSITIVE that show at CPL 3 alone */
    bool traps[2];          /* at CPL 3, with the guards of a VMM set: CR4.UMIP 0, 1 */
    const char *depends;    /* privileged pieces that its result shows: "GDTR base, ..." or "" */
    const char *changes;    /* privileged pieces that it changes, or "" */
    const char *witness[3]; /* an example for control, location, mode; or NULL */
    unsigned runs;          /* executions in the interpreter */
    struct ringer_pg_native native;         /* on the host as it is */
    struct ringer_pg_native native_guarded; /* with the guards that Linux lets a process set */
};

struct ringer_pg_instruction {
    const char *name;        /* "SGDT", "far CALL", "MOV segment" */
    const char *feature;     /* the CPUID feature it belongs to, or NULL */
    unsigned encodings;      /* rows of x86.def */
    unsigned table_classes;  /* what x86.def says: their union */
    bool listed[2];          /* in the list of [0] Robin and Irvine, [1] Bugnion and others */
    const char *relative_of; /* it is not listed itself, but does what this listed one does */
    struct ringer_pg_finding kind[RINGER_PG_KINDS];
};

#define RINGER_PG_VARIANTS 6

/* A kind of x86 for which the theorems are tried. */
struct ringer_pg_variant {
    const char *name;
    enum ringer_pg_kind kind;
    bool is_host;    /* what traps was seen on the host's CPU */
    bool measured;   /* else nothing can be said */
    bool theorem[3]; /* does it hold?  [0] VMM, [1] recursive, [2] hybrid */
    /* Spoilers of theorems 1 and 3: indexes of instructions; sensitive, or sensitive at CPL 3
     * alone, but not privileged here. */
    unsigned *violators, *user_violators;
    unsigned violator_count, user_violator_count;
    unsigned privileged_count, sensitive_count, user_sensitive_count;
    unsigned innocuous_count; /* neither privileged nor sensitive */
};

/* A published list of x86's sensitive unprivileged instructions, compared with the first
 * variant. */
struct ringer_pg_list {
    const char *title;
    const char *says; /* how its authors count */
    struct {
        const char *name;
        bool found;
    } entry[24];
    unsigned entry_count, found_count;
};

/* What the host does where CR4.UMIP would make an instruction trap. */
enum ringer_umip_answer {
    RINGER_UMIP_UNKNOWN,
    RINGER_UMIP_TRAPS,    /* the process gets SIGSEGV */
    RINGER_UMIP_EMULATED, /* it trapped, and Linux wrote values of its own */
    RINGER_UMIP_EXECUTED, /* the CPU wrote the real values */
};

struct ringer_pg_host {
    char cpu[64], kernel[80];
    bool umip_offered; /* by CPUID */
    struct {
        const char *name;
        enum ringer_umip_answer answer[RINGER_PG_KINDS];
        uint64_t value[RINGER_PG_KINDS]; /* base, or selector, or machine status word */
        unsigned cost_ns;                /* of one, in 64-bit code; 0: not measured */
    } umip[5];
    bool can_run;     /* native experiments were possible */
    bool guard_tsc;   /* prctl(PR_SET_TSC) made RDTSC trap */
    bool guard_cpuid; /* arch_prctl(ARCH_SET_CPUID) made CPUID trap */
};

struct ringer_classification {
    struct ringer_pg_host host;
    struct ringer_pg_instruction *instructions; /* by name */
    unsigned instruction_count, encoding_count;
    struct ringer_pg_variant variant[RINGER_PG_VARIANTS];
    struct ringer_pg_list list[2];
    uint64_t runs, native_runs;
    /* Where x86.def and the experiments differ: a line for each encoding. */
    char **differences;
    unsigned difference_count;
};

/* Runs the experiments, which takes some seconds.  Forks, and waits for its children only.  0 and
 * *result, to be freed by ringer_classification_free(), or -errno and a line in error. */
RINGER_API int ringer_classify(struct ringer_classification **result, char *error,
                               size_t error_size);
RINGER_API void ringer_classification_free(struct ringer_classification *result);

#ifdef __cplusplus
}
#endif

#endif
