/*
 * cluster.h
 *	  One cluster as the daemon holds it: configuration, journal, nodes with
 *	  their sessions, the view, the memory, the last decision.
 *
 * Everything of a cluster hangs on this value; nothing is global, so that one
 * regentd can watch many.
 */
#ifndef RG_CLUSTER_H
#define RG_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "config.h"
#include "doubt.h"
#include "events.h"
#include "facts.h"
#include "helper.h"
#include "watchdog/base/log.h"
#include "watchdog/core/decide.h"
#include "watchdog/io/http.h"
#include "watchdog/io/identity.h"
#include "watchdog/io/journal.h"
#include "watchdog/io/pg.h"
#include "watchdog/io/resolve.h"
#include "watchdog/io/ssh.h"

struct event;
struct event_base;

typedef struct RgCluster RgCluster;
typedef struct RgNode RgNode;
typedef struct RgPending RgPending;

/* One node with its sessions; its values for the core are in cluster->view. */
struct RgNode
{
	RgCluster  *cluster;
	int			index;			/* in configuration, view and memory */
	RgPg	   *beat;			/* opened ahead: heartbeats */
	RgPg	   *spare;			/* opened ahead: commands */
	RgPg	   *fresh;			/* a new connection now and then */
	RgSsh	   *ssh;
	RgHelper   *helper;			/* verbs over ssh */
	struct event *beat_timer;
	struct event *spare_timer;
	struct event *fresh_timer;
	int			beat_tries;		/* failed connects in a row */
	bool		beat_waiting;	/* a heartbeat is under way */
	int64_t		granted_until_ms;	/* what the newest heartbeat granted, in the node's clock; 0 = nothing */
	char		obeys[37];		/* the watchdog that it named when it refused us; "" = none */
	RgHeartbeat last;			/* the newest answer, beside the view's facts */
	bool		has_last;
	json_t	   *slots;			/* what it told of its slots; NULL = nothing */
	char		published[64];	/* which state it was last told (a counter) */
	RgPending  *pending;		/* steps under way */
	int64_t		rate_bytes;		/* of the copy under way, when its rate was last taken */
	int64_t		rate_ms;
};

struct RgCluster
{
	struct event_base *base;
	RgLog	   *log;
	RgConfig	config;
	RgIdentity	identity;
	RgResolver *resolver;
	RgJournal  *journal;
	RgHttp	   *control;
	RgHttp	   *http;
	struct event *round_event;
	struct event *tick;
	RgView		view;
	RgMemory	memory;
	RgDecision	decision;
	RgEvents   *events;
	int64_t		system_identifier;	/* of the cluster; 0 = not known yet */
	int64_t		last_round_ms;
	int64_t		jumped_until_ms;
	int64_t		last_alive_ms;	/* newest line of kind "alive" */
	json_t	   *last_failover;	/* as status shows them; NULL = there was none */
	json_t	   *last_switchover;
	int64_t		last_publish_ms;
	int64_t		publish_version;
	char	   *published;		/* what the nodes were told last, without ages */
	char		boot_id[37];	/* of this machine */
	char		status_line[256];
	RgJournalEnd journal_end;	/* what it said when it was opened */
	char		machine[17];
	char		doubt[160];		/* why the journal may be an old copy; "" = it is not */
	bool		journal_broken; /* nothing is acted on while it can't be written */
	int			nnodes;
	RgNode	   *nodes[RG_NODES_MAX];	/* in the order of the configuration */
};

/* Opens journal, sockets and sessions and begins to look. */
extern int	rg_cluster_open(struct event_base *base, RgLog *log, const RgConfig *config,
							RgCluster **ret_cluster, RgError *err);

/* Closes everything; takes NULL. */
extern void rg_cluster_close(RgCluster *cluster);

/* Takes what may change while running; refuses, with the reason, what may not. */
extern int	rg_cluster_reload(RgCluster *cluster, const RgConfig *config, RgError *err);

/* Reads the configuration file again and takes it; what became of that is told. */
extern int	rg_cluster_reread(RgCluster *cluster, RgError *err);

/* We did not run for so long that no age in the view can be trusted before the next round. */
extern bool rg_cluster_has_slept(const RgCluster *cluster);

/* Asks for a round as soon as the loop is free. */
extern void rg_cluster_wake(RgCluster *cluster);

/* Tells people: log, journal, events. */
extern void rg_cluster_note(RgCluster *cluster, const RgNote *note);
extern void rg_cluster_tell(RgCluster *cluster, RgEvent event, int node, bool alarm,
							const char *fmt,...) __attribute__((format(printf, 5, 6)));

/* Takes a memory that an order has changed, once it is on disk; and asks for a round. */
extern int	rg_cluster_set_memory(RgCluster *cluster, const RgMemory *memory, RgError *err);

#endif							/* RG_CLUSTER_H */
