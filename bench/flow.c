/*
 * flow.c - one TCP connection that is filled: the guest's end of the network measurement (net.py).
 *
 *      flow send ADDRESS PORT       sends until the other side has enough
 *      flow receive ADDRESS PORT    receives until it ends
 *
 * Its first byte tells the other side which it is.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char buffer[256 << 10];

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (argc != 4 || inet_pton(AF_INET, argv[2], &address.sin_addr) != 1) {
        fprintf(stderr, "usage: flow send|receive ADDRESS PORT\n");
        return 2;
    }
    address.sin_port = htons((unsigned short)atoi(argv[3]));
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        perror("flow");
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    if (write(fd, argv[1], 1) != 1) {
        perror("flow");
        return 1;
    }
    if (!strcmp(argv[1], "send")) {
        while (write(fd, buffer, sizeof(buffer)) > 0) {}
    } else {
        while (read(fd, buffer, sizeof(buffer)) > 0) {}
    }
    return 0;
}
