/*
 * statefile.c
 *	  The node's state file: its text, and how its values change.
 *
 * See statefile.h for the form.  The reader is strict on purpose: a file that is
 * cut, has a line too many or a wrong checksum is no state file, and the node
 * then votes for nobody instead of forgetting a promise.  So parse(format(x))
 * is x, and whatever else parse accepts formats back to the same text.
 */
#include "statefile.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "joint.h"

#define FIRST_LINE "pg_regent node state 1"

void
rg_state_init(RgState *state, const char *node, uint64_t system_identifier)
{
	memset(state, 0, sizeof(*state));
	snprintf(state->node, sizeof(state->node), "%s", node);
	state->system_identifier = system_identifier;
}

/* CRC of POSIX cksum: polynomial 0x04C11DB7, then the length, complemented. */
uint32_t
rg_state_cksum(const char *data, size_t length)
{
	uint32_t crc = 0;
	size_t rest = length;
	size_t i = 0;

	while (i < length || rest != 0)
	{
		unsigned char byte;

		if (i < length)
			byte = (unsigned char) data[i++];
		else
		{
			byte = (unsigned char) (rest & 0xFF);
			rest >>= 8;
		}
		crc ^= (uint32_t) byte << 24;
		for (int bit = 0; bit < 8; bit++)
			crc = (crc & 0x80000000U) ? (crc << 1) ^ 0x04C11DB7U : crc << 1;
	}
	return ~crc;
}

/* ---------------------------------------------------------------- writing */

typedef struct Text
{
	char *buf;
	size_t size;
	size_t used;
	bool overflow;
} Text;

__attribute__((format(printf, 2, 3))) static void
add(Text *text, const char *fmt,...)
{
	va_list args;
	int written;

	if (text->overflow)
		return;
	va_start(args, fmt);
	written = vsnprintf(text->buf + text->used, text->size - text->used, fmt, args);
	va_end(args);
	if (written < 0 || (size_t) written >= text->size - text->used)
		text->overflow = true;
	else
		text->used += (size_t) written;
}

static void
add_rule(Text *text, const char *name, bool has, const RgRule *rule)
{
	int length;

	add(text, "%s ", name);
	if (!has)
		add(text, "-");
	else if (!text->overflow)
	{
		length = rg_rule_format(rule, text->buf + text->used, text->size - text->used);
		if (length < 0)
			text->overflow = true;
		else
			text->used += (size_t) length;
	}
	add(text, "\n");
}

int
rg_state_format(const RgState *state, char *buf, size_t size)
{
	Text text = {buf, size, 0, size == 0};

	add(&text, FIRST_LINE "\nnode %s\nsystem_identifier %" PRIu64 "\n", state->node,
		state->system_identifier);
	if (state->promise_term > 0)
		add(&text, "promise %" PRId64 " %s\n", state->promise_term,
			state->promise_watchdog[0] ? state->promise_watchdog : "-");
	else
		add(&text, "promise - -\n");
	if (state->watchdog[0])
		add(&text, "watchdog %s %" PRId64 "\n", state->watchdog, state->counter);
	else
		add(&text, "watchdog - -\n");
	add_rule(&text, "rule", state->has_rule, &state->rule);
	add_rule(&text, "previous_rule", state->has_previous, &state->previous);
	add_rule(&text, "pending_rule", state->has_pending, &state->pending);
	add(&text, "followed %s", state->nfollowed == 0 ? "-" : "");
	for (int i = 0; i < state->nfollowed; i++)
		add(&text, "%s%" PRId64 ":%" PRIu32, i > 0 ? "," : "", state->followed[i].term,
			state->followed[i].timeline);
	if (state->promoting > 0)
		add(&text, "\npromoting %" PRId64 "\n", state->promoting);
	else
		add(&text, "\npromoting -\n");
	if (state->unopened_timeline > 0)
		add(&text, "unopened %" PRIu32 " %" PRIX32 "/%" PRIX32 "\n", state->unopened_timeline,
			(uint32_t) (state->unopened_lsn >> 32), (uint32_t) state->unopened_lsn);
	else
		add(&text, "unopened -\n");
	if (!text.overflow)
		add(&text, "checksum %" PRIu32 "\n", rg_state_cksum(buf, text.used));

	return text.overflow ? -1 : (int) text.used;
}

