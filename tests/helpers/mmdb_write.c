/*
 * Writes a MaxMind DB file for tests (IPv4, 24-bit records). usage: mmdb_write FILE <<lines
 *	192.0.2.0/24 country XX
 *	192.0.2.0/25 asn 64500
 * Later lines overrule earlier ones where they overlap, if they are longer.
 */
#include "config.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES_MAX 65536
#define DATA_MAX 65536
#define DATA_BIT 0x40000000u /* the record is an offset into the data */
#define EMPTY UINT32_MAX

static uint32_t nodes[NODES_MAX][2];
static size_t node_count = 1;
static uint8_t data[DATA_MAX];
static size_t data_len;

static void
put(const void *bytes, size_t len)
{
	if (data_len + len > DATA_MAX)
		abort();
	memcpy(data + data_len, bytes, len);
	data_len += len;
}

static void
put_byte(unsigned v)
{
	uint8_t byte = (uint8_t)v;

	put(&byte, 1);
}

/* Types above 7 have their number in a second byte. */
static void
put_control(unsigned type, size_t size)
{
	if (type <= 7) {
		put_byte(type << 5 | (unsigned)size);
	} else {
		put_byte((unsigned)size);
		put_byte(type - 7);
	}
}

static void
put_text(const char *text)
{
	put_control(2, strlen(text));
	put(text, strlen(text));
}

static void
put_number(unsigned type, uint32_t value)
{
	uint8_t bytes[4] = { (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
		(uint8_t)value };
	size_t size = type == 5 ? 2 : 4;

	put_control(type, size);
	put(bytes + 4 - size, size);
}

static uint32_t
put_value(const char *kind, const char *value)
{
	size_t at = data_len;

	put_control(7, 1);
	if (strcmp(kind, "country") == 0) {
		put_text("country");
		put_control(7, 1);
		put_text("iso_code");
		put_text(value);
	} else {
		put_text("autonomous_system_number");
		put_number(6, (uint32_t)strtoul(value, NULL, 10));
	}
	return (uint32_t)at | DATA_BIT;
}

static uint32_t
node_new(uint32_t both)
{
	if (node_count == NODES_MAX)
		abort();
	nodes[node_count][0] = nodes[node_count][1] = both;
	return (uint32_t)node_count++;
}

static void
insert(uint32_t ip, unsigned len, uint32_t value)
{
	uint32_t at = 0;

	for (unsigned bit = 0; bit + 1 < len; bit++) {
		uint32_t *record = &nodes[at][ip >> (31 - bit) & 1];
		if (*record == EMPTY || (*record & DATA_BIT) != 0)
			*record = node_new(*record);
		at = *record;
	}
	nodes[at][ip >> (31 - (len - 1)) & 1] = value;
}

static void
write_metadata(FILE *f)
{
	data_len = 0;
	put("\xab\xcd\xefMaxMind.com", 14);
	put_control(7, 9);
	put_text("node_count");
	put_number(6, (uint32_t)node_count);
	put_text("record_size");
	put_number(5, 24);
	put_text("ip_version");
	put_number(5, 4);
	put_text("database_type");
	put_text("Gatehouse-Test");
	put_text("languages");
	put_control(11, 0);
	put_text("binary_format_major_version");
	put_number(5, 2);
	put_text("binary_format_minor_version");
	put_number(5, 0);
	put_text("build_epoch");
	put_control(9, 1);
	put_byte(1);
	put_text("description");
	put_control(7, 0);
	fwrite(data, 1, data_len, f);
}

static void
write_record(FILE *f, uint32_t record)
{
	uint32_t v = record == EMPTY		? (uint32_t)node_count
		     : (record & DATA_BIT) != 0 ? (record & ~DATA_BIT) + (uint32_t)node_count + 16
						: record;

	putc((int)(v >> 16 & 255), f);
	putc((int)(v >> 8 & 255), f);
	putc((int)(v & 255), f);
}

static int
read_line(char *line)
{
	char *rest = line, *prefix = strsep(&rest, " \n"), *kind = strsep(&rest, " \n");
	char *value = strsep(&rest, " \n"), *slash = strchr(prefix, '/');
	struct in_addr in;
	unsigned long len;

	if (value == NULL || slash == NULL)
		return -1;
	*slash = '\0';
	len = strtoul(slash + 1, NULL, 10);
	if (inet_pton(AF_INET, prefix, &in) != 1 || len < 1 || len > 32)
		return -1;
	insert(ntohl(in.s_addr), (unsigned)len, put_value(kind, value));
	return 0;
}

int
main(int argc, char **argv)
{
	static const uint8_t gap[16];
	char line[256];
	FILE *f;

	if (argc != 2)
		return 2;
	nodes[0][0] = nodes[0][1] = EMPTY;
	while (fgets(line, sizeof line, stdin) != NULL)
		if (read_line(line) != 0)
			return 1;
	f = fopen(argv[1], "wb");
	if (f == NULL)
		return 1;
	for (size_t i = 0; i < node_count; i++) {
		write_record(f, nodes[i][0]);
		write_record(f, nodes[i][1]);
	}
	fwrite(gap, 1, sizeof gap, f);
	fwrite(data, 1, data_len, f);
	write_metadata(f);
	return fclose(f) == 0 ? 0 : 1;
}
