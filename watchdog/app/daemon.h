/*
 * daemon.h
 *	  The process: signals, the loop, systemd; clusters hang on it.
 */
#ifndef RG_DAEMON_H
#define RG_DAEMON_H

#include "config.h"

/* Runs until SIGTERM or SIGINT; returns the exit status. */
extern int	rg_daemon_run(const RgConfig *config);

#endif							/* RG_DAEMON_H */
