#include "config.h"

#include <atf-c.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "tlsproxy/inner.h"

static struct tls_facts
example(void)
{
	struct tls_facts facts = { .outcome = TLS_OK,
		.client_cert = TLS_CERT_TRUSTED,
		.resumed = true,
		.sni_matched = true,
		.bits = 256,
		.bits_max = 65535,
		.handshake_ms = 0xfffefdfc,
		.protocol = "TLSv1.3",
		.cipher = "TLS_AES_256_GCM_SHA384",
		.sni = "mx.example",
		.client_cn = "client",
		.issuer_cn = "An Authority",
		.fingerprint = "AA:BB",
		.key_fingerprint = "CC:DD" };

	return facts;
}

ATF_TC_WITHOUT_HEAD(facts_survive);
ATF_TC_BODY(facts_survive, tc)
{
	struct tls_facts in = example(), out;
	uint8_t record[TLS_FACTS_MAX + 5];
	size_t used = 0, len = tls_facts_format(&in, record);

	memcpy(record + len, "EHLO", 4);
	for (size_t n = 0; n < len; n++)
		ATF_CHECK_EQ(TLS_FACTS_MORE,
		    tls_facts_parse((struct span){ (char *)record, n }, &used, &out));
	for (size_t n = len; n < len + 4; n++) {
		ATF_REQUIRE_EQ(TLS_FACTS_DONE,
		    tls_facts_parse((struct span){ (char *)record, n }, &used, &out));
		ATF_CHECK_EQ(len, used);
	}
	ATF_CHECK_EQ(in.outcome, out.outcome);
	ATF_CHECK_EQ(in.client_cert, out.client_cert);
	ATF_CHECK(out.resumed && out.sni_matched);
	ATF_CHECK_EQ(256, out.bits);
	ATF_CHECK_EQ(65535, out.bits_max);
	ATF_CHECK_EQ(0xfffefdfc, out.handshake_ms);
	ATF_CHECK_STREQ(in.protocol, out.protocol);
	ATF_CHECK_STREQ(in.cipher, out.cipher);
	ATF_CHECK_STREQ(in.sni, out.sni);
	ATF_CHECK_STREQ(in.client_cn, out.client_cn);
	ATF_CHECK_STREQ(in.issuer_cn, out.issuer_cn);
	ATF_CHECK_STREQ(in.fingerprint, out.fingerprint);
	ATF_CHECK_STREQ(in.key_fingerprint, out.key_fingerprint);
}

ATF_TC_WITHOUT_HEAD(longest_facts_fit);
ATF_TC_BODY(longest_facts_fit, tc)
{
	struct tls_facts in, out;
	uint8_t record[TLS_FACTS_MAX];
	size_t used = 0;

	memset(&in, 0, sizeof in);
	in.outcome = TLS_HANGUP;
	memset(in.protocol, 'p', sizeof in.protocol - 1);
	memset(in.cipher, 'c', sizeof in.cipher - 1);
	memset(in.sni, 's', sizeof in.sni - 1);
	memset(in.client_cn, 'n', sizeof in.client_cn - 1);
	memset(in.issuer_cn, 'i', sizeof in.issuer_cn - 1);
	memset(in.fingerprint, 'f', sizeof in.fingerprint - 1);
	memset(in.key_fingerprint, 'k', sizeof in.key_fingerprint - 1);
	size_t len = tls_facts_format(&in, record);
	ATF_CHECK(len <= TLS_FACTS_MAX);
	ATF_CHECK_EQ(
	    TLS_FACTS_DONE, tls_facts_parse((struct span){ (char *)record, len }, &used, &out));
	ATF_CHECK_EQ(0, memcmp(in.sni, out.sni, sizeof in.sni));
}

/* Each byte of a record, changed to what it may not be. */
ATF_TC_WITHOUT_HEAD(broken_facts);
ATF_TC_BODY(broken_facts, tc)
{
	static const struct {
		size_t at;
		uint8_t byte;
	} breaks[] = { { 0, 'X' }, { 1, 2 }, { 2, 5 }, { 3, 8 }, { 4, 4 }, { 5, 3 }, { 6, 4 },
		{ 7, 1 }, { 16, 16 }, { 17, '\n' }, { 17, 127 }, { 17, 200 }, { 24, 255 } };
	struct tls_facts in = example(), out;
	uint8_t record[TLS_FACTS_MAX];
	size_t used = 0, len = tls_facts_format(&in, record);

	for (size_t i = 0; i < sizeof breaks / sizeof breaks[0]; i++) {
		uint8_t copy[TLS_FACTS_MAX];
		memcpy(copy, record, len);
		ATF_REQUIRE(copy[breaks[i].at] != breaks[i].byte);
		copy[breaks[i].at] = breaks[i].byte;
		ATF_CHECK_EQ_MSG(TLS_FACTS_BAD,
		    tls_facts_parse((struct span){ (char *)copy, len }, &used, &out), "byte %zu",
		    breaks[i].at);
	}
	ATF_CHECK_EQ(TLS_FACTS_BAD, tls_facts_parse(SPAN("220 hello\r\n"), &used, &out));
	ATF_CHECK_STREQ("timeout", tls_outcome_word(TLS_TIMEOUT));
}

