/* snapshot.c - `ringer snapshot`: has a running machine keep itself in a directory, by its control
 * socket (control.h); or checks one that is kept. */
#define _GNU_SOURCE

#include "app/snapshot.h"

#include <errno.h>
#include <ringer/ringer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/run.h"
#include "app/socket.h"

struct request {
    bool replace, check, help;
    const char *names[2]; /* the socket, the directory */
    int count;
};

static void print_help(void)
{
    printf("Usage: ringer snapshot [OPTIONS] SOCKET DIRECTORY\n"
           "       ringer snapshot --check DIRECTORY\n"
           "Keeps a running machine in a new DIRECTORY, from which it goes on with\n"
           "`ringer run --restore DIRECTORY`.  SOCKET is what it was given with --control.\n"
           "The guest is held while its memory is written, and goes on afterwards; its\n"
           "disks are flushed, not copied.  The DIRECTORY is whole, or it is not there.\n\n"
           "      --check    read a snapshot, all of it, and say whether it is whole\n"
           "  -f, --replace  put it in the place of a snapshot of that name\n"
           "  -h, --help     print this\n\n"
           "docs/snapshots.md tells more.\n");
}

/* False: a line has been written. */
static bool parse(struct request *request, int argc, char **argv)
{
    *request = (struct request){.count = 0};
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (!strcmp(arg, "-f") || !strcmp(arg, "--replace")) {
            request->replace = true;
        } else if (!strcmp(arg, "--check")) {
            request->check = true;
        } else if (!strcmp(arg, "-h") || !strcmp(arg, "--help")) {
            request->help = true;
        } else if (*arg == '-') {
            fprintf(stderr, "ringer: snapshot has no option %s; try: ringer snapshot --help\n",
                    arg);
            return false;
        } else if (request->count < 2) {
            request->names[request->count++] = arg;
        } else {
            fprintf(stderr, "ringer: argument '%s' is one too many\n", arg);
            return false;
        }
    }
    if (!request->help && request->count != (request->check ? 1 : 2)) {
        fprintf(stderr, request->check ? "ringer: snapshot --check wants a directory\n"
                                       : "ringer: snapshot wants a machine's control socket and a "
                                         "directory; try: ringer snapshot --help\n");
        return false;
    }
    return true;
}

static int check(const char *directory)
{
    struct ringer_snapshot *snapshot;
    char error[512];
    if (ringer_snapshot_open(directory, &snapshot, error, sizeof(error)) < 0 ||
        ringer_snapshot_check(snapshot, error, sizeof(error)) < 0) {
        fprintf(stderr, "ringer: %s\n", error);
        ringer_snapshot_close(snapshot);
        return STATUS_USER;
    }
    ringer_snapshot_close(snapshot);
    return STATUS_OK;
}

/* The machine may be in another directory. */
static char *make_line(const struct request *request)
{
    const char *directory = request->names[1];
    char *line, *here = *directory == '/' ? strdup("") : get_current_dir_name();
    if (!here || asprintf(&line, "snapshot %s%s%s%s\n", request->replace ? "-f " : "", here,
                          *directory == '/' ? "" : "/", directory) < 0) {
        line = NULL;
    }
    free(here);
    return line;
}

/* What the machine says on its way is for the user; its last line is what became of it. */
static int hear(FILE *answer)
{
    char line[1024];
    while (fgets(line, sizeof(line), answer)) {
        if (!strcmp(line, "ok\n")) {
            return STATUS_OK;
        }
        if (!strcmp(line, "failed\n")) {
            return STATUS_USER;
        }
        fprintf(stderr, "ringer: %s", line);
    }
    fprintf(stderr, "ringer: the machine ended before the snapshot was taken\n");
    return STATUS_FAILURE;
}

static int ask(const struct request *request)
{
    char *line = make_line(request);
    if (!line || strchr(request->names[1], '\n')) {
        fprintf(stderr, "ringer: a snapshot cannot have that name\n");
        free(line);
        return STATUS_USER;
    }
    int fd = socket_connect(request->names[0]);
    if (fd < 0) {
        fprintf(stderr, "ringer: no machine at '%s': %s\n", request->names[0], strerror(errno));
        free(line);
        return STATUS_USER;
    }
    FILE *answer = fdopen(fd, "r");
    int status = STATUS_FAILURE;
    if (!answer || !socket_send(fd, line, strlen(line))) {
        fprintf(stderr, "ringer: the machine at '%s' does not listen\n", request->names[0]);
    } else {
        status = hear(answer);
    }
    if (answer) {
        fclose(answer);
    } else {
        close(fd);
    }
    free(line);
    return status;
}

int snapshot_main(int argc, char **argv)
{
    struct request request;
    if (!parse(&request, argc, argv)) {
        return STATUS_USER;
    }
    if (request.help) {
        print_help();
        return STATUS_OK;
    }
    return request.check ? check(request.names[0]) : ask(&request);
}
