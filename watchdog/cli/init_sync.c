/*
 * init_sync.c
 *	  A cluster whose commits are to wait for standbys has enough of them.
 *
 * synchronous_standby_names is not written here: each server's own worker keeps it as
 * the rule has it (extension/syncnames.c), from the first rule on.
 */
#include "init.h"

#include <string.h>

/* Commits would wait for ever with fewer standbys than the quorum. */
int
rg_init_sync(const RgInit *init, RgError *err)
{
	const RgConfig *config = init->config;
	int			standbys = 0;
	int			rc;

	if (strcmp(config->durability, "async") == 0)
		return 0;
	for (int i = 0; i < config->nnodes; i++)
		standbys += init->nodes[i].answers && i != init->primary;
	if (standbys >= config->quorum)
		return 0;
	rc = rg_error_set(err, RGE_STATE, "durability = %s with quorum = %d needs as many standbys, but %d stream%s",
					  config->durability, config->quorum, standbys, standbys == 1 ? "s" : "");
	rg_error_hint(err, "Start the other standbys, then run regent init again: it goes on from here.");
	return rc;
}
