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

static const PQcommMethods *server_methods = NULL;
static PQcommMethods our_methods;
static void (*tell_sent) (void) = NULL;

static int
flush_and_tell(void)
{
	int			ret = server_methods->flush();

	if (!server_methods->is_send_pending())
		tell_sent();
	return ret;
}

static int
flush_if_writable_and_tell(void)
{
	int			ret = server_methods->flush_if_writable();

	if (!server_methods->is_send_pending())
		tell_sent();
	return ret;
}

void
rg_output_watch(void (*sent) (void))
{
	tell_sent = sent;
	server_methods = PqCommMethods;
	our_methods = *server_methods;
	our_methods.flush = flush_and_tell;
	our_methods.flush_if_writable = flush_if_writable_and_tell;
	PqCommMethods = &our_methods;
}
