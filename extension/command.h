/*
 * command.h
 *	  What every command of the watchdog has in common.
 */
#ifndef RG_COMMAND_H
#define RG_COMMAND_H

#include "postgres.h"

#include "fmgr.h"

#include "statefile.h"

/* The first arguments of every command: who, in which life, for which term. */
typedef struct RgCommand
{
	char		watchdog[RG_UUID_SIZE];
	int64		counter;
	int64		term;
} RgCommand;

/* Reads them; throws if one is null. */
extern void rg_command_get(FunctionCallInfo fcinfo, RgCommand *ret_command);

/*
 * Is this the watchdog that the node obeys?  Throws RG002 for another one, RG003
 * for a lower counter, and RG001 if the node obeys none yet, unless that is
 * allowed.  A higher counter is put into the state for the caller to store;
 * returns true then.  Whoever is refused is noted for the heartbeats to show.
 */
extern bool rg_command_authorize(RgState *state, const RgCommand *command, bool may_be_first);

/* This watchdog, which was noted as an intruder, is one no longer. */
extern void rg_command_forget_intruder(const RgCommand *command);

/* Throws RG004 for a term below the effective promise or unbelievably high. */
extern void rg_command_check_term(const RgState *state, const RgCommand *command);

/* Throws RG010 for a node that is half promoted: its WAL may lead nowhere. */
extern void rg_command_check_whole(const RgState *state);

/*
 * Pledges the command's term: throws RG004 if a leader of that term is known
 * here already or the promise is another watchdog's.
 */
extern void rg_command_promise(RgState *state, const RgCommand *command);

/* The jsonb that commands answer with. */
extern Datum rg_state_after(const RgState *state);

/* JSON pieces of answers: a rule or null; the followed terms. */
extern Datum rg_rule_jsonb(const RgRule *rule);
extern Datum rg_followed_jsonb(void);
extern Datum rg_jsonb_from_text(const char *json);

#endif							/* RG_COMMAND_H */
