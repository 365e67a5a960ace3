/*
 * config.h
 *	  The configuration of one cluster: regent.conf, read whole, checked whole.
 *
 * Every key is a row of a table (name, type, default, limits, description);
 * unknown keys, repeated keys, values out of range and combinations that can't
 * work are errors with file and line and what would be right.  All errors of
 * a file are reported at once, not one per try.
 */
#ifndef RG_CONFIG_H
#define RG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "../base/err.h"

#define RG_NODES_MAX 16
#define RG_NAME_MAX 64
#define RG_HOST_MAX 256
#define RG_PATH_MAX 1024

typedef enum RgPromoteVia
{
	RG_PROMOTE_BOTH,
	RG_PROMOTE_SSH,
	RG_PROMOTE_SQL
} RgPromoteVia;

typedef enum RgOnDiskFull
{
	RG_ON_DISK_FULL_ALARM,
	RG_ON_DISK_FULL_FAILOVER
} RgOnDiskFull;

typedef struct RgNodeConfig
{
	char		name[RG_NAME_MAX];	/* [a-z0-9_]+, at most 40 characters, not any, first */
	char		host[RG_HOST_MAX];
	int			port;
	char		ssh_host[RG_HOST_MAX];	/* default: host */
	int			ssh_port;
	int			priority;		/* 0 = never promoted; default 100 */
	int			weight;			/* of reads; default 1 */
	char		upstream[RG_NAME_MAX];	/* streams from this node, as no voter; "" = from the leader */
} RgNodeConfig;

typedef struct RgConfig
{
	char		file[RG_PATH_MAX];
	char		name[RG_NAME_MAX];
	char		user[RG_NAME_MAX];
	char		database[RG_NAME_MAX];
	char		passfile[RG_PATH_MAX];	/* "" = libpq's default */
	char		sslmode[16];
	char		replication_user[RG_NAME_MAX];
	char		replication_passfile[RG_PATH_MAX];	/* a path on the nodes; "" = none */
	int64_t		heartbeat_interval_ms;
	int64_t		lease_ms;
	int64_t		restart_budget_ms;
	int64_t		max_lag_ms;
	int64_t		hang_budget_ms;
	char		durability[16]; /* async, sync or strict */
	int			quorum;
	bool		auto_failover;
	bool		auto_rejoin;
	RgOnDiskFull on_disk_full;
	int			crash_limit;	/* 0 = crashes are not counted */
	int64_t		crash_window_ms;
	int			rebuild_jobs;	/* at a time from one source */
	int64_t		rebuild_rate;	/* bytes a second; 0 = no limit */
	RgPromoteVia promote_via;
	char		ssh_user[RG_NAME_MAX];
	char		ssh_key[RG_PATH_MAX];	/* "" = agent only */
	char		ssh_known_hosts[RG_PATH_MAX];
	char		state_directory[RG_PATH_MAX];
	char		control_socket[RG_PATH_MAX];
	char		http_listen[RG_HOST_MAX];	/* "" = off */
	int			nnodes;
	RgNodeConfig nodes[RG_NODES_MAX];
} RgConfig;

/* Reads and checks; messages (one line each: FILE:LINE: what, what would be right) go to out. */
extern int	rg_config_read(const char *file, RgConfig *ret_config, FILE *out, RgError *err);

/* The index of a node, or -1. */
extern int	rg_config_node(const RgConfig *config, const char *name);

/* Streams from another standby: no voter. */
extern bool rg_config_cascades(const RgConfig *config, int node);

/* The nodes that vote once they are in the cluster: those without an upstream. */
extern int	rg_config_voters(const RgConfig *config);

/* Checks files and modes (key readable and usable by libssh2, passfile 0600, known_hosts there): regentd --check. */
extern int	rg_config_check_files(const RgConfig *config, FILE *out);

/* One row per key: "section.key|type|default|description", for docs and tests; NULL past the end. */
extern const char *rg_config_key(int i);

#endif							/* RG_CONFIG_H */
