/* What operators write: protocols, exclusions, log levels, names; and PEM files. The first byte
 * chooses. */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tlsproxy/inner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
try_pem(struct span text)
{
	const char *end = text.p + text.len, *last = text.p;
	struct tls_pem pem;

	while (tls_pem_next(&text, &pem)) {
		assert(pem.block.p >= last && pem.block.p + pem.block.len <= end);
		assert(pem.label.p >= pem.block.p && pem.label.p + pem.label.len <= end);
		last = pem.block.p + pem.block.len;
		(void)tls_pem_kind(&pem);
	}
}

static void
try_list(char which, const char *text)
{
	char array[400], why_array[300], name[256];
	struct buf list = BUF(array), why = BUF(why_array);
	enum tls_grade grade;
	unsigned bits;
	bool obsolete;

	switch (which) {
	case 'p':
		assert(tls_protocols_parse(text, &bits, &why) == (why.len == 0));
		break;
	case 'x':
		(void)tls_exclude(&list, text, &why);
		break;
	case 'l':
		(void)tls_loglevel_parse(text, &bits, &why);
		break;
	case 'g':
		(void)tls_grade_parse(text, &grade, &obsolete);
		break;
	default:
		if (tls_name_valid(span_of(text), name))
			assert(strlen(name) == strlen(text));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	char *text = malloc(size);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	if (data[0] == '-')
		try_pem((struct span){ text, size - 1 });
	else
		try_list((char)data[0], text);
	free(text);
	return 0;
}
