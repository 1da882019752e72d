/* classify.c - the command `ringer classify`. */
#include "app/classify.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "app/run.h"
#include "base/types.h"

struct request {
    bool json, help;
    const char *html;
    char **names;
    int name_count;
};

static void print_help(void)
{
    printf("Usage: ringer classify [OPTIONS] [INSTRUCTION...]\n"
           "Works out Popek and Goldberg's classes of x86's instructions by experiment: in\n"
           "Ringer's interpreter from pairs of states that differ in one privileged piece, and\n"
           "on this host's CPU at CPL 3.  Says which of their theorems hold, and what spoils\n"
           "them.  With the names of INSTRUCTIONs: all that was seen of these.\n\n"
           "      --json        write everything as JSON\n"
           "      --html FILE   write a page that can be shown to a class, complete in itself\n"
           "  -h, --help        print this\n\n"
           "docs/classify.md leads through it.\n");
}

/* False: a line has been written. */
static bool parse(struct request *request, int argc, char **argv)
{
    *request = (struct request){.names = argv};
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (!strcmp(arg, "--json")) {
            request->json = true;
        } else if (!strcmp(arg, "--html") || !strncmp(arg, "--html=", 7)) {
            request->html = arg[6] ? arg + 7 : i + 1 < argc ? argv[++i] : "";
            if (!*request->html) {
                fprintf(stderr, "ringer: --html wants a file\n");
                return false;
            }
        } else if (!strcmp(arg, "-h") || !strcmp(arg, "--help")) {
            request->help = true;
        } else if (*arg == '-') {
            fprintf(stderr, "ringer: classify has no option %s; try: ringer classify --help\n",
                    arg);
            return false;
        } else {
            request->names[request->name_count++] = argv[i];
        }
    }
    if (request->name_count && (request->json || request->html)) {
        fprintf(stderr, "ringer: --json and --html tell all instructions, not single ones\n");
        return false;
    }
    return true;
}

/* Closes file. */
static int write_html(const struct ringer_classification *c, FILE *file, const char *path)
{
    classify_html(file, c);
    bool failed = fflush(file) || ferror(file);
    int error = errno;

    fclose(file);
    if (failed) {
        fprintf(stderr, "ringer: cannot write %s: %s\n", path, strerror(error));
        return STATUS_FAILURE;
    }
    return STATUS_OK;
}

static int explain(const struct ringer_classification *c, const struct request *request)
{
    for (int i = 0; i < request->name_count; i++) {
        bool found = false;
        for (unsigned k = 0; k < c->instruction_count; k++) {
            if (!strcasecmp(c->instructions[k].name, request->names[i])) {
                classify_explain(stdout, &c->instructions[k]);
                found = true;
            }
        }
        if (!found) {
            fprintf(stderr, "ringer: there is no instruction %s\n", request->names[i]);
            return STATUS_USER;
        }
    }
    return STATUS_OK;
}

static int report(const struct ringer_classification *c, const struct request *request, FILE *page)
{
    int status = page ? write_html(c, page, request->html) : STATUS_OK;

    if (request->json) {
        classify_json(stdout, c);
    } else if (request->name_count) {
        status = explain(c, request);
    } else if (!page) {
        classify_text(stdout, c);
    }
    return status;
}

int classify_main(int argc, char **argv)
{
    struct ringer_classification *c;
    struct request request;
    char error[200];
    FILE *page = NULL;

    if (!parse(&request, argc, argv)) {
        return STATUS_USER;
    }
    if (request.help) {
        print_help();
        return STATUS_OK;
    }
    if (request.html && !(page = fopen(request.html, "w"))) {
        fprintf(stderr, "ringer: cannot write %s: %s\n", request.html, strerror(errno));
        return STATUS_USER;
    }
    if (ringer_classify(&c, error, sizeof(error))) {
        fprintf(stderr, "ringer: %s\n", error);
        if (page) {
            fclose(page);
        }
        return STATUS_FAILURE;
    }
    int status = report(c, &request, page);
    ringer_classification_free(c);
    return status;
}
