/*
 * passfile.h
 *	  Reads a password out of a file in .pgpass format.
 *
 * init gives its two roles the passwords that regentd and the standbys will
 * log in with, so that nobody types one twice.
 */
#ifndef RG_PASSFILE_H
#define RG_PASSFILE_H

#include <stddef.h>
#include "../base/err.h"

#define RG_PASSWORD_MAX 1024

/*
 * The password of the first line HOST:PORT:DATABASE:USER:PASSWORD that names
 * the user, whatever host and database it is for ("*" as user does not count: it may
 * be meant for another role).  0 and "" where there is none or no such file;
 * RGE_IO or RGE_TRUST (mode) where it can't be used.  Wipe it after use.
 */
extern int	rg_passfile_find(const char *file, const char *user, char *buf, size_t size, RgError *err);

#endif							/* RG_PASSFILE_H */
