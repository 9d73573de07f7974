/* What the measurements run where a shell would be too slow or too coarse.
 *
 *   probe stamp PATH    write the monotonic time in nanoseconds to PATH (a FIFO), or to stdout when it is `-`
 *   probe lines COUNT   write COUNT lines of 60 bytes, one write(2) each: the worst way to print
 *   probe bomb COUNT PATH   a fork bomb that is held at COUNT processes by record locks on PATH; never ends by itself
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LIFE_S 10

static int stamp(const char *path) {
    struct timespec now;
    char text[32];
    clock_gettime(CLOCK_MONOTONIC, &now);
    int size = snprintf(text, sizeof text, "%lld\n", now.tv_sec * 1000000000LL + now.tv_nsec);
    int fd = strcmp(path, "-") ? open(path, O_WRONLY) : 1;
    return write(fd, text, size) != size;
}

static int lines(long count) {
    const char line[] = "sixty bytes are a line of ordinary length as programs print\n";
    while (count--)
        if (write(1, line, 60) != 60) return 1;
    return 0;
}

/* Each process holds the lock on one byte; the kernel lets go of it when the process dies, and another takes it. */
static int take_place(int fd, int count) {
    struct flock place = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    for (place.l_start = 0; place.l_start < count; place.l_start++)
        if (fcntl(fd, F_SETLK, &place) == 0) return 1;
    return 0;
}

/* Wait until the child has found a place or given up: there are never more than two processes to a place. */
static int grow(int fd, int count) {
    int found[2];
    char byte = '.';
    if (pipe(found) < 0) return 0;
    pid_t pid = fork();
    close(found[pid ? 1 : 0]);
    if (pid == 0) {
        if (!take_place(fd, count) || write(1, &byte, 1) != 1 || write(found[1], &byte, 1) != 1) _exit(0);
        close(found[1]);
        return 1;
    }
    while (read(found[0], &byte, 1) > 0)
        ;
    close(found[0]);
    return 0;
}

/* Whatever goes wrong with the kill that is measured: LIFE_S after its start nobody of the bomb is left. */
static int bomb(int count, const char *path) {
    time_t end = time(NULL) + LIFE_S;
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    signal(SIGCHLD, SIG_IGN); /* the kernel reaps those that found no place */
    if (!take_place(fd, count) || write(1, ".", 1) != 1) return 1;
    alarm(LIFE_S);
    while (time(NULL) < end)
        if (grow(fd, count)) alarm(end > time(NULL) ? end - time(NULL) : 1);
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 2 && !strcmp(argv[1], "stamp")) return stamp(argv[2]);
    if (argc > 2 && !strcmp(argv[1], "lines")) return lines(atol(argv[2]));
    if (argc > 3 && !strcmp(argv[1], "bomb")) return bomb(atoi(argv[2]), argv[3]);
    return 2;
}
