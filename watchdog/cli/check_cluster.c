/*
 * check_cluster.c
 *	  What must agree between the nodes.
 */
#include "check.h"

#include <string.h>

/* One cluster: the same system identifier and the same major version everywhere. */
static void
check_sameness(RgCheck *check)
{
	const RgCheckNode *first = NULL;
	const char *first_name = NULL;
	bool		is_same = true;
	int			n = 0;

	for (int i = 0; i < check->config->nnodes; i++)
	{
		const RgCheckNode *node = &check->nodes[i];
		const char *name = check->config->nodes[i].name;

		if (!node->answers)
			continue;
		n++;
		if (first == NULL)
		{
			first = node;
			first_name = name;
			continue;
		}
		if (strcmp(node->system_identifier, first->system_identifier) != 0)
		{
			rg_check_say(check, RG_FINDING_FAILED, name, "its system identifier %s is not that of %s, %s: it is another "
						 "cluster\tcorrect host and port in regent.conf, or make the node anew from the primary",
						 node->system_identifier, first_name, first->system_identifier);
			is_same = false;
		}
		if (node->version / 10000 != first->version / 10000)
		{
			rg_check_say(check, RG_FINDING_FAILED, name, "it runs PostgreSQL %d, %s runs %d\t"
						 "physical replication needs the same major version", node->version / 10000,
						 first_name, first->version / 10000);
			is_same = false;
		}
		else if (node->version != first->version)
			rg_check_say(check, RG_FINDING_WARNING, name, "it runs PostgreSQL %d.%d, %s runs %d.%d"
						 "\tupdate the older one, standbys first", node->version / 10000, node->version % 10000,
						 first_name, first->version / 10000, first->version % 10000);
	}
	if (n > 1 && is_same)
		rg_check_say(check, RG_FINDING_OK, NULL, "the %d nodes that answer are of one system, %s",
					 n, first->system_identifier);
}

static void
check_primary(RgCheck *check)
{
	int			primaries = 0;
	int			silent = 0;
	int			primary = -1;

	for (int i = 0; i < check->config->nnodes; i++)
	{
		if (!check->nodes[i].answers)
			silent++;
		else if (!check->nodes[i].is_standby)
		{
			primaries++;
			primary = i;
		}
	}
	if (primaries == 1)
		rg_check_say(check, RG_FINDING_OK, NULL, "%s is the primary", check->config->nodes[primary].name);
	else if (primaries == 0)
		rg_check_say(check, RG_FINDING_FAILED, NULL, "no node that answers is a primary\t%s",
					 silent > 0 ? "mend the nodes that do not answer" : "regent events and regent explain tell why");
	else
		rg_check_say(check, RG_FINDING_FAILED, NULL, "%d nodes are not in recovery: two primaries\tstop the wrong one "
					 "at once, then regent rebuild it; regent status shows whom the rule names", primaries);
	if (check->config->nnodes == 1)
		rg_check_say(check, RG_FINDING_WARNING, NULL, "there is only one node: nobody can take over"
					 "\tadd a standby to regent.conf");
}

/* All that hold a rule hold the same; a lagging standby is told once more by its lag. */
static void
check_terms(RgCheck *check)
{
	int64_t		newest = 0;

	for (int i = 0; i < check->config->nnodes; i++)
		if (check->nodes[i].term > newest)
			newest = check->nodes[i].term;
	for (int i = 0; i < check->config->nnodes; i++)
		if (check->nodes[i].term > 0 && check->nodes[i].term < newest)
			rg_check_say(check, RG_FINDING_WARNING, check->config->nodes[i].name,
						 "its newest rule is of term %lld, elsewhere there is %lld"
						 "\twait until it has replayed; if it stays so: regent rebuild %s",
						 (long long) check->nodes[i].term, (long long) newest, check->config->nodes[i].name);
}

/*
 * A standby whose limits are lower than its primary's stops replaying; so each
 * node's must fit for every other one as primary.
 */
static void
check_limits(RgCheck *check)
{
	for (int limit = 0; limit < RG_CHECK_LIMITS; limit++)
	{
		int			greatest = 0;
		int			where = 0;

		for (int i = 0; i < check->config->nnodes; i++)
			if (check->nodes[i].limits[limit] > greatest)
			{
				greatest = check->nodes[i].limits[limit];
				where = i;
			}
		for (int i = 0; i < check->config->nnodes; i++)
			if (check->nodes[i].answers && check->nodes[i].limits[limit] < greatest)
				rg_check_say(check, RG_FINDING_WARNING, check->config->nodes[i].name,
							 "%s is %d, on %s it is %d: behind that primary a standby would stop replaying"
							 "\tset %s = %d here and restart the server", rg_check_limits[limit],
							 check->nodes[i].limits[limit], check->config->nodes[where].name, greatest,
							 rg_check_limits[limit], greatest);
	}
}

void
rg_check_cluster(RgCheck *check)
{
	check_sameness(check);
	check_primary(check);
	check_terms(check);
	check_limits(check);
	rg_check_logical_cluster(check);
}
