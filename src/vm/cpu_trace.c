/* cpu_trace.c - a vCPU's lines for --trace, on their way through the arena to the board. */
#include "base/format.h"
#include "base/string.h"
#include "vm/cpu_process.h"

#define LINE_MAX 240

static void put(struct vcpu_process *p, const char *text, u32 size)
{
    struct trace_ring *t = p->trace;
    u32 head = atomic_load_explicit(&t->head, memory_order_relaxed);
    u32 tail, i;

    while (TRACE_BYTES - (head - (tail = atomic_load(&t->tail))) < size) {
        atomic_store(&t->space_wanted, 1);
        ring_kick(&p->ring_host);
        if (TRACE_BYTES - (head - (tail = atomic_load(&t->tail))) < size) {
            vcpu_futex_wait(&t->tail, tail);
        }
    }
    for (i = 0; i < size; i++) {
        t->text[(head + i) % TRACE_BYTES] = text[i];
    }
    atomic_store_explicit(&t->head, head + size, memory_order_release);
    ring_kick(&p->ring_host);
}

void vcpu_trace(struct vcpu_process *p, enum trace_kind kind, const char *line)
{
    char text[LINE_MAX];
    size_t length;

    if (!(p->vm->trace_kinds & kind)) {
        return;
    }
    length = format(text, sizeof(text) - 1, "%u %lu %s", p->index, p->cpu->icount, line);
    if (length > sizeof(text) - 2) {
        length = sizeof(text) - 2;
    }
    text[length++] = '\n';
    put(p, text, (u32)length);
}

static bool starts_with(const char *line, const char *word)
{
    size_t length = strlen(word);

    return strlen(line) >= length && memcmp(line, word, length) == 0;
}

/* cpu->ops.trace: the first word of a line is its kind. */
static void trace_line(void *context, struct cpu *cpu, const char *line)
{
    static const struct {
        const char *word;
        enum trace_kind kind;
    } kinds[] = {
        {"exit", TRACE_EXITS},
        {"exception", TRACE_EXCEPTIONS},
        {"interrupt", TRACE_INTERRUPTS},
        {"io", TRACE_IO},
    };
    unsigned i;

    (void)cpu;
    for (i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (starts_with(line, kinds[i].word)) {
            vcpu_trace(context, kinds[i].kind, line);
            return;
        }
    }
}

void vcpu_trace_init(struct vcpu_process *p)
{
    p->cpu->ops.trace = p->vm->trace_kinds ? trace_line : NULL;
}
