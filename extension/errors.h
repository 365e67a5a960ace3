/*
 * errors.h
 *	  The extension's own SQLSTATEs, class RG.
 *
 * The watchdog decides by these codes, never by a message.
 */
#ifndef RG_ERRORS_H
#define RG_ERRORS_H

#include "utils/elog.h"

#define ERRCODE_RG_NOT_INITIALISED		MAKE_SQLSTATE('R', 'G', '0', '0', '1')
#define ERRCODE_RG_OTHER_WATCHDOG		MAKE_SQLSTATE('R', 'G', '0', '0', '2')
#define ERRCODE_RG_LOWER_COUNTER		MAKE_SQLSTATE('R', 'G', '0', '0', '3')
#define ERRCODE_RG_STALE_TERM			MAKE_SQLSTATE('R', 'G', '0', '0', '4')
#define ERRCODE_RG_WRONG_SERVER_START	MAKE_SQLSTATE('R', 'G', '0', '0', '5')
#define ERRCODE_RG_NODE_BUSY			MAKE_SQLSTATE('R', 'G', '0', '0', '6')
#define ERRCODE_RG_SETTING_OVERRIDDEN	MAKE_SQLSTATE('R', 'G', '0', '0', '7')
#define ERRCODE_RG_NO_WATCHDOG			MAKE_SQLSTATE('R', 'G', '0', '0', '8')
#define ERRCODE_RG_STATE_FILE			MAKE_SQLSTATE('R', 'G', '0', '0', '9')
#define ERRCODE_RG_WRONG_ROLE			MAKE_SQLSTATE('R', 'G', '0', '1', '0')

#endif							/* RG_ERRORS_H */