/* ---------------------------------------------------------------- reading */

/*
 * Takes the next line if it is `name value`, cuts it off, and returns the value;
 * NULL otherwise.
 */
static char *
take_line(char **next, const char *name)
{
	size_t name_length = strlen(name);
	char *line = *next;
	char *end = strchr(line, '\n');

	if (end == NULL || strncmp(line, name, name_length) != 0 || line[name_length] != ' ')
		return NULL;
	*end = '\0';
	*next = end + 1;
	return line + name_length + 1;
}

/* The number at the start of text, followed by `end`; false if there is none. */
static bool
parse_number(const char *text, char end, int64_t min, int64_t *ret_value, const char **ret_rest)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 18 || (digits > 1 && text[0] == '0') || text[digits] != end)
		return false;
	*ret_value = strtoll(text, NULL, 10);
	if (ret_rest != NULL)
		*ret_rest = text + digits + (end != '\0');
	return *ret_value >= min;
}

static bool
parse_uuid(const char *text, char *ret_uuid)
{
	if (strlen(text) != RG_UUID_SIZE - 1 ||
		strspn(text, "0123456789abcdef-") != RG_UUID_SIZE - 1)
		return false;
	memcpy(ret_uuid, text, RG_UUID_SIZE);
	return true;
}

/* `TERM UUID`, `TERM -` (promised to the helper before a watchdog was known), `- -` */
static bool
parse_promise(const char *value, RgState *state)
{
	const char *rest;

	if (strcmp(value, "- -") == 0)
		return true;
	if (!parse_number(value, ' ', 1, &state->promise_term, &rest))
		return false;
	return strcmp(rest, "-") == 0 || parse_uuid(rest, state->promise_watchdog);
}

static bool
parse_watchdog(char *value, RgState *state)
{
	char *space = strchr(value, ' ');

	if (strcmp(value, "- -") == 0)
		return true;
	if (space == NULL)
		return false;
	*space = '\0';
	return parse_uuid(value, state->watchdog) && parse_number(space + 1, '\0', 0, &state->counter, NULL);
}

static bool
parse_rule(const char *value, bool *ret_has, RgRule *ret_rule)
{
	if (strcmp(value, "-") == 0)
		return true;
	*ret_has = true;
	return rg_rule_parse(value, ret_rule) == 0;
}

static bool
parse_followed(const char *value, RgState *state)
{
	const char *rest = value;

	if (strcmp(value, "-") == 0)
		return true;
	while (state->nfollowed < RG_FOLLOWED_MAX)
	{
		RgTermEnd *entry = &state->followed[state->nfollowed];
		int64_t timeline;
		bool is_last;

		if (!parse_number(rest, ':', 1, &entry->term, &rest))
			return false;
		is_last = strchr(rest, ',') == NULL;
		if (!parse_number(rest, is_last ? '\0' : ',', 1, &timeline, &rest) || timeline > UINT32_MAX)
			return false;
		entry->timeline = (uint32_t) timeline;
		if (state->nfollowed > 0 && entry->term <= entry[-1].term)
			return false;
		state->nfollowed++;
		if (is_last)
			return true;
	}
	return false;
}

/* Eight hexadecimal digits at most, as %X prints them. */
static bool
parse_half(const char *text, char end, uint32_t *ret_value, const char **ret_rest)
{
	size_t digits = strspn(text, "0123456789ABCDEF");

	if (digits == 0 || digits > 8 || (digits > 1 && text[0] == '0') || text[digits] != end)
		return false;
	*ret_value = (uint32_t) strtoul(text, NULL, 16);
	*ret_rest = text + digits + (end != '\0');
	return true;
}

/* `TIMELINE X/X`, or `-` */
static bool
parse_unopened(const char *value, RgState *state)
{
	int64_t timeline;
	uint32_t high;
	uint32_t low;
	const char *rest;

	if (strcmp(value, "-") == 0)
		return true;
	if (!parse_number(value, ' ', 1, &timeline, &rest) || timeline > UINT32_MAX ||
		!parse_half(rest, '/', &high, &rest) || !parse_half(rest, '\0', &low, &rest))
		return false;
	state->unopened_timeline = (uint32_t) timeline;
	state->unopened_lsn = (uint64_t) high << 32 | low;
	return true;
}

