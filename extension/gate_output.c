/*
 * gate_output.c
 *	  The last look: where answers to the client are given to the kernel.
 *
 * Between a commit and the moment when its client is told lies the rest of the
 * commit (locks, files of dropped tables), and more: "COMMIT; SELECT pg_sleep(3600)"
 * in one message leaves "COMMIT" in the output buffer for an hour, and a procedure
 * that commits early is answered when it ends.  No event of a transaction comes late
 * enough.  So this file puts itself between the server and its output buffer.  From
 * a commit that wrote to the ReadyForQuery that follows, whatever would send bytes
 * asks the gate right before; else it is one test per message.
 *
 * Closed: the bytes stay where they are, all later ones are swallowed, and the
 * process ends at its next interrupt.
 *
 * The server's header describes the connection too, with types of GSSAPI and
 * OpenSSL, whose headers need not be installed.  Nothing here looks into that
 * struct, so this file may see a smaller one; it includes as little else as it can.
 */
#include "postgres.h"

#undef ENABLE_GSS
#undef USE_OPENSSL
#undef USE_SSL
#include "libpq/libpq.h"

#include "gate.h"
#include "gate_output.h"

/* The server's buffer is twice as large; a message that does not fit sends what is there. */
#define BUFFER_SIZE 4096
#define MESSAGE_HEAD_SIZE 5
#define READY_FOR_QUERY 'Z'

static RG_HOT_DATA enum
{
	FREE,						/* nothing to look after */
	ASKING,						/* an answer may be in the buffer, or come */
	SILENT
}			mode = FREE;

static RG_HOT_DATA const PQcommMethods *server = NULL;
static RG_HOT_DATA size_t buffered = 0; /* at most so many bytes are waiting */
static RG_HOT_DATA bool is_ready_buffered = false;

/* Whatever is in the buffer would be sent now. */
static pg_attribute_hot bool
may_send(void)
{
	if (mode == ASKING)
		rg_gate_before_answer();
	return mode != SILENT;
}

/* It may fill the buffer, or is to be swallowed. */
static inline bool
needs_a_look(char type, size_t length)
{
	buffered += MESSAGE_HEAD_SIZE + length;
	is_ready_buffered = type == READY_FOR_QUERY;
	return mode != FREE && (mode == SILENT || buffered > BUFFER_SIZE);
}

static pg_attribute_cold int
look_and_put(char type, const char *body, size_t length)
{
	return may_send() ? server->putmessage(type, body, length) : 0;
}

static pg_attribute_cold void
look_and_put_noblock(char type, const char *body, size_t length)
{
	if (may_send())
		server->putmessage_noblock(type, body, length);
}

static pg_attribute_hot int
put_message(char type, const char *body, size_t length)
{
	if (unlikely(needs_a_look(type, length)))
		return look_and_put(type, body, length);
	return server->putmessage(type, body, length);
}

static pg_attribute_hot void
put_message_noblock(char type, const char *body, size_t length)
{
	if (unlikely(needs_a_look(type, length)))
		look_and_put_noblock(type, body, length);
	else
		server->putmessage_noblock(type, body, length);
}

static pg_attribute_hot void
after_sending(void)
{
	if (server->is_send_pending())
		return;
	buffered = 0;
	if (mode == ASKING && is_ready_buffered)
		mode = FREE;
}

static pg_attribute_hot int
flush(void)
{
	int			result;

	if (!may_send())
		return 0;
	result = server->flush();
	after_sending();
	return result;
}

static pg_attribute_hot int
flush_if_writable(void)
{
	int			result;

	if (!may_send())
		return 0;
	result = server->flush_if_writable();
	after_sending();
	return result;
}

static pg_attribute_hot bool
is_send_pending(void)
{
	return mode != SILENT && server->is_send_pending();
}

static void
comm_reset(void)
{
	server->comm_reset();
}

pg_attribute_hot void
rg_output_expect_answer(void)
{
	if (mode == FREE)
		mode = ASKING;
	is_ready_buffered = false;
}

void
rg_output_silence(void)
{
	mode = SILENT;
}

void
rg_output_watch(void)
{
	static const PQcommMethods methods = {
		.comm_reset = comm_reset,
		.flush = flush,
		.flush_if_writable = flush_if_writable,
		.is_send_pending = is_send_pending,
		.putmessage = put_message,
		.putmessage_noblock = put_message_noblock,
	};

	server = PqCommMethods;
	PqCommMethods = &methods;
}
