/*
 * standbyslots.c
 *	  synchronized_standby_slots, as the rule in force has it.
 *
 * From PostgreSQL 17 on a primary tells a logical subscriber with a failover slot
 * nothing that the standbys of these slots have not flushed: so a subscriber is never
 * ahead of whoever is promoted.  In sync and strict they are those voters' that
 * stream, as long as these are enough for a commit: a subset of them acknowledges, and
 * a failover meets every such subset, so one of those among whom the most advanced is
 * chosen has all that any subscriber knows.  While fewer stream, all voters' that are
 * not left out: subscribers wait, as commits do.  In async it is empty: a subscriber
 * may be ahead of the new primary, as a client may be.
 *
 * A standby has the slots of all others ahead of time, though they are asked for on a
 * primary only: promoted, it waits for too many at first rather than for too few.
 *
 * A primary changes it only while its gate is open and its newest rule counts alone, as
 * with synchronous_standby_names.  Who begins to stream is in at once, who has ceased is
 * out after a moment, since each change is a reload.  Only slots that exist are named:
 * for any other one the server refuses the value.  A list with a slot that is none of
 * ours belongs to whoever wrote it; it is left alone and told once.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "replication/slot.h"
#include "utils/guc.h"

#include "compat.h"
#include "gate.h"
#include "pg_regent.h"
#include "settings.h"
#include "shmem.h"
#include "slots.h"
#include "standbyslots.h"
#include "status.h"

#define SETTING "synchronized_standby_slots"
#define NAMES_SIZE (RG_VOTERS_MAX * (RG_NAME_SIZE + 9) + 1)
#define GONE_AFTER_MS 3000

/* When each voter of this rule was last seen to stream; 0: not yet. */
static int64 seen_ms[RG_VOTERS_MAX];
static int64 seen_term = 0;
static int32 seen_seq = 0;

/* ------------------------------------------------ whose list is it? */

/* Is every name in it the slot of a node? */
static bool
is_ours(const char *value)
{
	char	   *names = pstrdup(value);
	char	   *rest = names;
	bool		result = true;

	for (char *name; result && (name = strtok_r(rest, ", \t", &rest)) != NULL;)
		result = strncmp(name, RG_SLOT_PREFIX, strlen(RG_SLOT_PREFIX)) == 0 &&
			rg_name_is_valid(name + strlen(RG_SLOT_PREFIX));
	pfree(names);
	return result;
}

static bool
may_change(const char *current)
{
	static bool is_told = false;
	bool		is_fixed = !rg_setting_is_changeable(SETTING);

	if (!is_fixed && is_ours(current))
	{
		is_told = false;
		return true;
	}
	if (!is_told)
		ereport(LOG,
				(errmsg("pg_regent leaves %s of node \"%s\" as it is: \"%s\"", SETTING, rg_node_name, current),
				 errdetail("%s", is_fixed ? "It is set by the command that started the server, which no file can change." :
						   "It names slots that are not of pg_regent."),
				 errhint("Without it pg_regent sees that logical subscribers are not ahead of the next leader.")));
	is_told = true;
	return false;
}

/* ------------------------------------------------ what the rule asks for */

static bool
has_slot(const char *voter)
{
	ReplicationSlot *slot = rg_slots_find(voter);

	return slot != NULL && SlotIsPhysical(slot);
}

/* The voters whose flush counts and whose slots are here. */
static void
find_counted(const RgRule *rule, bool *ret_is_in)
{
	for (int i = 0; i < rule->nvoters; i++)
		ret_is_in[i] = strcmp(rule->voters[i], rg_node_name) != 0 && !rg_names_contain(rule->left_out, rule->nleft_out, rule->voters[i]) &&
			has_slot(rule->voters[i]);
}

static void
note_streaming(const RgRule *rule)
{
	int			count;
	RgStandby  *standbys = rg_status_standbys(&count);

	if (seen_term != rule->term || seen_seq != rule->seq)
		memset(seen_ms, 0, sizeof(seen_ms));
	seen_term = rule->term;
	seen_seq = rule->seq;
	for (int i = 0; i < rule->nvoters; i++)
		for (int j = 0; j < count; j++)
			if (strcmp(standbys[j].node, rule->voters[i]) == 0 && strcmp(standbys[j].state, "streaming") == 0)
				seen_ms[i] = rg_boottime_ms();
	pfree(standbys);
}

/* Takes out who does not stream, unless too few would be left. */
static void
leave_streaming(const RgRule *rule, bool *is_in)
{
	bool		streams[RG_VOTERS_MAX];
	int			count = 0;

	note_streaming(rule);
	for (int i = 0; i < rule->nvoters; i++)
	{
		streams[i] = is_in[i] && seen_ms[i] != 0 && rg_boottime_ms() - seen_ms[i] < GONE_AFTER_MS;
		count += streams[i];
	}
	if (count >= rule->quorum)
		memcpy(is_in, streams, rule->nvoters * sizeof(bool));
}

static void
format_list(const RgRule *rule, const bool *is_in, char *buf, size_t size)
{
	size_t		length = 0;

	buf[0] = '\0';
	for (int i = 0; i < rule->nvoters && length < size; i++)
		if (is_in[i])
			length += snprintf(buf + length, size - length, "%s" RG_SLOT_PREFIX "%s", length > 0 ? ", " : "",
							   rule->voters[i]);
}

/* What the setting should be: false if it is not for us to say now. */
static bool
find_wish(char *ret_wish, size_t size)
{
	RgState    *state;
	bool		in_recovery = RecoveryInProgress();
	bool		is_in[RG_VOTERS_MAX];

	if (!rg_compat_syncs_slots())
		return false;
	state = palloc(sizeof(RgState));
	rg_shared_state(state);
	if (!rg_gate_lets_settings_change(state, in_recovery))
		return false;
	if (!may_change(GetConfigOption(SETTING, false, false)))
		return false;
	ret_wish[0] = '\0';
	if (strcmp(state->rule.durability, "async") == 0)
		return true;
	find_counted(&state->rule, is_in);
	if (!in_recovery)
		leave_streaming(&state->rule, is_in);
	format_list(&state->rule, is_in, ret_wish, size);
	return true;
}

/* ------------------------------------------------ keeping it */

bool
rg_standby_slots_are_due(void)
{
	char		wish[NAMES_SIZE];

	return find_wish(wish, sizeof(wish)) && strcmp(wish, GetConfigOption(SETTING, false, false)) != 0;
}

void
rg_standby_slots_fit(void)
{
	char		wish[NAMES_SIZE];
	char	   *written = rg_setting_auto_value(SETTING);

	/* written already: it is only not reloaded yet */
	if (!find_wish(wish, sizeof(wish)) || (written != NULL && strcmp(written, wish) == 0))
		return;
	rg_setting_write(SETTING, wish);
	rg_settings_reload();
	ereport(LOG,
			(errmsg("pg_regent set %s of node \"%s\" to \"%s\"", SETTING, rg_node_name, wish)));
}