static struct tlsproxy_request
request(void)
{
	struct tlsproxy_request r = {
		.stress = true, .peer = { .port = 65535 }, .server = { .port = 25 }
	};

	ATF_REQUIRE(addr_parse(&r.peer.addr, "2001:db8::1", 11));
	ATF_REQUIRE(addr_parse(&r.server.addr, "192.0.2.1", 9));
	return r;
}

ATF_TC_WITHOUT_HEAD(requests);
ATF_TC_BODY(requests, tc)
{
	struct tlsproxy_request in = request(), out;
	uint8_t message[TLS_REQUEST_SIZE + 1] = { 0 };

	tls_request_format(&in, message);
	ATF_REQUIRE(tls_request_parse((struct span){ (char *)message, TLS_REQUEST_SIZE }, &out));
	ATF_CHECK(addr_equal(&in.peer.addr, &out.peer.addr) && out.peer.port == 65535);
	ATF_CHECK(
	    addr_equal(&in.server.addr, &out.server.addr) && out.server.port == 25 && out.stress);
	ATF_CHECK(!tls_request_parse((struct span){ (char *)message, TLS_REQUEST_SIZE - 1 }, &out));
	ATF_CHECK(!tls_request_parse((struct span){ (char *)message, TLS_REQUEST_SIZE + 1 }, &out));
	ATF_CHECK(!tls_request_parse((struct span){ (char *)message, 0 }, &out));
	static const size_t places[] = { 0, 3, 4, 5, 24 };
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		message[places[i]] ^= 0x82;
		ATF_CHECK_MSG(
		    !tls_request_parse((struct span){ (char *)message, TLS_REQUEST_SIZE }, &out),
		    "byte %zu", places[i]);
		message[places[i]] ^= 0x82;
	}
}

ATF_TC_WITHOUT_HEAD(channel);
ATF_TC_BODY(channel, tc)
{
	struct tlsproxy_request in = request();
	int pair[2], client[2], fds[2], plain[1000];
	uint8_t message[100];
	size_t count = 2, sent = 0;

	ATF_REQUIRE(tlsproxy_channel(pair));
	ATF_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, client) == 0);
	int fd = tlsproxy_start(pair[0], &in, client[0]);
	ATF_REQUIRE(fd >= 0);
	ATF_CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
	ATF_REQUIRE_EQ(TLS_REQUEST_SIZE, fd_recv(pair[1], message, sizeof message, fds, &count));
	ATF_REQUIRE_EQ(2, count);
	ATF_CHECK_EQ(3, write(fds[1], "abc", 3));
	ATF_CHECK_EQ(3, read(fd, message, sizeof message));
	/* Full, which would take thousands: EAGAIN, and no descriptor is lost. */
	ATF_REQUIRE(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &(int){ 100000 }, sizeof(int)) == 0);
	while (sent < 1000 && (plain[sent] = tlsproxy_start(pair[0], &in, client[0])) >= 0)
		sent++;
	ATF_CHECK_EQ(EAGAIN, errno);
	ATF_CHECK(sent > 10 && sent < 1000);
	close(pair[1]);
	ATF_CHECK_EQ(-1, tlsproxy_start(pair[0], &in, client[0]));
	ATF_CHECK(errno == EPIPE || errno == ECONNRESET);
	/* Whoever waited in the channel sees its end. */
	ATF_CHECK_EQ(0, read(plain[0], message, 1));
}

static const char pem_text[] =
    "Bag Attributes\n"
    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    "text\r\n"
    "-----BEGIN RSA PRIVATE KEY-----\r\nBBBB\r\n-----END RSA PRIVATE KEY-----\r\n"
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n-----END ENCRYPTED PRIVATE KEY-----\n"
    "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
    "-----END EC PRIVATE KEY-----\n"
    "-----BEGIN CERTIFICATE-----\ncut\n"
    "-----BEGIN DH PARAMETERS-----\nx\n-----END DH PARAMETERS-----\n"
    "-----BEGIN EC PARAMETERS-----\nx\n-----END EC PARAMETERS-----\n"
    "-----BEGIN PRIVATE KEY-----\nx\n-----END CERTIFICATE-----\n";

ATF_TC_WITHOUT_HEAD(pem_blocks);
ATF_TC_BODY(pem_blocks, tc)
{
	static const enum tls_pem_kind kinds[] = { TLS_PEM_CERT, TLS_PEM_KEY, TLS_PEM_LOCKED_KEY,
		TLS_PEM_LOCKED_KEY, TLS_PEM_DH, TLS_PEM_OTHER };
	struct span rest = SPAN(pem_text);
	struct tls_pem pem;

	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		ATF_REQUIRE(tls_pem_next(&rest, &pem));
		ATF_CHECK_EQ_MSG(kinds[i], tls_pem_kind(&pem), "block %zu", i);
		ATF_CHECK(memcmp(pem.block.p, "-----BEGIN ", 11) == 0);
	}
	ATF_CHECK(!tls_pem_next(&rest, &pem));
}

