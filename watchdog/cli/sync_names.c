/*
 * sync_names.c
 *	  Writes the list; names are [a-z0-9_], checked by the configuration.
 */
#include "sync_names.h"

#include <stdio.h>

void
rg_sync_names(const RgConfig *config, char *buf, size_t size)
{
	size_t		len = (size_t) snprintf(buf, size, "ANY %d (", config->quorum);
	bool		is_first = true;

	for (int i = 0; i < config->nnodes && len < size; i++)
	{
		const char *name = config->nodes[i].name;
		/* a name that begins with a digit would be read as a number */
		const char *quote = name[0] >= '0' && name[0] <= '9' ? "\"" : "";

		if (rg_config_cascades(config, i))
			continue;
		len += (size_t) snprintf(buf + len, size - len, "%s%s%s%s", is_first ? "" : ", ", quote, name, quote);
		is_first = false;
	}
	if (len < size)
		snprintf(buf + len, size - len, ")");
}
