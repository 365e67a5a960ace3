/*
 * haproxy.h
 *	  A complete configuration for HAProxy 2.4 and later.
 */
#ifndef RG_HAPROXY_H
#define RG_HAPROXY_H

#include <stdio.h>
#include "../app/config.h"

typedef struct RgHaproxyOptions
{
	int			write_port;
	int			read_port;
	const char *bind;			/* an address, or "*" */
	const char *check_address;	/* ADDRESS:PORT where HAProxy reaches regentd */
	const char *run_as;			/* account, or "none" */
} RgHaproxyOptions;

/* Can this configuration be balanced?  RGE_ARGUMENT with what is missing, else 0. */
extern int	rg_haproxy_check(const RgConfig *config, const RgHaproxyOptions *options, RgError *err);

extern void rg_haproxy_write(const RgConfig *config, const RgHaproxyOptions *options, FILE *out);

#endif							/* RG_HAPROXY_H */
