/*
 * conninfo.h
 *	  The one place that builds primary_conninfo.
 *
 * init writes it when a standby is adopted, regentd when it lets a standby
 * follow: both must build the same words, or each would change what the other
 * set.
 */
#ifndef RG_CONNINFO_H
#define RG_CONNINFO_H

#include <stddef.h>
#include "config.h"

#define RG_CONNINFO_MAX (RG_PATH_MAX * 2 + 1024)

/*
 * How standby (a number in config) replicates from leader: host, port, user,
 * application_name, sslmode, passfile.  Never a password.  Returns buf.
 */
extern const char *rg_conninfo_replication(const RgConfig *config, int standby, int leader,
										   char *buf, size_t size);

/* Do two connection strings say the same in all that rg_conninfo_replication writes? */
extern bool rg_conninfo_equal(const char *a, const char *b);

#endif							/* RG_CONNINFO_H */
