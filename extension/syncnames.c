/*
 * syncnames.c
 *	  synchronous_standby_names, as the rule in force has it.
 *
 * In sync and strict the setting belongs to us: ANY k of all voters, the same list on
 * every node ahead of time (a node's own name in it does no harm), so a promotion
 * changes nothing.  PostgreSQL's wait is only where a commit usually waits; what
 * counts is counted by the gate.  So nothing here is a matter of safety, but a list
 * that asks for more than the rule would hold commits for ever: with k = 0, all
 * standbys being left out, it is empty.
 *
 * A primary changes it only while its gate is open and its newest rule counts alone:
 * emptied on a node that is being deposed it would let go of sessions that wait, and
 * show what they wrote.  In async a list of ours goes, anybody else's stays.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "utils/guc.h"

#include "gate.h"
#include "pg_regent.h"
#include "settings.h"
#include "shmem.h"
#include "syncnames.h"

#define SETTING "synchronous_standby_names"
#define NAMES_SIZE (RG_VOTERS_MAX * (RG_NAME_SIZE + 4) + 32)

/* "(n1, n2)"; a name that begins with a digit would be read as a number. */
static void
format_list(const RgRule *rule, char *buf, size_t size)
{
	size_t		length = 0;

	for (int i = 0; i < rule->nvoters && length < size; i++)
	{
		const char *quote = rule->voters[i][0] <= '9' ? "\"" : "";

		length += snprintf(buf + length, size - length, "%s%s%s%s", i == 0 ? "(" : ", ", quote,
						   rule->voters[i], quote);
	}
	if (length < size)
		snprintf(buf + length, size - length, ")");
}

/* Is this value one that we wrote for these voters? */
static bool
is_ours(const char *value, const char *list)
{
	const char *at = strchr(value, '(');

	return strncmp(value, "ANY ", 4) == 0 && at != NULL && strcmp(at, list) == 0;
}

/*
 * What the setting should be: false if it is not for us to say now.  *ret_ours says
 * that what stands there is ours.
 */
static bool
find_wish(char *ret_wish, size_t size, bool *ret_ours)
{
	RgState    *state = palloc(sizeof(RgState));
	bool		in_recovery = RecoveryInProgress();
	const char *current = GetConfigOption(SETTING, false, false);
	char		list[NAMES_SIZE];
	int			quorum;

	rg_shared_state(state);
	if (!rg_gate_lets_settings_change(state, in_recovery))
		return false;
	format_list(&state->rule, list, sizeof(list));
	*ret_ours = is_ours(current, list);
	ret_wish[0] = '\0';
	if (strcmp(state->rule.durability, "async") == 0)
		return *ret_ours;
	/* whoever may lead next begins with somebody to wait for */
	quorum = in_recovery ? Max(state->rule.quorum, 1) : state->rule.quorum;
	if (quorum > 0)
		snprintf(ret_wish, size, "ANY %d %s", quorum, list);
	return true;
}

bool
rg_sync_names_are_due(void)
{
	char		wish[NAMES_SIZE];
	bool		is_own;

	return find_wish(wish, sizeof(wish), &is_own) && strcmp(wish, GetConfigOption(SETTING, false, false)) != 0;
}

void
rg_sync_names_fit(void)
{
	char		wish[NAMES_SIZE];
	bool		is_own;
	char	   *written = rg_setting_auto_value(SETTING);

	/* written already: it is only not reloaded yet */
	if (!find_wish(wish, sizeof(wish), &is_own) || (written != NULL && strcmp(written, wish) == 0))
		return;
	rg_setting_require_changeable(SETTING);
	rg_setting_write(SETTING, wish);
	rg_settings_reload();
	ereport(LOG,
			(errmsg("pg_regent set %s of node \"%s\" to \"%s\"", SETTING, rg_node_name, wish)));
}
