/* hello.c - the smallest use of libringer: run the built-in guest, look at its registers. */
#include <inttypes.h>
#include <ringer/ringer.h>
#include <stdio.h>

/* What the guest sends on its serial port. */
static void output(void *context, const void *bytes, size_t size)
{
    fwrite(bytes, 1, size, context);
}

int main(void)
{
    struct ringer_config config = RINGER_CONFIG_DEFAULT;
    config.memory_bytes = 64 << 20;
    config.serial[0].backend = "callback";
    config.serial[0].output = output;
    config.serial[0].context = stdout;

    struct ringer *machine;
    struct ringer_exit end;
    struct ringer_registers registers;
    char error[256];
    if (ringer_create(&config, &machine, error, sizeof(error)) < 0) {
        fprintf(stderr, "hello: %s\n", error);
        return 1;
    }
    if (ringer_load(machine, RINGER_PROTOCOL_AUTO, NULL, NULL, NULL) < 0 ||
        ringer_run(machine, &end) < 0 || ringer_get_registers(machine, 0, &registers) < 0) {
        fprintf(stderr, "hello: %s\n", ringer_error(machine));
        ringer_destroy(machine);
        return 1;
    }
    printf("It ended at RIP %#" PRIx64 ", after %" PRIu64 " instructions.\n", registers.rip,
           registers.instructions);
    ringer_destroy(machine);
    return end.reason == RINGER_EXIT_POWER_OFF ? 0 : 1;
}
