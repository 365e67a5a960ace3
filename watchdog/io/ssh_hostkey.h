/*
 * ssh_hostkey.h
 *	  Is this the host that it says it is?  known_hosts, read and enforced.
 */
#ifndef RG_SSH_HOSTKEY_H
#define RG_SSH_HOSTKEY_H

#include <libssh2.h>
#include "../base/err.h"
#include "ssh.h"

typedef struct RgSshHostkeys RgSshHostkeys;

/*
 * Before the handshake: reads known_hosts and tells libssh2 to prefer the types
 * of key that it holds for this host; else a host with several keys would
 * show one that nobody has looked at.  Free before the session.
 */
extern int	rg_ssh_hostkeys_load(LIBSSH2_SESSION *session, const RgSshParams *params,
								 RgSshHostkeys **ret_hostkeys, RgError *err);

/* After the handshake, before authentication: 0, or RGE_TRUST with what to type. */
extern int	rg_ssh_hostkeys_check(const RgSshHostkeys *hostkeys, LIBSSH2_SESSION *session,
								  const RgSshParams *params, RgError *err);
extern void rg_ssh_hostkeys_free(RgSshHostkeys *hostkeys);	/* takes NULL */

#endif							/* RG_SSH_HOSTKEY_H */
