/* main.c - the command `ringer`. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "app/classify.h"
#include "app/lockstep.h"
#include "app/options.h"
#include "app/run.h"
#include "app/snapshot.h"
#include "base/types.h"

static int print_help(int argc, char **argv);

static int print_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("ringer %s\n", ringer_version());
    return STATUS_OK;
}

/* For the completion of shells, in tools/completion. */
static int print_words(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    options_print_words(stdout);
    return STATUS_OK;
}

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help; /* NULL: not told */
} commands[] = {
    {"classify", classify_main, "work out Popek and Goldberg's classes of this processor"},
    {"run", run_main, "run a virtual machine; ringer run --help has its options"},
    {"lockstep", lockstep_main, "run a guest under two engines, and compare them"},
    {"snapshot", snapshot_main, "keep a running machine in a directory, to restore it from"},
    {"help", print_help, "print this"},
    {"--help", print_help, NULL},
    {"-h", print_help, NULL},
    {"--version", print_version, "print the version"},
    {"--option-words", print_words, NULL},
};

static int print_help(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("Usage: ringer COMMAND [OPTIONS]\n"
           "Virtual machines for x86-64 hosts without virtualization hardware.\n\n");
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (commands[i].help) {
            printf("  %-11s %s\n", commands[i].name, commands[i].help);
        }
    }
    printf("\n`ringer run` alone runs a small guest that is built in.  man ringer tells more.\n");
    return STATUS_OK;
}

/* Whoever started us may have closed one of these.  Then no file of ours may get its number, or
 * what is written to standard output would land in it. */
static void open_standard_files(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) != fd) {
            return; /* no /dev/null: so be it */
        }
    }
}

int main(int argc, char **argv)
{
    open_standard_files();
    if (argc < 2) {
        print_help(argc, argv);
        return STATUS_USER;
    }
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (!strcmp(argv[1], commands[i].name)) {
            int status = commands[i].run(argc - 1, argv + 1);
            if (fflush(stdout) || ferror(stdout)) {
                return status == STATUS_OK ? STATUS_FAILURE : status;
            }
            return status;
        }
    }
    fprintf(stderr, "ringer: there is no command '%s'; try: ringer help\n", argv[1]);
    return STATUS_USER;
}