static bool
parse_identity(char **next, RgState *state)
{
	char *value;

	value = take_line(next, "node");
	if (value == NULL || !rg_name_is_valid(value))
		return false;
	memcpy(state->node, value, strlen(value) + 1);

	value = take_line(next, "system_identifier");
	if (value == NULL || strlen(value) > 20 || strspn(value, "0123456789") != strlen(value) ||
		value[0] == '\0')
		return false;
	state->system_identifier = strtoull(value, NULL, 10);
	return true;
}

/* The lines between the first one and the checksum; names the bad one. */
static const char *
parse_lines(char *next, RgState *state)
{
	char *value;

	if (!parse_identity(&next, state))
		return "its node or system_identifier line is not understood";
	value = take_line(&next, "promise");
	if (value == NULL || !parse_promise(value, state))
		return "its promise line is not understood";
	value = take_line(&next, "watchdog");
	if (value == NULL || !parse_watchdog(value, state))
		return "its watchdog line is not understood";
	value = take_line(&next, "rule");
	if (value == NULL || !parse_rule(value, &state->has_rule, &state->rule))
		return "its rule line is not understood";
	value = take_line(&next, "previous_rule");
	if (value == NULL || !parse_rule(value, &state->has_previous, &state->previous))
		return "its previous_rule line is not understood";
	value = take_line(&next, "pending_rule");
	if (value == NULL || !parse_rule(value, &state->has_pending, &state->pending))
		return "its pending_rule line is not understood";
	value = take_line(&next, "followed");
	if (value == NULL || !parse_followed(value, state))
		return "its followed line is not understood";
	value = take_line(&next, "promoting");
	if (value == NULL ||
		(strcmp(value, "-") != 0 && !parse_number(value, '\0', 1, &state->promoting, NULL)))
		return "its promoting line is not understood";
	value = take_line(&next, "unopened");
	if (value == NULL || !parse_unopened(value, state))
		return "its unopened line is not understood";
	if (*next != '\0')
		return "it has a line too many";
	return NULL;
}

int
rg_state_parse(const char *text, size_t length, RgState *ret_state, char *ret_reason,
			   size_t reason_size)
{
	static const char last_line[] = "\nchecksum ";
	const char *reason = NULL;
	const char *mark = NULL;
	char *copy = NULL;
	RgState *state = NULL;
	int64_t checksum;
	size_t body = 0;

	if (length == 0 || length >= RG_STATE_TEXT_SIZE || memchr(text, '\0', length) != NULL)
		reason = "it is empty, too long or not text";
	copy = malloc(length + 1);
	state = calloc(1, sizeof(*state));
	if (reason == NULL && (copy == NULL || state == NULL))
		reason = "there is no memory to read it";
	if (reason == NULL)
	{
		memcpy(copy, text, length);
		copy[length] = '\0';
		mark = strstr(copy, last_line);
		if (mark == NULL || copy[length - 1] != '\n')
			reason = "its last line is missing";
	}
	if (reason == NULL)
	{
		copy[length - 1] = '\0';
		body = (size_t) (mark - copy) + 1;
		if (!parse_number(mark + strlen(last_line), '\0', 0, &checksum, NULL) ||
			checksum != (int64_t) rg_state_cksum(text, body))
			reason = "its checksum does not match";
		copy[body] = '\0';
	}
	if (reason == NULL && strncmp(copy, FIRST_LINE "\n", strlen(FIRST_LINE) + 1) != 0)
		reason = "it has another format than this version of pg_regent reads";
	if (reason == NULL)
		reason = parse_lines(copy + strlen(FIRST_LINE) + 1, state);

	if (reason == NULL)
		*ret_state = *state;
	else
		snprintf(ret_reason, reason_size, "%s", reason);
	free(copy);
	free(state);
	return reason == NULL ? 0 : -1;
}

/* ---------------------------------------------------------------- values */

