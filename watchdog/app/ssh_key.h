/*
 * ssh_key.h
 *	  What kind of private key a file holds, without using it.
 *
 * libssh2 only says "Unable to extract public key" when a key has a passphrase
 * or a type that it can't use; a DBA needs to be told which of these it is
 * before the key is needed.
 */
#ifndef RG_SSH_KEY_H
#define RG_SSH_KEY_H

#include <stdbool.h>
#include "../base/err.h"

typedef struct RgSshKey
{
	char		type[64];		/* "ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa", … */
	bool		is_encrypted;
} RgSshKey;

/* RGE_IO: can't be read; RGE_FORMAT: no private key that we know. */
extern int	rg_ssh_key_read(const char *file, RgSshKey *ret_key, RgError *err);

#endif							/* RG_SSH_KEY_H */
