/* trace.c - the board's end of --trace: from the vCPUs' rings in the arena to the trace file. */
#include "vm/trace.h"

#include <string.h>

#include "host/futex.h"
#include "vm/machine.h"

static const struct {
    const char *word;
    enum trace_kind kind;
} words[] = {
    {"exits", TRACE_EXITS},
    {"exceptions", TRACE_EXCEPTIONS},
    {"interrupts", TRACE_INTERRUPTS},
    {"io", TRACE_IO},
};

static bool parse_word(const char *word, size_t length, u32 *kinds)
{
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (strlen(words[i].word) == length && memcmp(words[i].word, word, length) == 0) {
            *kinds |= words[i].kind;
            return true;
        }
    }
    return false;
}

bool trace_parse(const char *list, u32 *kinds)
{
    *kinds = 0;
    while (list && *list) {
        size_t length = strcspn(list, ",");
        if (!parse_word(list, length, kinds)) {
            return false;
        }
        list += length + (list[length] == ',');
    }
    return true;
}

bool trace_is_pending(const struct ringer *m, unsigned vcpu)
{
    const struct trace_ring *t = &m->vm->traces[vcpu];

    return atomic_load(&t->head) != atomic_load(&t->tail);
}

static void drain(struct ringer *m, struct trace_ring *t)
{
    FILE *file = m->config.trace_file ? m->config.trace_file : stderr;
    u32 tail = atomic_load(&t->tail), size = atomic_load(&t->head) - tail;

    if (size > TRACE_BYTES) { /* not what our vCPU process writes */
        size = TRACE_BYTES;
    }
    while (size > 0) {
        u32 offset = tail % TRACE_BYTES;
        u32 piece = size < TRACE_BYTES - offset ? size : TRACE_BYTES - offset;
        fwrite(t->text + offset, 1, piece, file);
        tail += piece;
        size -= piece;
    }
    fflush(file);
    atomic_store(&t->tail, tail);
    if (atomic_exchange(&t->space_wanted, 0)) {
        host_futex_wake(&t->tail);
    }
}

void trace_drain(struct ringer *m)
{
    for (unsigned i = 0; m->vm->trace_kinds && i < m->vm->cpu_count; i++) {
        if (trace_is_pending(m, i)) {
            drain(m, &m->vm->traces[i]);
        }
    }
}
