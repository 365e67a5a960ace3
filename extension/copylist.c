/*
 * copylist.c
 *	  Which files of a data directory belong to a copy, and what they are.
 *
 * WAL, and what PostgreSQL 17 sums up of it, is left out because only the part that the
 * backup needs is copied, at its end; the control file, because it has to be the last
 * one; slots and two-phase leftovers of statistics, because they would be the source's.
 * Unlogged relations keep only their init fork: the server copies it when it starts.
 */
#include "copylist.h"

#include <string.h>

/* Directories whose content means something to the running server only. */
static const char *const empty_directories[] = {
	"pg_dynshmem", "pg_notify", "pg_replslot", "pg_serial", "pg_snapshots", "pg_stat_tmp",
	"pg_subtrans",
};

/* Files that must not travel, at the top. */
static const char *const top_files[] = {
	"backup_label", "backup_manifest", "current_logfiles.tmp", "postgresql.auto.conf.tmp",
	"postmaster.opts", "postmaster.pid", "recovery.signal", "regent.rewinding",
	"regent.state.tmp", "standby.signal", "tablespace_map",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool
is_among(const char *name, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(name, list[i]) == 0)
			return true;
	return false;
}

static bool
begins_with(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* Reads digits without a leading zero; returns what follows them, or NULL. */
static const char *
parse_number(const char *at, uint32_t *ret_number)
{
	uint64_t	number = 0;
	int			digits = 0;

	for (; *at >= '0' && *at <= '9' && digits < 11; at++, digits++)
		number = number * 10 + (uint64_t) (*at - '0');
	if (digits == 0 || number > UINT32_MAX || (at[-digits] == '0' && digits > 1))
		return NULL;
	*ret_number = (uint32_t) number;
	return at;
}

bool
rg_copy_parse_name(const char *name, RgCopyName *ret_name)
{
	static const char *const forks[] = {"_fsm", "_vm", "_init"};
	RgCopyName	parsed = {0};
	const char *at = parse_number(name, &parsed.number);

	if (at == NULL || parsed.number == 0)
		return false;
	for (size_t i = 0; i < COUNT(forks); i++)
		if (begins_with(at, forks[i]))
		{
			at += strlen(forks[i]);
			parsed.is_init = i == 2;
			break;
		}
	if (*at == '.' && (at = parse_number(at + 1, &parsed.segment)) == NULL)
		return false;
	if (*at != '\0')
		return false;
	*ret_name = parsed;
	return true;
}

/* A temporary relation's file: t<backend>_<number>, then fork and segment. */
static bool
is_temporary(const char *name)
{
	uint32_t	backend;
	RgCopyName	rest;
	const char *at = name[0] == 't' ? parse_number(name + 1, &backend) : NULL;

	return at != NULL && *at == '_' && rg_copy_parse_name(at + 1, &rest);
}

/* Skips "OID/PG_VERSION/" of a tablespace; NULL if there is none. */
static const char *
skip_tablespace(const char *at)
{
	uint32_t	number;

	at = parse_number(at, &number);
	if (at == NULL || !begins_with(at, "/PG_") || (at = strchr(at + 1, '/')) == NULL)
		return NULL;
	return at + 1;
}

/* May relations lie here?  global, and a directory of a database: below base, or in a tablespace. */
static bool
holds_relations(const char *directory)
{
	uint32_t	database;
	const char *at = NULL;

	if (strcmp(directory, "global") == 0)
		return true;
	if (begins_with(directory, "base/"))
		at = directory + strlen("base/");
	else if (begins_with(directory, "pg_tblspc/"))
		at = skip_tablespace(directory + strlen("pg_tblspc/"));
	if (at != NULL)
		at = parse_number(at, &database);
	return at != NULL && *at == '\0';
}

static RgCopyKind
directory_kind(const char *directory, const char *name)
{
	if (directory[0] == '\0' && is_among(name, empty_directories, COUNT(empty_directories)))
		return RG_COPY_EMPTY_DIRECTORY;
	if (strcmp(directory, "pg_wal") == 0)
		return strcmp(name, "archive_status") == 0 || strcmp(name, "summaries") == 0 ? RG_COPY_EMPTY_DIRECTORY :
			RG_COPY_LEAVE_OUT;
	return RG_COPY_DIRECTORY;
}

RgCopyKind
rg_copy_kind(const char *directory, const char *name, bool is_directory)
{
	RgCopyName	parsed;

	if (begins_with(name, "pgsql_tmp"))
		return RG_COPY_LEAVE_OUT;
	if (is_directory)
		return directory_kind(directory, name);
	if (strcmp(directory, "pg_wal") == 0 || begins_with(name, "pg_internal.init"))
		return RG_COPY_LEAVE_OUT;
	if (directory[0] == '\0' && is_among(name, top_files, COUNT(top_files)))
		return RG_COPY_LEAVE_OUT;
	if (strcmp(directory, "global") == 0 && strcmp(name, "pg_control") == 0)
		return RG_COPY_LEAVE_OUT;
	if (!holds_relations(directory))
		return RG_COPY_FILE;
	if (is_temporary(name))
		return RG_COPY_LEAVE_OUT;
	return rg_copy_parse_name(name, &parsed) ? RG_COPY_RELATION : RG_COPY_FILE;
}