static int64_t
max_term(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

int64_t
rg_state_effective_term(const RgState *state)
{
	int64_t term = state->promise_term;

	if (state->has_rule)
		term = max_term(term, state->rule.term);
	if (state->has_pending)
		term = max_term(term, state->pending.term);
	return term;
}

int64_t
rg_state_closing_term(const RgState *state)
{
	int64_t term = state->promise_term;

	if (state->has_rule)
		term = max_term(term, state->rule.term);
	if (state->has_pending && strcmp(state->pending.leader, state->node) != 0)
		term = max_term(term, state->pending.term);
	return term;
}

bool
rg_state_leads(const RgState *state)
{
	return state->has_rule && strcmp(state->rule.leader, state->node) == 0 &&
		rg_state_closing_term(state) <= state->rule.term;
}

int64_t
rg_state_highest_term(const RgState *state)
{
	int64_t term = max_term(rg_state_effective_term(state), state->promoting);

	if (state->nfollowed > 0)
		term = max_term(term, state->followed[state->nfollowed - 1].term);
	return term;
}

bool
rg_state_has_followed(const RgState *state, int64_t term)
{
	for (int i = 0; i < state->nfollowed; i++)
		if (state->followed[i].term == term)
			return true;
	return false;
}

bool
rg_state_is_parked(const RgState *state)
{
	int64_t last = state->has_rule ? state->rule.term : 0;

	if (state->nfollowed > 0)
		last = max_term(last, state->followed[state->nfollowed - 1].term);
	return state->promise_term > last;
}

bool
rg_state_begin(RgState *state, uint32_t timeline, uint64_t lsn)
{
	if (lsn == 0 || timeline == 0 ||
		(state->unopened_timeline == timeline && state->unopened_lsn <= lsn))
		return false;
	state->unopened_timeline = timeline;
	state->unopened_lsn = lsn;
	return true;
}

bool
rg_state_open(RgState *state)
{
	if (state->unopened_timeline == 0)
		return false;
	state->unopened_timeline = 0;
	state->unopened_lsn = 0;
	return true;
}

uint64_t
rg_state_unopened_lsn(const RgState *state, uint32_t timeline)
{
	return state->unopened_timeline == timeline ? state->unopened_lsn : 0;
}

bool
rg_state_add_followed(RgState *state, int64_t term, uint32_t timeline)
{
	int at = state->nfollowed;

	while (at > 0 && state->followed[at - 1].term >= term)
		at--;
	if (at < state->nfollowed && state->followed[at].term == term)
	{
		if (timeline == 0 || state->followed[at].timeline == timeline)
			return false;
		state->followed[at].timeline = timeline;
		return true;
	}
	if (timeline == 0)
		return false;
	if (state->nfollowed == RG_FOLLOWED_MAX)
	{
		if (at == 0)
			return false;
		memmove(&state->followed[0], &state->followed[1],
				(RG_FOLLOWED_MAX - 1) * sizeof(RgTermEnd));
		state->nfollowed--;
		at--;
	}
	memmove(&state->followed[at + 1], &state->followed[at],
			(size_t) (state->nfollowed - at) * sizeof(RgTermEnd));
	state->followed[at] = (RgTermEnd) {term, timeline, 0};
	state->nfollowed++;
	return true;
}

void
rg_state_settle(RgState *state)
{
	state->has_previous = false;
	memset(&state->previous, 0, sizeof(state->previous));
}

bool
rg_state_adopt_rule(RgState *state, const RgRule *rule)
{
	bool changed = rg_state_add_followed(state, rule->term, rule->timeline);

	if (state->has_rule && rg_rules_compare(rule->term, rule->seq, state->rule.term,
											state->rule.seq) <= 0)
		return changed;

	/* whom a promotion has put into office has nothing of an earlier term to satisfy */
	if (!state->has_rule || (state->promoting == rule->term && strcmp(rule->leader, state->node) == 0))
		rg_state_settle(state);
	else if (!rg_joint_keeps_previous(state, rule))
	{
		state->previous = state->rule;
		state->has_previous = true;
	}
	state->rule = *rule;
	state->has_rule = true;
	if (state->has_pending && rg_rules_compare(state->pending.term, state->pending.seq,
											   rule->term, rule->seq) <= 0)
	{
		state->has_pending = false;
		memset(&state->pending, 0, sizeof(state->pending));
	}
	if (state->promoting > 0 && state->promoting <= rule->term)
		state->promoting = 0;
	if (strcmp(state->watchdog, rule->watchdog) != 0)
	{
		memcpy(state->watchdog, rule->watchdog, sizeof(state->watchdog));
		state->counter = 0;
	}
	return true;
}
