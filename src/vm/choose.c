/*
 * choose.c - which engine a machine gets: choose.h.
 *
 * An engine that runs guest code on the host's CPU needs its protection keys, to hide Ringer's own
 * memory from the guest.  Where the host has none a user may do without (config.unprotected);
 * `auto` is the interpreter, until no LIMIT of docs/resource-control.md lets a guest around them.
 */
#include "vm/choose.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "exec/engine.h"
#include "host/features.h"

/* What keeps direct engines from this host, or NULL. */
static const char *missing(const struct host_features *f, bool unprotected)
{
    if (!f->fsgsbase) {
        return "the instructions of FSGSBASE";
    }
    if (!f->syscall_dispatch) {
        return "syscall user dispatch (Linux 5.11)";
    }
    if (!f->protection_keys && !unprotected) {
        return "protection keys";
    }
    return NULL;
}

static void list_engines(char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "auto");

    for (unsigned i = 0; i < engine_count && used < size; i++) {
        if (engines[i].is_hidden) {
            continue;
        }
        used += (size_t)snprintf(text + used, size - used, ", %s", engines[i].name);
    }
}

int choose_check(struct ringer *m)
{
    const struct ringer_config *c = &m->config;
    const struct engine *engine = c->engine ? engine_find(c->engine) : NULL;
    struct host_features features = host_features();
    const char *what;
    char names[128];

    if (!engine) {
        list_engines(names, sizeof(names));
        return machine_fail(m, -EINVAL, "engine: there is no '%s', only %s",
                            c->engine ? c->engine : "", names);
    }
    what = engine->is_direct ? missing(&features, c->unprotected) : NULL;
    if (!what) {
        return 0;
    }
    return machine_fail(m, -ENOTSUP,
                        "engine: '%s' needs %s, which this host does not offer; use -e interp%s",
                        engine->name, what,
                        features.fsgsbase && features.syscall_dispatch
                            ? ", or --unprotected if you trust the guest's programs"
                            : "");
}

void choose_engine(struct ringer *m)
{
    const struct engine *engine = engine_find(m->config.engine);
    struct host_features features = host_features();
    u32 direct = 0;

    if (engine->is_direct) {
        direct = VM_DIRECT | (features.protection_keys ? VM_DIRECT_KEYS : 0) |
                 (features.protection_keys && features.hidden_signals ? VM_DIRECT_HIDE_SIGNALS : 0);
    }
    m->shared->direct = direct;
    snprintf(m->shared->engine, sizeof(m->shared->engine), "%s", engine->name);
}