/* What the vault holds is nowhere in an ordinary child, and there in a lent one. */
static int
child_sees(const struct tlsproxy_conf *conf, struct span key, bool lent)
{
	int status = -1;
	pid_t pid = lent ? tlsproxy_fork(conf, NULL) : fork();

	if (pid == 0) {
		/* mincore() fails with ENOMEM where nothing is mapped. */
		unsigned char page;
		char *base = (char *)((uintptr_t)key.p & ~(uintptr_t)4095);
		_exit(mincore(base, 1, &page) != 0 ? 0 : memcmp(key.p, "SECRET", 6) == 0 ? 1 : 2);
	}
	ATF_REQUIRE_EQ(pid, waitpid(pid, &status, 0));
	return WEXITSTATUS(status);
}

ATF_TC_WITHOUT_HEAD(vault);
ATF_TC_BODY(vault, tc)
{
	struct tlsproxy_conf conf = { .vault = tls_vault_new() };
	struct span all;
	int fd = open("secret", O_CREAT | O_WRONLY, 0600);

	ATF_REQUIRE_EQ(16, write(fd, "certSECRETrest..", 16));
	close(fd);
	ATF_REQUIRE(tls_vault_read(conf.vault, "secret", &all));
	ATF_REQUIRE_EQ(16, all.len);
	struct span key = tls_vault_keep(conf.vault, (struct span){ all.p + 4, 6 });
	tls_vault_wipe(conf.vault);
	ATF_CHECK_EQ(0, memcmp(key.p, "SECRET\0\0\0\0\0\0\0\0\0\0", 16));
	ATF_CHECK_EQ(0, child_sees(&conf, key, false));
	ATF_CHECK_EQ(1, child_sees(&conf, key, true));
	ATF_CHECK_EQ(0, child_sees(&conf, key, false));
	ATF_CHECK(!tls_vault_read(conf.vault, "absent", &all));
	ATF_CHECK_EQ(ENOENT, errno);
	ATF_REQUIRE(truncate("secret", TLS_FILE_MAX + 1) == 0);
	ATF_CHECK(!tls_vault_read(conf.vault, "secret", &all));
	ATF_CHECK_EQ(EFBIG, errno);
	ATF_CHECK_EQ(0, memcmp(key.p, "SECRET", 6));
	tls_vault_free(&conf.vault);
}

ATF_TC_WITHOUT_HEAD(ticket_keys);
ATF_TC_BODY(ticket_keys, tc)
{
	struct tlsproxy_conf conf = { .ticket_half_s = 100 };
	struct tlsproxy_tickets *t = tlsproxy_tickets_new();
	uint8_t first[16], second[16];

	ATF_CHECK(tls_ticket_current(t, 1000, 100) == NULL);
	ATF_CHECK_EQ(100, tlsproxy_tickets_turn(t, &conf, 1000));
	ATF_REQUIRE(tls_ticket_current(t, 1000, 100) != NULL);
	memcpy(first, tls_ticket_current(t, 1000, 100)->name, 16);
	/* Not before its time. */
	ATF_CHECK_EQ(1, tlsproxy_tickets_turn(t, &conf, 1099));
	ATF_CHECK_EQ(0, memcmp(first, tls_ticket_current(t, 1099, 100)->name, 16));
	ATF_CHECK_EQ(100, tlsproxy_tickets_turn(t, &conf, 1100));
	memcpy(second, tls_ticket_current(t, 1100, 100)->name, 16);
	ATF_CHECK(memcmp(first, second, 16) != 0);
	/* The old one decrypts for another half. */
	ATF_CHECK(tls_ticket_find(t, first, 1199, 100) != NULL);
	ATF_CHECK(tls_ticket_find(t, first, 1200, 100) == NULL);
	ATF_CHECK(tls_ticket_find(t, second, 1200, 100) != NULL);
	/* A clock that was set back makes a new one rather than keep one for years. */
	ATF_CHECK_EQ(100, tlsproxy_tickets_turn(t, &conf, 500));
	tlsproxy_tickets_free(&t);
}

ATF_TP_ADD_TCS(tp)
{
	ATF_TP_ADD_TC(tp, facts_survive);
	ATF_TP_ADD_TC(tp, longest_facts_fit);
	ATF_TP_ADD_TC(tp, broken_facts);
	ATF_TP_ADD_TC(tp, requests);
	ATF_TP_ADD_TC(tp, channel);
	ATF_TP_ADD_TC(tp, pem_blocks);
	ATF_TP_ADD_TC(tp, vault);
	ATF_TP_ADD_TC(tp, ticket_keys);
	return atf_no_error();
}
