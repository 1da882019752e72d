/* area.c - the contents of the area, and what a case makes of them. */
#include "area.h"

#include <string.h>

#include "case.h"
#include "random.h"

void area_contents(u8 *contents)
{
    struct random r = random_from(0);

    for (unsigned i = 0; i < AREA_SIZE; i += 8) {
        u64 value = random_value(&r);
        memcpy(contents + i, &value, 8);
    }
    for (unsigned i = 0; i + 1 < AREA_SIZE; i++) {
        if (is_cpu_segment(contents[i] | contents[i + 1] << 8)) {
            contents[i] = 0;
        }
    }
    memset(contents + (CODE - AREA), INT3, CODE_SIZE);
}

/* Bytes from a case's first, with what may be executed after a single instruction. */
#define CODE_FOLLOWS 64

static bool is_writable(unsigned page)
{
    return area_pages[page] == PAGE_CODE || area_pages[page] == PAGE_DATA;
}

bool area_has(u64 address, unsigned size)
{
    u64 first = address - AREA, last = first + size - 1;

    return first < AREA_SIZE && last < AREA_SIZE && is_writable((unsigned)(first / PAGE_SIZE)) &&
           is_writable((unsigned)(last / PAGE_SIZE));
}

static void write_live(const struct area *area, unsigned offset, const void *bytes, unsigned size)
{
    memcpy(area->live + offset, bytes, size);
    if (area->code_changed && area_pages[offset / PAGE_SIZE] == PAGE_CODE) {
        area->code_changed(area->context, offset, size);
    }
}

/* How many of the case's bytes fit into the code pages. */
static unsigned code_fitting(const struct diff_case *c)
{
    u64 room = CODE + CODE_SIZE - case_start(c);

    return c->code_size < room ? c->code_size : (unsigned)room;
}

void area_apply(const struct area *area, const struct diff_case *c)
{
    unsigned start = (unsigned)(case_start(c) - AREA), size = code_fitting(c);

    for (unsigned i = 0; i < c->pokes; i++) {
        unsigned offset = (unsigned)(c->poke[i].address - AREA);
        write_live(area, offset, &c->poke[i].value, c->poke[i].size);
        memcpy(area->expected + offset, &c->poke[i].value, c->poke[i].size);
    }
    write_live(area, start, c->code, size);
    memcpy(area->expected + start, c->code, size);
}

static void note_change(struct outcome *o, unsigned offset, const u8 *word)
{
    struct change change = {.offset = (u16)offset};

    memcpy(&change.value, word, 8);
    if (o->changes < CASE_CHANGES) {
        o->change[o->changes] = change;
    } else {
        o->rest = (o->rest ^ change.value ^ offset) * 0x9e3779b97f4a7c15ull;
    }
    o->changes++;
}

/* By words: the memcmp() here is that of base/string.c, which is for small things. */
static bool same_page(const u8 *a, const u8 *b)
{
    const u64_alias *p = (const u64_alias *)a, *q = (const u64_alias *)b;
    u64 difference = 0;

    for (unsigned i = 0; i < PAGE_SIZE / 8; i++) {
        difference |= p[i] ^ q[i];
    }
    return !difference;
}

static void collect_page(const struct area *area, unsigned page, struct outcome *o)
{
    for (unsigned at = page * PAGE_SIZE; at < (page + 1) * PAGE_SIZE; at += 8) {
        if (memcmp(area->live + at, area->expected + at, 8) != 0) {
            note_change(o, at, area->live + at);
            write_live(area, at, area->contents + at, 8);
        }
    }
}

void area_collect(const struct area *area, const struct diff_case *c, struct outcome *o)
{
    unsigned start = (unsigned)(case_start(c) - AREA), size = code_fitting(c);
    unsigned room = CODE + CODE_SIZE - AREA - start;
    unsigned follows = room < CODE_FOLLOWS ? room : CODE_FOLLOWS;

    o->changes = 0;
    o->rest = 0;
    o->code_changed = memcmp(area->live + start, area->expected + start, follows) != 0;
    for (unsigned page = 0; page < AREA_PAGES; page++) {
        unsigned at = page * PAGE_SIZE;
        if (is_writable(page) && !same_page(area->live + at, area->expected + at)) {
            collect_page(area, page, o);
        }
    }
    for (unsigned i = 0; i < c->pokes; i++) {
        unsigned offset = (unsigned)(c->poke[i].address - AREA);
        write_live(area, offset, area->contents + offset, c->poke[i].size);
        memcpy(area->expected + offset, area->contents + offset, c->poke[i].size);
    }
    write_live(area, start, area->contents + start, size);
    memcpy(area->expected + start, area->contents + start, size);
}
