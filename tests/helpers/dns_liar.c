/*
 * A name server that breaks the rules, one way a zone. usage: dns_liar ADDR PORT OTHER-ADDR
 * 192.0.2.1, 127.1.0.1 and 127.0.0.2 are listed in every zone, nothing else is. UDP and TCP.
 * The zone is the next to last label of the name asked for:
 *   good       an honest answer
 *   wrongid    another id            wrongquestion  another question echoed
 *   wrongaddr  from OTHER-ADDR       silent         never
 *   short      cut inside the header broken         a record longer than the packet
 *   many       a thousand records    loop           twelve CNAMEs
 *   cname      behind a CNAME        servfail, refused
 *   truncated  by UDP only a TC bit, by TCP the answer
 *   slow       after two seconds
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PACKET 65536
#define LATER 64

struct message {
	uint8_t bytes[PACKET];
	size_t len, question_end;
	char name[300]; /* labels with dots */
};

static struct {
	struct message message;
	struct sockaddr_in to;
	int due_ms; /* 0: free */
} later[LATER];
static int clock_ms;

static bool
read_question(struct message *m)
{
	size_t pos = 12, out = 0;

	while (pos < m->len && m->bytes[pos] != 0) {
		size_t label = m->bytes[pos++];
		if (pos + label > m->len || out + label + 2 > sizeof m->name)
			return false;
		memcpy(m->name + out, m->bytes + pos, label);
		out += label;
		m->name[out++] = '.';
		pos += label;
	}
	m->name[out] = '\0';
	m->question_end = pos + 5;
	return m->question_end <= m->len;
}

static bool
in_zone(const struct message *m, const char *zone)
{
	char end[64];
	size_t len = strlen(m->name);

	snprintf(end, sizeof end, ".%s.example.", zone);
	return len >= strlen(end) && strcmp(m->name + len - strlen(end), end) == 0;
}

static bool
is_listed(const struct message *m)
{
	static const char *const listed[] = { "1.2.0.192.", "1.0.1.127.", "2.0.0.127." };

	for (size_t i = 0; i < 3; i++)
		if (strncmp(m->name, listed[i], strlen(listed[i])) == 0)
			return true;
	return false;
}

static void
append(struct message *m, const void *bytes, size_t len)
{
	if (m->len + len > PACKET)
		return;
	memcpy(m->bytes + m->len, bytes, len);
	m->len += len;
}

static void
add_records(struct message *m, unsigned count, const void *record, size_t len)
{
	unsigned total = (unsigned)(m->bytes[6] << 8 | m->bytes[7]) + count;

	m->bytes[6] = (uint8_t)(total >> 8);
	m->bytes[7] = (uint8_t)total;
	while (count-- > 0)
		append(m, record, len);
}

static void
answer(struct message *m, bool tcp)
{
	static const uint8_t a[] = "\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4\x7f\0\0\2";
	static const uint8_t cname[] = "\xc0\x0c\0\5\0\1\0\0\0\x1e\0\2\xc0\x0c";
	static const uint8_t too_long[] = "\xc0\x0c\0\1\0\1\0\0\1\x2c\x40\4\x7f\0\0\2";
	bool listed = is_listed(m);

	m->len = m->question_end;
	m->bytes[2] = 0x81;
	m->bytes[3] = listed ? 0x80 : 0x83;
	memset(m->bytes + 6, 0, 6);
	if (in_zone(m, "servfail"))
		m->bytes[3] = 0x82;
	else if (in_zone(m, "refused"))
		m->bytes[3] = 0x85;
	else if (in_zone(m, "truncated") && !tcp)
		m->bytes[2] |= 2;
	else if (in_zone(m, "broken"))
		add_records(m, 1, too_long, sizeof too_long - 1);
	else if (listed && in_zone(m, "many"))
		add_records(m, 1000, a, sizeof a - 1);
	else if (listed && in_zone(m, "loop"))
		add_records(m, 12, cname, sizeof cname - 1);
	else if (listed && in_zone(m, "cname")) {
		add_records(m, 1, cname, sizeof cname - 1);
		add_records(m, 1, a, sizeof a - 1);
	} else if (listed)
		add_records(m, 1, a, sizeof a - 1);
	if (in_zone(m, "wrongid"))
		m->bytes[0] ^= 0x55;
	if (in_zone(m, "wrongquestion"))
		m->bytes[13] ^= 1;
	if (in_zone(m, "short"))
		m->len = 7;
}

