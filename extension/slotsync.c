/*
 * slotsync.c
 *	  The settings by which the server itself carries logical slots to its standbys.
 *
 * From PostgreSQL 17 on a standby keeps the logical slots of its primary that were
 * made with failover = true as they are there, so a subscriber goes on at whoever is
 * promoted.  For that it needs, beside the slot that each of our standbys has:
 * sync_replication_slots; hot_standby_feedback, or the primary would remove rows of
 * the catalogs that its copies of the slots still need; and a database in
 * primary_conninfo, since it asks the primary for its slots over an ordinary session.
 *
 * So it is where the server is of 17 or later and wal_level is logical, and nowhere
 * else.  Every voter has it ahead of time, a leader too: there it does nothing.  Who has
 * no vote may stream from a standby, of which the server takes no slots: it would try
 * for ever, so there it is turned off.  What stands somewhere else and says the same is
 * left alone; what says otherwise is overruled in postgresql.auto.conf, where that is
 * possible, else told once.
 *
 * The connection string is changed under the node's lock, and never while the node is
 * parked: a promise takes it away, and nobody may bring it back.
 */
#include "postgres.h"

#include <ctype.h>

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "lib/stringinfo.h"
#include "utils/guc.h"

#include "compat.h"
#include "nodestate.h"
#include "pg_regent.h"
#include "settings.h"
#include "shmem.h"
#include "slotsync.h"

#define SYNC "sync_replication_slots"
#define FEEDBACK "hot_standby_feedback"
#define CONNINFO "primary_conninfo"

/* Told already that one of them can't be changed; why is_due() says no more of it. */
static bool sync_is_told = false;
static bool feedback_is_told = false;
static bool conninfo_is_told = false;

/*
 * With sync_replication_slots and a lower wal_level the postmaster of a standby ends
 * itself.  It may have been written by us before wal_level was lowered.
 */
void
rg_slot_sync_init(void)
{
	if (RG_SERVER_SYNCS_SLOTS && !rg_compat_syncs_slots())
		SetConfigOption(SYNC, "off", PGC_POSTMASTER, PGC_S_OVERRIDE);
}

/* ------------------------------------------------ the connection string */

/* Steps over one value, in quotes or not; a backslash takes the next character with it. */
static const char *
skip_value(const char *at)
{
	bool		is_quoted = *at == '\'';

	if (is_quoted)
		at++;
	for (; *at != '\0'; at++)
	{
		if (is_quoted ? *at == '\'' : isspace((unsigned char) *at))
			return is_quoted ? at + 1 : at;
		if (*at == '\\' && at[1] != '\0')
			at++;
	}
	return at;
}

static const char *
skip_spaces(const char *at)
{
	while (isspace((unsigned char) *at))
		at++;
	return at;
}

/* A URI may name one anywhere: it is taken for one that does. */
static bool
names_database(const char *conninfo)
{
	const char *at = skip_spaces(conninfo);

	while (*at != '\0')
	{
		size_t		length = strcspn(at, "= \t\r\n");
		bool		is_it = length == strlen("dbname") && strncmp(at, "dbname", length) == 0;

		at = skip_spaces(at + length);
		if (*at != '=' || is_it)
			return true;
		at = skip_spaces(skip_value(skip_spaces(at + 1)));
	}
	return false;
}

const char *
rg_slot_sync_conninfo(const char *conninfo)
{
	StringInfoData result;

	if (!rg_compat_syncs_slots() || conninfo[0] == '\0' || names_database(conninfo))
		return conninfo;
	initStringInfo(&result);
	appendStringInfo(&result, "%s dbname='", conninfo);
	for (const char *at = rg_database; *at != '\0'; at++)
	{
		if (*at == '\'' || *at == '\\')
			appendStringInfoChar(&result, '\\');
		appendStringInfoChar(&result, *at);
	}
	appendStringInfoChar(&result, '\'');
	return result.data;
}

/* ------------------------------------------------ what is to be done */

static bool
is_on(const char *name)
{
	const char *value = GetConfigOption(name, true, false);

	return value != NULL && strcmp(value, "on") == 0;
}

