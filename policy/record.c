#include "config.h"

#include "policy/store.h"

static const char *const words[CHECKS] = {
#define CHECK(id, word, when, enable, ttl, action) [CHECK_##id] = (word),
#include "policy/checks.tbl"
#undef CHECK
};

const char *
check_word(enum check check)
{
	return words[check];
}

void
record_clear(struct record *record)
{
	for (int i = 0; i < CHECKS; i++)
		record->expires_at[i] = STAMP_INVALID;
}

/* Takes the text up to the next semicolon off *rest. */
static struct span
take_field(struct span *rest)
{
	struct span field = { rest->p, 0 };

	while (field.len < rest->len && rest->p[field.len] != ';')
		field.len++;
	size_t used = field.len + (field.len < rest->len);
	rest->p += used;
	rest->len -= used;
	return field;
}

void
record_parse(struct record *out, struct span text)
{
	uint64_t value;

	for (int i = 0; i < CHECKS; i++) {
		struct span field = take_field(&text);
		out->expires_at[i] =
		    span_uint(field, INT64_MAX, &value) ? (int64_t)value : STAMP_DISABLED;
	}
}

bool
record_is_text(struct span text)
{
	bool digit = false;

	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] >= '0' && text.p[i] <= '9')
			digit = true;
		else if (text.p[i] != ';')
			return false;
	}
	return digit && text.len < RECORD_TEXT_SIZE;
}

struct record
record_settled(const struct record *record, uint8_t enabled)
{
	struct record settled = *record;

	for (unsigned i = 0; i < CHECKS; i++)
		if (settled.expires_at[i] <= STAMP_NEW)
			settled.expires_at[i] =
			    (enabled & CHECK_BIT(i)) ? STAMP_NEW : STAMP_DISABLED;
	return settled;
}

void
record_format(const struct record *record, uint8_t enabled, struct buf *out)
{
	struct record settled = record_settled(record, enabled);

	for (unsigned i = 0; i < CHECKS; i++)
		buf_printf(out, "%s%lld", i ? ";" : "", (long long)settled.expires_at[i]);
}

bool
record_keep(const struct record *record, const struct policy_rules *rules, int64_t now_s)
{
	uint8_t judged = rules->enabled ? rules->enabled : CHECKS_EARLY | CHECKS_DEEP;

	for (unsigned i = 0; i < CHECKS; i++)
		if ((judged & CHECK_BIT(i)) && record->expires_at[i] >= now_s - rules->retention_s)
			return true;
	return false;
}