static void
send_later(const struct message *m, const struct sockaddr_in *to)
{
	for (size_t i = 0; i < LATER; i++)
		if (later[i].due_ms == 0) {
			later[i].message = *m;
			later[i].to = *to;
			later[i].due_ms = clock_ms + 2000;
			return;
		}
}

static void
serve_udp(int sock, int other)
{
	static struct message m;
	struct sockaddr_in from;
	socklen_t from_len = sizeof from;
	ssize_t n = recvfrom(sock, m.bytes, 512, 0, (struct sockaddr *)&from, &from_len);

	if (n < 12)
		return;
	m.len = (size_t)n;
	if (!read_question(&m) || in_zone(&m, "silent"))
		return;
	answer(&m, false);
	if (in_zone(&m, "slow"))
		send_later(&m, &from);
	else
		(void)sendto(in_zone(&m, "wrongaddr") ? other : sock, m.bytes, m.len, 0,
		    (struct sockaddr *)&from, from_len);
}

static void
serve_tcp(int listener)
{
	static struct message m;
	uint8_t length[2];
	int fd = accept(listener, NULL, NULL);
	struct timeval limit = { .tv_sec = 2 };

	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	if (recv(fd, length, 2, MSG_WAITALL) == 2) {
		ssize_t n = recv(fd, m.bytes, (size_t)(length[0] << 8 | length[1]), MSG_WAITALL);
		m.len = n > 0 ? (size_t)n : 0;
		if (m.len >= 12 && read_question(&m)) {
			answer(&m, true);
			length[0] = (uint8_t)(m.len >> 8);
			length[1] = (uint8_t)m.len;
			(void)send(fd, length, 2, MSG_NOSIGNAL | MSG_MORE);
			(void)send(fd, m.bytes, m.len, MSG_NOSIGNAL);
		}
	}
	close(fd);
}

static int
open_socket(int type, const char *address, uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, type, 0), on = 1;

	if (fd < 0 || inet_pton(AF_INET, address, &at.sin_addr) != 1)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 ||
	    (type == SOCK_STREAM && listen(fd, 16) != 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

int
main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: dns_liar ADDR PORT OTHER-ADDR\n");
		return 2;
	}
	uint16_t port = (uint16_t)strtoul(argv[2], NULL, 10);
	int udp = open_socket(SOCK_DGRAM, argv[1], port),
	    other = open_socket(SOCK_DGRAM, argv[3], port);
	int tcp = open_socket(SOCK_STREAM, argv[1], port);
	struct pollfd p[] = { { .fd = udp, .events = POLLIN }, { .fd = tcp, .events = POLLIN } };

	if (udp < 0 || tcp < 0 || other < 0) {
		perror("dns_liar");
		return 1;
	}
	for (;; clock_ms += 10) {
		if (poll(p, 2, 10) > 0) {
			if (p[0].revents != 0)
				serve_udp(udp, other);
			if (p[1].revents != 0)
				serve_tcp(tcp);
		}
		for (size_t i = 0; i < LATER; i++)
			if (later[i].due_ms != 0 && later[i].due_ms <= clock_ms) {
				(void)sendto(udp, later[i].message.bytes, later[i].message.len, 0,
				    (struct sockaddr *)&later[i].to, sizeof later[i].to);
				later[i].due_ms = 0;
			}
	}
}
