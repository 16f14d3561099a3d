/* A mail server that takes everything and keeps nothing; sink.py compiles and starts it, and says what it counts.

   One thread, one epoll, one buffer that all connections are read into: it stays in the cache. Each line is looked
   at once, where it was received; only a line that a read has cut in two is copied (to its connection, until the
   rest of it comes). It prints its port; a line on standard input asks for the counts, an end of input ends it.

   A message is whole if all of this is true, else broken: one MAIL and one RCPT; every line ends with CR LF and none
   begins with a lone dot; one Message-ID; its recipient's address in the headers; a boundary, a part at least, none
   of them empty; the closing boundary as its last line. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READ = 262144, LINE = 8192, ANSWERS = 65536, ADDRESS = 320, EVENTS = 64 };
enum place { COMMANDS, HEADERS, PREAMBLE, PART_HEADERS, PART, CLOSED };

static const char GREETING[] = "220 sink ESMTP\r\n";
static const char EHLO[] = "250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n"
                           "250 SIZE 52428800\r\n";

struct connection {
    int fd;
    enum place place;
    int mails, recipients;          /* of the envelope */
    int ids, addressed, wrong;      /* of the message: Message-IDs, the recipient in the headers, anything amiss */
    int parts, filled, ends_in_lf;  /* …, whether the part has a line, whether the line before ended without CR */
    size_t address_length, boundary_length, kept_length;
    unsigned long octets;
    char address[ADDRESS], boundary[80], kept[LINE];
};

static char room[LINE + READ], answers[ANSWERS];
static size_t answered;
static unsigned long whole, broken, octets;
static double first, last, cpu_then;

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static double cpu(void) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

/* Whether everything that is to be said was said. Who doesn't read its answers is not worth waiting for. */
static int speak(struct connection *c) {
    int said = answered == 0 || send(c->fd, answers, answered, MSG_NOSIGNAL) == (ssize_t)answered;
    answered = 0;
    return said;
}

static int answer(struct connection *c, const char *words) {
    size_t length = strlen(words);
    if (answered + length > sizeof answers && !speak(c)) return 0;
    memcpy(answers + answered, words, length);
    answered += length;
    return 1;
}

static void envelope(struct connection *c) {
    c->mails = c->recipients = 0;
    c->address_length = 0;
}

/* One command, its CR LF at the end. 0 ends the connection. */
static int command(struct connection *c, const char *line, size_t length) {
    if (length >= 6 && !strncasecmp(line, "MAIL ", 5)) {
        c->mails++;
        return answer(c, "250 2.1.0 Ok\r\n");
    }
    if (length >= 6 && !strncasecmp(line, "RCPT ", 5)) {
        const char *from = memchr(line, '<', length), *to = memrchr(line, '>', length);
        if (from && to && to > from + 1 && (size_t)(to - from - 1) <= sizeof c->address) {
            c->address_length = (size_t)(to - from - 1);
            memcpy(c->address, from + 1, c->address_length);
        }
        c->recipients++;
        return answer(c, "250 2.1.5 Ok\r\n");
    }
    if (length == 6 && !strncasecmp(line, "DATA", 4)) {
        c->place = HEADERS;
        c->ids = c->addressed = c->wrong = c->parts = c->filled = c->ends_in_lf = 0;
        c->octets = c->boundary_length = 0;
        return answer(c, "354 Go on\r\n");
    }
    if (!strncasecmp(line, "EHLO", 4) || !strncasecmp(line, "HELO", 4)) {
        envelope(c);
        return answer(c, EHLO);
    }
    if (!strncasecmp(line, "QUIT", 4)) {
        answer(c, "221 2.0.0 Bye\r\n");
        speak(c);
        return 0;
    }
    if (!strncasecmp(line, "RSET", 4)) envelope(c);
    else if (strncasecmp(line, "NOOP", 4)) return answer(c, "500 5.5.2 What?\r\n");
    return answer(c, "250 2.0.0 Ok\r\n");
}

/* A line of the headers: the boundary of the parts, and whom it is for. */
static void header(struct connection *c, const char *line, size_t length) {
    const char *found = memmem(line, length, "boundary=\"", 10);
    if (found && c->boundary_length == 0) {
        const char *end = memchr(found + 10, '"', length - (size_t)(found + 10 - line));
        if (end && end > found + 10 && (size_t)(end - found - 10) <= 70) {
            c->boundary_length = (size_t)(end - found - 10);
            memcpy(c->boundary, found + 10, c->boundary_length);
        }
    }
    if (c->address_length && !c->addressed) c->addressed = memmem(line, length, c->address, c->address_length) != NULL;
}

