/* assemble.c - two passes: the first finds the labels, the second knows their addresses. */
#include "assemble.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_SIZE = 160 };

struct assembler {
    struct program *program;
    bool second_pass;
    const char *complaint; /* NULL while all is well */
    const char *about;     /* the word of the line that it is about */
};

static void complain(struct assembler *as, const char *complaint, const char *about)
{
    if (!as->complaint) {
        as->complaint = complaint;
        as->about = about;
    }
}

static void emit(struct assembler *as, word value)
{
    struct program *program = as->program;

    if (program->count == PROGRAM_WORDS) {
        complain(as, "the program is too long", "");
        return;
    }
    program->words[program->count++] = value;
}

static void add_label(struct program *program, const char *name)
{
    struct label *label = &program->labels[program->label_count++];

    strcpy(label->name, name);
    label->address = program->count;
}

static void define(struct assembler *as, const char *name)
{
    if (as->second_pass) {
        return;
    }
    if (program_label(as->program, name)) {
        complain(as, "defined twice", name);
    } else if (as->program->label_count == PROGRAM_LABELS - 1) { /* the last one is for `end` */
        complain(as, "too many labels", name);
    } else if (!isalpha((unsigned char)name[0]) || strlen(name) >= LABEL_SIZE ||
               !strcmp(name, "end")) {
        complain(as, "not a good label", name);
    } else {
        add_label(as->program, name);
    }
}

static word number(struct assembler *as, const char *text)
{
    char *rest;

    errno = 0;
    unsigned long value = strtoul(text, &rest, 0);
    if (!isdigit((unsigned char)text[0]) || *rest || errno || value > UINT32_MAX) {
        complain(as, "not a number", text);
    }
    return (word)value;
}

/* NUMBER, LABEL, LABEL+NUMBER or LABEL-NUMBER. */
static word evaluate(struct assembler *as, char *text)
{
    char *sign = strpbrk(text, "+-");
    char operation = sign ? *sign : 0;
    word offset = 0;

    if (isdigit((unsigned char)text[0])) {
        return number(as, text);
    }
    if (!as->second_pass) {
        return 0;
    }
    if (sign) {
        offset = number(as, sign + 1);
        *sign = 0;
    }
    const struct label *label = program_label(as->program, text);
    if (!label) {
        complain(as, "no such label", text);
        return 0;
    }
    return operation == '-' ? label->address - offset : label->address + offset;
}

static void instruction(struct assembler *as, const char *name, char **operands, unsigned count)
{
    enum op op = machine_op(name);
    unsigned wanted = 0;

    if (op == OPS) {
        complain(as, "no such instruction", name);
        return;
    }
    for (unsigned kind = KIND_PLAIN; kind <= KIND_LRA; kind++) {
        const struct instruction *i = machine_instruction(kind, op);
        wanted = i ? i->operands : wanted;
    }
    if (count != wanted) {
        complain(as, "the wrong number of operands", name);
        return;
    }
    emit(as, op);
    emit(as, count > 0 ? evaluate(as, operands[0]) : 0);
    emit(as, count > 1 ? evaluate(as, operands[1]) : 0);
}

static void line(struct assembler *as, char *text)
{
    char *words[LINE_SIZE / 2];
    char **first = words, *save;
    unsigned count = 0;

    text[strcspn(text, ";")] = 0;
    for (char *w = strtok_r(text, " \t", &save); w; w = strtok_r(NULL, " \t", &save)) {
        words[count++] = w;
    }
    if (count > 0 && first[0][strlen(first[0]) - 1] == ':') {
        first[0][strlen(first[0]) - 1] = 0;
        define(as, first[0]);
        first++;
        count--;
    }
    if (count == 0) {
        return;
    }
    if (strcmp(first[0], "word")) {
        instruction(as, first[0], first + 1, count - 1);
        return;
    }
    for (unsigned n = 1; n < count; n++) {
        emit(as, evaluate(as, first[n]));
    }
}

/* Assemble one text; on a complaint, say in which of its lines, and stop. */
static void pass(struct assembler *as, const char *text, char *error, size_t error_size)
{
    for (unsigned n = 1; *text && !as->complaint; n++) {
        char copy[LINE_SIZE];
        size_t length = strcspn(text, "\n");

        snprintf(copy, sizeof copy, "%.*s", (int)length, text);
        if (length >= sizeof copy) {
            complain(as, "the line is too long", "");
        } else {
            line(as, copy);
        }
        if (as->complaint) {
            snprintf(error, error_size, "line %u: %s: %s", n, as->about, as->complaint);
        }
        text += length + (text[length] == '\n');
    }
}

const char *assemble(struct program *program, const char *const *texts, char *error,
                     size_t error_size)
{
    struct assembler as = {.program = program};

    memset(program, 0, sizeof *program);
    for (int n = 0; n < 2 && !as.complaint; n++) {
        as.second_pass = n == 1;
        program->count = 0;
        for (const char *const *text = texts; *text && !as.complaint; text++) {
            pass(&as, *text, error, error_size);
        }
        if (!as.second_pass) {
            add_label(program, "end");
        }
    }
    return as.complaint ? error : NULL;
}

const struct label *program_label(const struct program *program, const char *name)
{
    for (unsigned n = 0; n < program->label_count; n++) {
        if (!strcmp(program->labels[n].name, name)) {
            return &program->labels[n];
        }
    }
    return NULL;
}

word program_address(const struct program *program, const char *name)
{
    const struct label *label = program_label(program, name);

    assert(label);
    return label->address;
}

const struct label *program_place(const struct program *program, word address)
{
    const struct label *best = NULL;

    for (unsigned n = 0; n < program->label_count; n++) {
        const struct label *label = &program->labels[n];
        if (label->address <= address && (!best || label->address >= best->address)) {
            best = label;
        }
    }
    return best;
}
