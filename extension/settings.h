/*
 * settings.h
 *	  The few server settings that promise and follow write.
 *
 * They are written the way ALTER SYSTEM does it, durably and into
 * postgresql.auto.conf, which is read after every other file.  The caller needs
 * no right for that: being allowed to call the function is enough.
 */
#ifndef RG_SETTINGS_H
#define RG_SETTINGS_H

#include "postgres.h"

/* What postgresql.auto.conf says now, not what this backend has loaded; NULL: nothing. */
extern char *rg_setting_auto_value(const char *name);

/* Writes one setting, unless the file says so already; NULL removes it. */
extern void rg_setting_write(const char *name, const char *value);

/* false: the start command sets it, so no file can change it. */
extern bool rg_setting_is_changeable(const char *name);

/* Throws RG007 if the start command sets it: no file can then change it. */
extern void rg_setting_require_changeable(const char *name);

/*
 * Takes every source of WAL from this standby: durable, in force after the next
 * reload.  A restore_command is remembered in regent.saved_restore_command.
 */
extern void rg_settings_cut_sources(void);

/* Puts a remembered restore_command back; true if there was one. */
extern bool rg_settings_restore_archive(void);

/* Throws unless it is a list of key = value without a password: it stands in a file, and in views. */
extern void rg_settings_check_upstream(const char *conninfo);

/* Where to stream from, and on which slot. */
extern void rg_settings_set_upstream(const char *conninfo, const char *slot);

/* All processes read what was written; a failure is a warning. */
extern void rg_settings_reload(void);

#endif							/* RG_SETTINGS_H */
