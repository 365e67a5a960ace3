/*
 * publish.c
 *	  The cluster's state as a JSON document, sent when it has changed.
 *
 * It goes over the spare session, never in the way of a command, and not while
 * the leader is in doubt or being replaced.
 */
#include "publish.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "act.h"
#include "status.h"
#include "watchdog/core/phase.h"

#define PUBLISH_MS 5000

static void
on_published(void *arg, const PGresult *res, const RgPgFailure *failure)
{
	(void) arg;
	(void) res;
	(void) failure;				/* the next publication tries again */
}

static void
publish_to(RgCluster *c, RgNode *node, const char *text)
{
	static const char sql[] =
		"SELECT regent.publish($1::uuid, $2::bigint, $3::bigint, $4::jsonb)";
	char		counter[24];
	char		term[24];
	const char *values[4] = {c->identity.id, counter, term, text};

	/* never in the way of a command */
	if (!rg_pg_is_open(node->spare) || rg_pg_is_busy(node->spare) || rg_act_is_asking(node))
		return;
	(void) snprintf(counter, sizeof(counter), "%lld", (long long) c->identity.counter);
	(void) snprintf(term, sizeof(term), "%lld", (long long) c->memory.rule.term);
	if (rg_pg_exec(node->spare, sql, 4, values, 2000, on_published, node) == 0)
		(void) snprintf(node->published, sizeof(node->published), "%lld",
						(long long) c->publish_version);
}

void
rg_publish(RgCluster *c, int64_t now)
{
	RgPhase		phase = c->memory.phase;
	json_t	   *json;
	char	   *text;
	char		version[64];

	/* in doubt and in a failover the sessions are for other things */
	if (c->memory.rule.term == 0 || phase == RG_PHASE_SUSPECTING || rg_phase_is_failover(phase))
		return;
	json = rg_status_publication(c, false);
	text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	if (text == NULL)
	{
		rg_log(c->log, RG_LOG_ERROR, "publish_failed", c->config.name, NULL,
			   "the state of the cluster can't be written as JSON: the nodes go on showing the one before");
		return;
	}
	if (c->published == NULL || strcmp(text, c->published) != 0 ||
		now - c->last_publish_ms >= PUBLISH_MS)
	{
		free(c->published);
		c->published = text;
		c->last_publish_ms = now;
		c->publish_version++;
	}
	else
		free(text);
	(void) snprintf(version, sizeof(version), "%lld", (long long) c->publish_version);
	json = NULL;
	for (int i = 0; i < c->nnodes; i++)
	{
		RgNode	   *node = c->nodes[i];

		if (strcmp(node->published, version) == 0 || !rg_view_answers(&c->view, i))
			continue;
		if (json == NULL)
			json = rg_status_publication(c, true);
		text = json_dumps(json, JSON_COMPACT);
		if (text != NULL)
			publish_to(c, node, text);
		free(text);
	}
	json_decref(json);
}
