/*
 * settings.c
 *	  The few server settings that promise and follow write.
 *
 * ALTER SYSTEM refuses to run inside a function, but only its statement does:
 * the function behind it is exported, writes a new file, fsyncs and renames it.
 * It wants a superuser, so the user is switched for that call alone; an error
 * switches it back with the (sub)transaction.
 *
 * What a file says is read from the file.  A backend's own idea of a setting may
 * be older than the last reload, and a promise that skipped the write because of
 * that would be none.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xlogrecovery.h"
#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/guc.h"

#include "compat.h"
#include "errors.h"
#include "settings.h"
#include "slotsync.h"

/* In regent.saved_restore_command: it was not in the file, so remove ours again. */
#define NOT_IN_AUTO_FILE "-"
#define SAVED_RESTORE_COMMAND "regent.saved_restore_command"

char *
rg_setting_auto_value(const char *name)
{
	ConfigVariable *head = NULL;
	ConfigVariable *tail = NULL;
	char	   *value = NULL;
	FILE	   *file = AllocateFile(PG_AUTOCONF_FILENAME, "r");

	if (file == NULL)
	{
		if (errno == ENOENT)
			return NULL;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", PG_AUTOCONF_FILENAME)));
	}
	if (!ParseConfigFp(file, PG_AUTOCONF_FILENAME, 0, LOG, &head, &tail))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("could not parse contents of file \"%s\"", PG_AUTOCONF_FILENAME),
				 errhint("Repair the file, and reload the server to see that it is right.")));
	FreeFile(file);

	for (ConfigVariable *item = head; item != NULL; item = item->next)
		if (pg_strcasecmp(item->name, name) == 0)
			value = item->value;	/* the last one counts */
	if (value != NULL)
		value = pstrdup(value);
	FreeConfigVariables(head);
	return value;
}

void
rg_setting_write(const char *name, const char *value)
{
	VariableSetStmt *set = makeNode(VariableSetStmt);
	AlterSystemStmt *alter = makeNode(AlterSystemStmt);
	char	   *current = rg_setting_auto_value(name);
	bool		was_allowed;
	Oid			user;
	int			context;

	if (value == NULL ? current == NULL : current != NULL && strcmp(current, value) == 0)
		return;

	set->kind = value != NULL ? VAR_SET_VALUE : VAR_RESET;
	set->name = pstrdup(name);
	if (value != NULL)
		set->args = list_make1(rg_compat_string_const(value));
	alter->setstmt = set;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID,
						   context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	was_allowed = rg_compat_allow_alter_system(true);
	PG_TRY();
	{
		AlterSystemSetConfigFile(alter);
	}
	PG_FINALLY();
	{
		(void) rg_compat_allow_alter_system(was_allowed);
	}
	PG_END_TRY();
	SetUserIdAndSecContext(user, context);
}

bool
rg_setting_is_changeable(const char *name)
{
	struct config_generic *setting = rg_compat_find_setting(name);

	return setting == NULL || setting->source <= PGC_S_FILE;
}

void
rg_setting_require_changeable(const char *name)
{
	if (rg_setting_is_changeable(name))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_RG_SETTING_OVERRIDDEN),
			 errmsg("setting \"%s\" of this server cannot be changed by pg_regent", name),
			 errdetail("It is set by the command that started the server, which no file can change."),
			 errhint("Remove \"%s\" from the start command, put it into postgresql.conf, and restart the server.",
					 name)));
}

void
rg_settings_cut_sources(void)
{
	char	   *in_file = rg_setting_auto_value("restore_command");
	bool		has_archive = in_file != NULL ? in_file[0] != '\0' :
		recoveryRestoreCommand != NULL && recoveryRestoreCommand[0] != '\0';

	rg_setting_require_changeable("primary_conninfo");
	rg_setting_require_changeable("restore_command");

	/*
	 * primary_conninfo comes last: a reload in between that sees it empty sees
	 * the other one empty, too.
	 */
	if (has_archive)
	{
		rg_setting_write(SAVED_RESTORE_COMMAND, in_file != NULL ? in_file : NOT_IN_AUTO_FILE);
		rg_setting_write("restore_command", "");
	}
	rg_setting_write("primary_conninfo", "");
}

bool
rg_settings_restore_archive(void)
{
	char	   *saved = rg_setting_auto_value(SAVED_RESTORE_COMMAND);
	char	   *in_file;

	if (saved == NULL)
		return false;

	/* somebody may have set another one meanwhile */
	in_file = rg_setting_auto_value("restore_command");
	if (in_file != NULL && in_file[0] == '\0')
		rg_setting_write("restore_command",
						 strcmp(saved, NOT_IN_AUTO_FILE) == 0 ? NULL : saved);
	rg_setting_write(SAVED_RESTORE_COMMAND, NULL);
	return true;
}

/* It stands in a file and in pg_stat_wal_receiver: no secrets, no tricks. */
void
rg_settings_check_upstream(const char *conninfo)
{
	if (strchr(conninfo, '\n') != NULL || conninfo[0] == '\0' || strchr(conninfo, '=') == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("connection string is not a list of key = value"),
				 errhint("Give at least host and port of the leader.")));
	for (const char *found = conninfo; (found = strstr(found, "password")) != NULL; found++)
		if (found[strlen("password") + strspn(found + strlen("password"), " \t")] == '=')
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("connection string must not contain a password"),
					 errhint("Use passfile, and put the password into that file.")));
}

void
rg_settings_set_upstream(const char *conninfo, const char *slot)
{
	rg_setting_require_changeable("primary_conninfo");
	rg_setting_require_changeable("primary_slot_name");
	rg_setting_write("primary_slot_name", slot);
	rg_setting_write("primary_conninfo", rg_slot_sync_conninfo(conninfo));
}

void
rg_settings_reload(void)
{
	if (kill(PostmasterPid, SIGHUP) != 0)
		ereport(WARNING, (errmsg("could not send a signal to the postmaster: %m")));
}
