/*
 * facts.h
 *	  Answers of servers and helpers, taken into the values of the core.
 *
 * Everything that comes from outside is checked here: wrong types, missing
 * columns and absurd lengths are errors with a reason, never guesses.
 */
#ifndef RG_FACTS_H
#define RG_FACTS_H

#include <jansson.h>
#include <libpq-fe.h>
#include "watchdog/base/err.h"
#include "watchdog/core/view.h"

/* The texts that a heartbeat hands back to the server as they came. */
typedef struct RgEcho
{
	char		boot_id[37];
	char		started_at[64];
} RgEcho;

/* What a heartbeat tells beside the facts. */
typedef struct RgHeartbeat
{
	RgFacts		facts;
	RgEcho		echo;
	char		node_name[RG_CORE_NAME_MAX];
	char		gate[16];
	char		receiver_state[32];
	char		upstream[128];
	char		server_version[64];
	char		extension_version[32];
	json_t	   *requests;		/* new reference, or NULL */
	json_t	   *slots;			/* new reference, or NULL */
} RgHeartbeat;

/* view gives the names of the nodes, for the standbys that a primary shows. */
extern int	rg_facts_heartbeat(const PGresult *res, const RgView *view, RgHeartbeat *ret, RgError *err);

extern int	rg_facts_promise(const PGresult *res, int64_t term, RgPromise *ret, RgError *err);

/* What a helper has measured of WAL beyond the fork; all 0 where it says nothing. */
extern void rg_facts_diverged(const json_t *answer, RgLoss *ret);

/* The helper's answer to probe. */
extern int	rg_facts_probe(const json_t *answer, RgProbe *ret, RgError *err);

/* "16/B374D848" to a number; false when it is none. */
extern bool rg_facts_lsn(const char *text, uint64_t *ret_lsn);

extern void rg_facts_format_lsn(uint64_t lsn, char *buf, unsigned long size);

/* regent.rule as JSON. */
extern bool rg_facts_rule(const json_t *json, RgRule *ret_rule);

#endif							/* RG_FACTS_H */
