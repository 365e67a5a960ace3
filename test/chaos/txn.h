/*
 * txn.h
 *	  The kinds of transactions that the clients of the chaos test run.
 *
 * A kind is a short list of statements.  One of them is the commit: as long as
 * it was not sent, a failure is a refusal; once it was sent and no answer came,
 * the outcome is unknown.  "%a" and "%b" stand for the two numbers that a
 * transaction has, "%g" for the name of a prepared transaction.
 */
#ifndef CHAOS_TXN_H
#define CHAOS_TXN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TXN_STEPS_MAX 6

typedef struct TxnKind
{
	char		letter;			/* how a configuration names it */
	int			rows;			/* numbers that it inserts: 1 or 2 */
	int			commit;			/* index of the statement that commits */
	int			prepare;		/* index of PREPARE TRANSACTION, or -1 */
	bool		extended;		/* by the extended protocol */
	bool		early_tag;		/* acknowledged by the tag COMMIT within the message */
	const char *steps[TXN_STEPS_MAX];
} TxnKind;

/* The kind of a letter, or NULL. */
extern const TxnKind *txn_find(char letter);

/* Writes statement number step, placeholders replaced. */
extern void txn_text(const TxnKind *kind, int step, int64_t id, char *buf, size_t size);

/* How many statements it has. */
extern int txn_steps(const TxnKind *kind);

#endif							/* CHAOS_TXN_H */
