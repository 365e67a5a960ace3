/*
 * ssh_keyfile.h
 *	  A private key file, looked at before libssh2 is asked to use it.
 */
#ifndef RG_SSH_KEYFILE_H
#define RG_SSH_KEYFILE_H

#include <stdbool.h>
#include <stddef.h>
#include "../base/err.h"

#define RG_SSH_BLOB_MAX 2048

typedef struct RgSshKeyfile
{
	char		type[64];		/* "ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa", …; "" = not seen */
	bool		is_encrypted;
	bool		is_usable;		/* by libssh2, as it is */
	unsigned char blob[RG_SSH_BLOB_MAX];	/* the public key, where the file shows it */
	size_t		blob_len;		/* 0 = it does not */
} RgSshKeyfile;

/*
 * Reads what stands in the file in clear.  0 also for a key that can't be
 * used (is_usable false); then err says why and what to do.
 * RGE_IO, RGE_TRUST (file mode) or RGE_FORMAT where the file is no key or must not be used.
 */
extern int	rg_ssh_keyfile_read(const char *path, RgSshKeyfile *ret_key, RgError *err);

#endif							/* RG_SSH_KEYFILE_H */
