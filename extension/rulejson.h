/*
 * rulejson.h
 *	  A rule as a plain value, and its one-line JSON form.
 *
 * A rule is one row of regent.rule.  The server keeps copies of the newest ones
 * outside of the table, in shared memory and in the node's state file, because
 * heartbeat and recovery must not read a table.  The JSON form is what the
 * state file holds and what heartbeat() answers.
 *
 * Pure C without server headers: parsed at server start, in the postmaster,
 * where an error must not be thrown; and unit-tested without a server.
 */
#ifndef RG_RULEJSON_H
#define RG_RULEJSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A slot is called regent_<node> and holds 63 bytes at most. */
#define RG_NAME_SIZE 57
#define RG_VOTERS_MAX 32
#define RG_UUID_SIZE 37
#define RG_TIME_SIZE 40
#define RG_REASON_SIZE 256
#define RG_RULE_JSON_SIZE 8192

typedef struct RgRule
{
	int64_t term;
	int32_t seq;
	char leader[RG_NAME_SIZE];
	int nvoters;
	char voters[RG_VOTERS_MAX][RG_NAME_SIZE];
	char durability[8];
	int32_t quorum;
	int nleft_out;
	char left_out[RG_VOTERS_MAX][RG_NAME_SIZE];
	int64_t lease_ms;
	char pause_until[RG_TIME_SIZE]; /* empty: no pause */
	char watchdog[RG_UUID_SIZE];
	char reason[RG_REASON_SIZE];	/* ASCII, see rg_rule_set_reason */
	char at[RG_TIME_SIZE];
	uint32_t timeline;				/* on which the row was written; 0: unknown */
} RgRule;

/* Is this a node name: 1 to 56 of [a-z0-9_], and no word of synchronous_standby_names? */
extern bool rg_name_is_valid(const char *name);

/* Copies the reason, cut to size; what is not printable ASCII becomes '?'. */
extern void rg_rule_set_reason(RgRule *rule, const char *reason);

/*
 * Writes the rule as one line of JSON, without a line feed.  Returns its
 * length, or -1 if it does not fit.
 */
extern int rg_rule_format(const RgRule *rule, char *buf, size_t size);

/*
 * Reads what rg_rule_format wrote; keys that are not known are skipped.
 * Returns 0, or -1 without touching ret_rule if it is not a complete rule.
 */
extern int rg_rule_parse(const char *json, RgRule *ret_rule);

/* Is it one of these: of a rule's voters, or of those that it leaves out? */
extern bool rg_names_contain(const char (*names)[RG_NAME_SIZE], int count, const char *name);

#endif							/* RG_RULEJSON_H */
