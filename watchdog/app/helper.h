/*
 * helper.h
 *	  Verbs of regent-node on one node, by the fastest way that is there.
 *
 * A helper that waits ("serve") is started ahead on the warm SSH session, so
 * that probe, fence and promote, which lie on the path of a failover, cost
 * neither a login shell nor an interpreter's start.  It takes one verb at a
 * time.  Everything else, and everything while it is busy or not there, runs as
 * a command of its own.
 */
#ifndef RG_HELPER_H
#define RG_HELPER_H

#include "watchdog/io/ssh.h"

struct event_base;

typedef struct RgHelper RgHelper;

/* ssh is borrowed and must outlive it.  NULL when out of memory. */
extern RgHelper *rg_helper_new(struct event_base *base, RgSsh *ssh, const char *node);
extern void rg_helper_free(RgHelper *helper);	/* takes NULL; calls nobody back */

/* The SSH session has become ready, or was lost. */
extern void rg_helper_session(RgHelper *helper, bool is_ready);

/*
 * Runs "regent-node NODE" + words (verb first, NULL-terminated).  Callbacks and
 * errors are those of rg_ssh_exec(); 0, or -1 with err when nothing was started
 * (then done is not called).  ret_command is the verb's own channel, which may be
 * cancelled until done is called; NULL where the waiting helper took it.
 */
extern int	rg_helper_run(RgHelper *helper, const char *const *words, int deadline_ms,
						  RgSshLineFn line, RgSshDoneFn done, void *arg, RgSshCommand **ret_command,
						  char *err, size_t errsize);

#endif							/* RG_HELPER_H */
