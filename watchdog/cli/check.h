/*
 * check.h
 *	  What regent check found out, and how it is told.
 *
 * The parts of the check (files, servers, SSH, what must agree between nodes)
 * report each finding as it comes, good ones too, and leave facts in RgCheckNode
 * for the parts behind them.
 */
#ifndef RG_CHECK_H
#define RG_CHECK_H

#include "cli.h"
#include "session.h"
#include "../app/config_files.h"
#include "../io/identity.h"

/* Settings that must not be lower on a standby than on its primary. */
#define RG_CHECK_LIMITS 5
extern const char *const rg_check_limits[RG_CHECK_LIMITS];

typedef struct RgCheckNode
{
	bool		answers;		/* over SQL, all fields below are known */
	bool		is_loaded;		/* the library */
	bool		has_extension;	/* library loaded and created */
	bool		is_standby;
	int			version;		/* server_version_num */
	char		system_identifier[32];
	char		start_epoch[32];	/* of the postmaster, whole seconds */
	char		boot_id[64];	/* "" = regent.heartbeat did not tell */
	char		postmaster_pid[16];
	char		upstream_slot[RG_NAME_MAX];
	char		upstream[RG_HOST_MAX + 16];	/* HOST:PORT that it streams from */
	int64_t		term;			/* of its newest rule; 0 = none */
	int			limits[RG_CHECK_LIMITS];	/* 0 = not known */
	char		logical_slots[1024];	/* those that the server carries over, by name */
} RgCheckNode;

typedef struct RgCheck
{
	RgCli	   *cli;
	const RgConfig *config;
	int			counts[3];		/* by verdict */
	json_t	   *list;			/* with --json */
	bool		has_identity;
	RgIdentity	identity;
	RgCheckNode nodes[RG_NODES_MAX];
} RgCheck;

/* A finding.  node may be NULL, fix "". */
extern void rg_check_report(RgCheck *check, RgFinding verdict, const char *node,
							const char *what, const char *fix);

/* The same with a format; what follows a tab in the text is the fix. */
extern void rg_check_say(RgCheck *check, RgFinding verdict, const char *node, const char *fmt,...)
			__attribute__((format(printf, 4, 5)));

/* One server over SQL; fills check->nodes[node].  In check_server.c. */
extern void rg_check_server(RgCheck *check, int node);

/* Gate, lease, adopting, and what the leases of the standbys need.  In check_gate.c. */
extern void rg_check_gate(RgCheck *check, int node, RgSession *session);

/* Replication of a standby, slots of all; called with an open session.  In check_stream.c. */
extern void rg_check_stream(RgCheck *check, int node, RgSession *session);

/* What slots may keep.  In check_slots.c. */
extern void rg_check_slots(RgCheck *check, int node, RgSession *session);

/* Logical slots, and what carries them over; between the nodes after all servers.  In check_logical.c. */
extern void rg_check_logical(RgCheck *check, int node, RgSession *session);
extern void rg_check_logical_cluster(RgCheck *check);

/* The helper over SSH.  In check_ssh.c. */
extern void rg_check_ssh(RgCheck *check, int node);

/* Over SSH from this host to the nodes that answer, as the replication user, and whether a copy would
 * find its places here; after all servers.  In check_ssh.c. */
extern void rg_check_reach(RgCheck *check, int node);

/* What must agree between the nodes.  In check_cluster.c. */
extern void rg_check_cluster(RgCheck *check);

#endif							/* RG_CHECK_H */
