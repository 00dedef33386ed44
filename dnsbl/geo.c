#include "config.h"

#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "dnsbl/signals.h"

#ifdef HAVE_MAXMINDDB
#include <maxminddb.h>

#define FILES_MAX 8

/* Mapped when opened, so that a jailed worker reads on; a file must be replaced by rename. */
struct geo {
	MMDB_s files[FILES_MAX];
	size_t count;
};

struct geo *
geo_open(const char *files, const struct place *at)
{
	struct geo *g = mem_alloc(sizeof *g);
	struct span rest = span_of(files), name;

	while ((name = span_token(&rest, ", \t\r\n")).len > 0) {
		char *path = mem_strndup(name.p, name.len);
		int status = g->count < FILES_MAX
				 ? MMDB_open(path, MMDB_MODE_MMAP, &g->files[g->count])
				 : MMDB_OUT_OF_MEMORY_ERROR;

		if (status == MMDB_SUCCESS)
			g->count++;
		else
			diag_add(at->diag, DIAG_ERROR, at->file, at->line, "cannot use %s: %s",
			    path, MMDB_strerror(status));
		free(path);
	}
	if (g->count == 0)
		geo_close(&g);
	return g;
}

void
geo_close(struct geo **g)
{
	if (*g == NULL)
		return;
	for (size_t i = 0; i < (*g)->count; i++)
		MMDB_close(&(*g)->files[i]);
	free(*g);
	*g = NULL;
}

static bool
find(const MMDB_s *file, const struct addr *a, MMDB_entry_s *entry)
{
	struct endpoint at = { .addr = *a };
	struct sockaddr_storage ss;
	int error = MMDB_SUCCESS;
	MMDB_lookup_result_s found;

	(void)endpoint_to_sockaddr(&at, &ss);
	found = MMDB_lookup_sockaddr(file, (const struct sockaddr *)&ss, &error);
	*entry = found.entry;
	return error == MMDB_SUCCESS && found.found_entry;
}

bool
geo_country(const struct geo *g, const struct addr *a, char out[3])
{
	for (size_t i = 0; g != NULL && i < g->count; i++) {
		MMDB_entry_s entry;
		MMDB_entry_data_s data;

		if (!find(&g->files[i], a, &entry) ||
		    MMDB_get_value(&entry, &data, "country", "iso_code", NULL) != MMDB_SUCCESS ||
		    !data.has_data || data.type != MMDB_DATA_TYPE_UTF8_STRING ||
		    data.data_size != 2)
			continue;
		memcpy(out, data.utf8_string, 2);
		out[2] = '\0';
		return true;
	}
	return false;
}

bool
geo_asn(const struct geo *g, const struct addr *a, uint32_t *out)
{
	for (size_t i = 0; g != NULL && i < g->count; i++) {
		MMDB_entry_s entry;
		MMDB_entry_data_s data;

		if (!find(&g->files[i], a, &entry) ||
		    MMDB_get_value(&entry, &data, "autonomous_system_number", NULL) !=
			MMDB_SUCCESS ||
		    !data.has_data || data.type != MMDB_DATA_TYPE_UINT32)
			continue;
		*out = data.uint32;
		return true;
	}
	return false;
}

#else /* !HAVE_MAXMINDDB */

struct geo *
geo_open(const char *files, const struct place *at)
{
	if (files[0] != '\0')
		diag_add(at->diag, DIAG_ERROR, at->file, at->line,
		    "this Gatehouse was built without libmaxminddb: empty gatehouse_geo_files");
	return NULL;
}

void
geo_close(struct geo **g)
{
	*g = NULL;
}

bool
geo_country(const struct geo *g, const struct addr *a, char out[3])
{
	(void)g, (void)a, (void)out;
	return false;
}

bool
geo_asn(const struct geo *g, const struct addr *a, uint32_t *out)
{
	(void)g, (void)a, (void)out;
	return false;
}
#endif