static bool
is_voter(void)
{
	RgState    *state = palloc(sizeof(RgState));
	bool		result;

	rg_shared_state(state);
	result = rg_names_contain(state->rule.voters, state->rule.nvoters, rg_node_name);
	pfree(state);
	return result;
}

static bool
conninfo_is_due(void)
{
	return RecoveryInProgress() && !conninfo_is_told && PrimaryConnInfo[0] != '\0' &&
		!names_database(PrimaryConnInfo);
}

/* Written by us in a time when wal_level was higher; looked for once, it does not come back. */
static bool
must_go(void)
{
	static bool is_looked_for = false;
	const char *value;

	if (!RG_SERVER_SYNCS_SLOTS || is_looked_for)
		return false;
	is_looked_for = true;
	value = rg_setting_auto_value(SYNC);
	return value != NULL && strcmp(value, "on") == 0;
}

bool
rg_slot_sync_is_due(void)
{
	if (!rg_compat_syncs_slots())
		return must_go();
	if (!is_voter())
		return is_on(SYNC) && !sync_is_told;
	return (!is_on(SYNC) && !sync_is_told) || (!is_on(FEEDBACK) && !feedback_is_told) || conninfo_is_due();
}

/* ------------------------------------------------ doing it */

static void
tell(const char *name, const char *detail, const char *hint)
{
	ereport(LOG,
			(errmsg("pg_regent cannot have logical slots carried over to node \"%s\" because of its setting \"%s\"",
					rg_node_name, name),
			 errdetail("%s", detail),
			 errhint("%s", hint)));
}

/* Returns whether it has written it. */
static bool
turn(const char *name, bool on, bool *is_told)
{
	const char *value = on ? "on" : "off";
	char	   *written;

	if (is_on(name) == on || *is_told)
		return false;
	if (!rg_setting_is_changeable(name))
	{
		*is_told = true;
		tell(name, "It is set by the command that started the server, which no file can change.",
			 "Remove it from the start command and restart the server.");
		return false;
	}
	written = rg_setting_auto_value(name);
	if (written != NULL && strcmp(written, value) == 0)
		return false;			/* it is only not reloaded yet */
	rg_setting_write(name, value);
	ereport(LOG,
			(errmsg("pg_regent set %s of node \"%s\" to \"%s\"", name, rg_node_name, value),
			 errdetail("%s", on ? "The server carries logical slots over to standbys with it." :
					   "A node without a vote may stream from a standby, and that has no slots to carry over.")));
	return true;
}

static bool
name_database(void)
{
	RgNode		node;
	char	   *written;
	bool		is_done = false;

	if (!conninfo_is_due() || !rg_node_try_lock(&node))
		return false;
	written = rg_setting_auto_value(CONNINFO);
	if (written == NULL || !rg_setting_is_changeable(CONNINFO))
	{
		conninfo_is_told = true;
		tell(CONNINFO, "It names no database, and stands where pg_regent does not write.",
			 "Add dbname to it, or remove it there and run \"regent init\".");
	}
	else if (written[0] != '\0' && !names_database(written) && !rg_state_is_parked(&node.state))
	{
		rg_setting_write(CONNINFO, rg_slot_sync_conninfo(written));
		ereport(LOG,
				(errmsg("pg_regent added a database to %s of node \"%s\"", CONNINFO, rg_node_name),
				 errdetail("The server asks its primary for logical slots there.")));
		is_done = true;
	}
	rg_node_unlock(&node);
	return is_done;
}

void
rg_slot_sync_fit(void)
{
	bool		is_changed;

	if (!rg_compat_syncs_slots())
	{
		rg_setting_write(SYNC, NULL);
		return;
	}
	if (!is_voter())
		is_changed = turn(SYNC, false, &sync_is_told);
	else
	{
		is_changed = turn(FEEDBACK, true, &feedback_is_told);
		is_changed |= name_database();
		is_changed |= turn(SYNC, true, &sync_is_told);
	}
	if (is_changed)
		rg_settings_reload();
}