static int taken(struct connection *c) {
    int good = c->mails == 1 && c->recipients == 1 && c->ids == 1 && c->addressed && c->place == CLOSED && !c->wrong;
    *(good ? &whole : &broken) += 1;
    octets += c->octets;
    last = now();
    if (first == 0) first = last;
    c->place = COMMANDS;
    envelope(c);
    return answer(c, "250 2.0.0 Ok: taken\r\n");
}

/* One line of a message, its LF at the end. */
static int content(struct connection *c, const char *line, size_t length) {
    int crlf = length >= 2 && line[length - 2] == '\r', blank = length == 2 && crlf;
    if (line[0] == '.') {
        if (length == 3 && crlf && !c->ends_in_lf) return taken(c);
        if (line[1] != '.') c->wrong = 1;
    }
    c->octets += length;
    c->ends_in_lf = !crlf;
    if (!crlf) c->wrong = 1;
    if ((line[0] | 32) == 'm' && length > 11 && !strncasecmp(line, "Message-ID:", 11)) c->ids++;
    if (line[0] == '-' && line[1] == '-' && c->place > HEADERS && c->boundary_length &&
        length >= c->boundary_length + 4 && !memcmp(line + 2, c->boundary, c->boundary_length)) {
        size_t rest = length - 2 - c->boundary_length;
        if (rest == 2 || (rest == 4 && line[length - 4] == '-' && line[length - 3] == '-')) {
            if (c->parts && !c->filled) c->wrong = 1; /* true too of what follows the closing one */
            c->place = rest == 2 ? PART_HEADERS : CLOSED;
            if (rest == 2) c->parts++;
            else if (!c->parts) c->wrong = 1;
            c->filled = 0;
            return 1;
        }
    }
    if (c->place == HEADERS && !blank) header(c, line, length);
    else if (c->place == HEADERS) c->place = PREAMBLE;
    else if (c->place == PART_HEADERS && blank) c->place = PART;
    else if (c->place == PART && !blank) c->filled = 1;
    else if (c->place == CLOSED) c->wrong = 1; /* the closing boundary is the last line */
    return 1;
}

/* Reads what has come and answers it; 0 where the connection is over. */
static int hear(struct connection *c) {
    memcpy(room, c->kept, c->kept_length);
    ssize_t count = recv(c->fd, room + c->kept_length, READ, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return 1;
    if (count <= 0) return 0;
    char *line = room, *end = room + c->kept_length + count, *from = room + c->kept_length, *lf;
    while ((lf = memchr(from, '\n', (size_t)(end - from)))) {
        size_t length = (size_t)(lf + 1 - line);
        if (!(c->place == COMMANDS ? command(c, line, length) : content(c, line, length))) return 0;
        from = line = lf + 1;
    }
    c->kept_length = (size_t)(end - line);
    if (c->kept_length > sizeof c->kept) return 0; /* no mail has such a line */
    memcpy(c->kept, line, c->kept_length);
    return speak(c);
}

/* Tells the counts since the last asking; 0 at the end of input. */
static int asked(void) {
    char words[64];
    ssize_t count = read(0, words, sizeof words);
    for (ssize_t i = 0; i < count; i++) {
        if (words[i] != '\n') continue;
        double spent = cpu();
        printf("{\"whole\": %lu, \"broken\": %lu, \"octets\": %lu, \"seconds\": %.6f, \"cpu\": %.6f}\n", whole, broken,
               octets, last - first, spent - cpu_then);
        fflush(stdout);
        whole = broken = octets = 0;
        first = last = 0;
        cpu_then = spent;
    }
    return count > 0;
}

int main(void) {
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof place;
    int listener = socket(AF_INET, SOCK_STREAM, 0), poll = epoll_create1(0), yes = 1;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listener}, happened[EVENTS];
    if (bind(listener, (struct sockaddr *)&place, size) || listen(listener, 512) ||
        getsockname(listener, (struct sockaddr *)&place, &size) ||
        epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event) ||
        (event.data.ptr = NULL, epoll_ctl(poll, EPOLL_CTL_ADD, 0, &event))) {
        perror("sink");
        return 1;
    }
    printf("%d\n", ntohs(place.sin_port));
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(poll, happened, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct connection *c = happened[i].data.ptr;
            if (c == NULL) {
                if (!asked()) return 0;
            } else if ((void *)c == (void *)&listener) {
                int fd = accept(listener, NULL, NULL);
                if (fd < 0) continue;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
                c = calloc(1, sizeof *c);
                c->fd = fd;
                event.data.ptr = c;
                epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
                send(fd, GREETING, sizeof GREETING - 1, MSG_NOSIGNAL);
            } else if (!hear(c)) {
                answered = 0;
                close(c->fd);
                free(c);
            }
        }
    }
}
