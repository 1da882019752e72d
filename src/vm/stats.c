/* stats.c - what a machine has counted, and the memory that Ringer itself takes. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "exec/direct/direct.h"
#include "host/tsc.h"
#include "vm/machine.h"

#define NS_PER_SECOND 1e9

/* Proportional resident size of a process, without its mappings of RAM: /proc/PID/smaps, which says
 * what a mapping is and then how much of it.  0 if it cannot be read. */
static u64 resident_bytes(pid_t pid)
{
    unsigned long start, end, kilobytes;
    char path[64], line[512];
    bool is_ram = false;
    u64 sum = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
    file = fopen(path, "re");
    if (!file) {
        return 0;
    }
    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
            is_ram = strstr(line, "ringer-ram") != NULL;
        } else if (!is_ram && sscanf(line, "Pss: %lu kB", &kilobytes) == 1) {
            sum += kilobytes * 1024;
        }
    }
    fclose(file);
    return sum;
}

struct sums {
    u64 pio_reads, pio_writes, mmio_reads, mmio_writes, halts;
    u64 runs, page_faults, syscalls, single, fills, refusals, drops, flushes, kept, recalled;
};

static void add_direct(struct sums *sums, const struct direct *d)
{
    sums->runs += d->stats.entries;
    sums->page_faults += d->stats.page_faults;
    sums->syscalls += d->stats.syscalls;
    sums->single += d->stats.instructions;
    sums->fills += d->mirror.stats.fills;
    sums->refusals += d->mirror.stats.refusals;
    sums->drops += d->mirror.stats.drops;
    sums->flushes += d->mirror.stats.flushes;
    sums->kept += d->mirror.stats.kept;
    sums->recalled += d->mirror.stats.recalled;
}

static void add_cpu(struct ringer_stats *stats, struct sums *sums, const struct cpu *cpu)
{
    const struct cpu_stats *s = &cpu->stats;

    stats->instructions += s->instructions;
    stats->interrupts += s->interrupts;
    stats->tlb_misses += cpu->mmu.tlb_misses;
    for (unsigned i = 0; i < ARRAY_SIZE(stats->faults); i++) {
        stats->faults[i] += s->faults[i];
    }
    sums->pio_reads += s->pio_reads;
    sums->pio_writes += s->pio_writes;
    sums->mmio_reads += s->mmio_reads;
    sums->mmio_writes += s->mmio_writes;
    sums->halts += s->halts;
    if (cpu->direct) {
        add_direct(sums, cpu->direct);
    }
}

int ringer_get_stats(struct ringer *m, struct ringer_stats *stats)
{
    struct sums sums = {0};

    *stats = (struct ringer_stats){.resident_bytes = resident_bytes(getpid())};
    for (unsigned i = 0; i < m->vm->cpu_count; i++) {
        add_cpu(stats, &sums, &m->vm->cpus[i]);
        if (m->vcpus[i].process.pid > 0) {
            stats->resident_bytes += resident_bytes(m->vcpus[i].process.pid);
        }
    }
    if (m->was_run) {
        stats->seconds = (double)(host_monotonic_ns() - m->run_start_ns) / NS_PER_SECOND;
    }
    const struct ringer_exit_count exits[] = {
        {"port reads", sums.pio_reads},
        {"port writes", sums.pio_writes},
        {"mmio reads", sums.mmio_reads},
        {"mmio writes", sums.mmio_writes},
        {"halts", sums.halts},
        {"interrupts", stats->interrupts},
        {"direct runs", sums.runs},
        {"direct page faults", sums.page_faults},
        {"direct syscalls", sums.syscalls},
        {"direct interpreted", sums.single},
        {"mirror fills", sums.fills},
        {"mirror refusals", sums.refusals},
        {"mirror drops", sums.drops},
        {"mirror flushes", sums.flushes},
        {"mirror kept", sums.kept},
        {"mirror recalled", sums.recalled},
    };
    _Static_assert(ARRAY_SIZE(exits) < ARRAY_SIZE(stats->exits), "the last one has no name");
    memcpy(stats->exits, exits, sizeof(exits));
    return 0;
}
