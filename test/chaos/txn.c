/*
 * txn.c
 *	  The table of the kinds of transactions.
 *
 * Each row says with which term its server was the leader: "RETURNING
 * chaos_term()".  Only a transaction that is prepared asks before it begins: the
 * extension refuses to prepare one that holds locks on its own tables.
 */
#include "txn.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const TxnKind kinds[] = {
	/* one row, one message */
	{'i', 1, 0, -1, true, false, {"INSERT INTO chaos_rows (id) VALUES (%a) RETURNING chaos_term()"}},
	/* a transaction block, a message for each statement */
	{'m', 2, 3, -1, false, false, {"BEGIN", "INSERT INTO chaos_rows (id) VALUES (%a) RETURNING chaos_term()",
	"INSERT INTO chaos_rows (id) VALUES (%b)", "COMMIT"}},
	/* several statements in one message: acknowledged by its end */
	{'s', 2, 0, -1, false, false, {"INSERT INTO chaos_rows (id) VALUES (%a) RETURNING chaos_term(); "
	"INSERT INTO chaos_rows (id) VALUES (%b)"}},
	/* two phases */
	{'p', 1, 4, 3, false, false, {"SELECT chaos_term()", "BEGIN", "INSERT INTO chaos_rows (id) VALUES (%a)",
	"PREPARE TRANSACTION '%g'", "COMMIT PREPARED '%g'"}},
	/* a procedure that commits within */
	{'c', 2, 0, -1, false, false, {"CALL chaos_two(%a, %b, NULL)"}},
	/* the acknowledgement waits in the output buffer while the session goes on */
	{'q', 1, 0, -1, false, true, {"BEGIN; INSERT INTO chaos_rows (id) VALUES (%a) RETURNING chaos_term(); "
	"COMMIT; SELECT pg_sleep(0.2)"}},
	/* a commit whose wait for standbys is cancelled */
	{'t', 1, 3, -1, false, false, {"BEGIN", "SET LOCAL statement_timeout = '40ms'",
	"INSERT INTO chaos_rows (id) VALUES (%a) RETURNING chaos_term()", "COMMIT"}},
};

const TxnKind *
txn_find(char letter)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].letter == letter)
			return &kinds[i];
	return NULL;
}

int
txn_steps(const TxnKind *kind)
{
	int			n = 0;

	while (n < TXN_STEPS_MAX && kind->steps[n] != NULL)
		n++;
	return n;
}

void
txn_text(const TxnKind *kind, int step, int64_t id, char *buf, size_t size)
{
	size_t		used = 0;

	for (const char *p = kind->steps[step]; *p != '\0' && used + 32 < size; p++)
	{
		if (*p != '%')
		{
			buf[used++] = *p;
			continue;
		}
		p++;
		used += (size_t) snprintf(buf + used, size - used, *p == 'g' ? "chaos-%" PRId64 : "%" PRId64,
								  *p == 'b' ? id + 1 : id);
	}
	buf[used] = '\0';
}
