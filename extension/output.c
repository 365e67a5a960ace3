/*
 * output.c
 *	  The output buffer of this session's connection.
 *
 * A file of its own because of one include: the server's header describes the
 * connection too, with the types of GSSAPI and OpenSSL, whose headers need not be
 * installed.  Nothing here looks into that struct, so it may look smaller than it is.
 */
#include "postgres.h"

#undef ENABLE_GSS
#undef USE_OPENSSL
#undef USE_SSL
#include "libpq/libpq.h"

#include "output.h"

bool
rg_output_is_pending(void)
{
	return pq_is_send_pending();
}

void
rg_output_send(void)
{
	(void) pq_flush_if_writable();
}
