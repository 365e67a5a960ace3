/*
 * init.h
 *	  The parts of regent init: survey, roles, standbys, first rule.
 *
 * Each part looks first and changes only what is not yet so, and says which of
 * the two it was; so a second run changes nothing and a run that was
 * interrupted goes on.
 */
#ifndef RG_INIT_H
#define RG_INIT_H

#include "cli.h"
#include "session.h"
#include "../io/identity.h"

typedef struct RgInitNode
{
	bool		answers;		/* session is open */
	bool		is_standby;
	char		problem[512];	/* why it does not answer */
	RgSession	session;		/* as a superuser */
} RgInitNode;

typedef struct RgInit
{
	RgCli	   *cli;
	const RgConfig *config;
	const char *conninfo;		/* of the superuser; never printed */
	bool		resets_passwords;
	int64_t		timeout_ms;		/* for each standby to stream */
	int			primary;
	int			changes;
	int			warnings;
	json_t	   *acts;			/* with --json */
	RgInitNode	nodes[RG_NODES_MAX];
} RgInit;

/* Says what was done (is_change) or is so already; node may be NULL. */
extern void rg_init_act(RgInit *init, bool is_change, const char *node, const char *fmt,...)
			__attribute__((format(printf, 4, 5)));
extern void rg_init_warn(RgInit *init, const char *node, const char *fmt,...)
			__attribute__((format(printf, 3, 4)));

/* One statement of the superuser on a node; result dropped. */
extern int	rg_init_exec(RgInit *init, int node, const char *sql, RgError *err);

/* Its only value as text ("" for null or no row). */
extern int	rg_init_value(RgInit *init, int node, const char *sql, const char *param,
						  char *buf, size_t size, RgError *err);

/* Connects to all, finds the primary, refuses what can't work.  In init_survey.c. */
extern int	rg_init_survey(RgInit *init, RgError *err);

/* Extension, roles, rights, slots on the primary.  In init_primary.c. */
extern int	rg_init_primary(RgInit *init, RgError *err);

/* Makes one standby stream as regentd wants it.  In init_standby.c. */
extern int	rg_init_standby(RgInit *init, int node, RgError *err);

/* In sync and strict: synchronous_standby_names, the same on every node.  In init_sync.c. */
extern int	rg_init_sync(const RgInit *init, RgError *err);

/* The first rule, its first lease, and that the standbys have it.  In init_rule.c. */
extern int	rg_init_rule(RgInit *init, RgError *err);

#endif							/* RG_INIT_H */
